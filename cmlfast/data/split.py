"""Split likes into training, validation and test parts: at random, by time, or by their order in time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from cmlfast.data.columns import LOG
from cmlfast.data.interactions import Interactions, as_user_items, required_times

_TRAIN, _VALIDATION, _TEST, _NOWHERE = range(4)


def split_per_user(
    interactions: Any,
    seed: int,
    fraction: float = 0.2,
    min_ratings: int = 5,
    rule: Literal["rounded", "published"] = "rounded",
) -> tuple[Interactions, Interactions, Interactions]:
    """Put a random part of each user's items into validation, as many into test, the rest into training.

    Parameters
    ----------
    interactions : SciPy sparse matrix or Interactions of shape (n_users, n_items)
        What to split.
    seed : int
        Decides the parts, together with ``interactions`` alone.
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
        Disjoint, with the ids of ``interactions``.

    Raises
    ------
    ValueError
        If `fraction` or `rule` is none of the above, or a user would have nothing left for training.

    Notes
    -----
    60/20/20 and five ratings: section 4.2 of Hsieh et al., Collaborative Metric Learning, WWW 2017.
    """
    _check_fraction(fraction)
    if rule not in ("rounded", "published"):
        raise ValueError(f"rule={rule!r} is unknown: it is 'rounded' or 'published'")
    likes = as_user_items(interactions)
    matrix = likes.matrix
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

    # Of a user's pairs in a random order, the first are the test part, the next the validation part.
    rank = _ranks(likes, _random(likes, seed))
    part = np.full(matrix.nnz, _NOWHERE, dtype=np.int8)
    for label, end in ((_TRAIN, 2 * held + kept), (_VALIDATION, 2 * held), (_TEST, held)):
        part[rank < np.repeat(end, n)] = label
    return _parts(likes, part)


def split_last(
    interactions: Any, n: int = 1, seed: int | None = None, min_ratings: int | None = None
) -> tuple[Interactions, Interactions, Interactions]:
    """Put each user's last n items into test, the n before into validation, the rest into training: "leave one out".

    Parameters
    ----------
    interactions : Interactions with `times`, or (with ``seed``) without, or a SciPy sparse matrix
        What to split. Of pairs at the same time, those of later columns are the later ones.
    n : int
        How many.
    seed : int, optional
        Takes random items in place of the last.
    min_ratings : int, optional
        Users with fewer items are in training only; by default 2 n + 1.

    Returns
    -------
    train, validation, test : Interactions of shape (n_users, n_items)
        Disjoint, with the ids of ``interactions``; together all of it.

    Raises
    ------
    ValueError
        If there are neither times nor a seed, or a number is too small.
    """
    likes = as_user_items(interactions)
    if n < 1:
        raise ValueError(f"n is {n!r}; it must be at least 1")
    least = 2 * n + 1 if min_ratings is None else min_ratings
    if least < 2 * n + 1:
        raise ValueError(f"min_ratings={least!r} leaves users nothing for training: it must be at least {2 * n + 1}")
    order = np.argsort(required_times(likes), kind="stable")[::-1] if seed is None else _random(likes, seed)
    rank = _ranks(likes, order)
    counts = np.diff(likes.matrix.indptr)
    part = np.full(likes.nnz, _TRAIN, dtype=np.int8)
    enough = np.repeat(counts >= least, counts)
    part[enough & (rank < 2 * n)] = _VALIDATION
    part[enough & (rank < n)] = _TEST
    return _parts(likes, part)


def split_by_time(
    interactions: Interactions, fraction: float = 0.2, known_only: bool = True
) -> tuple[Interactions, Interactions, Interactions]:
    """Put what came last into test, what came before into validation, the rest into training.

    Parameters
    ----------
    interactions : Interactions with `times`
        What to split.
    fraction : float
        The share of all pairs that goes into validation, and again into test; in (0, 0.5). Pairs of the same time
        stay together, in the earlier part.
    known_only : bool
        Leave out of validation and test what users or items have that training does not know. How much that is, and how
        large the parts are, is said by the logger "cmlfast".

    Returns
    -------
    train, validation, test : Interactions of shape (n_users, n_items)
        Disjoint, with the ids of ``interactions``.

    Raises
    ------
    ValueError
        If there are no times, all are the same, or `fraction` is out of range.
    """
    likes = as_user_items(interactions)
    _check_fraction(fraction)
    times = required_times(likes)
    ascending = np.sort(times)
    ends = [ascending[max(int(np.ceil(share * len(times))) - 1, 0)] for share in (1 - 2 * fraction, 1 - fraction)]
    part = np.searchsorted(ends, times, side="left").astype(np.int8)
    if (part == _TEST).sum() == 0:
        raise ValueError(
            f"the last {fraction:g} of the pairs all have the time {ascending[-1]}: there is nothing later to test on"
        )
    if known_only:
        train = likes.matrix.copy()
        train.data = (part == _TRAIN).astype(np.float32)
        users, items = (np.asarray(train.sum(axis)).ravel() > 0 for axis in (1, 0))
        unknown = ~(np.repeat(users, np.diff(train.indptr)) & items[train.indices])
        part[unknown] = _NOWHERE
    n_train, n_validation, n_test, n_out = np.bincount(part, minlength=4).tolist()
    LOG.info("split by time: %s train, %s validation, %s test%s", f"{n_train:,}", f"{n_validation:,}", f"{n_test:,}",
             f"; {n_out:,} of users or items that training does not know are left out" if n_out else "")  # fmt: skip
    return _parts(likes, part)


def k_fold(interactions: Any, k: int, seed: int) -> Iterator[tuple[Interactions, Interactions]]:
    """Yield k pairs of training and test parts, each user's likes dealt at random into k folds of nearly equal size.

    Parameters
    ----------
    interactions : SciPy sparse matrix or Interactions of shape (n_users, n_items)
        What to split.
    k : int
        How many folds, at least 2. Of users with fewer than k items, all that they have is tested once too.
    seed : int
        Decides the folds, together with ``interactions`` alone.

    Yields
    ------
    train, test : Interactions of shape (n_users, n_items)
        Disjoint, together all of it.

    Raises
    ------
    ValueError
        If `k` is less than 2.
    """
    likes = as_user_items(interactions)
    if k < 2:
        raise ValueError(f"k is {k!r}; it must be at least 2")
    # Whose fold comes first is random, or the first would have all that users with few items have.
    counts = np.diff(likes.matrix.indptr)
    starts = np.random.Generator(np.random.PCG64([seed, 1])).integers(k, size=likes.n_users)
    fold = (_ranks(likes, _random(likes, seed)) + np.repeat(starts, counts)) % k
    for number in range(k):
        train, _, test = _parts(likes, np.where(fold == number, _TEST, _TRAIN))
        yield train, test


def _check_fraction(fraction: float) -> None:
    if not 0 < fraction < 0.5:
        raise ValueError(f"fraction={fraction!r} is not in (0, 0.5): it is taken twice, and something must be left")


def _users(likes: Interactions) -> npt.NDArray[np.int32]:
    """Return whose each pair is, [nnz]."""
    return np.repeat(np.arange(likes.n_users, dtype=np.int32), np.diff(likes.matrix.indptr))


def _random(likes: Interactions, seed: int) -> npt.NDArray[np.int64]:
    return np.random.Generator(np.random.PCG64(seed)).permutation(likes.nnz)


def _ranks(likes: Interactions, order: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the place of each pair [nnz] among its user's, where all pairs are in some order [nnz]."""
    order = order[np.argsort(_users(likes)[order], kind="stable")]
    ranks = np.empty(likes.nnz, np.int64)
    ends = likes.matrix.indptr.astype(np.int64)
    ranks[order] = np.arange(likes.nnz) - np.repeat(ends[:-1], np.diff(ends))
    return ranks


def _parts(likes: Interactions, part: npt.NDArray[np.integer]) -> tuple[Interactions, Interactions, Interactions]:
    """Return training, validation and test, by the label of each pair [nnz]."""
    train, validation, test = (likes.keep(part == label) for label in (_TRAIN, _VALIDATION, _TEST))
    return train, validation, test
