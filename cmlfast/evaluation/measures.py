"""Measures of a ranking: how much of what was held out is among the first k recommendations."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from cmlfast.data.interactions import as_user_items


def recall_per_user(recommended: npt.ArrayLike, held_out: Any, k: int) -> npt.NDArray[np.float64]:
    """Return each user's share of held-out items that are among their first k recommendations.

    Parameters
    ----------
    recommended : array of shape (n_users, >= k), integer
        Item positions, best first; -1 fills short rows. An item that is there twice counts once.
    held_out : SciPy sparse matrix of shape (n_users, n_items), or Interactions
        What the same users like, row by row.
    k : int
        How many recommendations to look at.

    Returns
    -------
    ndarray of shape (n_users,), float64
        Hits among the first k / number of held-out items (also if that is more than k); NaN for users without
        held-out items.

    Raises
    ------
    ValueError
        If shapes do not fit together, `k` is out of range, or `recommended` holds positions of no item.

    Notes
    -----
    Recall@K as in section 4.2 of Hsieh et al., Collaborative Metric Learning, WWW 2017.
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
    rows, places = np.nonzero(ranked >= 0)
    first_k = sparse.csr_matrix((np.ones(len(rows)), (rows, ranked[rows, places])), shape=truth.shape)
    first_k.sum_duplicates()
    first_k.data[:] = 1
    hits = np.asarray(first_k.multiply(truth).sum(axis=1), dtype=np.float64).ravel()
    held = np.diff(truth.indptr)
    recall: npt.NDArray[np.float64] = np.divide(hits, held, out=np.full(len(hits), np.nan), where=held > 0)
    return recall


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
    recall = recall_per_user(recommended, held_out, k)
    if np.isnan(recall).all():
        raise ValueError("held_out holds no item of any user: there is no recall to take the mean of")
    return float(np.nanmean(recall))
