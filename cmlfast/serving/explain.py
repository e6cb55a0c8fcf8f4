"""Why an item is recommended: the likes that lie nearest to it, and what the triangle inequality says of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from cmlfast.data.ids import Ids
from cmlfast.serving.nearest import Positions, pair_scores, picked
from cmlfast.serving.queries import Query, answer, listed, rows_of_ids
from cmlfast.serving.summary import LEFT
from cmlfast.training.fitted import Fitted, user_points

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Explanation:
    """What a user likes that lies near to an item.

    All distances are Euclidean, not squared, between the points that answers are found by: with a
    ``rare_item_distance`` they have a coordinate more than the embeddings.

    Attributes
    ----------
    user, item : id
        As they were asked for.
    score : float
        As :meth:`cmlfast.CML.recommend` gives it: minus the squared distance, in float32.
    distance : float
        d(u, j), between user and item.
    liked : ndarray of shape (n,)
        Ids of the user's likes that are nearest to the item, first the nearest. The item itself is none of them.
    distances : ndarray of shape (n,), float64
        d(i, j), between a like and the item.
    user_distances : ndarray of shape (n,), float64
        d(u, i), between the user and a like.
    shares : ndarray of shape (n,), float64
        How the nearness to the item is divided among all ``n_likes``: a softmax of -d(i, j)^2 / scale, with the
        temperature as the scale or, of the hinge, the last margin. They describe where the likes lie; what would
        happen without one of them they tell roughly (docs/serving.md has how roughly).
    n_likes : int
        How many likes there are, the item itself apart.
    bounds : (float, float)
        The largest ``|d(u, i) - d(i, j)|`` and the smallest ``d(u, i) + d(i, j)`` of all likes i, between which the
        triangle inequality holds ``distance``. 0 and infinity where there are no likes.
    bounded_by : (id, id) or None
        The like that gives each.
    is_liked : bool
        Whether the user has the item already.
    """

    user: Any
    item: Any
    score: float
    distance: float
    liked: Ids
    distances: Numbers
    user_distances: Numbers
    shares: Numbers
    n_likes: int
    bounds: tuple[float, float]
    bounded_by: tuple[Any, Any] | None
    is_liked: bool

    @property
    def rest(self) -> float:
        """What the likes that are not shown have of the shares."""
        return max(0.0, 1.0 - float(self.shares.sum())) if self.n_likes > len(self.liked) else 0.0

    @property
    def guarantee(self) -> str:
        """What the triangle inequality says, in a sentence."""
        if self.bounded_by is None:
            return (
                f"Nothing is known that user {self.user!r} likes beside it, so that there is nothing to explain it by."
            )
        least, most = self.bounds
        by_least, by_most = self.bounded_by
        ways = f"{by_most!r}" if by_most == by_least else f"{by_most!r} and {by_least!r}"
        return (
            f"By the triangle inequality it is at most {most:.3f} from the user, and at least {least:.3f}: see {ways}."
        )

    def _rows(self) -> list[tuple[str, str, str, str]]:
        """Return share, distance to the item, distance to the user and the like, as text."""
        columns = zip(self.shares, self.distances, self.user_distances, self.liked.tolist(), strict=True)
        rows = [
            (f"{share:.1%}", f"{to_item:.3f}", f"{to_user:.3f}", repr(one)) for share, to_item, to_user, one in columns
        ]
        more = self.n_likes - len(rows)
        return rows + ([(f"{self.rest:.1%}", "", "", f"{more:,} more")] if more else [])

    @property
    def title(self) -> str:
        """What is explained, and how far apart they are."""
        had = ", who has it already" if self.is_liked else ""
        return f"item {self.item!r} for user {self.user!r}{had}: distance {self.distance:.3f}, score {self.score:.4f}"

    def __str__(self) -> str:
        table = [("share", "to item", "to user", "liked"), *self._rows()] if self.n_likes else []
        lines = [f"{share:>7}{to_item:>9}{to_user:>9}  {one}" for share, to_item, to_user, one in table]
        return "\n".join((self.title, *lines, self.guarantee))

    def _repr_html_(self) -> str:
        table = [("share", "to item", "to user", "liked"), *self._rows()] if self.n_likes else []
        rows = "".join("<tr>" + "".join(f"<td {LEFT}>{escape(cell)}</td>" for cell in row) + "</tr>" for row in table)
        caption = f"<caption {LEFT}>{escape(self.title)}<br>{escape(self.guarantee)}</caption>"
        return f"<table>{caption}{rows}</table>"


def check_asked(fitted: Fitted, userid: Any, itemid: Any, user_items: Any) -> None:
    """Raise ``ValueError`` for several users or items, or where nobody knows what the user likes."""
    for name, given in (("userid", userid), ("itemid", itemid)):
        if given is None or np.ndim(given):
            raise ValueError(f"{name} is {given!r}; an explanation is of one user and one item, give one id")
    if user_items is None and not fitted.has_pairs:
        raise ValueError(
            "user_items is None, but the training matrix was not kept with the model; pass what the user likes"
        )


def explain(fitted: Fitted, points: Tensor, query: Query, userid: Any, itemid: Any, n: int) -> Explanation:
    """Return the likes of one user that are nearest to an item, see :meth:`cmlfast.CML.explain`."""
    rows = rows_of_ids(fitted, itemid, "item", "itemid")
    row = int(rows[0])
    if not fitted.trained[row]:
        raise ValueError(
            f"itemid is {itemid!r}, of which nothing was learned: nobody likes it, and it has no features; it is "
            "recommended to nobody"
        )
    assert query.seen is not None  # it was asked for
    known = np.unique(query.seen.indices)
    likes = known[(known != row) & fitted.trained[known]].astype(np.int64)  # [L]
    users, item, liked = user_points(query.vectors, points), picked(points, rows), picked(points, likes)
    to_item = _distances(item, liked)[0]  # [L]
    to_user = _distances(users, liked)[0]
    distance = float(_distances(users, item)[0, 0])
    shares = _softmax(-(to_item**2) / fitted.settings.loss.scale)
    nearest = _first(to_item[None], int(n))[0]
    bounds, by = (0.0, math.inf), None
    if len(likes):
        least, most = np.abs(to_user - to_item), to_user + to_item
        ends = int(least.argmax()), int(most.argmin())
        # Where all three lie in a line, the last digit is a matter of rounding.
        bounds = min(float(least[ends[0]]), distance), max(float(most[ends[1]]), distance)
        by = tuple(_ids(fitted, likes[list(ends)]).tolist())
    return Explanation(
        user=listed(userid, "userid")[0],
        item=listed(itemid, "itemid")[0],
        score=float(pair_scores(users, item)[0, 0]),
        distance=distance,
        liked=_ids(fitted, likes[nearest]),
        distances=to_item[nearest],
        user_distances=to_user[nearest],
        shares=shares[nearest],
        n_likes=len(likes),
        bounds=bounds,
        bounded_by=by,
        is_liked=bool(row in known),
    )


def _ids(fitted: Fitted, rows: npt.NDArray[np.int64]) -> Ids:
    found: Ids = answer(rows[None], np.zeros((1, len(rows)), np.float32), fitted, "item", True)[0]
    return found


def nearest_likes(fitted: Fitted, points: Tensor, users: Positions, items: Positions, n: int) -> Positions:
    """Return which likes of users are nearest to items, as :func:`explain` has them, [Q, k, n], -1 for none.

    Parameters
    ----------
    fitted : Fitted
        Whose training matrix was kept.
    points : Tensor of shape (J, r or r + 1)
        Where users look for items.
    users : ndarray of shape (Q,)
        Rows.
    items : ndarray of shape (Q, k)
        Rows of k items for each user, -1 for none.
    n : int
        How many likes.
    """
    found = np.full((*items.shape, n), -1, dtype=np.int64)
    for user, liked in enumerate(fitted.known.matrix[users]):
        likes = np.sort(liked.indices)
        likes = likes[fitted.trained[likes]].astype(np.int64)  # [L]
        places = np.flatnonzero(items[user] >= 0)
        asked = items[user, places].astype(np.int64)
        distances = _distances(picked(points, asked), picked(points, likes))
        distances[asked[:, None] == likes] = math.inf  # no item is a reason for itself
        first = _first(distances, n)
        there = np.isfinite(np.take_along_axis(distances, first, 1))
        found[user, places, : first.shape[1]] = np.where(there, likes[first], -1)
    return found


def _first(distances: Numbers, n: int) -> Positions:
    """Return where the n least of each row are, of equal ones the first."""
    return np.argsort(distances, axis=1, kind="stable")[:, :n]


def _distances(some: Tensor, others: Tensor) -> Numbers:
    """Return Euclidean distances, [n, m]: in float64, so that sums of two of them hold to the last digits shown."""
    squares = (some.double()[:, None] - others.double()).square().sum(2)
    found: Numbers = squares.sqrt().cpu().numpy()
    return found


def _softmax(values: Numbers) -> Numbers:
    weights: Numbers = np.exp(values - values.max(initial=-math.inf))
    return weights / weights.sum() if len(weights) else weights
