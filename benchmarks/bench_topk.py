"""Exact search beside faiss, plain torch and a loop of NumPy: ``pytest benchmarks/bench_topk.py --benchmark-only``.

Top 50 of vectors of length 1, r = 100. Ours leaves 25 seen items out for each query, the others nothing. All stand in
one run, so that their ratios hold; for each, a batch of queries and one alone.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.kit.measure import run
from cmlfast import ops

K, R, SEEN = 50, 100, 25
N_ITEMS = (26_000, 260_000, 1_000_000)
QUERIES = 4000  # of fewer, faiss does a fifth as many in a second


@lru_cache(maxsize=1)
def tables(n_items: int) -> tuple[np.ndarray, np.ndarray]:
    """Return queries and items [n, r]."""
    rng = np.random.default_rng(0)
    drawn = (rng.standard_normal((n, R), dtype=np.float32) for n in (QUERIES, n_items))
    queries, items = (one / np.linalg.norm(one, axis=1, keepdims=True) for one in drawn)
    return queries, items


def ours(queries: np.ndarray, items: np.ndarray) -> Callable[[], Any]:
    seen = np.random.default_rng(1).integers(len(items), size=(len(queries), SEEN))
    ends = torch.arange(0, seen.size + 1, SEEN)
    given = (torch.from_numpy(queries), torch.from_numpy(items), K, ends, torch.from_numpy(seen.ravel()))
    return lambda: ops.topk(*given)


def faiss(queries: np.ndarray, items: np.ndarray) -> Callable[[], Any]:
    library = pytest.importorskip("faiss")
    library.omp_set_num_threads(torch.get_num_threads())
    index = library.IndexFlatL2(R)
    index.add(items)
    return lambda: index.search(queries, K)


def plain_torch(queries: np.ndarray, items: np.ndarray) -> Callable[[], Any]:
    users, table = torch.from_numpy(queries), torch.from_numpy(items)
    squares = (table**2).sum(1)
    return lambda: torch.addmm(squares, users, table.T, alpha=-2).topk(K, largest=False)


def numpy_loop(queries: np.ndarray, items: np.ndarray) -> Callable[[], Any]:
    """Return what the paper's Figure 4 compares with: a distance to every item, a query at a time."""

    def search() -> None:
        for query in queries[:20]:
            np.argpartition(((items - query) ** 2).sum(1), K)[:K]

    return search


SEARCHES = {"cmlfast": ours, "faiss flat": faiss, "torch": plain_torch, "numpy": numpy_loop}


@pytest.mark.parametrize("several", [True, False], ids=["batch", "single"])
@pytest.mark.parametrize("n_items", N_ITEMS)
@pytest.mark.parametrize("name", SEARCHES)
def test_topk(benchmark: Any, name: str, n_items: int, several: bool) -> None:
    queries, items = tables(n_items)
    if name == "torch" and several:
        queries = queries[:200]  # its distances are all in memory at once
    if not several:
        queries = queries[:1]
    n = min(len(queries), 20) if name == "numpy" else len(queries)
    benchmark.group = f"top {K} of {n_items:,} items, {'batch' if several else 'one query'}"
    run(benchmark, SEARCHES[name](queries, items), 5 if several else 20, queries=n, baseline=name == "faiss flat")
    benchmark.extra_info["queries_per_second"] = n / benchmark.stats.stats.median
