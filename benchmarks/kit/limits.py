"""What this machine's memory gives: how fast rows can be read from everywhere in a table, as fast as anything we know.

That is the limit of a step. It depends on the table (its size, for the cache holds small ones; its pages), on the row's
size and on the number of threads; so it is measured on the very table that a benchmark worked on, right after it. The
best of all ways counts: torch's ``embedding_bag`` and a C++ loop that does nothing else (``gather_probe.cpp``; there is
none without a compiler), with rows fetched ahead or not.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from benchmarks.kit.case import SEED

BAG = 20  # rows that are summed into one
AHEAD = (0, 8, 32)  # rows that the C++ loop fetches ahead
READ_BYTES = 160_000_000  # in a round
ROUNDS = 7

Gather = Callable[[], Tensor]


@dataclass(frozen=True)
class Limit:
    """The fastest way to read rows from everywhere in a table."""

    gb_per_second: float
    way: str


def new_ids(rows: int, r: int) -> Tensor:
    """Draw the rows to read, [n, `BAG`]."""
    n_bags = max(READ_BYTES // (4 * r * BAG), 1)
    return torch.randint(rows, (n_bags, BAG), generator=torch.Generator().manual_seed(SEED))


def compiler() -> str | None:
    """Return the C++ compiler's path, or None where there is none."""
    return shutil.which(os.environ.get("CXX", "c++"))


@cache
def compiled_probe() -> Callable[..., None] | None:
    """Compile the C++ loop, or return None without a compiler."""
    program = compiler()
    if program is None:
        return None
    source = Path(__file__).with_name("gather_probe.cpp")
    with tempfile.TemporaryDirectory() as folder:  # the library may go once it is loaded
        library = Path(folder) / "gather_probe.so"
        flags = ["-O3", "-std=c++17", "-shared", "-fPIC", "-pthread"]
        subprocess.run([program, *flags, str(source), "-o", str(library)], check=True)
        function = ctypes.CDLL(str(library)).gather_sum
    function.argtypes = [ctypes.c_void_p, ctypes.c_int64] * 2 + [ctypes.c_int64] * 3 + [ctypes.c_void_p]
    function.restype = None
    return function


def ways(table: Tensor, ids: Tensor) -> dict[str, Gather]:
    """Return the ways to sum rows bag by bag, with torch's present number of threads."""
    r = table.shape[1]
    result: dict[str, Gather] = {"embedding_bag": lambda: F.embedding_bag(ids, table, mode="sum")}
    probe = compiled_probe()
    if probe is not None:
        sums = torch.empty(len(ids), r)

        def sum_rows(ahead: int) -> Tensor:
            threads = torch.get_num_threads()
            probe(table.data_ptr(), r, ids.data_ptr(), len(ids), ids.shape[1], ahead, threads, sums.data_ptr())
            return sums

        for ahead in AHEAD:
            result[f"C++, {ahead} rows ahead"] = lambda ahead=ahead: sum_rows(ahead)
    return result


def median_seconds(functions: dict[str, Gather], rounds: int) -> dict[str, float]:
    """Time functions turn by turn, after one untimed turn."""
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for turn in range(rounds + 1):
        for name, function in functions.items():
            began = time.perf_counter()
            function()
            if turn:
                seconds[name].append(time.perf_counter() - began)
    return {name: statistics.median(each) for name, each in seconds.items()}


def gather_limit(table: Tensor) -> Limit:
    """Return the limit for a float32 table [J, r] and torch's present number of threads."""
    rows, r = table.shape
    ids = new_ids(rows, r)
    seconds = median_seconds(ways(table, ids), ROUNDS)
    way = min(seconds, key=lambda name: seconds[name])
    return Limit(4 * r * ids.numel() / seconds[way] / 1e9, way)


def step_bytes(n_pairs: int, n_negatives: int, r: int, n_touched: int) -> int:
    """Return the bytes that a step on float32 tables must read and write at least, without its ids.

    Read of every pair: the user's row, the positive's and the negatives', N (U + 2) rows. Of every distinct row that
    changes, `n_touched` of both tables: its AdaGrad state read and written, the row itself written (the scan has read
    it), 3 rows. The rows that a gradient is made of, up to 3 more for an active pair, are not counted: the scan has
    just read them, and a kernel may keep them.
    """
    return 4 * r * (n_pairs * (n_negatives + 2) + 3 * n_touched)
