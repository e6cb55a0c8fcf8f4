"""What a question brings, ids, likes or features, as rows and vectors of the model; what was found, as ids."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse
from torch import Tensor

from cmlfast.data.align import aligned, ids_of, positions
from cmlfast.data.ids import Ids
from cmlfast.data.interactions import Interactions, as_user_items
from cmlfast.data.sides import Kind
from cmlfast.features.encoder import place_new
from cmlfast.features.tags import columns_of
from cmlfast.serving.fold_in import fold_in
from cmlfast.serving.nearest import Positions, Scores, picked
from cmlfast.training.fitted import Fitted
from cmlfast.training.settings import Settings


def listed(ids: Any, name: str) -> Any:
    """Return one id, or a sequence of them, as a sequence, without mixing types as NumPy would."""
    if isinstance(ids, str) or not isinstance(ids, Iterable) or (isinstance(ids, np.ndarray) and ids.ndim == 0):
        return [ids.item() if isinstance(ids, np.generic | np.ndarray) else ids]
    several = ids if isinstance(ids, np.ndarray) else list(ids)
    if np.ndim(several) != 1:
        raise ValueError(f"{name} has {np.ndim(several)} dimensions; give one id or a list of them")
    return several


def check_count(value: Any, name: str) -> None:
    """Raise ``TypeError`` or ``ValueError`` unless a number of answers is an integer of at least 1."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name} is {value!r}; it must be an integer of at least 1")
    if value < 1:
        raise ValueError(f"{name} is {value}; it must be at least 1")


def rows_of_ids(fitted: Fitted, ids: Any, kind: Kind, name: str) -> Positions:
    """Return the rows of one or several ids, [Q]; see :func:`cmlfast.data.align.positions` for what it raises."""
    return positions(listed(ids, name), fitted.known, kind, name)


def likes_of_known(fitted: Fitted, rows: Positions, user_items: Any) -> sparse.csr_matrix:
    """Return what users of the model like, [Q, J]: by ``user_items``, or by the training where that is None."""
    if user_items is None:
        if not fitted.has_pairs:
            raise ValueError(
                "user_items is None, but the training matrix was not kept with the model; pass what these users "
                "like, or filter_already_liked_items=False"
            )
        return fitted.known.matrix[rows]
    if isinstance(user_items, Interactions):
        return aligned(user_items, fitted.known, "user_items")[rows]
    return _rows_of(user_items, fitted, len(rows), lambda: rows)


def likes_of(fitted: Fitted, users: Any, user_items: Any) -> sparse.csr_matrix:
    """Return what some users like, known or not, [Q, J]: the rows of a matrix, or found by id.

    Known users' likes may be among those of all whom the model knows; `Interactions` name whomever they like.
    """
    known = fitted.known
    if not isinstance(user_items, Interactions):
        return _rows_of(user_items, fitted, len(users), lambda: positions(users, known, "user", "userid"))
    likes = user_items.matrix[user_items.user_index(np.asarray(users))].tocoo()
    try:
        columns = known.item_index(user_items.item_ids)
    except KeyError as error:
        raise ValueError(f"user_items does not fit the model: {error.args[0]}") from error
    shape = (len(users), known.n_items)
    return as_user_items(sparse.csr_matrix((likes.data, (likes.row, columns[likes.col])), shape=shape)).matrix


def likes_of_new(fitted: Fitted, n_users: int, user_items: Any) -> sparse.csr_matrix:
    """Return what users without ids like, [Q, J]: a matrix with a row for each."""
    if isinstance(user_items, Interactions):
        raise ValueError(
            "user_items is Interactions, but new users have no id to be found by; give a matrix with a row for each "
            "row of user_features"
        )
    return _rows_of(user_items, fitted, n_users, None)


