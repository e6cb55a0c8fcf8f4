"""A training step of the softmax over shared negatives, on any device: ours, plain torch's, and its products alone.

"torch" is the best that we can make of plain torch, with the same products; "torch_autograd" is what is usually
written: autograd, and torch's Adagrad over whole tables. "products" are the step's three matrix products and nothing
else: the limit that BLAS sets.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch

from benchmarks.kit import torch_cml, torch_softmax
from benchmarks.kit.case import EPS, LR, MAX_NORM, N_COMPONENTS, SEED, Case
from benchmarks.kit.measure import kernels_of
from cmlfast.ops import shared_softmax
from cmlfast.training.pairs import Batch
from cmlfast.training.softmax import Softmax
from cmlfast.training.tables import Tables, TableSettings

Step = Callable[[], Any]

TEMPERATURE = 0.26
SIZES = (849, 1_024)  # pairs and negatives, as the rules have them on citeulike-t


def ours(kernels: ModuleType, case: Case, tables: Tables, n_negatives: int) -> Step:
    loss, settings = (
        Softmax(TEMPERATURE, n_negatives),
        TableSettings(N_COMPONENTS, MAX_NORM, torch.float32, False, SEED),
    )
    users, items, numbers = case.users, case.positives, itertools.count()
    of_all: Any = None  # the softmax asks nothing of the other pairs

    def step() -> Any:
        number = next(numbers)
        return loss.step(kernels, tables, of_all, Batch(users, items, LR, 0.5, number, number), settings)

    return step


def by_hand(case: Case, tables: Tables, n_negatives: int) -> Step:
    users, items = case.users, case.positives
    ones = torch.ones(len(users), device=users.device)

    def step() -> Any:
        negatives = torch.randperm(case.n_items, device=users.device)[:n_negatives].to(users.dtype)
        found = shared_softmax.gradients(
            torch_softmax.softmax_weights_, tables.user, tables.item, users, items, negatives, ones, TEMPERATURE,
            decoupled=True,
        )  # fmt: skip
        by_user = torch_cml.coalesced(users, found[1])
        by_item = torch_cml.coalesced(torch.cat((items, negatives)), torch.cat((found[2], found[3])))
        torch_cml.update_(tables.user, tables.user_state, *by_user, LR, EPS, MAX_NORM)
        torch_cml.update_(tables.item, tables.item_state, *by_item, LR, EPS, MAX_NORM)
        return found[0]

    return step


def by_autograd(case: Case, tables: Tables, n_negatives: int) -> Step:
    users, items = case.users.long(), case.positives.long()
    leaves = [torch.nn.Parameter(table) for table in (tables.user, tables.item)]
    optimizer = torch.optim.Adagrad(leaves, lr=LR, eps=EPS)

    def step() -> Any:
        negatives = torch.randint(case.n_items, (n_negatives,), device=users.device)
        optimizer.zero_grad()
        loss = torch_softmax.usual_loss(*leaves, users, items, negatives, TEMPERATURE)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        with torch.no_grad():
            for leaf in leaves:
                leaf.mul_((MAX_NORM / leaf.norm(dim=1, keepdim=True)).clamp_(max=1))
        return loss

    return step


def products(case: Case, tables: Tables, n_negatives: int) -> Step:
    u, v = tables.user.index_select(0, case.users), tables.item[:n_negatives].clone()
    weights = torch.rand(len(u), len(v), device=u.device)
    return lambda: (torch.mm(u, v.T), torch.mm(weights, v), torch.mm(weights.T, u))


# Of a case's whole batch and so many negatives; they change the tables.
STEPS: dict[str, Callable[[Case, Tables, int], Step]] = {
    "compiled": lambda *of: ours(kernels_of("compiled"), *of),
    "torch": by_hand,
    "torch_autograd": by_autograd,
    "products": products,
    "reference": lambda *of: ours(kernels_of("reference"), *of),
}
