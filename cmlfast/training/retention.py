"""Users and items that nobody has seen for long leave a model."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cmlfast.data.interactions import Interactions
from cmlfast.data.sides import Kind, Sides
from cmlfast.data.times import DAY
from cmlfast.training.fitted import Fitted
from cmlfast.training.tables import Tables

Mask = npt.NDArray[np.bool_]


def without_inactive(fitted: Fitted, days: Sides[float | None]) -> Fitted:
    """Return a model without those who were last seen more than some days before the last like of all.

    Parameters
    ----------
    fitted : Fitted
        It stays as it is.
    days : Sides of float or None
        For users and for items; None drops nobody. Of whom no time is known stays.

    Raises
    ------
    ValueError
        If no times are known, or users and items are meant by their numbers, which would be others'.
    """
    if fitted.known.by_position:
        raise ValueError(
            "users and items are meant by their numbers here, which would be others' if some were dropped; fit on "
            "Interactions with ids"
        )
    users, items = _active(fitted, "user", days.user), _active(fitted, "item", days.item)
    if users.all() and items.all():
        return fitted
    tables, known = fitted.tables, fitted.known
    left = Interactions(known.matrix[users][:, items], known.user_ids[users], known.item_ids[items])
    return replace(
        fitted,
        tables=Tables(
            _rows(tables.user, users), _rows(tables.item, items),
            _rows(tables.user_state, users), _rows(tables.item_state, items),
        ),
        known=left,
        item_likes=fitted.item_likes[items],
        placed=Sides(fitted.placed.user[users], fitted.placed.item[items]),
        last_seen=Sides(
            *(None if seen is None else seen[kept] for seen, kept in zip(fitted.last_seen, (users, items), strict=True))
        ),
    )  # fmt: skip


def _active(fitted: Fitted, kind: Kind, days: float | None) -> Mask:
    """Tell which users, or items, stay."""
    n = fitted.known.n_users if kind == "user" else fitted.known.n_items
    if days is None:
        return np.ones(n, dtype=np.bool_)
    seen = fitted.last_seen[kind]
    if seen is None:
        raise ValueError(
            f"{kind}_days is {days!r}, but the model knows no dates of likes: give fit or partial_fit Interactions "
            "with times (--time)"
        )
    # One like that claims to be of the future shall not make all others old.
    last = min(np.nanmax(seen), time.time())
    active: Mask = ~(seen < last - days * DAY)  # NaN is not before
    return active


def _rows(table: Tensor, kept: Mask) -> Tensor:
    return table if kept.all() else table[torch.from_numpy(kept).to(table.device)]
