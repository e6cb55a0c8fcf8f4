"""What a fitted model does with more interactions: tables with room for new rows, and one epoch on some items."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from cmlfast.encoder import place, typical_length
from cmlfast.features import Features
from cmlfast.ids import Ids
from cmlfast.interactions import Interactions
from cmlfast.settings import Settings
from cmlfast.side import JointTables
from cmlfast.tagging import rows_of
from cmlfast.training import Pairs, Record, Schedule, Step, Tables, check_finite, new_tables, run_epoch


def grown_tables(
    old: Tables,
    new: Interactions,
    features: Mapping[str, Any],
    tag_ids: Mapping[str, Ids | None],
    networks: Mapping[str, nn.Module | None],
    settings: Settings,
    device: torch.device,
) -> Tables:
    """Return tables for all users and items of ``new``: the old rows first, then new ones.

    Parameters
    ----------
    old : Tables
        Of the model.
    new : Interactions
        With the model's users and items first.
    features, tag_ids, networks : mapping
        By "user" and "item": what was given for them, the names of its columns, and what places new rows by it. Without
        features they are random.
    """
    if new.shape == (len(old.user), len(old.item)):
        grown = Tables(*(table.to(device, copy=True) for table in old.all()))
    else:
        grown = new_tables(*new.shape, settings, device)
        for before, after in zip(old.all(), grown.all(), strict=True):
            after[: len(before)] = before
    for kind, ids, table, n_old in (
        ("user", new.user_ids, grown.user, len(old.user)),
        ("item", new.item_ids, grown.item, len(old.item)),
    ):
        if features[kind] is not None:
            name = f"{kind}_features"
            fresh = rows_of(features[kind], ids[n_old:], tag_ids[kind], name)
            if fresh is features[kind]:  # with a row for every one, the old ones too
                whole = Features.of(fresh, len(ids), name, device)
                fresh = Features(whole.take(torch.arange(n_old, len(ids), device=device)))
            length = typical_length(table[:n_old])
            table[n_old:] = place_new(fresh, networks[kind], length, kind).to(table.dtype)
    return grown


def place_new(given: Any, network: nn.Module | None, length: Tensor, kind: str) -> Tensor:
    """Return where a model's network places rows of features: [n, r], float32, see :func:`cmlfast.encoder.place`.

    Raises
    ------
    TypeError, ValueError
        If there is no network, or the features are none or not what it takes.
    """
    name = f"{kind}_features"
    if network is None:
        raise ValueError(
            f"{name} were given, but the model has no network for them: it was fitted without {name}, or loaded "
            f"without its own network; fit it with {name}, or pass the network to load"
        )
    features = given if isinstance(given, Features) else Features.of(given, None, name, length.device)
    return place(network.to(length.device), features, length, name)


def liked_items(liked: Interactions, tables: Tables) -> npt.NDArray[np.integer]:
    """Return the items that anybody likes or once liked: as in fit, others that a network placed are no negatives.

    Those that were liked once show it by their accumulators, also where the matrix was not kept.
    """
    trained = tables.item_state.any(1).cpu().numpy()
    return np.union1d(liked.matrix.indices, np.flatnonzero(trained))


def one_epoch(
    step: Step[JointTables],
    tables: Tables,
    items: npt.NDArray[np.integer],
    pairs: Pairs,
    settings: Settings,
    epoch: int,
) -> Record:
    """Train an epoch with the last margin; ``pairs`` count items by their place in ``items``. Return what was seen."""
    places = torch.from_numpy(items.astype(np.int64)).to(tables.item.device)
    part = JointTables(tables.user, tables.item[places], tables.user_state, tables.item_state[places])
    settings = replace(settings, margin=(settings.margin[1],) * 2)
    # The epoch's number, and so its draws, were not used before.
    record = run_epoch(step, part, pairs, settings, epoch, Schedule(0.0, 1.0))
    check_finite(record, settings, part.user, part.item)
    tables.item[places], tables.item_state[places] = part.item, part.item_state
    return record
