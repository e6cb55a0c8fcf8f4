"""Places points of many dimensions in a plane by t-SNE, so that near ones stay near (openTSNE; paper, figure 5)."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse
from torch import Tensor

from cmlfast.pictures.needed import library

LOG = logging.getLogger("cmlfast")
Places: TypeAlias = "npt.NDArray[np.float32]"
# (queries [Q, r], table [J, r], n, seen [Q, J]) to rows [Q, n] of the table, nearest first, and minus squared distances
Near: TypeAlias = "Callable[[Tensor, Tensor, int, sparse.csr_matrix | None], tuple[Any, Any]]"

PERPLEXITY = 30
FEWEST = 8  # points of which a map says anything
MOST_FEATURES = 50  # dimensions of features that are compared; more are first reduced to as many


def project(points: Tensor, near: Near, seed: int, what: str) -> Places:
    """Return places in the plane of points [n, r], float32 [n, 2]; NaN where a point has NaN.

    The nearest neighbours are exact, the start is PCA's, the rest is openTSNE's with its defaults. The same points and
    seed give the same bits on the same machine with the same versions of the libraries and as many threads.

    Parameters
    ----------
    points : Tensor of shape (n, r)
    near : callable
        Finds the nearest points.
    seed : int
        Of PCA and of the jitter of its result.
    what : str
        What to call the points in messages.

    Raises
    ------
    ImportError
        If openTSNE is missing.
    ValueError
        If there are too few points.
    """
    tsne = library("openTSNE", "map")
    there = ~points.isnan().any(1)
    known = points[there].float()
    n = len(known)
    if n < FEWEST:
        raise ValueError(f"there are {n} {what} of which something is known; a map needs at least {FEWEST}")
    LOG.info("placing %s %s by t-SNE", f"{n:,}", what)
    perplexity = min(PERPLEXITY, (n - 1) / 3)
    neighbours, scores = near(known, known, int(3 * perplexity), itself(n))
    found = library("openTSNE.nearest_neighbors", "map").PrecomputedNeighbors(neighbours, np.sqrt(-scores))
    threads = torch.get_num_threads() if n > 10_000 else 1  # that wait for each other where there is little to do
    affinities = library("openTSNE.affinity", "map").PerplexityBasedNN(
        knn_index=found, perplexity=perplexity, n_jobs=threads
    )
    placed = tsne.TSNE(n_jobs=threads, random_state=seed).fit(
        affinities=affinities, initialization=_start(known.cpu().numpy(), seed)
    )
    places = np.full((len(points), 2), np.nan, dtype=np.float32)
    places[there.cpu().numpy()] = np.asarray(placed)
    return places


def itself(n: int) -> sparse.csr_matrix:
    """Return the pairs of n points with themselves, which no search shall find."""
    return sparse.identity(n, dtype=np.float32, format="csr")


def _start(points: npt.NDArray[np.float32], seed: int) -> npt.NDArray[np.float64]:
    """Return PCA's first two coordinates, scaled down as t-SNE wants them, [n, 2]."""
    if points.shape[1] < 2:
        points = np.pad(points, ((0, 0), (0, 1)))
    if (points == points[0]).all():  # PCA has no direction to go
        return np.random.default_rng(seed).normal(scale=1e-4, size=(len(points), 2))
    found: npt.NDArray[np.float64] = library("openTSNE.initialization", "map").pca(points, random_state=seed)
    return found


def of_features(rows: Tensor, seed: int) -> Tensor:
    """Return features [n, d], of torch's CSR layout or dense, as points to compare: of unit length, NaN without any.

    By the angle, as the network that reads them has it; reduced to 50 dimensions by a singular value decomposition
    where there are more.
    """
    if rows.layout == torch.sparse_csr:
        parts = (rows.values(), rows.col_indices(), rows.crow_indices())
        matrix = sparse.csr_matrix(tuple(part.cpu().numpy() for part in parts), shape=tuple(rows.shape))
    else:
        matrix = sparse.csr_matrix(rows.cpu().numpy())
    lengths = np.sqrt(matrix.multiply(matrix).sum(1).A1)  # [n]
    described = lengths > 0
    matrix = sparse.diags(1 / np.where(described, lengths, 1)).dot(matrix)
    if matrix.shape[1] > MOST_FEATURES:
        reduction = library("sklearn.decomposition", "map").TruncatedSVD(MOST_FEATURES, random_state=seed)
        points = reduction.fit_transform(matrix)
    else:
        points = matrix.toarray()
    points = np.ascontiguousarray(points, dtype=np.float32)
    points[~described] = np.nan
    return torch.from_numpy(points)
