"""The operators in plain torch, made of the tuned step's parts: what the compiled ones are compared with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from benchmarks.kit import torch_cml, torch_compiled
from benchmarks.kit.case import EPS, LR, MARGIN, MAX_NORM, N_NEGATIVES, SEED, Case
from cmlfast._arithmetic import rank_weights

Call = Callable[[], Any]


def operators(case: Case, negatives: Tensor, n_queries: int, k: int, rows: Tensor, grads: Tensor) -> dict[str, Call]:
    """Return a call of each operator; `rows` [P] and `grads` [P, r] are what ``adagrad_clip`` takes."""
    return {**_of_parts(case, negatives, n_queries, k, rows, grads, *PLAIN), **_of_sizes(case, negatives)}


def compiled_operators(
    case: Case, negatives: Tensor, n_queries: int, k: int, rows: Tensor, grads: Tensor
) -> dict[str, Call]:
    """Return those that ``torch.compile`` takes, compiled: sizes of the others depend on the data."""
    return _of_parts(
        case, negatives, n_queries, k, rows, grads, *torch_compiled.compiled(), torch.compile(torch_compiled.nearest)
    )


PLAIN = (torch_cml.scan, torch_cml.update_, torch_compiled.nearest)


def _of_parts(
    case: Case,
    negatives: Tensor,
    n_queries: int,
    k: int,
    rows: Tensor,
    grads: Tensor,
    scan: Callable[..., Any],
    update_: Callable[..., Any],
    nearest: Callable[..., Any],
) -> dict[str, Call]:
    user_w, item_w, _, item_state = case.tables.clone().all()
    weights = torch.tensor(rank_weights(case.n_items, N_NEGATIVES, True))
    torch.manual_seed(SEED)
    sampler = torch_cml.Sampler(case.indptr, case.indices, case.n_items)
    seen = torch.repeat_interleave(torch.arange(n_queries), case.indptr[: n_queries + 1].diff())
    queries, seen_items = user_w[:n_queries].clone(), case.indices[: len(seen)].long()

    def hinge(drawn: Tensor) -> Any:
        return scan(user_w, item_w, case.users, case.positives, drawn, MARGIN, weights)

    return {
        "warp_hinge": lambda: hinge(negatives),
        "warp_hinge_sampled": lambda: hinge(sampler.draw(case.users, N_NEGATIVES)),
        "adagrad_clip": lambda: update_(item_w, item_state, *torch_cml.coalesced(rows, grads), LR, EPS, MAX_NORM),
        "topk": lambda: nearest(queries, case.tables.item, k, seen, seen_items),
    }


def _of_sizes(case: Case, negatives: Tensor) -> dict[str, Call]:
    user_w, item_w = case.tables.user, case.tables.item
    weights = torch.tensor(rank_weights(case.n_items, N_NEGATIVES, True))
    torch.manual_seed(SEED)
    sampler = torch_cml.Sampler(case.indptr, case.indices, case.n_items)
    value, _, weight, hardest = torch_cml.scan(user_w, item_w, case.users, case.positives, negatives, MARGIN, weights)

    def sparse() -> Any:
        active = (value > 0).nonzero()[:, 0]
        pairs = case.users[active], case.positives[active], hardest[active]
        return torch_cml.gradients(user_w, item_w, *pairs, 2 * weight[active])

    def dense() -> Any:
        tables = zip((user_w, item_w), sparse(), strict=True)
        return [torch.zeros_like(table).index_copy_(0, rows.long(), grads) for table, (rows, grads) in tables]

    return {
        "sample_negatives": lambda: sampler.draw(case.users, N_NEGATIVES),
        "warp_hinge_backward dense": dense,
        "warp_hinge_backward sparse": sparse,
    }
