"""Every operator at full size: compiled, as the reference, in plain torch and with that compiled by torch.compile.

GB/s count the rows that an operator must read and, where it changes a table, the rows and states that it writes. The
reference searches once, since it takes seconds. Of the sampled softmax, plain torch is what is usually written;
`sampled_softmax_gradients` in plain torch is the best of it, with the same products.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch

from benchmarks.kit.case import N_NEGATIVES, Case
from benchmarks.kit.measure import ROUNDS, kernels_of, require_compiler, run
from benchmarks.kit.operators import OPERATORS, Call, Work
from benchmarks.kit.torch_operators import compiled_calls, plain_calls

TOPK_ROUNDS = {"reference": 1}


@pytest.fixture(scope="module")
def work(case: Case) -> Work:
    return Work(case)


def call_of(backend: str, operator: str, work: Work) -> Call:
    """Return what is timed, or skip."""
    if backend in ("compiled", "reference"):
        return OPERATORS[operator](kernels_of(backend), work)
    if backend == "torch":
        return plain_calls(work)[operator]
    require_compiler("torch.compile")
    calls = compiled_calls(work)
    if operator not in calls:
        pytest.skip("the sizes inside depend on the data, which torch.compile does not take")
    return calls[operator]


@pytest.mark.parametrize("backend", ["compiled", "reference", "torch", "torch_compile"])
@pytest.mark.parametrize("operator", OPERATORS)
def test_operator(benchmark: Any, work: Work, operator: str, backend: str) -> None:
    call = call_of(backend, operator, work)
    benchmark.group = operator
    with torch.no_grad():
        call()  # untimed: torch.compile compiles here
        run(
            benchmark,
            call,
            TOPK_ROUNDS.get(backend, 10) if operator == "topk" else ROUNDS[backend],
            n_pairs=work.n_pairs(operator),
            n_bytes=work.row_bytes().get(operator, 0),
            table=work.case.tables.item,
            baseline=backend == "torch",
            data=work.case.data,
            n_negatives=N_NEGATIVES,
            r=work.grads.shape[1],
        )
