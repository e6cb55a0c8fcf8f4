"""The machine's limits, the training step and the other operators on a GPU; skipped where there is none.

Times are the host's clock with ``torch.cuda.synchronize()`` before each look at it, around rounds of several calls that
follow each other without a wait of ours; so a call that takes the device less time than the host needs to launch its
kernels shows the host's time. Steps have a learning rate of 0: they move every byte of a step, and the next one finds
the same work. The floor is `benchmarks.kit.floor`'s, from the copy's bandwidth in the same run or the published one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from benchmarks.kit import softmax_steps
from benchmarks.kit.case import N_COMPONENTS, N_NEGATIVES, SEED, Case
from benchmarks.kit.floor import BANDWIDTH, least_bytes
from benchmarks.kit.gpu import why_not
from benchmarks.kit.gpu_calls import (
    BATCHES,
    CALLS,
    COPY_BYTES,
    DEVICE,
    GATHER_TABLES,
    GATHERED,
    LARGE,
    LARGE_NEEDS,
    N_SHARED,
    ROUNDS,
    ROW_BYTES,
    STEPS,
    copy_bandwidth,
    device_time,
)
from benchmarks.kit.made_up import random_case, with_batch
from benchmarks.kit.measure import run
from benchmarks.kit.operators import OPERATORS, K, Work
from cmlfast import ops

WHY_NOT = why_not()
pytestmark = [
    pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT or "runs here"),
    pytest.mark.benchmark(timer=device_time),
]


@pytest.fixture(scope="session")
def small(case: Case) -> Case:
    return case.to(DEVICE)


@pytest.fixture(scope="session")
def large() -> Case:
    free, _ = torch.cuda.mem_get_info()
    if free < LARGE_NEEDS:
        pytest.skip(f"{free / 1e9:.1f} GB are free on the GPU; {LARGE_NEEDS / 1e9:g} GB are needed")
    return random_case(LARGE, LARGE, BATCHES[0], N_COMPONENTS, DEVICE)


@pytest.fixture(params=["citeulike", "large"])
def tables(request: pytest.FixtureRequest) -> Case:
    """Return each of the cases, with the batch that it was made with."""
    result: Case = request.getfixturevalue({"citeulike": "small", "large": "large"}[request.param])
    return result


@pytest.fixture(params=BATCHES)
def n_pairs(request: pytest.FixtureRequest) -> int:
    return int(request.param)


def test_copy(benchmark: Any) -> None:
    benchmark.group = "limits"
    source = torch.ones(COPY_BYTES // 4, device=DEVICE)
    target = torch.empty_like(source)
    run(benchmark, lambda: target.copy_(source), ROUNDS, n_bytes=2 * COPY_BYTES, iterations=CALLS)


@pytest.mark.parametrize("size", GATHER_TABLES)
@pytest.mark.parametrize("kind", ["index_select", "embedding_bag"])
def test_rows(benchmark: Any, size: str, kind: str) -> None:
    """Rows from everywhere in a table; the bytes are those read, and index_select writes as many."""
    benchmark.group = "limits"
    rows = GATHER_TABLES[size]
    table = torch.ones(rows, N_COMPONENTS, device=DEVICE)
    ids = torch.randint(rows, (GATHERED,), generator=torch.Generator(DEVICE).manual_seed(SEED), device=DEVICE)
    target = torch.empty(GATHERED if kind == "index_select" else 0, N_COMPONENTS, device=DEVICE)
    functions: dict[str, Callable[[], Any]] = {
        "index_select": lambda: torch.index_select(table, 0, ids, out=target),
        "embedding_bag": lambda: F.embedding_bag(ids.view(-1, N_NEGATIVES), table, mode="sum"),
    }
    run(benchmark, functions[kind], ROUNDS, n_bytes=ROW_BYTES * GATHERED, iterations=CALLS)


@pytest.mark.parametrize("name", softmax_steps.STEPS)
def test_softmax_step(benchmark: Any, tables: Case, n_pairs: int, name: str) -> None:
    case = with_batch(tables, n_pairs)
    benchmark.group = f"step of the softmax, {case.data}, {n_pairs:,} pairs"
    run(
        benchmark,
        softmax_steps.STEPS[name](case, case.tables.clone(), N_SHARED),
        ROUNDS,
        n_pairs=n_pairs,
        iterations=CALLS,
        baseline=name == "torch",
        data=case.data,
        n_negatives=N_SHARED,
    )


@pytest.mark.parametrize("name", STEPS)
def test_step(benchmark: Any, tables: Case, n_pairs: int, name: str) -> None:
    if name == "reference" and n_pairs != BATCHES[0]:
        pytest.skip("the reference takes the small batch only")
    case = with_batch(tables, n_pairs)
    benchmark.group = f"step, {case.data}, {n_pairs:,} pairs"
    step = STEPS[name](case)
    _, impostors, active = step()
    n_bytes = sum(least_bytes(case).values())
    slow = name == "reference"
    run(
        benchmark,
        step,
        3 if slow else ROUNDS,
        n_pairs=n_pairs,
        n_bytes=n_bytes,
        iterations=1 if slow else CALLS,
        baseline=name == "torch",
        data=case.data,
        active=int(active),
        impostors=int(impostors),
    )
    if benchmark.stats is None:
        return
    median = benchmark.stats.stats.median
    published = BANDWIDTH.get(torch.cuda.get_device_name())
    benchmark.extra_info["of_measured_floor"] = n_bytes / copy_bandwidth() / median
    if published:
        benchmark.extra_info["of_published_floor"] = n_bytes / published / median


@pytest.mark.parametrize("name", [name for name in OPERATORS if name != "topk"])
def test_operator(benchmark: Any, small: Case, n_pairs: int, name: str) -> None:
    work = Work(with_batch(small, n_pairs))
    benchmark.group = f"operators, {small.data}, {n_pairs:,} pairs"
    n_bytes = work.row_bytes().get(name, 0)
    run(
        benchmark,
        OPERATORS[name](ops, work),
        ROUNDS,
        n_pairs=work.n_pairs(name),
        n_bytes=n_bytes,
        iterations=CALLS,
        data=small.data,
    )


def test_topk(benchmark: Any, tables: Case) -> None:
    """The first users, without the items that they have."""
    work = Work(tables)
    benchmark.group = f"topk, {tables.data}"
    run(benchmark, OPERATORS["topk"](ops, work), 5, queries=len(work.queries), k=K, data=tables.data)
