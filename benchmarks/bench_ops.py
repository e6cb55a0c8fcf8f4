"""Every operator at full size: compiled, as the reference, in plain torch and with that compiled by torch.compile.

GB/s count the rows that an operator must read and, where it changes a table, the rows and states that it writes.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmarks.conftest import require_compiler
from benchmarks.kit.case import EPS, LR, MARGIN, MAX_NORM, N_COMPONENTS, N_NEGATIVES, N_PAIRS, SEED, Case
from benchmarks.kit.measure import ROUNDS, run
from benchmarks.kit.torch_operators import compiled_operators, operators
from cmlfast import reference
from cmlfast.training import Tables

N_QUERIES, K = 1_000, 100
ROW_BYTES = 4 * N_COMPONENTS
HINGE_BYTES = ROW_BYTES * N_PAIRS * (N_NEGATIVES + 2)
BACKWARD_BYTES = ROW_BYTES * N_PAIRS * 3


def measure(benchmark: Any, case: Case, kernels: ModuleType, function: Callable[[], Any], **options: Any) -> None:
    """Time an operator as its backend's rounds allow; backends of one operator and variant are a group."""
    name = "reference" if kernels is reference else "compiled"
    settings = {"rounds": ROUNDS[name], "n_pairs": N_PAIRS, **options}
    operator, _, variant = benchmark.name.removeprefix("test_").rstrip("]").partition("[")
    others = [part for part in variant.split("-") if part not in ("compiled", "reference")]
    benchmark.group = " ".join([operator, *others])
    run(
        benchmark,
        function,
        table=case.tables.item,
        data=case.data,
        n_negatives=N_NEGATIVES,
        r=N_COMPONENTS,
        **settings,
    )


@pytest.fixture(scope="session")
def negatives(case: Case) -> Tensor:
    return reference.sample_negatives(*case.sampling, case.n_items, N_NEGATIVES, SEED, 0)


def leaves(tables: Tables) -> tuple[Tensor, Tensor]:
    """Return both tables, to be differentiated with respect to."""
    return tables.user.clone().requires_grad_(), tables.item.clone().requires_grad_()


def test_sample_negatives(benchmark: Any, case: Case, kernels: ModuleType) -> None:
    offsets = itertools.count()
    measure(
        benchmark,
        case,
        kernels,
        lambda: kernels.sample_negatives(*case.sampling, case.n_items, N_NEGATIVES, SEED, next(offsets)),
    )


def test_warp_hinge(benchmark: Any, case: Case, kernels: ModuleType, negatives: Tensor) -> None:
    tables = case.tables.user, case.tables.item
    pairs = case.users, case.positives, negatives
    measure(
        benchmark,
        case,
        kernels,
        lambda: kernels.warp_hinge(*tables, *pairs, MARGIN, case.n_items),
        n_bytes=HINGE_BYTES,
    )


@pytest.mark.parametrize("sparse_grad", [False, True], ids=["dense", "sparse"])
def test_warp_hinge_backward(
    benchmark: Any, case: Case, kernels: ModuleType, negatives: Tensor, sparse_grad: bool
) -> None:
    tables = leaves(case.tables)
    pairs = case.users, case.positives, negatives
    loss = kernels.warp_hinge(*tables, *pairs, MARGIN, case.n_items, sparse_grad=sparse_grad)[0].sum()
    measure(
        benchmark,
        case,
        kernels,
        lambda: torch.autograd.grad(loss, tables, retain_graph=True),
        n_bytes=BACKWARD_BYTES,
    )


def test_warp_hinge_sampled(benchmark: Any, case: Case, kernels: ModuleType) -> None:
    tables = case.tables.user, case.tables.item
    offsets = itertools.count()
    measure(
        benchmark,
        case,
        kernels,
        lambda: kernels.warp_hinge_sampled(*tables, *case.sampling, N_NEGATIVES, MARGIN, SEED, next(offsets)),
        n_bytes=HINGE_BYTES,
    )


@pytest.fixture(scope="session")
def gradients(case: Case) -> tuple[Tensor, Tensor]:
    """Return the item table's part of a step: rows of a positive and a negative of every pair, and a gradient each."""
    generator = torch.Generator().manual_seed(SEED)
    rows = torch.cat((case.positives, torch.randint(case.n_items, (N_PAIRS,), generator=generator).int()))
    return rows, torch.randn(len(rows), N_COMPONENTS, generator=generator)


def adagrad_bytes(rows: Tensor) -> float:
    """Return the bytes of the gradients, and of each distinct row and its state, which are read and written."""
    return ROW_BYTES * (len(rows) + 4 * len(rows.unique()))


def test_adagrad_clip(benchmark: Any, case: Case, kernels: ModuleType, gradients: tuple[Tensor, Tensor]) -> None:
    rows, grads = gradients
    weight, state = case.tables.item.clone(), case.tables.item_state.clone()
    measure(
        benchmark,
        case,
        kernels,
        lambda: kernels.adagrad_clip_(weight, state, rows, grads, LR, EPS, MAX_NORM),
        n_bytes=adagrad_bytes(rows),
    )


def test_topk(benchmark: Any, case: Case, kernels: ModuleType) -> None:
    """The first users, without the items that they have; the reference once, since it takes seconds."""
    queries = case.tables.user[:N_QUERIES]
    seen = case.indptr[: N_QUERIES + 1], case.indices[: int(case.indptr[N_QUERIES])]
    measure(
        benchmark,
        case,
        kernels,
        lambda: kernels.topk(queries, case.tables.item, K, *seen),
        n_pairs=0,
        queries=N_QUERIES,
        k=K,
        rounds=1 if kernels is reference else 10,
    )


@pytest.mark.parametrize("name", ["torch", "torch_compile"])
@pytest.mark.parametrize("operator", [
    "sample_negatives", "warp_hinge", "warp_hinge_backward dense", "warp_hinge_backward sparse", "warp_hinge_sampled",
    "adagrad_clip", "topk",
])  # fmt: skip
def test_torch(
    benchmark: Any, case: Case, negatives: Tensor, gradients: tuple[Tensor, Tensor], operator: str, name: str
) -> None:
    """The same in plain torch, the baseline of the operator's group."""
    if name == "torch_compile":
        require_compiler("torch.compile")
    calls = {"torch": operators, "torch_compile": compiled_operators}[name](case, negatives, N_QUERIES, K, *gradients)
    if operator not in calls:
        pytest.skip("the sizes inside depend on the data, which torch.compile does not take")
    n_bytes = {
        "warp_hinge": HINGE_BYTES,
        "warp_hinge_sampled": HINGE_BYTES,
        "warp_hinge_backward dense": BACKWARD_BYTES,
        "warp_hinge_backward sparse": BACKWARD_BYTES,
        "adagrad_clip": adagrad_bytes(gradients[0]),
    }
    benchmark.group = operator
    with torch.no_grad():
        calls[operator]()  # untimed: torch.compile compiles here
        run(
            benchmark,
            calls[operator],
            10 if operator == "topk" else ROUNDS[name],
            n_pairs=0 if operator == "topk" else N_PAIRS,
            n_bytes=n_bytes.get(operator, 0),
            table=case.tables.item,
            baseline=name == "torch",
            data=case.data,
            n_negatives=N_NEGATIVES,
            r=N_COMPONENTS,
        )
