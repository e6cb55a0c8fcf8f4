"""Brings tags, a table that names items (or users) by their ids, to the rows and columns that a model knows."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
from scipy import sparse

from cmlfast.alignment import is_numbered
from cmlfast.ids import Ids
from cmlfast.interactions import Interactions

Kind = Literal["item", "user"]
KINDS: tuple[Kind, ...] = get_args(Kind)


def ids_of(likes: Interactions, kind: Kind) -> Ids:
    """Return the ids of the items, or of the users."""
    return likes.item_ids if kind == "item" else likes.user_ids


def tag_ids_of(given: Any) -> Ids | None:
    """Return the names of the columns of features; None if they have none, being no `Interactions`."""
    return given.item_ids if isinstance(given, Interactions) else None


def joined(likes: Interactions, item_features: Any, user_features: Any) -> Interactions:
    """Return likes of all items and users, those included that features alone name, see :func:`widened`.

    Raises
    ------
    ValueError
        As `widened`; if no item (or user) has both likes and features: they are then likely to be named differently.
    """
    given: tuple[tuple[Kind, Any], ...] = (("item", item_features), ("user", user_features))
    for kind, features in given:
        if isinstance(features, Interactions):
            liked = ids_of(likes, kind).tolist()
            if set(features.user_ids.tolist()).isdisjoint(liked):
                raise ValueError(
                    f"no {kind} has both likes and features: {kind}s are called {liked[0]!r} in the likes and "
                    f"{features.user_ids.tolist()[0]!r} in {kind}_features; give them the same ids"
                )
        likes = widened(likes, features, kind)
    return likes


def widened(likes: Interactions, given: Any, kind: Kind) -> Interactions:
    """Return likes with those items (or users) appended, liked by nobody, that features alone name.

    Parameters
    ----------
    likes : Interactions of users and items
    given : Interactions of items (or users) and tags, or features of any other kind
        The latter name nothing, and change nothing.
    kind : {"item", "user"}

    Raises
    ------
    ValueError
        If items are numbers of columns and the features name others.
    """
    if not isinstance(given, Interactions):
        return likes
    ids = ids_of(likes, kind)
    known = set(ids.tolist())
    strangers = [one for one in given.user_ids.tolist() if one not in known]
    if not strangers:
        return likes
    if is_numbered(ids):
        raise ValueError(
            f"{kind}_features names the {kind} {strangers[0]!r}, but {kind}s are numbers here, 0 to {len(ids) - 1}; "
            f"give user_items as Interactions too, or {kind}_features as a matrix with a row for each {kind}"
        )
    if ids.dtype != given.user_ids.dtype:
        raise ValueError(
            f"{kind}s are called {ids.tolist()[0]!r} in the likes and {given.user_ids.tolist()[0]!r} in "
            f"{kind}_features; give them ids of the same type"
        )
    everyone = np.array([*ids.tolist(), *strangers], dtype=ids.dtype)
    user_ids, item_ids = (likes.user_ids, everyone) if kind == "item" else (everyone, likes.item_ids)
    grown = likes.matrix.copy()
    grown.resize(len(user_ids), len(item_ids))
    wider = Interactions(grown, user_ids, item_ids)
    wider.n_duplicates, wider.n_dropped = likes.n_duplicates, likes.n_dropped
    return wider


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
