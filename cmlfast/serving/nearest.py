"""Ranking by distance: the nearest rows of a table for given queries, with rows left out or picked."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse
from torch import Tensor

from cmlfast.ops.arithmetic import distances

# Pairs scored at a time: 20,000 rows of r = 100 float32 are 8 MB, which stays in cache; a million was 5 times slower
# and took 1.6 GB.
PAIRS_AT_ONCE = 20_000
Positions = npt.NDArray[np.int64]
Scores = npt.NDArray[np.float32]
Search = Callable[..., tuple[Positions, Scores]]  # what `nearest` takes behind the kernels, and returns


def nearest(
    kernels: ModuleType,
    queries: Tensor,  # [Q, r]
    table: Tensor,  # [J, r]
    n: int,
    seen: sparse.csr_matrix | None = None,  # [Q, J]
    left_out: Positions | None = None,
    among: Positions | None = None,
    metric: str = "sqeuclidean",
) -> tuple[Positions, Scores]:
    """Return the n nearest rows of a table, nearest first.

    Parameters
    ----------
    kernels : module
        Where ``topk`` is.
    queries, table : Tensor
        Shapes [Q, r] and [J, r].
    n : int
        How many; fewer come back where the table (or ``among``) has fewer.
    seen : csr_matrix of shape (Q, J), optional
        Rows that a query must not get.
    left_out : array, optional
        Rows that no query may get.
    among : array, optional
        The only rows to choose from.
    metric : {"sqeuclidean", "dot"}
        As in :func:`cmlfast.ops.topk`.

    Returns
    -------
    positions : ndarray of shape (Q, n)
        Rows of the table; -1 where none is left.
    scores : ndarray of shape (Q, n)
        Minus the squared distances, or the dot products, descending; -inf where none is left.
    """
    keep = np.ones(len(table), dtype=bool)
    if among is not None:
        keep[:] = False
        keep[among] = True
    if left_out is not None:
        keep[left_out] = False
    chosen = None if keep.all() else np.flatnonzero(keep)
    if chosen is not None:
        table = picked(table, chosen)
        seen = None if seen is None else seen[:, chosen]
    n = min(n, len(table))
    if n == 0:
        return np.empty((len(queries), 0), np.int64), np.empty((len(queries), 0), np.float32)
    positions, scores = _scored(kernels.topk(queries, table, n, *_masks(seen, table), metric), metric)
    return positions if chosen is None else np.where(positions >= 0, chosen[positions], -1), scores


def ranked(
    kernels: ModuleType,
    queries: Tensor,  # [Q, r]
    table: Tensor,  # [J, r]
    n: int,
    candidates: Positions,  # [Q, m], -1 for none
    seen: sparse.csr_matrix | None = None,  # [Q, J]
    metric: str = "sqeuclidean",
) -> tuple[Positions, Scores]:
    """Return the n nearest of each query's candidates; results as of :func:`nearest`."""
    rows = _ids(candidates, table)
    return _scored(kernels.topk_among(queries, table, n, rows, *_masks(seen, table), metric), metric)


def _masks(seen: sparse.csr_matrix | None, like: Tensor) -> tuple[Tensor | None, Tensor | None]:
    return (None, None) if seen is None else (_ids(seen.indptr, like), _ids(seen.indices, like))


def _scored(found: tuple[Tensor, Tensor], metric: str) -> tuple[Positions, Scores]:
    """Return positions, and scores in place of distances."""
    ids, values = found
    if metric == "sqeuclidean":
        values = 0.0 - values  # a plain minus would make -0 of 0
    return ids.cpu().numpy(), values.cpu().numpy()


def picked(table: Tensor, rows: Positions) -> Tensor:
    """Return rows of a table, [n, r]."""
    return table[torch.from_numpy(rows).to(table.device)]


def _ids(array: npt.NDArray[np.integer], like: Tensor) -> Tensor:
    return torch.from_numpy(np.asarray(array, dtype=np.int64)).to(like.device)


def pair_scores(users: Tensor, items: Tensor) -> Tensor:
    """Return minus the squared distances [Q, n] of users [Q, r] and items [n, r], as `nearest` would, to the bit."""
    rows = []
    for user_block in users.split(max(1, PAIRS_AT_ONCE // max(len(items), 1))):
        # 0 - x, as there: a plain minus would make -0 of 0
        parts = (
            0.0 - distances(user_block[:, None].float(), item_block.float(), "sqeuclidean")
            for item_block in items.split(PAIRS_AT_ONCE)
        )
        rows.append(torch.cat(list(parts), 1))
    return torch.cat(rows)
