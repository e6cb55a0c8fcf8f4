"""Split interactions into training, validation and test parts, each user's by themselves."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import sparse

from cmlfast.data.interactions import Interactions

_TRAIN, _VALIDATION, _TEST, _NOWHERE = range(4)


def split_per_user(
    interactions: Interactions,
    seed: int,
    fraction: float = 0.2,
    min_ratings: int = 5,
    rule: Literal["rounded", "published"] = "rounded",
) -> tuple[Interactions, Interactions, Interactions]:
    """Put a random part of each user's items into validation, as many into test, the rest into training.

    Parameters
    ----------
    interactions : Interactions of shape (n_users, n_items)
        What to split.
    seed : int
        Decides the parts, together with `interactions` alone.
    fraction : float
        The share c / n of a user's n items that goes into validation, and again into test; in (0, 0.5).
    min_ratings : int
        Users with fewer items are in training only.
    rule : {"rounded", "published"}
        "rounded": c = round(fraction * n), and training has all the rest.
        "published": c = floor(fraction * n), training has (1 / fraction - 2) * c (for a fifth: 3 * c), and
        what remains is in no part; only for comparing with figures that were measured so.

    Returns
    -------
    train, validation, test : Interactions of shape (n_users, n_items)
        Disjoint, with the ids of `interactions`.

    Raises
    ------
    ValueError
        If `fraction` or `rule` is none of the above, or a user would have nothing left for training.

    Notes
    -----
    60/20/20 and five ratings: section 4.2 of Hsieh et al., Collaborative Metric Learning, WWW 2017.
    """
    if not 0 < fraction < 0.5:
        raise ValueError(f"fraction={fraction!r} is not in (0, 0.5): it is taken twice, and something must be left")
    if rule not in ("rounded", "published"):
        raise ValueError(f"rule={rule!r} is unknown: it is 'rounded' or 'published'")
    matrix = interactions.matrix
    n = np.diff(matrix.indptr).astype(np.int64)
    if rule == "rounded":
        held = np.rint(n * fraction).astype(np.int64)
        kept = n - 2 * held
    else:
        # The small number keeps 0.29 * 100 = 28.999999999999996 from becoming 28.
        held = np.floor(n * fraction + 1e-9).astype(np.int64)
        kept = np.rint(held * (1 - 2 * fraction) / fraction).astype(np.int64)
    few = n < min_ratings
    held[few], kept[few] = 0, n[few]
    if ((kept <= 0) & (held > 0)).any():
        least = n[(kept <= 0) & (held > 0)].max()
        raise ValueError(
            f"fraction={fraction!r} leaves users with {least} items none for training: "
            f"raise min_ratings={min_ratings} above that, or lower fraction"
        )

    # A random order of all pairs, brought back to users: each user's pairs then follow one another at random.
    users = np.repeat(np.arange(interactions.n_users, dtype=np.int32), n)
    order = np.random.Generator(np.random.PCG64(seed)).permutation(matrix.nnz)
    order = order[np.argsort(users[order], kind="stable")]
    rank = np.arange(matrix.nnz) - np.repeat(matrix.indptr[:-1].astype(np.int64), n)
    part = np.full(matrix.nnz, _NOWHERE, dtype=np.int8)
    for label, end in ((_TRAIN, 2 * held + kept), (_VALIDATION, 2 * held), (_TEST, held)):
        part[order[rank < np.repeat(end, n)]] = label
    return (
        _select(interactions, users, part == _TRAIN),
        _select(interactions, users, part == _VALIDATION),
        _select(interactions, users, part == _TEST),
    )


def _select(interactions: Interactions, users: npt.NDArray[np.int32], pairs: npt.NDArray[np.bool_]) -> Interactions:
    """Keep some of the pairs (mask of shape (nnz,); `users` tells whose each is)."""
    matrix = interactions.matrix
    indptr = np.concatenate([[0], np.cumsum(np.bincount(users[pairs], minlength=interactions.n_users))])
    part = sparse.csr_matrix((matrix.data[pairs], matrix.indices[pairs], indptr), shape=matrix.shape)
    return Interactions(part, interactions.user_ids, interactions.item_ids)
