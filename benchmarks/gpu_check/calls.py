"""The calls that ``bench_cuda.py`` times: the training step in its implementations, and the other operators."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from benchmarks.case import EPS, LR, MARGIN, MAX_NORM, N_COMPONENTS, N_NEGATIVES, SEED, Case
from benchmarks.gpu_check import torch_step
from benchmarks.gpu_check.case import capture, step_
from benchmarks.gpu_check.sizes import DEVICE, ROW_BYTES
from cmlfast import ops, reference
from cmlfast._arithmetic import rank_weights

NO_CHANGE = 0.0  # the steps' learning rate: every call finds the same work, and moves every byte of a step


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
    sampler = torch_step.Sampler(case.indptr, case.indices, case.n_items)
    weights = torch.tensor(rank_weights(case.n_items, N_NEGATIVES, True), device=DEVICE)
    pairs = case.users, case.positives.long()

    def step() -> Any:
        drawn = sampler.draw(case.users, N_NEGATIVES)
        return torch_step.step_(*tables.all(), *pairs, *drawn, MARGIN, NO_CHANGE, EPS, MAX_NORM, weights)

    return step


STEPS: dict[str, Callable[[Case], Callable[[], Any]]] = {
    "compiled": partial(fused, ops),
    "graph": replayed,
    "torch": plain_torch,
    "reference": partial(fused, reference),
}


def operators(case: Case) -> dict[str, tuple[Callable[[], Any], float]]:
    """Return a call of each operator on the case, and the bytes of the rows that it must move."""
    n = len(case.users)
    user_w, item_w = case.tables.user, case.tables.item
    leaves = [table.clone().requires_grad_() for table in (user_w, item_w)]
    hinge = (*case.sampling, N_NEGATIVES, MARGIN, SEED)
    dense, sparse = (ops.warp_hinge_sampled(*leaves, *hinge, 0, sparse_grad=each)[0].sum() for each in (False, True))
    rows = torch.cat((case.positives, ops.sample_negatives(*case.sampling, case.n_items, 1, SEED, 0)[:, 0]))
    grads = torch.randn(len(rows), N_COMPONENTS, device=DEVICE)
    weight, state = item_w.clone(), case.tables.item_state.clone()
    offsets = itertools.count()
    return {
        "sample_negatives": (
            lambda: ops.sample_negatives(*case.sampling, case.n_items, N_NEGATIVES, SEED, next(offsets)),
            0,
        ),
        "warp_hinge_sampled": (
            lambda: ops.warp_hinge_sampled(user_w, item_w, *hinge, next(offsets)),
            ROW_BYTES * n * (N_NEGATIVES + 2),
        ),
        "backward_dense": (lambda: torch.autograd.grad(dense, leaves, retain_graph=True), ROW_BYTES * n * 3),
        "backward_sparse": (lambda: torch.autograd.grad(sparse, leaves, retain_graph=True), ROW_BYTES * n * 3),
        "adagrad_clip": (
            lambda: ops.adagrad_clip_(weight, state, rows, grads, LR, EPS, MAX_NORM),
            ROW_BYTES * (len(rows) + 4 * len(rows.unique())),
        ),
    }
