"""Twins of the paper's data sets: made-up likes with the figures of its Table 1, and with tastes to learn.

Users and items are as many as there, so are the likes, all different, and the most liked twentieth of the items has the
same share of them. A user has one of many tastes, which are points of a space as the items are, and likes an item in
proportion to how popular it is and how near it is to that taste. What is above the least that a user likes is
log-normal, and so is popularity; every item is liked by somebody.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.special import ndtri

Integers: TypeAlias = npt.NDArray[np.integer]
Floats: TypeAlias = npt.NDArray[np.floating]

TOP = 0.05  # of the items, whose share of the likes is the concentration
DIMENSIONS = 8  # of the tastes' space
TASTES = 256
NEARNESS = 8.0  # an item is liked in proportion to exp(8 cosine)
ACTIVITY = 1.2  # standard deviation of the logarithm of a user's likes above the least
TRIES = 10  # to come so near, by the
WIDEST = 5.0  # standard deviation of the logarithm of popularity
MOST = 0.1  # of the items, that a user likes
MANY = 0.005  # of the items: who likes more has them drawn at once
NEAR = 0.002  # how near the concentration must be


@dataclass(frozen=True)
class Shape:
    """A row of Table 1, and the least that a user likes: what the paper's filters left, else 1."""

    n_users: int
    n_items: int
    n_likes: int
    concentration: float
    least: int = 1


# Hsieh et al., Collaborative Metric Learning, WWW 2017.
TABLE1 = {
    "CiteULike": Shape(7_947, 25_975, 142_794, 0.3347),
    "BookCX": Shape(22_816, 43_765, 623_405, 0.3310, 6),
    "Flickr": Shape(43_758, 100_000, 1_372_621, 0.1348),
    "Medium": Shape(61_909, 80_234, 2_047_908, 0.5538),
    "MovieLens20M": Shape(129_797, 20_709, 9_939_873, 0.7252, 10),
    "EchoNest": Shape(766_882, 260_417, 7_261_443, 0.6588),
}


def concentration(matrix: sparse.csr_matrix) -> float:
    """Return the share of the likes that the most liked twentieth of all items has, as Table 1 defines it."""
    counts = np.sort(np.bincount(matrix.indices, minlength=matrix.shape[1]))
    return float(counts[-round(TOP * len(counts)) :].sum() / matrix.nnz)


def twin(shape: Shape, seed: int = 0) -> sparse.csr_matrix:
    """Draw the likes of a data set of this shape; the seed and the shape decide them.

    Returns
    -------
    csr_matrix of shape (n_users, n_items), float32
        Canonical: ones, sorted, each there once.

    Raises
    ------
    ValueError
        If no spread of popularity gives this concentration.
    """
    # Of a popularity that is log-normal, the top has the share Phi(spread - tail). Tastes, chance, and that nobody
    # likes a thing twice, change that; what is missing then is found by the secant method.
    normal, tail = NormalDist(), NormalDist().inv_cdf(1 - TOP)
    spread, step, before = tail + normal.inv_cdf(shape.concentration), 0.0, 0.0
    slope = normal.pdf(spread - tail)
    for _ in range(TRIES):
        matrix = _draw(shape, spread, seed)
        missing = shape.concentration - concentration(matrix)
        if abs(missing) <= NEAR:
            return matrix
        if step:
            slope = max((before - missing) / step, 0.05)
        step, before = min(max(missing / slope, -spread), WIDEST - spread), missing
        spread += step
    raise ValueError(f"{shape} cannot be drawn: with popularity spread by {spread:.2f}, {missing:+.2%} are missing")


