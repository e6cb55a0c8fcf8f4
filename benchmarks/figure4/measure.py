"""Recommendation recall and queries a second of one way to search, and of comparing with everything."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any

import numpy as np
import torch
from scipy import sparse

from benchmarks.figure4.searches import Sweep, sweeps, tell
from benchmarks.figure4.vectors import Learned
from benchmarks.kit.text import log
from benchmarks.peers.libraries import Factors
from cmlfast.evaluation.measures import recall_per_user
from cmlfast.ops import backend
from cmlfast.serving.indexed import Indexed
from cmlfast.serving.nearest import Positions, Scores, nearest

Ranking = tuple[Positions, Scores]
KS = (10, 50)
ROUNDS, LONG = 3, 2.0  # of a search; what takes longer, in seconds, is done once
LOOPED = 20  # queries of a loop of NumPy


@dataclass(frozen=True)
class Point:
    """One way to search: how much of what users like it finds, how fast.

    Attributes
    ----------
    method : str
        "CML" or "MF".
    name : str
        What searches.
    settings : dict
        Its parameters.
    exact : bool
        Whether nothing can be missed.
    k : int
        Items for each query.
    recall : float
        Recall@k, of held-out likes; what users have seen is left out.
    speed : float
        Queries a second.
    """

    method: str
    name: str
    settings: dict[str, Any]
    exact: bool
    k: int
    recall: float
    speed: float


def points(found: Learned) -> Iterator[Point]:
    """Yield exact searches, then each index in each of its settings."""
    kernels, _ = backend.choose("auto", "cpu")
    of_method = {"CML": found.cml, "MF": found.mf}
    for method, factors in of_method.items():
        users, items = (torch.from_numpy(np.ascontiguousarray(one)) for one in (factors.users, factors.items))
        exact = partial(nearest, kernels, users, items, seen=found.seen, metric=factors.metric)
        flat = _faiss(factors, found.seen)
        for k in KS:
            recall, speed = _measured(partial(exact, k), found.held_out, k)
            yield Point(method, "exact, cmlfast", {}, True, k, recall, speed)
            yield Point(method, "exact, faiss", {}, True, k, recall, _speed(partial(flat, k), len(users)))
            yield Point(method, "a loop of NumPy", {}, True, k, recall, _looped(factors, k))
    for sweep in sweeps(len(found.cml.items)):
        yield from _swept(sweep, of_method[sweep.method], found, kernels)


def _swept(sweep: Sweep, factors: Factors, found: Learned, kernels: Any) -> Iterator[Point]:
    users, items = (torch.from_numpy(np.ascontiguousarray(one)) for one in (factors.users, factors.items))
    for built_with in sweep.built_with:
        index = sweep.make(**built_with)
        began = time.perf_counter()
        index.build(np.ascontiguousarray(factors.items))
        log(f"{sweep.method}, {sweep.name} {built_with}: built in {time.perf_counter() - began:.1f} s")
        search = Indexed(index, np.arange(len(items)), 0.0, None, 0).nearest  # type: ignore[arg-type] # no model's
        for searched_with in sweep.searched_with:
            tell(index, searched_with)
            for k in KS:
                asked = partial(search, kernels, users, items, k, found.seen, metric=factors.metric)
                measured = _measured(asked, found.held_out, k)
                yield Point(sweep.method, sweep.name, {**built_with, **searched_with}, False, k, *measured)


def _measured(search: Callable[[], Ranking], held_out: sparse.csr_matrix, k: int) -> tuple[float, float]:
    """Return recall@k and queries a second."""
    recall = float(recall_per_user(search()[0], held_out, k).mean())
    return recall, _speed(search, held_out.shape[0])


def _speed(search: Callable[[], Any], n_queries: int) -> float:
    seconds: list[float] = []
    while len(seconds) < ROUNDS and (not seconds or seconds[0] < LONG):
        began = time.perf_counter()
        search()
        seconds.append(time.perf_counter() - began)
    return n_queries / median(seconds)


def _looped(factors: Factors, k: int) -> float:
    """Return queries a second of what the paper compares with: all items of one query after the other, in NumPy."""
    queries, items = factors.users[:LOOPED], factors.items

    def distances(query: Any) -> Any:
        return -(items @ query) if factors.metric == "dot" else ((items - query) ** 2).sum(1)

    return _speed(lambda: [np.argpartition(distances(query), k)[:k] for query in queries], len(queries))


def _faiss(factors: Factors, seen: sparse.csr_matrix) -> Callable[[int], Any]:
    """Return faiss's exact search, which leaves nothing out: it asks for what users have seen, too."""
    import faiss

    faiss.omp_set_num_threads(torch.get_num_threads())
    flat = faiss.IndexFlatIP if factors.metric == "dot" else faiss.IndexFlatL2
    index = flat(factors.items.shape[1])
    index.add(np.ascontiguousarray(factors.items))
    queries = np.ascontiguousarray(factors.users)
    more = int(np.median(np.diff(seen.indptr)))
    return lambda k: index.search(queries, k + more)
