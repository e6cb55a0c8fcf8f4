"""What is called on a GPU, and how much of it: the step, plain and captured, its peers, and a copy."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import torch

from benchmarks.kit import torch_gpu
from benchmarks.kit.case import EPS, MARGIN, MAX_NORM, N_COMPONENTS, N_NEGATIVES, Case, Counts, step_
from cmlfast import ops, reference
from cmlfast.ops.arithmetic import rank_weights

DEVICE = "cuda"
ROUNDS, CALLS = 20, 10  # rounds, and calls in a round
COPY_BYTES = 1 << 30
GATHERED = 1_000_000  # rows
GATHER_TABLES = {"10MB": 25_000, "100MB": 250_000, "1GB": 2_500_000}  # rows of 400 bytes
LARGE = 1_000_000  # users, and items
LARGE_NEEDS = 10e9  # bytes: tables, a copy of them, the temporaries of plain torch
BATCHES = (10_000, 100_000)  # pairs
N_SHARED = 4_096  # negatives of a step of the softmax
ROW_BYTES = 4 * N_COMPONENTS
NO_CHANGE = 0.0  # the steps' learning rate: every call finds the same work, and moves every byte of a step


def device_time() -> float:
    """Return the time when all work on the device has been done."""
    torch.cuda.synchronize()
    return time.perf_counter()


@cache
def copy_bandwidth() -> float:
    """Return the bytes that a copy on the device reads and writes in a second."""
    source = torch.ones(COPY_BYTES // 4, device=DEVICE)
    target = torch.empty_like(source)
    seconds = []
    for _ in range(12):
        began = device_time()
        target.copy_(source)
        seconds.append(device_time() - began)
    return 2 * COPY_BYTES / statistics.median(seconds[2:])


def capture(step: Callable[[], Counts]) -> tuple[torch.cuda.CUDAGraph, Counts]:
    """Capture a step; return the graph, which no one has replayed, and the tensors that a replay fills.

    All numbers that the step takes from the host, so also its seed and offset, are those of the capture in every
    replay. Three steps run before, on another stream, so that everything is loaded.
    """
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        counts = step()
    return graph, counts


def fused(kernels: Any, case: Case) -> Callable[[], Any]:
    tables, offsets = case.tables.clone(), itertools.count()
    return lambda: step_(kernels, case, tables, NO_CHANGE, next(offsets))


def replayed(case: Case) -> Callable[[], Any]:
    tables = case.tables.clone()
    graph, counts = capture(lambda: step_(ops, case, tables, NO_CHANGE, 0))

    def replay() -> Any:
        graph.replay()
        return counts  # which live as long as the graph

    return replay


def plain_torch(case: Case) -> Callable[[], Any]:
    tables = case.tables.clone()
    sampler = torch_gpu.Sampler(case.indptr, case.indices, case.n_items)
    weights = torch.tensor(rank_weights(case.n_items, N_NEGATIVES, True), device=DEVICE)
    pairs = case.users, case.positives.long()

    def step() -> Any:
        drawn = sampler.draw(case.users, N_NEGATIVES)
        return torch_gpu.step_(*tables.all(), *pairs, *drawn, MARGIN, NO_CHANGE, EPS, MAX_NORM, weights)

    return step


STEPS: dict[str, Callable[[Case], Callable[[], Any]]] = {
    "compiled": partial(fused, ops),
    "graph": replayed,
    "torch": plain_torch,
    "reference": partial(fused, reference),
}
