"""What this machine's memory gives: the limit of a step, to be read beside the step's GB/s of the same run.

A step reads rows of 4 r = 400 bytes from everywhere in a table. "rows" sums such rows, 20 by 20, and writes hardly
anything, in every way of `benchmarks.kit.limits`, over tables that fit the caches and tables that do not. "copy" is
what a large copy reads and writes.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch

from benchmarks.kit.case import N_COMPONENTS
from benchmarks.kit.limits import AHEAD, new_ids, ways
from benchmarks.kit.measure import require_compiler, run

COPY_MEGABYTES = 512
TABLE_ROWS = (1_000, 10_000, 26_000, 260_000, 1_000_000)
ROUNDS = 15
NAMES = ["embedding_bag", *(f"C++, {ahead} rows ahead" for ahead in AHEAD)]


def name_of(rows: int) -> str:
    return f"{rows * N_COMPONENTS * 4 / 1e6:g}MB"


@pytest.mark.benchmark(group="copy")
def test_copy(benchmark: Any) -> None:
    source = torch.ones(COPY_MEGABYTES * 250_000)
    target = torch.empty_like(source)
    run(benchmark, lambda: target.copy_(source), ROUNDS, n_bytes=2e6 * COPY_MEGABYTES)


@pytest.mark.benchmark(group="rows")
@pytest.mark.parametrize("rows", TABLE_ROWS, ids=name_of)
@pytest.mark.parametrize("name", NAMES)
def test_rows(benchmark: Any, rows: int, name: str) -> None:
    if name != "embedding_bag":
        require_compiler("the C++ loop")
    ids = new_ids(rows, N_COMPONENTS)
    way = ways(torch.ones(rows, N_COMPONENTS), ids)[name]
    run(
        benchmark,
        way,
        ROUNDS,
        n_bytes=4 * N_COMPONENTS * ids.numel(),
        table_bytes=4 * N_COMPONENTS * rows,
    )
