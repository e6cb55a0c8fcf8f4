"""What a fitted model answers: the nearest items of users, the nearest neighbours of either, the scores of pairs.

Beside what was fitted, they take the kernels to search with and where users look for items, `Fitted.points`, for
``rare_item_distance`` may change after the fit. :class:`cmlfast.CML` documents the other arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse
from torch import Tensor

from cmlfast.data.csr import Counts
from cmlfast.data.sides import Kind
from cmlfast.serving.fold_in import fold_in
from cmlfast.serving.nearest import Positions, Scores, nearest, pair_scores, picked
from cmlfast.serving.queries import (
    answer,
    check_count,
    likes_of,
    likes_of_known,
    likes_of_new,
    listed,
    placed_by_features,
    rows_of_ids,
)
from cmlfast.training.fitted import Fitted, item_points, user_points
from cmlfast.training.settings import Settings


def recommend(
    fitted: Fitted,
    kernels: ModuleType,
    points: Tensor,
    settings: Callable[[], Settings],
    *,
    userid: Any,
    user_items: Any,
    n: int,
    filter_already_liked_items: bool,
    filter_items: Iterable[Any] | None,
    recalculate_user: bool,
    items: Iterable[Any] | None,
    user_features: Any,
) -> tuple[npt.NDArray[Any], Scores]:
    """Return ids and scores of the nearest items, see :meth:`cmlfast.CML.recommend`; only fold-in asks for settings."""
    check_count(n, "N")
    if user_features is not None:
        if userid is not None or recalculate_user:
            raise ValueError(
                "user_features are given together with userid or recalculate_user; new users have no id, and are "
                "placed either by their features or by what they like"
            )
        queries = placed_by_features(fitted, user_features, "user")  # [Q, r]
        seen = None if user_items is None else likes_of_new(fitted, len(queries), user_items)  # [Q, J]
    elif userid is None:
        raise ValueError("userid is missing; give the id of a user, or user_features of new users")
    elif recalculate_user:
        if user_items is None:
            raise ValueError("recalculate_user is True, but user_items is None; give what the users like")
        seen = likes_of(fitted, listed(userid, "userid"), user_items)
        queries = fold_in(kernels, fitted.tables.item, fitted.candidates, seen, settings())
    else:
        rows = rows_of_ids(fitted, userid, "user", "userid")
        queries = picked(fitted.tables.user, rows)
        seen = likes_of_known(fitted, rows, user_items) if filter_already_liked_items else None
    left_out, among = _allowed(fitted, filter_items, items, fitted.trained, "item")
    found = nearest(
        kernels, user_points(queries, points), points, int(n), seen if filter_already_liked_items else None, left_out,
        among,
    )  # fmt: skip
    return answer(*found, fitted, "item", userid is not None and np.ndim(userid) == 0)


def similar(
    fitted: Fitted,
    kernels: ModuleType,
    kind: Kind,
    wanted: Any,
    n: int,
    left_out: Iterable[Any] | None,
    among: Iterable[Any] | None,
) -> tuple[npt.NDArray[Any], Scores]:
    """Return ids and scores of the items nearest to items, or the users nearest to users: first the one itself."""
    rows = rows_of_ids(fitted, wanted, kind, f"{kind}id")
    check_count(n, "N")
    table = fitted.tables.item if kind == "item" else fitted.tables.user
    # What nothing was learned of lies anywhere, and is near to nobody.
    placed = fitted.placed[kind]
    among = None if among is None else list(among)  # looked at twice
    without, only = _allowed(fitted, left_out, among, placed, kind)
    itself = sparse.csr_matrix((np.ones(len(rows)), (np.arange(len(rows)), rows)), shape=(len(rows), len(table)))
    others, scores = nearest(kernels, picked(table, rows), table, int(n), itself, without, only)
    others[~placed[rows]], scores[~placed[rows]] = -1, -np.inf
    found = np.column_stack((rows, others))
    values = np.column_stack((np.zeros(len(rows), np.float32), scores))
    absent = np.zeros(len(table), dtype=bool) if among is None else ~_named(fitted, among, kind)
    absent[without if without is not None else []] = True
    # Who may not be among the answers makes room for the next.
    for table_, rest in ((found, -1), (values, -np.inf)):
        moved = np.column_stack((table_[:, 1:], np.full(len(rows), rest)))
        table_[absent[rows]] = moved[absent[rows]]
    return answer(found[:, : int(n)], values[:, : int(n)], fitted, kind, np.ndim(wanted) == 0)


def _named(fitted: Fitted, ids: Iterable[Any], kind: Kind) -> npt.NDArray[np.bool_]:
    """Tell which rows some ids name."""
    named = np.zeros(len(fitted.tables.item if kind == "item" else fitted.tables.user), dtype=bool)
    named[rows_of_ids(fitted, ids, kind, f"{kind}s")] = True
    return named


def _allowed(
    fitted: Fitted,
    left_out: Iterable[Any] | None,
    among: Iterable[Any] | None,
    known: npt.NDArray[np.bool_],
    kind: Kind,
) -> tuple[Positions | None, Positions | None]:
    """Return the rows that nobody gets and the only ones that anybody gets, of which something is known."""
    without = None if left_out is None else rows_of_ids(fitted, left_out, kind, f"filter_{kind}s")
    only = None if among is None else rows_of_ids(fitted, among, kind, f"{kind}s")
    if known.all():
        return without, only
    return without, np.flatnonzero(known) if only is None else only[known[only]]


def popular(fitted: Fitted, n: int) -> tuple[npt.NDArray[Any], Counts]:
    """Return the items that most users like, see :meth:`cmlfast.CML.popular_items`."""
    check_count(n, "N")
    order = np.argsort(-fitted.item_likes, kind="stable")[:n]
    ids, _ = answer(order[None], np.zeros((1, len(order)), np.float32), fitted, "item", True)
    return ids, fitted.item_likes[order]


def predict(
    fitted: Fitted,
    points: Tensor,
    rare_item_distance: float,
    *,
    userid: Any,
    itemid: Any,
    user_features: Any,
    item_features: Any,
) -> Scores:
    """Return the scores of users with items, see :meth:`cmlfast.CML.predict`."""
    users = _known_or_placed(fitted, fitted.tables.user, userid, user_features, "user")  # [Q, r]
    items = _known_or_placed(fitted, points, itemid, item_features, "item")  # [n, r or r + 1]
    if item_features is not None:  # nobody likes them yet
        items = item_points(items, np.zeros(len(items), np.int64), rare_item_distance)
    scores = pair_scores(user_points(users, items), items).cpu().numpy()
    for axis, ids in ((1, itemid), (0, userid)):
        if ids is not None and np.ndim(ids) == 0:
            scores = scores.squeeze(axis)
    return scores


def _known_or_placed(fitted: Fitted, table: Tensor, ids: Any, features: Any, kind: Kind) -> Tensor:
    """Return the rows of a table that ids name, or vectors of those whose features were given."""
    if (ids is None) == (features is None):
        raise ValueError(f"give either {kind}id, of {kind}s the model knows, or {kind}_features, of new ones")
    if features is not None:
        return placed_by_features(fitted, features, kind)
    return picked(table, rows_of_ids(fitted, ids, kind, f"{kind}id"))
