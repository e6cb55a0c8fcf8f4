"""What the checks and benchmarks on a GPU work on: made-up tables of any size, batches of any size, captured steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import ModuleType

import torch
from torch import Tensor

from benchmarks.case import EPS, MARGIN, MAX_NORM, N_NEGATIVES, SEED, Case
from cmlfast.training import Tables

Counts = tuple[Tensor, Tensor, Tensor]  # what a step returns


def random_case(
    n_users: int,
    n_items: int,
    n_pairs: int,
    r: int,
    device: torch.device | str,
    dtype: torch.dtype = torch.float32,
    liked: int = 20,
) -> Case:
    """Draw tables in the ball and `liked` items for each user, evenly; ids are int32.

    The bits depend on the kind of device. Nearly all pairs have a positive hinge, as in the first steps of a training.
    """
    generator = torch.Generator(device).manual_seed(SEED)

    def table(n: int) -> Tensor:
        rows = torch.randn((n, r), generator=generator, device=device).mul_(r**-0.5)
        return rows.div_(torch.linalg.vector_norm(rows, dim=1, keepdim=True).clamp_(min=1)).to(dtype)

    def state(n: int) -> Tensor:
        return torch.rand((n, r), generator=generator, device=device).mul_(0.1)

    tables = Tables(table(n_users), table(n_items), state(n_users), state(n_items))
    # One item from each of as many stretches of the catalogue: sorted, without repeats.
    width = n_items // liked
    items = torch.randint(width, (n_users, liked), generator=generator, device=device, dtype=torch.int32)
    items += width * torch.arange(liked, device=device, dtype=torch.int32)
    indptr = torch.arange(0, n_users * liked + 1, liked, device=device, dtype=torch.int32)
    nothing = items.new_empty(0)
    name = f"made up, {n_users:,} users, {n_items:,} items"
    return with_batch(Case(name, tables, indptr, items.view(-1), nothing, nothing), n_pairs)


def with_batch(case: Case, n_pairs: int) -> Case:
    """Return the case with another batch: pairs of the matrix, each at most once if there are enough."""
    n = len(case.indices)
    device = case.indices.device
    generator = torch.Generator(device).manual_seed(SEED)
    if n_pairs <= n:
        chosen = torch.randperm(n, generator=generator, device=device)[:n_pairs]
    else:
        chosen = torch.randint(n, (n_pairs,), generator=generator, device=device)
    users = torch.searchsorted(case.indptr, chosen.to(case.indptr.dtype), right=True, out_int32=True) - 1
    return replace(case, users=users.to(case.indices.dtype), positives=case.indices[chosen])


def step_(kernels: ModuleType, case: Case, tables: Tables, lr: float, offset: int, stochastic: bool = False) -> Counts:
    """Take a training step on tables, in place."""
    numbers = (N_NEGATIVES, MARGIN, lr, EPS, MAX_NORM, True, SEED, offset, stochastic)
    result: Counts = kernels.cml_step_(*tables.all(), *case.sampling, *numbers)
    return result


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
