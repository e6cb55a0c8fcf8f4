"""Brings other likes to the rows and columns that a model knows, makes room for new ones, turns ids to row numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from cmlfast.data.csr import pairs_csr, union
from cmlfast.data.ids import Ids, are_positions
from cmlfast.data.interactions import Interactions, as_user_items
from cmlfast.data.sides import Kind


def ids_of(likes: Interactions, kind: Kind) -> Ids:
    """Return the ids of the items, or of the users."""
    return likes.item_ids if kind == "item" else likes.user_ids


def aligned(user_items: Any, known: Interactions, name: str) -> sparse.csr_matrix:
    """Return likes as a matrix of the shape, and in the order, of ``known``.

    Parameters
    ----------
    user_items : SciPy sparse matrix or Interactions
        A matrix must have the shape of ``known``; `Interactions` may have fewer ids, in another order.
    known : Interactions
        What the model was fitted on.
    name : str
        What to call ``user_items`` in errors.

    Raises
    ------
    ValueError
        If a matrix has another shape, or ids are there that ``known`` does not have.
    """
    given = as_user_items(user_items)
    same_ids = np.array_equal(given.user_ids, known.user_ids) and np.array_equal(given.item_ids, known.item_ids)
    if same_ids or (given is not user_items and given.shape == known.shape):
        return given.matrix
    if given is not user_items:
        raise ValueError(
            f"{name} has shape {given.shape}, but the model knows {known.n_users} users and {known.n_items} items; "
            "give a matrix of that shape, or Interactions"
        )
    try:
        rows, columns = known.user_index(given.user_ids), known.item_index(given.item_ids)
    except KeyError as error:
        strangers = [
            f"{len(set(some.tolist()) - set(all_.tolist())):,} of its {len(some):,} {kind}s"
            for kind, some, all_ in (
                ("user", given.user_ids, known.user_ids),
                ("item", given.item_ids, known.item_ids),
            )
        ]
        raise ValueError(
            f"{name} does not fit the model: {error}; {' and '.join(strangers)} are unknown to it, leave them out"
        ) from error
    pairs = given.matrix.tocoo()
    return pairs_csr(rows[pairs.row], columns[pairs.col], known.shape)


def held_out_matrix(held_out: Any, known: Interactions, name: str) -> sparse.csr_matrix:
    """Return held-out likes in the order of ``known``; raise ``ValueError`` if there are none."""
    matrix = aligned(held_out, known, name)
    if matrix.nnz == 0:
        raise ValueError(f"{name} has no interactions; hold some out, for example with cmlfast.split_per_user")
    return matrix


def merged(user_items: Any, known: Interactions) -> tuple[Interactions, Interactions]:
    """Return new likes, and new and known likes together, in one shape that has room for new users and items.

    Raises
    ------
    ValueError
        If a matrix is smaller than ``known``, or larger where ``known`` has own ids; if `Interactions` have no user
        and no item of ``known``.
    """
    given = as_user_items(user_items)
    if given is user_items:
        both = zip((known.user_ids, known.item_ids), (given.user_ids, given.item_ids), strict=True)
        if all(set(old.tolist()).isdisjoint(new.tolist()) for old, new in both):
            raise ValueError(
                f"user_items has no user and no item that the model knows, but for example user "
                f"{given.user_ids.tolist()[0]!r} and item {given.item_ids.tolist()[0]!r}; are its columns swapped?"
            )
        user_ids, rows = _extended(known.user_ids, given.user_ids)
        item_ids, columns = _extended(known.item_ids, given.item_ids)
    else:
        if given.shape[0] < known.n_users or given.shape[1] < known.n_items:
            raise ValueError(
                f"user_items has shape {given.shape}, but the model knows {known.n_users} users and {known.n_items} "
                "items already; keep their rows and columns, empty if need be"
            )
        if given.shape != known.shape and not known.by_position:
            raise ValueError(
                f"user_items has shape {given.shape}, but the model was fitted on ids of its own; give the new users "
                "and items ids, as Interactions"
            )
        rows, columns = np.arange(given.n_users), np.arange(given.n_items)
        same_shape = given.shape == known.shape
        user_ids, item_ids = (known.user_ids, known.item_ids) if same_shape else (rows, columns)
    shape = (len(user_ids), len(item_ids))
    new, old = given.matrix.tocoo(), known.matrix.tocoo()
    fresh = Interactions(pairs_csr(rows[new.row], columns[new.col], shape), user_ids, item_ids)
    fresh.n_duplicates, fresh.n_dropped = given.n_duplicates, given.n_dropped
    if given.times is not None:
        fresh.times = given.times[np.lexsort((columns[new.col], rows[new.row]))]
    # Once ids have come that are no positions, all are ids.
    fresh.by_position = known.by_position and are_positions(user_ids) and are_positions(item_ids)
    return fresh, fresh.with_pairs(union(fresh.matrix, pairs_csr(old.row, old.col, shape)))


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
    if likes.by_position:
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
    wider.n_duplicates, wider.n_dropped, wider.times = likes.n_duplicates, likes.n_dropped, likes.times
    return wider


def without_pairs(known: Interactions) -> Interactions:
    """Return the same users and items, and nothing of who likes what."""
    return known.with_pairs(sparse.csr_matrix(known.shape, dtype=np.float32))


def positions(query: Any, known: Interactions, kind: str, name: str) -> npt.NDArray[np.int64]:
    """Return the rows ("user") or columns ("item") of an array of ids.

    Raises
    ------
    KeyError
        For an own id that the model does not know.
    IndexError
        For a number out of range, where ids are numbers of rows or columns.
    """
    if not known.by_position:
        found: npt.NDArray[np.int64] = (known.user_index if kind == "user" else known.item_index)(query)
        return found
    ids = known.user_ids if kind == "user" else known.item_ids
    # NumPy makes floats of integers of which some go beyond 64 bits.
    whole = isinstance(query, list) and all(type(one) is int for one in query)
    numbers = np.asarray(query, dtype=object if whole else None)
    if numbers.size == 0:
        return np.empty(0, dtype=np.int64)
    if numbers.dtype.kind not in "iu" and not whole:
        raise ValueError(
            f"{name} holds {numbers.flat[0]!r}, which is no {kind}'s number; this model knows "
            f"{kind}s by position, 0 to {len(ids) - 1}"
        )
    wrong = numbers[(numbers < 0) | (numbers >= len(ids))]
    if len(wrong):
        raise IndexError(f"{name} holds {wrong[0]}, but the model knows {kind}s 0 to {len(ids) - 1}")
    return numbers.astype(np.int64)


def _extended(known: Ids, given: Ids) -> tuple[Ids, npt.NDArray[np.int64]]:
    """Append the ids that are new; return all ids, and the position of each given one among them."""
    if known.dtype != given.dtype:
        kinds = ["strings" if ids.dtype == object else "integers" for ids in (known, given)]
        raise ValueError(f"the model's ids are {kinds[0]}, the new ones {kinds[1]}; convert the new ones")
    place = dict(zip(known.tolist(), range(len(known)), strict=True))
    for one in given.tolist():
        place.setdefault(one, len(place))
    everyone: Any = np.array(list(place), dtype=known.dtype)
    return everyone, np.array([place[one] for one in given.tolist()], dtype=np.int64)
