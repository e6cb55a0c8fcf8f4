"""The parts of the step in plain torch that ``torch.compile`` makes faster; the others stay as they are.

Inductor fuses the gather of rows with the distances, so that nothing of the size [N, U, r] is stored, and the update's
chain of operators. Where sizes depend on the data (draws, coalescing) it breaks the graph; and it does not take
``sampled_addmm`` on sparse tensors.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor

from benchmarks.kit import torch_cml


def gathered(user_w: Tensor, item_w: Tensor, users: Tensor, items: Tensor) -> Tensor:
    """Return the squared distances [N, K], with a temporary of [N, K, r] unless compiled."""
    return (user_w[users][:, None] - item_w[items]).square().sum(-1)


def update_(weight: Tensor, state: Tensor, rows: Tensor, grads: Tensor, lr: float, eps: float, max_norm: float) -> None:
    """AdaGrad and norm clip of distinct rows, written as one chain."""
    rows = rows.long()
    total = state[rows] + grads * grads
    new = weight[rows] - lr * grads / (total.sqrt() + eps)
    norm = torch.linalg.vector_norm(new, dim=1, keepdim=True)
    state.index_copy_(0, rows, total)
    weight.index_copy_(0, rows, new * (max_norm / norm).clamp(max=1))


def nearest(queries: Tensor, items: Tensor, k: int, row: Tensor, column: Tensor) -> tuple[Tensor, Tensor]:
    """Return ids and squared distances of the k nearest items, without the seen (row, column)."""
    squares = items.square().sum(1)
    distances = torch.addmm(squares, queries, items.t(), alpha=-2)
    distances.index_put_((row, column), torch.full((), torch.inf))
    values, ids = distances.topk(k, largest=False, sorted=True)
    return ids, values + queries.square().sum(1, keepdim=True)


def nearest_among(queries: Tensor, items: Tensor, k: int, found: Tensor) -> tuple[Tensor, Tensor]:
    """Return ids and squared distances of the k nearest of each query's items [Q, m], which may repeat."""
    values, places = gathered(queries, items, torch.arange(len(queries)), found).topk(k, largest=False, sorted=True)
    return found.gather(1, places), values


@cache
def compiled() -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Return `torch_cml.scan` and `update_`, compiled: the first call of each, and of new sizes, takes seconds."""
    scan = partial(torch_cml.scan, distance=gathered)
    return torch.compile(scan), torch.compile(update_, dynamic=True)
