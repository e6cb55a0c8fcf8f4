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
Rows: TypeAlias = "npt.NDArray[np.int32]"
# (queries [Q, r], table [J, r], n, seen [Q, J]) to rows [Q, n] of the table, nearest first, and minus squared distances
Near: TypeAlias = "Callable[[Tensor, Tensor, int, sparse.csr_matrix | None], tuple[Any, Any]]"

PERPLEXITY = 30
NEIGHBOURS = 3 * PERPLEXITY  # of each point, that t-SNE looks at
MANY = 200_000  # points, from which on the search for neighbours is told before it begins
FEWEST = 8  # points of which a map says anything
MOST_FEATURES = 50  # dimensions of features that are compared; more are first reduced to as many


def project(points: Tensor, rows: Rows, distances: Places, seed: int) -> Places:
    """Return places in the plane of points [n, r], float32 [n, 2]; NaN where a point has NaN.

    The nearest neighbours are exact, the start is PCA's, the rest is openTSNE's with its defaults. The same points and
    seed give the same bits on the same machine with the same versions of the libraries and as many threads.

    Parameters
    ----------
    points : Tensor of shape (n, r)
    rows, distances : ndarray of shape (n, 90)
        The neighbours of each, as of :func:`neighbours`.
    seed : int
        Of PCA and of the jitter of its result.

    Raises
    ------
    ImportError
        If openTSNE is missing.
    """
    tsne = library("openTSNE", "map")
    there = ~points.isnan().any(1).cpu().numpy()
    n = int(there.sum())
    perplexity = min(PERPLEXITY, (n - 1) / 3)
    k = int(3 * perplexity)
    numbers = np.cumsum(there) - 1  # of the points that are there
    found = library("openTSNE.nearest_neighbors", "map").PrecomputedNeighbors(
        numbers[rows[there, :k]], distances[there, :k]
    )
    threads = torch.get_num_threads() if n > 10_000 else 1  # that wait for each other where there is little to do
    affinities = library("openTSNE.affinity", "map").PerplexityBasedNN(
        knn_index=found, perplexity=perplexity, n_jobs=threads
    )
    placed = tsne.TSNE(n_jobs=threads, random_state=seed).fit(
        affinities=affinities, initialization=_start(points.float().cpu().numpy()[there], seed)
    )
    places = np.full((len(points), 2), np.nan, dtype=np.float32)
    places[there] = np.asarray(placed)
    return places


def neighbours(points: Tensor, near: Near, k: int, what: str) -> tuple[Rows, Places]:
    """Return the other points nearest to each, exactly: rows [n, k], -1 for none, and distances [n, k], NaN for none.

    Parameters
    ----------
    points : Tensor of shape (n, r)
        NaN where nothing is known of one.
    near : callable
        Finds the nearest points.
    k : int
    what : str
        What to call the points in messages.

    Raises
    ------
    ValueError
        If there are too few points for a map.
    """
    placed = np.flatnonzero(~points.isnan().any(1).cpu().numpy())
    n = len(placed)
    if n < FEWEST:
        raise ValueError(f"there are {n} {what} of which something is known; a map needs at least {FEWEST}")
    if n >= MANY:
        LOG.warning(
            "all %s %s are compared with each other for their neighbours: %s distances", f"{n:,}", what, f"{n**2:,}"
        )
    LOG.info("placing %s %s by t-SNE", f"{n:,}", what)
    known = points[torch.from_numpy(placed).to(points.device)].float()
    found, scores = near(known, known, min(k, n - 1), sparse.identity(n, dtype=np.float32, format="csr"))
    rows = np.full((len(points), k), -1, dtype=np.int32)
    distances = np.full((len(points), k), np.nan, dtype=np.float32)
    rows[placed, : found.shape[1]] = placed[found]
    distances[placed, : found.shape[1]] = np.sqrt(-scores)
    return rows, distances


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
