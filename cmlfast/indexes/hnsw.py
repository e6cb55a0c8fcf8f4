"""A hierarchical navigable small world (Malkov and Yashunin, TPAMI 2020), by usearch: many answers a second."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any, ClassVar

import numpy as np
import torch

from cmlfast.indexes.index import Points, Positions, library, require_size


@dataclass
class Hnsw:
    """An index of usearch's.

    Parameters
    ----------
    connectivity : int
        M, neighbours that a point is joined with on each level.
    expansion_add : int
        Candidates that are looked at for these when the graph is built.
    expansion_search : int
        Candidates that a query looks at, at least as many as it asks for.
    """

    kind: ClassVar[str] = "hnsw"
    metric: ClassVar[str] = "l2sq"
    connectivity: int = 16
    expansion_add: int = 128
    expansion_search: int = 64
    _made: Any = field(init=False, repr=False)
    _one_at_a_time: Lock = field(default_factory=Lock, init=False, repr=False)  # each search has threads of its own

    def build(self, points: Points) -> None:
        """Take the points [J, d] to search."""
        made = library("usearch.index", self.kind).Index(
            ndim=points.shape[1],
            metric=self.metric,
            dtype="f32",
            connectivity=self.connectivity,
            expansion_add=self.expansion_add,
            expansion_search=self.expansion_search,
        )
        made.add(np.arange(len(points)), points, threads=torch.get_num_threads())
        self._made = made

    def search(self, queries: Points, n: int) -> Positions:
        """Return rows of points that are near to queries, see :class:`cmlfast.indexes.Index`."""
        with self._one_at_a_time:
            matches = self._made.search(queries, n, threads=torch.get_num_threads())
        keys = matches.keys.reshape(len(queries), -1)
        counts = np.reshape(getattr(matches, "counts", keys.shape[1]), (-1, 1))  # one query alone has no counts
        found = np.full((len(queries), n), -1, dtype=np.int64)
        found[:, : keys.shape[1]] = np.where(np.arange(keys.shape[1]) < counts, keys.astype(np.int64), -1)
        return found

    def save(self, path: Path) -> None:
        """Write the graph to a file."""
        self._made.save(str(path))

    def load(self, path: Path, n_points: int, n_components: int) -> None:
        """Map a file of a graph into memory."""
        try:
            made = library("usearch.index", self.kind).Index.restore(str(path), view=True)
        except (RuntimeError, ValueError) as error:
            raise ValueError(f"{str(path)!r} is no index of usearch's: {error}") from error
        require_size((len(made), made.ndim), n_points, n_components, path)
        made.expansion_search = self.expansion_search
        self._made = made