def _rows_of(user_items: Any, fitted: Fitted, n_users: int, rows: Callable[[], Positions] | None) -> sparse.csr_matrix:
    """Return a matrix with a row for each user who is asked for, or such rows of one for all whom the model knows."""
    known, expected = fitted.known, (n_users, fitted.known.n_items)
    if n_users == 0 and np.shape(user_items) == expected:
        return sparse.csr_matrix(expected)  # nobody asks, which is no mistake as it would be in training
    given = as_user_items(user_items)
    if given.shape == expected:
        return given.matrix
    if given.shape == known.shape and rows is not None:
        return given.matrix[rows()]
    everybody = "" if rows is None else f", or a row for each user whom the model knows, {known.shape}"
    raise ValueError(
        f"user_items has shape {given.shape}, but it needs a row for each user who is asked for and a column for each "
        f"item, {expected}{everybody}"
    )


def placed_by_features(fitted: Fitted, features: Any, kind: Kind) -> Tensor:
    """Return vectors of new users or items, [n, r], where the model's network puts them by their features."""
    if isinstance(features, Interactions):
        features = columns_of(features, fitted.tag_ids[kind], f"{kind}_features")
    placed = place_new(features, fitted.networks[kind], fitted.typical_lengths[kind], kind)
    return placed.to(fitted.tables.item.dtype)


@dataclass(frozen=True)
class Query:
    """Who asks.

    Attributes
    ----------
    vectors : Tensor
        Shape [Q, r], of the tables' type.
    seen : csr_matrix of shape (Q, J), optional
        What they shall not get.
    scalar : bool
        Whether it is one user, asked for as one.
    """

    vectors: Tensor
    seen: sparse.csr_matrix | None
    scalar: bool


def query_of(
    fitted: Fitted,
    kernels: ModuleType,
    settings: Callable[[], Settings],
    userid: Any,
    user_items: Any,
    recalculate_user: bool,
    user_features: Any,
    leave_out: bool,
) -> Query:
    """Place users who are known, or new with likes or features; see :meth:`cmlfast.CML.recommend`.

    Only fold-in asks for the settings. What they like is looked up if that is to be left out, ``leave_out``.
    """
    seen = None
    if user_features is not None:
        if userid is not None or recalculate_user:
            raise ValueError(
                "user_features are given together with userid or recalculate_user; new users have no id, and are "
                "placed either by their features or by what they like"
            )
        vectors = placed_by_features(fitted, user_features, "user")
        seen = None if user_items is None else likes_of_new(fitted, len(vectors), user_items)
    elif userid is None:
        raise ValueError("userid is missing; give the id of a user, or user_features of new users")
    elif recalculate_user:
        if user_items is None:
            raise ValueError("recalculate_user is True, but user_items is None; give what the users like")
        seen = likes_of(fitted, listed(userid, "userid"), user_items)
        vectors = fold_in(kernels, fitted.tables.item, fitted.candidates, seen, fitted.typical_lengths.user, settings())
    else:
        rows = rows_of_ids(fitted, userid, "user", "userid")
        vectors = picked(fitted.tables.user, rows)
        seen = likes_of_known(fitted, rows, user_items) if leave_out else None
    return Query(vectors, seen if leave_out else None, userid is not None and np.ndim(userid) == 0)


def allowed(
    fitted: Fitted, left_out: Iterable[Any] | None, among: Iterable[Any] | None, kind: Kind
) -> tuple[Positions | None, Positions | None]:
    """Return the rows that nobody gets, and the only ones that anybody gets."""
    without = None if left_out is None else rows_of_ids(fitted, left_out, kind, f"filter_{kind}s")
    only = None if among is None else rows_of_ids(fitted, among, kind, f"{kind}s")
    return without, only


def answer(
    found: Positions, scores: Scores, fitted: Fitted, kind: Kind, scalar: bool
) -> tuple[npt.NDArray[Any], Scores]:
    """Turn positions [Q, n] into ids, and drop the only row's padding and its dimension for a single query."""
    ids: Ids = ids_of(fitted.known, kind)
    named: Any
    if fitted.known.by_position:
        named = found.astype(np.int32)  # what implicit's evaluators take
    else:
        named = ids[found]
        named[found < 0] = None if ids.dtype == object else _no_id(ids)
    if not scalar:
        return named, scores
    kept = found[0] >= 0
    return named[0][kept], scores[0][kept]


def _no_id(ids: Ids) -> int:
    """Return what stands behind a short row of integer ids: -1, or the least integer where -1 is somebody's id."""
    return int(np.iinfo(np.int64).min) if (ids == -1).any() else -1
