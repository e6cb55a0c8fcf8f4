"""Recommendations for all users at once, in parts that fit into memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from torch import Tensor
from tqdm.auto import tqdm

from cmlfast.data.ids import id_column
from cmlfast.data.progress import hides_bar
from cmlfast.serving.nearest import Search
from cmlfast.training.fitted import Fitted, user_points

USERS_AT_ONCE = 8192


def everyone(
    fitted: Fitted, search: Search, points: Tensor, n: int, leave_out_liked: bool, users: range
) -> Iterator[Any]:
    """Yield tables of users, their nearest items and the scores, best first, in the order of the users.

    Parameters
    ----------
    fitted, search, points
        As :func:`cmlfast.serving.recommend.recommend` takes them.
    n : int
        Items for each user.
    leave_out_liked : bool
        Leave out what users like by the training.
    users : range
        Whom to recommend to.

    Yields
    ------
    pyarrow.Table
        Of the columns user, item and score.

    Raises
    ------
    ValueError
        If what they like was not kept with the model.
    """
    if leave_out_liked and not fitted.has_pairs:
        raise ValueError("the training matrix was not kept with the model; pass filter_already_liked_items=False")
    user_ids, items = id_column(fitted.known.user_ids, "user_ids"), id_column(fitted.known.item_ids, "item_ids")
    searched = fitted.searched(points)
    for first in range(users.start, users.stop, USERS_AT_ONCE):
        last = min(first + USERS_AT_ONCE, users.stop)
        seen = fitted.known.matrix[first:last] if leave_out_liked else None
        found, scores = search(user_points(fitted.tables.user[first:last], points), searched, n, seen)
        rows, places = np.nonzero(found >= 0)
        yield pa.table(
            {
                "user": user_ids.take(pa.array(first + rows)),
                "item": items.take(pa.array(found[rows, places])),
                "score": pa.array(scores[rows, places]),
            }
        )


def progress(parts: Iterator[Any], n_users: int, show: bool | None) -> Iterator[Any]:
    """Yield the parts, and show how many users are done; see :func:`cmlfast.data.progress.hides_bar`."""
    with tqdm(total=n_users, desc="recommending", unit="user", disable=hides_bar(show)) as bar:
        for first, part in zip(range(0, n_users, USERS_AT_ONCE), parts, strict=True):
            yield part
            bar.update(min(USERS_AT_ONCE, n_users - first))
