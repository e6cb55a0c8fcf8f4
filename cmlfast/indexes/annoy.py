"""Annoy's forest of random splits, which the paper uses: a file that processes share as memory."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any, ClassVar

import numpy as np
import torch

from cmlfast.indexes.index import Points, Positions, library, require_size

SEED = 1
COPIED_AT_ONCE = 1 << 20  # bytes
QUERIES_IN_TURN = 64  # of a thread


@dataclass
class Annoy:
    """An index of Annoy's.

    Parameters
    ----------
    n_trees : int
        Trees; each takes time to build and memory, and finds what others miss.
    search_k : int, optional
        Points that a query looks at, at least as many as it asks for; by default so many for each tree.
    """

    kind: ClassVar[str] = "annoy"
    metric: ClassVar[str] = "euclidean"
    n_trees: int = 50
    search_k: int | None = None
    # A file and its map. Annoy maps what it has saved anew, under the feet of whoever searches: it saves only once.
    _file: IO[bytes] = field(init=False, repr=False)
    _made: Any = field(init=False, repr=False)

    def build(self, points: Points) -> None:
        """Take the points [J, d] to search."""
        made = library("annoy", self.kind).AnnoyIndex(points.shape[1], self.metric)
        made.set_seed(SEED)
        for place, point in enumerate(points):
            made.add_item(place, point)
        made.build(self.n_trees, n_jobs=torch.get_num_threads())
        with TemporaryDirectory() as folder:
            path = Path(folder) / "trees"
            made.save(str(path))
            self._file = path.open("rb")
        self._made = made

    def search(self, queries: Points, n: int) -> Positions:
        """Return rows of points that are near to queries, see :class:`cmlfast.indexes.Index`."""
        found = np.full((len(queries), n), -1, dtype=np.int64)
        search_k = -1 if self.search_k is None else max(self.search_k, n)

        def some(first: int) -> None:
            for place in range(first, min(first + QUERIES_IN_TURN, len(queries))):
                near = self._made.get_nns_by_vector(queries[place], n, search_k)
                found[place, : len(near)] = near

        turns = range(0, len(queries), QUERIES_IN_TURN)
        if len(turns) < 2:
            some(0)
        else:
            with ThreadPoolExecutor(torch.get_num_threads()) as threads:
                list(threads.map(some, turns))
        return found

    def save(self, path: Path) -> None:
        """Write the trees to a file."""
        # By places, for threads and forked processes share where a file is read.
        place = 0
        with path.open("wb") as target:
            while part := os.pread(self._file.fileno(), COPIED_AT_ONCE, place):
                place += target.write(part)

    def load(self, path: Path, n_points: int, n_components: int) -> None:
        """Map a file of trees into memory."""
        made = library("annoy", self.kind).AnnoyIndex(n_components, self.metric)
        try:
            made.load(str(path))
        except OSError as error:
            raise ValueError(f"{str(path)!r} is no index of Annoy's of {n_components} dimensions: {error}") from error
        require_size((made.get_n_items(), n_components), n_points, n_components, path)
        self._file, self._made = path.open("rb"), made
