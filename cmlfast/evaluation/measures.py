"""Measures of a ranking: how much of what was held out is among the first K recommendations, and where.

A user is measured by a row of hits [K]: whether the item at each place was held out. Means are over users who have
held-out items. docs/guide.md says where implicit, RecBole and BARS define a measure otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import sparse

from cmlfast.data.csr import Counts
from cmlfast.data.interactions import as_user_items

Hits: TypeAlias = npt.NDArray[np.bool_]  # [N, K]
Values: TypeAlias = npt.NDArray[np.float64]  # [N]


def hits_of_users(recommended: npt.ArrayLike, held_out: Any, k: int) -> Hits:
    """Return which of each user's first k recommendations were held out.

    Parameters
    ----------
    recommended : array of shape (n_users, >= k), integer
        Item positions, best first; -1 fills short rows. An item that is there twice counts once, where it comes first.
    held_out : SciPy sparse matrix of shape (n_users, n_items), or Interactions
        What the same users like, row by row.
    k : int
        How many recommendations to look at.

    Returns
    -------
    ndarray of shape (n_users, k), bool

    Raises
    ------
    ValueError
        If shapes do not fit together, `k` is out of range, or `recommended` holds positions of no item.
    """
    truth = as_user_items(held_out).matrix
    ranked = np.asarray(recommended)
    if ranked.ndim != 2 or ranked.shape[0] != truth.shape[0] or ranked.dtype.kind not in "iu":
        raise ValueError(
            f"recommended has shape {ranked.shape} and type {ranked.dtype}: "
            f"it must be a table of integers with {truth.shape[0]} rows, one for each row of held_out"
        )
    if not 1 <= k <= ranked.shape[1]:
        raise ValueError(f"k={k} is not in [1, {ranked.shape[1]}], the number of recommendations: recommend k or more")
    ranked = ranked[:, :k]
    if ranked.size and not -1 <= ranked.min() <= ranked.max() < truth.shape[1]:
        raise ValueError(
            f"recommended holds positions from {ranked.min()} to {ranked.max()}, "
            f"held_out has {truth.shape[1]} items: pass positions (see Interactions.item_index), -1 for none"
        )
    places = np.arange(len(ranked))[:, None] * np.int64(truth.shape[1]) + ranked  # [N, K], one number for each pair
    held = np.repeat(np.arange(len(ranked)), np.diff(truth.indptr)) * np.int64(truth.shape[1]) + truth.indices
    at = np.searchsorted(held, places).clip(max=max(len(held) - 1, 0))  # held is ascending: rows are sorted
    hits: Hits = (ranked >= 0) & (held[at] == places) if len(held) else np.zeros(ranked.shape, dtype=bool)
    order = np.argsort(places, axis=1, kind="stable")
    again = np.zeros_like(hits)
    ascending = np.take_along_axis(places, order, 1)
    np.put_along_axis(again, order[:, 1:], ascending[:, 1:] == ascending[:, :-1], 1)
    return hits & ~again


def recall(hits: Hits, held: Counts) -> Values:
    """Return hits / held-out items, also if these are more than K (Hsieh et al., section 4.2)."""
    return _ratio(hits.sum(1), held)


def precision(hits: Hits, held: Counts) -> Values:
    """Return hits / K, also where fewer than K could be recommended."""
    return _ratio(hits.sum(1), hits.shape[1])


def hit_rate(hits: Hits, held: Counts) -> Values:
    """Return 1 with any hit."""
    return _ratio(hits.any(1), 1)


def reciprocal_rank(hits: Hits, held: Counts) -> Values:
    """Return 1 / the place of the first hit, from 1; 0 without one."""
    return _ratio(hits.any(1), 1 + hits.argmax(1))


def average_precision(hits: Hits, held: Counts) -> Values:
    """Return the sum of the precision at each hit / the smaller of K and the held-out items."""
    k = hits.shape[1]
    at_hits = np.where(hits, hits.cumsum(1) / np.arange(1, k + 1), 0.0)
    return _ratio(at_hits.sum(1), np.minimum(held, k))


def ndcg(hits: Hits, held: Counts) -> Values:
    """Return the sum of 1 / log2(1 + place) over hits / the largest possible, of all held-out items first."""
    gains = 1 / np.log2(np.arange(2, hits.shape[1] + 2))  # [K]
    ideal = np.concatenate(([0.0], gains.cumsum()))[np.minimum(held, len(gains))]
    return _ratio(hits @ gains, ideal)


def _ratio(part: npt.ArrayLike, whole: npt.ArrayLike) -> Values:
    found: Values = np.divide(part, whole, dtype=np.float64)
    return found


# Of users who have held-out items; in the order in which they are shown.
OF_USERS: dict[str, Callable[[Hits, Counts], Values]] = {
    "recall": recall,
    "ndcg": ndcg,
    "precision": precision,
    "hit_rate": hit_rate,
    "mrr": reciprocal_rank,
    "map": average_precision,
}


def coverage(recommended: npt.NDArray[np.integer], n_items: int) -> float:
    """Return the share of the catalogue that is recommended to anybody."""
    return len(np.unique(recommended[recommended >= 0])) / n_items


def mean_popularity(recommended: npt.NDArray[np.integer], item_likes: Counts) -> float:
    """Return how many likes the recommended items have, in the mean over recommendations."""
    some = recommended[recommended >= 0]
    return float(item_likes[some].mean()) if len(some) else 0.0


def ranking_measures(
    recommended: npt.NDArray[np.integer], held_out: sparse.csr_matrix, item_likes: Counts, ks: list[int]
) -> dict[str, float]:
    """Return all measures for each K, by names such as ``"ndcg@20"``.

    Parameters
    ----------
    recommended : ndarray of shape (N, at least the largest K or all items), integer
        Item positions, best first; -1 fills short rows.
    held_out : csr_matrix of shape (N, J)
        With something in each row.
    item_likes : ndarray of shape (J,)
        In training.
    ks : list of int
        The K.
    """
    held = np.diff(held_out.indptr)
    hits = hits_of_users(recommended, held_out, min(max(ks), recommended.shape[1]))
    found: dict[str, float] = {}
    for k in ks:
        # A place behind the last item is no hit; it counts for precision.
        first = hits[:, :k] if k <= hits.shape[1] else np.pad(hits, ((0, 0), (0, k - hits.shape[1])))
        found |= {f"{name}@{k}": float(measure(first, held).mean()) for name, measure in OF_USERS.items()}
        found[f"coverage@{k}"] = coverage(recommended[:, :k], held_out.shape[1])
        found[f"popularity@{k}"] = mean_popularity(recommended[:, :k], item_likes)
    return found


def recall_per_user(recommended: npt.ArrayLike, held_out: Any, k: int) -> Values:
    """Return each user's share of held-out items that are among their first k recommendations.

    Parameters
    ----------
    recommended, held_out, k
        As in `hits_of_users`.

    Returns
    -------
    ndarray of shape (n_users,), float64
        Hits among the first k / number of held-out items (also if that is more than k); NaN for users without
        held-out items.

    Raises
    ------
    ValueError
        As `hits_of_users`.

    Notes
    -----
    Recall@K as in section 4.2 of Hsieh et al., Collaborative Metric Learning, WWW 2017.
    """
    hits = hits_of_users(recommended, held_out, k)
    held = np.diff(as_user_items(held_out).matrix.indptr)
    found: Values = np.divide(hits.sum(1), held, out=np.full(len(held), np.nan), where=held > 0)
    return found


def recall_at_k(recommended: npt.ArrayLike, held_out: Any, k: int) -> float:
    """Return the mean of `recall_per_user` over the users who have held-out items.

    Parameters
    ----------
    recommended, held_out, k
        As in `recall_per_user`.

    Raises
    ------
    ValueError
        As `recall_per_user`, and if no user has held-out items.
    """
    recalls = recall_per_user(recommended, held_out, k)
    if np.isnan(recalls).all():
        raise ValueError("held_out holds no item of any user: there is no recall to take the mean of")
    return float(np.nanmean(recalls))
