"""The whole training step: compiled, as the reference, and in plain torch as fast as we can write it.

"torch" is the fastest without a compiler; "torch_compile" has those parts compiled that torch.compile makes faster;
"torch_differences" takes distances by differences, as the reference does, from gathered rows.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch

from benchmarks.kit import softmax_steps, torch_cml, torch_compiled
from benchmarks.kit.case import (
    EPS,
    LR,
    MARGIN,
    MAX_NORM,
    N_COMPONENTS,
    N_NEGATIVES,
    N_PAIRS,
    SEED,
    Case,
    Counts,
    restore_,
    step_,
    touched_rows,
)
from benchmarks.kit.limits import step_bytes
from benchmarks.kit.made_up import with_batch
from benchmarks.kit.measure import ROUNDS, kernels_of, require_compiler, run
from cmlfast.ops.arithmetic import rank_weights
from cmlfast.training.tables import Tables

Step = Callable[[], Counts]


def fused_step(name: str, case: Case, tables: Tables) -> Step:
    kernels, offsets = kernels_of(name), itertools.count()
    return lambda: step_(kernels, case, tables, LR, next(offsets))


def torch_step(case: Case, tables: Tables, **parts: Any) -> Step:
    torch.manual_seed(SEED)
    sampler = torch_cml.Sampler(case.indptr, case.indices, case.n_items)
    weights = torch.tensor(rank_weights(case.n_items, N_NEGATIVES, True))

    def step() -> Counts:
        negatives = sampler.draw(case.users, N_NEGATIVES)
        return torch_cml.step_(
            *tables.all(), case.users, case.positives, negatives, MARGIN, LR, EPS, MAX_NORM, weights, **parts
        )

    return step


def compiled_torch_step(case: Case, tables: Tables) -> Step:
    require_compiler("torch.compile")
    scan, update_ = torch_compiled.compiled()
    return torch_step(case, tables, scan=scan, update_=update_)


STEPS: dict[str, Callable[[Case, Tables], Step]] = {
    "compiled": partial(fused_step, "compiled"),
    "torch": torch_step,
    "torch_compile": compiled_torch_step,
    "torch_differences": partial(torch_step, scan=partial(torch_cml.scan, distance=torch_cml.by_differences)),
    "reference": partial(fused_step, "reference"),
}


@pytest.mark.benchmark(group="step")
@pytest.mark.parametrize("name", STEPS)
def test_step(benchmark: Any, case: Case, name: str) -> None:
    tables = case.tables.clone()
    step = STEPS[name](case, tables)

    def warm_start() -> None:
        """Leave caches as a step of a training finds them: after another step, not after a copy of all tables."""
        restore_(tables, case.tables)
        step()

    _, impostors, active = step()  # untimed: torch.compile compiles here
    run(
        benchmark,
        step,
        ROUNDS[name],
        setup=warm_start,
        n_pairs=N_PAIRS,
        n_bytes=step_bytes(N_PAIRS, N_NEGATIVES, N_COMPONENTS, touched_rows(case, N_NEGATIVES)),
        table=tables.item,
        baseline=name == "torch",
        data=case.data,
        n_negatives=N_NEGATIVES,
        r=N_COMPONENTS,
        active=int(active),
        impostors=int(impostors),
    )


@pytest.mark.benchmark(group="step of the softmax")
@pytest.mark.parametrize("name", softmax_steps.STEPS)
def test_softmax_step(benchmark: Any, case: Case, name: str) -> None:
    n_pairs, n_negatives = softmax_steps.SIZES
    case = with_batch(case, n_pairs)
    run(
        benchmark,
        softmax_steps.STEPS[name](case, case.tables.clone(), n_negatives),
        200,
        n_pairs=n_pairs,
        baseline=name == "torch",
        data=case.data,
        n_negatives=n_negatives,
        r=N_COMPONENTS,
    )
