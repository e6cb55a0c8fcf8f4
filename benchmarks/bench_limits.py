"""What this machine's memory gives: the limit of a step, to be read beside the step's GB/s of the same run.

A step reads rows of 4 r = 400 bytes from everywhere in a table. "gather" copies such rows into an array that stays in
the cache; "gather_sum" adds them up, 20 by 20, and writes hardly anything.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from benchmarks.case import N_COMPONENTS, N_NEGATIVES, N_PAIRS, SEED
from benchmarks.measure import run

COPY_MEGABYTES = 512
TABLE_ROWS = (1_000, 10_000, 26_000, 100_000, 1_000_000)
ROUNDS = 15
CHUNK = 4096  # rows gathered into the same array, 1.6 MB


def name_of(rows: int) -> str:
    return f"{rows * N_COMPONENTS * 4 / 1e6:g}MB"


@pytest.mark.benchmark(group="copy")
def test_copy(benchmark: Any) -> None:
    source = torch.ones(COPY_MEGABYTES * 250_000)
    target = torch.empty_like(source)
    run(benchmark, lambda: target.copy_(source), ROUNDS, n_bytes=2e6 * COPY_MEGABYTES)


@pytest.mark.benchmark(group="gather")
@pytest.mark.parametrize("rows", TABLE_ROWS, ids=name_of)
@pytest.mark.parametrize("kind", ["gather", "gather_sum"])
def test_rows(benchmark: Any, rows: int, kind: str) -> None:
    generator = torch.Generator().manual_seed(SEED)
    table = torch.ones(rows, N_COMPONENTS)
    ids = torch.randint(rows, (N_PAIRS, N_NEGATIVES), generator=generator)
    chunks = ids.view(-1).split(CHUNK)
    target = torch.empty(CHUNK, N_COMPONENTS)

    def gather() -> None:
        for chunk in chunks:
            torch.index_select(table, 0, chunk, out=target[: len(chunk)])

    def gather_sum() -> None:
        F.embedding_bag(ids, table, mode="sum")

    function = {"gather": gather, "gather_sum": gather_sum}[kind]
    n_bytes = 4 * N_COMPONENTS * ids.numel()
    run(benchmark, function, ROUNDS, n_bytes=n_bytes, table_bytes=4 * N_COMPONENTS * rows)
