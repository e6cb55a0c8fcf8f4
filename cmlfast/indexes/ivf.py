"""Lists of points around centres, by faiss: quick to build, and quick for many users at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import torch

from cmlfast.indexes.index import Points, Positions, library, require_size


@dataclass
class Ivf:
    """An ``IndexIVFFlat`` of faiss.

    Parameters
    ----------
    n_lists : int, optional
        Centres of k-means; by default twice the square root of the number of points.
    n_probe : int
        Lists that a query looks at, those of the nearest centres.
    """

    kind: ClassVar[str] = "ivf"
    n_lists: int | None = None
    n_probe: int = 16
    _made: Any = field(init=False, repr=False)

    def build(self, points: Points) -> None:
        """Take the points [J, d] to search."""
        faiss = self._faiss()
        n_lists = min(self.n_lists or max(1, round(2 * len(points) ** 0.5)), len(points))
        made = faiss.IndexIVFFlat(faiss.IndexFlatL2(points.shape[1]), points.shape[1], n_lists)
        made.cp.min_points_per_centroid = 1  # it would print a warning
        made.train(points)
        made.add(points)
        self._made = made

    def search(self, queries: Points, n: int) -> Positions:
        """Return rows of points that are near to queries, see :class:`cmlfast.indexes.Index`."""
        chosen = self._faiss().SearchParametersIVF(nprobe=min(self.n_probe, self._made.nlist))
        found: Positions = self._made.search(queries, n, params=chosen)[1]
        return found

    def save(self, path: Path) -> None:
        """Write the lists to a file."""
        self._faiss().write_index(self._made, str(path))

    def load(self, path: Path, n_points: int, n_components: int) -> None:
        """Read a file of lists."""
        faiss = self._faiss()
        try:
            made = faiss.read_index(str(path))
        except RuntimeError as error:
            raise ValueError(f"{str(path)!r} is no index of faiss: {error}") from error
        if not isinstance(made, faiss.IndexIVFFlat):
            raise ValueError(f"{str(path)!r} is another index of faiss, a {type(made).__name__}")
        require_size((made.ntotal, made.d), n_points, n_components, path)
        self._made = made

    def _faiss(self) -> Any:
        faiss = library("faiss", self.kind)
        # As many threads as torch has: one in a forked process, where more would wait for ever.
        faiss.omp_set_num_threads(torch.get_num_threads())
        return faiss
