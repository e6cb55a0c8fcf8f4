"""The searches that are compared: each kind of index over CML's points, and over those of matrix factorization.

Inner products are brought to distances by Shrivastava and Li's asymmetric transformation (Asymmetric LSH for sublinear
time maximum inner product search, NIPS 2014, section 4.2), which any index for distances then serves; Annoy and usearch
have a metric for them besides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from cmlfast.indexes import Index, of_kind
from cmlfast.indexes.annoy import Annoy
from cmlfast.indexes.hnsw import Hnsw
from cmlfast.indexes.index import Points, Positions


@dataclass
class Asymmetric:
    """An index for distances that finds large inner products.

    An item x with |x| <= U gets the coordinates |x|^2, |x|^4, |x|^8, ..., m of them; a query, scaled to length 1, gets
    1/2 as often. The squared distance is then 1 + m/4 - 2 x.q + |x|^(2^(m+1)), of which the last is little for U < 1.
    """

    inner: Index
    m: int = 3
    largest: float = 0.83  # U

    def build(self, points: Points) -> None:
        """Take the items [J, d] to search."""
        scaled = points * (self.largest / np.linalg.norm(points, axis=1).max())
        squares = (scaled**2).sum(1, keepdims=True)
        powers = [squares ** (2**power) for power in range(self.m)]
        self.inner.build(np.hstack((scaled, *powers)).astype(np.float32))

    def search(self, queries: Points, n: int) -> Positions:
        """Return items of large inner products with queries [Q, d]."""
        lengths = np.linalg.norm(queries, axis=1, keepdims=True)
        halves = np.full((len(queries), self.m), 0.5)
        return self.inner.search(np.hstack((queries / np.maximum(lengths, 1e-30), halves)).astype(np.float32), n)


class AnnoyDot(Annoy):
    """Annoy by its metric for inner products."""

    metric: ClassVar[str] = "dot"


class HnswDot(Hnsw):
    """A graph by inner products."""

    metric: ClassVar[str] = "ip"


@dataclass(frozen=True)
class Sweep:
    """An index, and the settings in which it is tried.

    Attributes
    ----------
    method : str
        "CML" or "MF".
    name : str
        The index.
    make : callable
        Makes it of what it is built with.
    built_with, searched_with : list of dict
        The settings that need a new index, and those that do not.
    """

    method: str
    name: str
    make: Callable[..., Any]
    built_with: list[dict[str, Any]]
    searched_with: list[dict[str, Any]]


def _grid(name: str, values: list[int]) -> list[dict[str, Any]]:
    return [{name: value} for value in values]


def sweeps(n_items: int) -> Iterator[Sweep]:
    """Yield all of them; the numbers of lists and candidates grow with the catalogue."""
    root = n_items**0.5
    small = n_items < 100_000
    trees = _grid("n_trees", [10, 30, 100] if small else [10, 40])
    looked_at = _grid("search_k", [round(root * times) for times in (1, 2, 4, 8, 16, 32)])
    lists = _grid("n_lists", [round(root * times) for times in ((1, 2, 3, 4) if small else (1, 2))])
    probes = _grid("n_probe", [1, 2, 4, 6, 8, 10, 12, 14, 16, 20, 24, 32, 64])
    expansions = _grid("expansion_search", [16, 32, 64, 128, 256])
    transforms = [{"m": 3, "largest": 0.83}, *([{"m": 2, "largest": 0.75}] if small else [])]

    def kind(name: str) -> Callable[..., Index]:
        return lambda **given: of_kind(name, given)

    def transformed(name: str) -> Callable[..., Asymmetric]:
        return lambda m, largest, **given: Asymmetric(of_kind(name, given), m, largest)

    def with_transforms(settings: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{**one, **other} for one in settings for other in transforms]

    yield Sweep("CML", "Annoy", kind("annoy"), trees, looked_at)
    yield Sweep("CML", "IVF", kind("ivf"), lists, probes)
    yield Sweep("CML", "HNSW", kind("hnsw"), [{}], expansions)
    yield Sweep("MF", "ALSH in Annoy", transformed("annoy"), with_transforms(trees), looked_at)
    yield Sweep("MF", "ALSH in IVF", transformed("ivf"), with_transforms(lists), probes)
    yield Sweep("MF", "Annoy, dot", AnnoyDot, trees, looked_at)
    yield Sweep("MF", "HNSW, dot", HnswDot, [{}], expansions)


def tell(index: Any, parameters: dict[str, Any]) -> None:
    """Give a built index other parameters of its search."""
    target = index.inner if isinstance(index, Asymmetric) else index
    for name, value in parameters.items():
        setattr(target, name, value)
    if isinstance(target, Hnsw):  # whose library asks no one again
        target._made.expansion_search = target.expansion_search


def frontier(points: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Return which of the points (recall, speed) are on the frontier: none other has more of both, by recall."""
    order = np.lexsort((-points[:, 1], -points[:, 0]))  # from the most recall on
    best = np.maximum.accumulate(np.concatenate(([-np.inf], points[order, 1])))[:-1]
    return order[points[order, 1] > best][::-1]
