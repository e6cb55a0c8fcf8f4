"""What a fitted model recommends: items to users, users to items, and the scores of pairs.

Beside what was fitted, they take what they look with, kernels or a search, and where users look for items,
`Fitted.points`, for ``rare_item_distance`` may change after the fit. :class:`cmlfast.CML` documents the other
arguments.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from cmlfast.data.csr import Counts
from cmlfast.data.sides import Kind
from cmlfast.serving.nearest import Scores, Search, nearest, pair_scores, picked
from cmlfast.serving.queries import Query, allowed, answer, check_count, placed_by_features, rows_of_ids
from cmlfast.training.fitted import Fitted, item_points, user_points


def recommend(
    fitted: Fitted,
    search: Search,
    points: Tensor,
    query: Query,
    n: int,
    filter_items: Iterable[Any] | None,
    items: Iterable[Any] | None,
) -> tuple[npt.NDArray[Any], Scores]:
    """Return ids and scores of the nearest items, see :meth:`cmlfast.CML.recommend`."""
    left_out, among = allowed(fitted, filter_items, items, "item")
    searched = fitted.searched(points)
    found = search(user_points(query.vectors, points), searched, int(n), query.seen, left_out, among)
    return answer(*found, fitted, "item", query.scalar)


def recommend_users(
    fitted: Fitted, kernels: ModuleType, points: Tensor, itemid: Any, n: int, filter_already_liked: bool
) -> tuple[npt.NDArray[Any], Scores]:
    """Return ids and scores of the users who are nearest to items, see :meth:`cmlfast.CML.recommend_users`."""
    check_count(n, "N")
    rows = rows_of_ids(fitted, itemid, "item", "itemid")
    if filter_already_liked and not fitted.has_pairs:
        raise ValueError(
            "filter_already_liked_users is True, but the training matrix was not kept with the model; pass False"
        )
    seen = fitted.known.matrix.tocsc()[:, rows].T.tocsr() if filter_already_liked else None  # [Q, I]
    found = nearest(kernels, picked(points, rows), user_points(fitted.near("user"), points), int(n), seen)
    return answer(*found, fitted, "user", np.ndim(itemid) == 0)


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
    if itemid is None and item_features is None:
        itemid = fitted.known.item_ids
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
