"""The operators in plain torch, made of the tuned step's parts: what the compiled ones are compared with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from benchmarks.kit import torch_cml, torch_compiled, torch_softmax
from benchmarks.kit.case import EPS, LR, MARGIN, MAX_NORM, N_NEGATIVES, SEED
from benchmarks.kit.operators import TEMPERATURE, Call, K, Work, softmax_inputs
from cmlfast.ops import shared_softmax
from cmlfast.ops.arithmetic import rank_weights


def plain_calls(work: Work) -> dict[str, Call]:
    """Return a call of each operator."""
    return {
        **_calls(work, torch_cml.scan, torch_cml.update_, torch_compiled.nearest, torch_compiled.nearest_among),
        **_calls_of_softmax(work, torch_softmax.usual_loss, torch_softmax.softmax_weights_),
        **_calls_of_data(work),
    }


def compiled_calls(work: Work) -> dict[str, Call]:
    """Return those that ``torch.compile`` takes, compiled."""
    loss, weigh = torch.compile(torch_softmax.usual_loss), torch.compile(torch_softmax.softmax_weights_)
    return {
        **_calls(
            work,
            *torch_compiled.compiled(),
            torch.compile(torch_compiled.nearest),
            torch.compile(torch_compiled.nearest_among),
        ),
        **_calls_of_softmax(work, loss, weigh),
    }


def _calls(
    work: Work,
    scan: Callable[..., Any],
    update_: Callable[..., Any],
    nearest: Callable[..., Any],
    nearest_among: Callable[..., Any],
) -> dict[str, Call]:
    case = work.case
    user_w, item_w, _, item_state = case.tables.clone().all()
    weights = torch.tensor(rank_weights(case.n_items, N_NEGATIVES, True))
    sampler = _sampler(work)
    indptr, indices = work.seen
    seen = torch.repeat_interleave(torch.arange(len(work.queries)), indptr.diff()), indices.long()

    def hinge(drawn: Tensor) -> Any:
        return scan(user_w, item_w, case.users, case.positives, drawn, MARGIN, weights)

    def update() -> None:
        update_(item_w, item_state, *torch_cml.coalesced(work.rows, work.grads), LR, EPS, MAX_NORM)

    return {
        "warp_hinge": lambda: hinge(work.negatives),
        "warp_hinge_sampled": lambda: hinge(sampler.draw(case.users, N_NEGATIVES)),
        "adagrad_clip": update,
        "topk": lambda: nearest(work.queries, case.tables.item, K, *seen),
        "topk_among": lambda: nearest_among(work.queries, case.tables.item, K, work.found),
    }


def _calls_of_softmax(work: Work, usual_loss: Callable[..., Tensor], weigh_: Callable[..., Any]) -> dict[str, Call]:
    *tables, users, positives, shared = softmax_inputs(work)
    leaves = [table.clone().requires_grad_() for table in tables]
    ids = users.long(), positives.long(), shared.long()
    products, *others = work.tile
    products = products.clone()
    weights = torch.ones(len(users))

    def both() -> Any:
        with torch.enable_grad():
            return torch.autograd.grad(usual_loss(*leaves, *ids, TEMPERATURE), leaves)

    return {
        "softmax_weights": lambda: weigh_(products, *others),
        "sampled_softmax": both,
        # the package's products and tiles around torch's own chain: the best torch that we know
        "sampled_softmax_gradients": lambda: shared_softmax.gradients(
            weigh_, *tables, users, positives, shared, weights, TEMPERATURE
        ),
    }


def _calls_of_data(work: Work) -> dict[str, Call]:
    """Return the others, in which sizes depend on the data."""
    case, sampler = work.case, _sampler(work)
    tables = case.tables.user, case.tables.item
    weights = torch.tensor(rank_weights(case.n_items, N_NEGATIVES, True))
    value, _, weight, hardest = torch_cml.scan(*tables, case.users, case.positives, work.negatives, MARGIN, weights)

    def sparse() -> Any:
        active = (value > 0).nonzero()[:, 0]
        pairs = case.users[active], case.positives[active], hardest[active]
        return torch_cml.gradients(*tables, *pairs, 2 * weight[active])

    def dense() -> Any:
        parts = zip(tables, sparse(), strict=True)
        return [torch.zeros_like(table).index_copy_(0, rows.long(), grads) for table, (rows, grads) in parts]

    return {
        "sample_negatives": lambda: sampler.draw(case.users, N_NEGATIVES),
        "warp_hinge_backward dense": dense,
        "warp_hinge_backward sparse": sparse,
    }


def _sampler(work: Work) -> torch_cml.Sampler:
    torch.manual_seed(SEED)
    return torch_cml.Sampler(work.case.indptr, work.case.indices, work.case.n_items)
