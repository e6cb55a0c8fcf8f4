"""Brings tags, a table that names items (or users) by their ids, to the rows and columns that a model knows."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

from cmlfast.data.ids import Ids
from cmlfast.data.interactions import Interactions


def tag_ids_of(given: Any) -> Ids | None:
    """Return the names of the columns of features; None if they have none, being no `Interactions`."""
    return given.item_ids if isinstance(given, Interactions) else None


def rows_of(given: Any, ids: Ids, tag_ids: Ids | None, name: str) -> Any:
    """Return features of some items (or users), in their order; features that are no `Interactions`, as they are.

    Parameters
    ----------
    given : Interactions of items (or users) and tags, or features of any other kind
        Items without tags get an empty row.
    ids : ndarray of shape (n,)
        Whose rows.
    tag_ids : ndarray of shape (d,), optional
        The columns, by name, see :func:`columns_of`.
    name : str
        What to call the features in errors.

    Raises
    ------
    ValueError
        If none of the ids has a row: they are then likely to be named differently.
    """
    if not isinstance(given, Interactions):
        return given
    places = dict(zip(given.user_ids.tolist(), range(given.n_users), strict=True))
    rows = np.array([places.get(one, given.n_users) for one in ids.tolist()], dtype=np.int64)
    if len(ids) and rows.min() == given.n_users:
        raise ValueError(
            f"{name} has no row for any: they are called {ids.tolist()[0]!r} where they are liked and "
            f"{given.user_ids.tolist()[0]!r} in {name}; give them the same ids"
        )
    matrix = columns_of(given, tag_ids, name).copy()
    matrix.resize(given.n_users + 1, matrix.shape[1])  # the last row is of those without tags
    return matrix[rows]


def columns_of(given: Interactions, tag_ids: Ids | None, name: str) -> sparse.csr_matrix:
    """Return the columns of some tags, [n, d], in their order; all as they are if ``tag_ids`` is None.

    Tags that are not among ``tag_ids`` are left out: a network that was not trained on them has no use for them.

    Raises
    ------
    ValueError
        If none of the tags is there.
    """
    if tag_ids is None or np.array_equal(tag_ids, given.item_ids):
        return given.matrix
    places = dict(zip(given.item_ids.tolist(), range(given.n_items), strict=True))
    columns = np.array([places.get(one, given.n_items) for one in tag_ids.tolist()], dtype=np.int64)
    if columns.min() == given.n_items:
        raise ValueError(
            f"{name} has none of the {len(tag_ids):,} tags that the model knows, such as {tag_ids.tolist()[0]!r}, but "
            f"{given.item_ids.tolist()[0]!r}; call tags as in training"
        )
    matrix = given.matrix.copy()
    matrix.resize(given.n_users, given.n_items + 1)  # the last column is of tags that are not there
    return matrix[:, columns]