def _draw(shape: Shape, spread: float, seed: int) -> sparse.csr_matrix:
    """Draw likes with a spread of popularity, the same draws for each of them."""
    rng = np.random.Generator(np.random.PCG64(seed))
    likes = rng.permutation(_likes_of_users(shape))
    popularity = spread * rng.permutation(_normal(shape.n_items))
    items, tastes = (_directions(rng, n) for n in (shape.n_items, TASTES))
    sizes = rng.multinomial(shape.n_users, np.full(TASTES, 1 / TASTES))  # of the tastes, in users
    indices = np.concatenate(
        [
            _choose(rng, some, np.exp(popularity + NEARNESS * (items @ taste)).astype(np.float32))
            for some, taste in zip(np.split(likes, np.cumsum(sizes)[:-1]), tastes, strict=True)
        ]
    )
    _like_all(rng, indices, shape.n_items)
    indptr = np.concatenate(([0], np.cumsum(likes)))
    ones = np.ones(len(indices), dtype=np.float32)
    matrix = sparse.csr_matrix((ones, indices, indptr), (shape.n_users, shape.n_items))
    matrix.sort_indices()
    return matrix[rng.permutation(shape.n_users)]  # users of a taste stand together until here


def _likes_of_users(shape: Shape) -> Integers:
    """Return how many items each user likes, in rising order."""
    above = np.exp(ACTIVITY * _normal(shape.n_users))
    most = max(MOST * shape.n_items, 2 * shape.n_likes / shape.n_users)
    low, high = 0.0, float(shape.n_likes)
    for _ in range(100):
        middle = (low + high) / 2
        expected = np.minimum(shape.least + middle * above, most)
        low, high = (low, middle) if expected.sum() > shape.n_likes else (middle, high)
    ends = np.round(np.cumsum(expected)).astype(np.int64)
    ends[-1] = shape.n_likes
    return np.diff(ends, prepend=0)


def _normal(n: int) -> Floats:
    """Return n evenly spaced quantiles of the normal distribution."""
    quantiles: Floats = ndtri((np.arange(n) + 0.5) / n)
    return quantiles


def _directions(rng: np.random.Generator, n: int) -> Floats:
    """Draw n points of a sphere, [n, DIMENSIONS]."""
    points = rng.standard_normal((n, DIMENSIONS))
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def _choose(rng: np.random.Generator, likes: Integers, weights: Floats) -> npt.NDArray[np.int32]:
    """Draw that many different items for each user, in proportion to weights; return those of the first user first."""
    n_items, ends = len(weights), np.cumsum(weights, dtype=np.float64)
    many = likes > MANY * n_items
    # Those who like many: the first in a race of all items. That is the same, and sooner where most draws are repeats.
    chosen = np.empty(0, dtype=np.int64)  # by those who have not all, sorted: user * n_items + item
    done = [chosen] + [
        user * n_items + np.argpartition(rng.standard_exponential(n_items, np.float32) / weights, n)[:n]
        for user, n in zip(np.flatnonzero(many), likes[many], strict=True)
    ]
    left = np.where(many, 0, likes)  # by those who have not all
    while left.any():
        users = np.repeat(np.arange(len(likes)), left - np.bincount(chosen // n_items, minlength=len(likes)))
        items = np.searchsorted(ends, rng.random(len(users)) * ends[-1], side="right").clip(max=n_items - 1)
        chosen = np.union1d(chosen, users * n_items + items)
        full = np.bincount(chosen // n_items, minlength=len(likes)) == left
        left[full] = 0
        done.append(chosen[full[chosen // n_items]])
        chosen = chosen[~full[chosen // n_items]]
    return (np.sort(np.concatenate(done)) % n_items).astype(np.int32)


def _like_all(rng: np.random.Generator, items: npt.NDArray[np.int32], n_items: int) -> None:
    """Put each item that nobody likes in the place of a like of an item that has others."""
    unliked = np.flatnonzero(np.bincount(items, minlength=n_items) == 0)
    kept = np.zeros(n_items, dtype=np.int64)
    kept[items] = np.arange(len(items))  # a place of each item
    others = np.ones(len(items), dtype=np.bool_)
    others[kept[items]] = False
    items[rng.choice(np.flatnonzero(others), len(unliked), replace=False)] = unliked
