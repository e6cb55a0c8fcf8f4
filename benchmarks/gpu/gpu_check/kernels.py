"""What each kernel takes on a GPU, beside what its bytes and operations predict: tests for a machine with a GPU.

``pytest benchmarks/gpu/gpu_check/kernels.py`` runs them; pytest does not collect this file by itself. The times are the
driver's own, by torch's profiler. A prediction is the bytes that a kernel passes on, at the bandwidth of a copy of this
run, or its instructions at one a cycle of every lane, whichever takes longer, and a launch at least.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pytest
import torch

from benchmarks.gpu.cuda_check.names import library, short
from benchmarks.kit.case import LR, N_NEGATIVES, Case, active_rows, step_
from benchmarks.kit.gpu_calls import copy_bandwidth
from benchmarks.kit.made_up import random_case
from cmlfast import ops

CALLS = 10
LAUNCH = 2e-6  # seconds that an empty kernel takes
SECTOR = 32  # bytes
STEPS = ((100, 10_000), (100, 100_000), (128, 100_000))  # r, pairs
SEARCHES = (26_000, 260_000, 1_000_000)  # items
ROWS, N_QUERIES, K, SEEN = 1_000_000, 1_000, 100, 20


@dataclass(frozen=True)
class Work:
    """What a kernel does in a call.

    Attributes
    ----------
    bytes : float
        Moved to and from memory.
    instructions : float
        Of single lanes.
    """

    bytes: float
    instructions: float = 0.0


@dataclass(frozen=True)
class Row:
    """A kernel in one case, of one call: microseconds."""

    case: str
    kernel: str
    predicted: float | None  # None: no model
    measured: float


def row_bytes(r: int, element: int = 4) -> float:
    """Return the bytes that are moved for a row anywhere in a table, by whole sectors."""
    size = r * element
    return size + SECTOR - math.gcd(size, SECTOR) if size % SECTOR else size


def work_of_step(case: Case, n_negatives: int = N_NEGATIVES) -> dict[str, Work]:
    """Return the work of a step's kernels, by the beginning of their names; what reads or writes rows."""
    n, row = len(case.users), row_bytes(case.tables.user.shape[1])
    active, users, items = active_rows(case, n_negatives)
    bits = (len(case.tables.user) + len(case.tables.item) + 1).bit_length()
    return {
        "scan_pairs": Work(n * ((n_negatives + 2) * row + 8 * SECTOR)),
        # Read: both items of a pair, and old rows and states. Written: states, and rows beside the table.
        "sum_runs<.*UserShares": Work(active * 2 * row + users * 4 * row),
        "sum_runs<.*ItemShares": Work(active * 2 * row + items * 4 * row),
        "finish_step": Work(users * 2 * row + 12 * n),
        # Keys and positions, read and written in passes of eight bits, and read once before.
        "DeviceRadixSort": Work(3 * n * (16 * -(-bits // 8) + 4)),
        "add_up": Work(24 * n / 1024),
    }


def work_of_search(n_queries: int, n_items: int, r: int) -> dict[str, Work]:
    """Return the work of the kernels of a search whose time grows with the items."""
    padded = -(-r // 16) * 16
    tiles = -(-n_queries // 128)
    return {
        # 64 multiply-adds of a thread, with four loads of shared memory and two steps of the loop between.
        "find_near": Work(n_items * row_bytes(r) * tiles, n_items * tiles * 128 * padded * 70 / 64),
        "bound_items": Work(n_items * (row_bytes(r) + 8)),
    }


def seconds_of(work: Work, bandwidth: float, lanes_a_second: float) -> float:
    """Return the time that a kernel needs at least, by this model."""
    return max(LAUNCH, work.bytes / bandwidth, work.instructions / lanes_a_second)


def lanes_a_second() -> float:
    """Return how many instructions of single lanes the device can begin in a second, at its highest clock."""
    properties = torch.cuda.get_device_properties(torch.cuda.current_device())
    return properties.multi_processor_count * 128 * clock_hertz()


def clock_hertz() -> float:
    """Return the highest clock of the multiprocessors, as the driver says; 1.5 GHz where it does not."""
    from benchmarks.gpu.gpu_check.tools import output

    told = output("nvidia-smi", "--query-gpu=clocks.max.sm", "--format=csv,noheader,nounits").splitlines()
    return 1e6 * float(told[0]) if told and told[0].strip().isdigit() else 1.5e9


def profiled(call: Callable[[], Any]) -> dict[str, float]:
    """Return the seconds of each kernel in a call, by its short name."""
    call()
    torch.cuda.synchronize()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        for _ in range(CALLS):
            call()
        torch.cuda.synchronize()
    found: dict[str, float] = {}
    for event in profile.key_averages():
        name = "DeviceRadixSort" if library(event.key) else short(event.key)
        found[name] = found.get(name, 0.0) + 1e-6 * event.self_device_time_total / CALLS
    return {name: seconds for name, seconds in found.items() if seconds > 0}


def compared(case: str, found: dict[str, float], works: dict[str, Work], bandwidth: float, lanes: float) -> list[Row]:
    """Return measured and predicted microseconds of each kernel, and of all with a model together."""
    rows = []
    for name, seconds in sorted(found.items(), key=lambda one: -one[1]):
        work = next((work for pattern, work in works.items() if re.match(pattern, name)), None)
        predicted = None if work is None else 1e6 * seconds_of(work, bandwidth, lanes)
        rows.append(Row(case, name, predicted, 1e6 * seconds))
    return rows


@pytest.fixture
def device() -> str:
    return "cuda"


def record(rows: Sequence[Row], record_property: Callable[[str, object], None]) -> None:
    """Leave rows where the report finds them, in pytest's results."""
    for row in rows:
        record_property("kernel", json.dumps(asdict(row)))


@pytest.mark.parametrize(("r", "n_pairs"), STEPS)
def test_step(device: str, r: int, n_pairs: int, record_property: Callable[[str, object], None]) -> None:
    case = random_case(ROWS, ROWS, n_pairs, r, device)
    tables = case.tables.clone()
    found = profiled(lambda: step_(ops, case, tables, 1e-3 * LR, 0))
    rows = compared(f"step, r = {r}, {n_pairs:,} pairs", found, work_of_step(case), copy_bandwidth(), lanes_a_second())
    record(rows, record_property)
    assert {"scan_pairs", "add_up"} <= {row.kernel.partition("<")[0] for row in rows}


@pytest.mark.parametrize("n_items", SEARCHES)
def test_search(device: str, n_items: int, record_property: Callable[[str, object], None]) -> None:
    case = random_case(N_QUERIES, n_items, 10, 100, device, liked=SEEN)
    found = profiled(lambda: ops.topk(case.tables.user, case.tables.item, K, case.indptr, case.indices))
    works = work_of_search(N_QUERIES, n_items, 100)
    rows = compared(f"top {K} of {n_items:,}", found, works, copy_bandwidth(), lanes_a_second())
    record(rows, record_property)
    assert {"find_near", "keep_nearest"} <= {row.kernel.partition("<")[0] for row in rows}
