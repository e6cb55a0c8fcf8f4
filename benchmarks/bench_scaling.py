"""How the step's speed goes with the number of items, of negatives, of columns, of pairs in a batch, and of threads.

One thing changes at a time. Users, positives and negatives are spread evenly over made-up tables, which is the worst
case for the cache; nearly all pairs have a positive hinge, which is the most work. Real data, with popular items, is
kinder. Steps have a learning rate of 0: they move every byte of a step, and the next one finds the same work.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.kit.case import SEED, Case, step_, touched_rows
from benchmarks.kit.limits import step_bytes
from benchmarks.kit.made_up import random_case, with_batch
from benchmarks.kit.measure import kernels_of, run
from cmlfast.training.tables import zeros

USERS = 100_000
DRAWN = 2_000  # items; a divisor of every number of items
ROUNDS = 15
HEADROOM = 2e9  # bytes left to everything but the tables: the matrix, Python and torch, the table before


@dataclass(frozen=True)
class Size:
    """What a step works on; the threads are all of torch's if 0."""

    items: int = 260_000
    r: int = 100
    pairs: int = 10_000
    negatives: int = 20
    threads: int = 0


def sizes() -> dict[str, Size]:
    """Return the sizes by name; those of equal tables stand side by side."""
    most = torch.get_num_threads()
    threads = sorted({most, *(2**i for i in range(most.bit_length()))})
    return {
        **{f"J={items}": Size(items=items) for items in (26_000, 1_000_000, 10_000_000, 260_000)},
        **{f"U={negatives}": Size(negatives=negatives) for negatives in (5, 10, 50, 100)},
        **{f"N={pairs}": Size(pairs=pairs) for pairs in (1_000, 100_000)},
        **{f"threads={n}": Size(threads=n) for n in threads if n != most},
        **{f"r={r}": Size(r=r) for r in (16, 32, 64, 128, 256)},
    }


def available_bytes() -> float:
    """Return how much memory is free or could be freed, or infinity where the system does not say."""
    report = Path("/proc/meminfo")
    if not report.exists():
        return float("inf")
    lines = dict(line.split(":") for line in report.read_text().splitlines())
    return 1024 * float(lines["MemAvailable"].split()[0])


@lru_cache(maxsize=1)  # large ones may not fit side by side
def tables_of(items: int, r: int) -> Case:
    """Make tables that hold a few drawn items again and again, since drawing a billion numbers takes a minute."""
    few = random_case(USERS, DRAWN, 1, r, "cpu")
    times = items // DRAWN
    item, item_state = (zeros((items, r), torch.float32) for _ in range(2))  # of the memory that a training has
    item.view(times, DRAWN, r)[:] = few.tables.item
    item_state.view(times, DRAWN, r)[:] = few.tables.item_state
    tables = replace(few.tables, item=item, item_state=item_state)
    # An item becomes one of `times` in its place: a user's stay sorted, and spread over all.
    copies = torch.randint(times, few.indices.shape, generator=torch.Generator().manual_seed(SEED), dtype=torch.int32)
    return replace(few, tables=tables, indices=few.indices * times + copies)


@contextmanager
def threads_set(n: int) -> Iterator[None]:
    """Let torch use n threads for a while; as many as before if 0."""
    before = torch.get_num_threads()
    torch.set_num_threads(n or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@pytest.mark.benchmark(group="scaling")
@pytest.mark.parametrize("size", [pytest.param(size, id=name) for name, size in sizes().items()])
def test_step(benchmark: Any, size: Size) -> None:
    kernels = kernels_of("compiled")
    needs = 2 * 4 * size.r * (size.items + USERS) + HEADROOM
    if available_bytes() < needs:
        pytest.skip(f"{available_bytes() / 1e9:.1f} GB of memory are available; {needs / 1e9:.1f} GB are needed")
    case = with_batch(tables_of(size.items, size.r), size.pairs)
    offsets = itertools.count()

    def step() -> Any:
        return step_(kernels, case, case.tables, 0.0, next(offsets), size.negatives)

    with threads_set(size.threads):
        _, _, active = step()
        run(
            benchmark,
            step,
            ROUNDS,
            n_pairs=size.pairs,
            n_bytes=step_bytes(size.pairs, size.negatives, size.r, touched_rows(case, size.negatives)),
            table=case.tables.item,
            data="made up, uniform",
            items=size.items,
            n_negatives=size.negatives,
            r=size.r,
            batch=size.pairs,
            active=int(active),
        )
