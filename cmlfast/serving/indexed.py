"""Ranking by an index: it finds candidates, more than are asked for; what is seen is left out, distances are exact."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse
from torch import Tensor

from cmlfast.indexes import Index, of_kind
from cmlfast.serving.nearest import Positions, Scores, nearest, ranked
from cmlfast.training.fitted import Fitted
from cmlfast.training.tables import Tables

QUERIES_AT_ONCE = 1024
GROWTH = 1.5  # queries that ask for more than so many times as much are asked apart
WORTH_AN_INDEX = 4  # who needs every fourth point compares with all


@dataclass(frozen=True)
class Indexed:
    """An index of where users look for items, as a model was once.

    Attributes
    ----------
    index : Index
        Of the items that a search can list; its row numbers count these alone.
    listed : ndarray of shape (n,)
        Which items these are, ascending.
    rare_item_distance : float
        With which it was built.
    """

    index: Index
    listed: Positions
    rare_item_distance: float
    _tables: Tables
    _version: int

    def is_of(self, fitted: Fitted) -> bool:
        """Whether the tables are those that it was built of."""
        return fitted.tables is self._tables

    def serves(self, fitted: Fitted, rare_item_distance: float) -> bool:
        """Whether the items are still where they were."""
        unchanged = self.is_of(fitted) and fitted.tables.item._version == self._version
        return unchanged and rare_item_distance == self.rare_item_distance

    def nearest(
        self,
        kernels: ModuleType,
        queries: Tensor,  # [Q, r]
        table: Tensor,  # [J, r]
        n: int,
        seen: sparse.csr_matrix | None = None,  # [Q, J]
        left_out: Positions | None = None,
        among: Positions | None = None,
        metric: str = "sqeuclidean",
    ) -> tuple[Positions, Scores]:
        """Return near rows of a table, nearest first; some of the nearest may be missed.

        Parameters and results as of :func:`cmlfast.serving.nearest.nearest`.

        Nobody gets fewer than n while there are n: for whom the index found too few, or had to find so many that it
        saves nothing, and for a choice ``among`` some rows, the search is exact.
        """
        if among is not None:
            return nearest(kernels, queries, table, n, seen, left_out, among, metric)
        n = min(n, len(table))
        positions = np.full((len(queries), n), -1, dtype=np.int64)
        scores = np.full((len(queries), n), -np.inf, dtype=np.float32)
        n_seen = np.zeros(len(queries), np.int64) if seen is None else np.diff(seen.indptr)
        wanted = n + n_seen + (0 if left_out is None else len(left_out))  # [Q]
        short = [np.flatnonzero(wanted * WORTH_AN_INDEX > len(self.listed))]
        for rows in _alike(wanted, np.flatnonzero(wanted * WORTH_AN_INDEX <= len(self.listed))):
            found = self._search(queries, rows, int(wanted[rows].max()))  # [q, m]
            if left_out is not None:
                found[np.isin(found, left_out)] = -1
            positions[rows], scores[rows] = ranked(
                kernels, queries[_at(rows, queries)], table, n, found, None if seen is None else seen[rows], metric
            )
            short.append(rows[positions[rows, -1] < 0])
        rest = np.concatenate(short)
        if len(rest):
            theirs = None if seen is None else seen[rest]
            found, values = nearest(kernels, queries[_at(rest, queries)], table, n, theirs, left_out, None, metric)
            positions[rest], scores[rest] = found, values
        return positions, scores

    def _search(self, queries: Tensor, rows: Positions, n: int) -> Positions:
        """Return rows of the table that the index finds, [q, n]; -1 where there are no more."""
        asked = queries[_at(rows, queries)].float().cpu().numpy()
        found = self.index.search(asked, n)
        return np.where(found >= 0, self.listed[found], -1)


def build(kind: str, parameters: dict[str, Any], fitted: Fitted, rare_item_distance: float) -> Indexed:
    """Return a new index.

    Raises
    ------
    ImportError
        If its library is missing.
    ValueError
        For a kind or parameters that there are not; for a model of which no item can be listed.
    """
    index = of_kind(kind, parameters)
    found = indexed(index, fitted, rare_item_distance)
    points = fitted.points(rare_item_distance).float().cpu().numpy()  # [J, r or r + 1]
    index.build(points if len(found.listed) == len(points) else points[found.listed])
    return found


def indexed(index: Index, fitted: Fitted, rare_item_distance: float) -> Indexed:
    """Return an index with what a model's searches need; whoever calls this builds or reads the index itself."""
    table = fitted.searched(fitted.points(rare_item_distance))
    listed = table.isfinite().all(1).nonzero()[:, 0].cpu().numpy()
    if not len(listed):
        raise ValueError("nothing was learned of any item, and so there is none for an index; fit on more likes")
    return Indexed(index, listed, rare_item_distance, fitted.tables, fitted.tables.item._version)


def _alike(wanted: npt.NDArray[np.int64], rows: Positions) -> Iterator[Positions]:
    """Yield rows in parts that want about as many each."""
    rows = rows[np.argsort(wanted[rows], kind="stable")]
    while len(rows):
        end = int(np.searchsorted(wanted[rows[:QUERIES_AT_ONCE]], wanted[rows[0]] * GROWTH, side="right"))
        yield rows[:end]
        rows = rows[end:]


def _at(rows: Positions, like: Tensor) -> Tensor:
    return torch.from_numpy(rows).to(like.device)
