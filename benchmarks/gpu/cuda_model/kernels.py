"""What each kernel of the CUDA training step moves, by formula from its source: see `benchmarks.gpu.cuda_model`."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.kit.shape import SECTOR, THREADS, Shape, row_requests

RUN = 64  # occurrences of a row that one group sums
# Sectors for a warp with a run: the key again, the key 64 places on, up to eleven keys, their positions. How many such
# reads a compiler merges is its own affair, so that the number is fitted to what the emulator counts on citeulike-t.
RUN_KEYS = 7


@dataclass(frozen=True)
class Traffic:
    """Bytes per pair."""

    asked: float
    passed: float


def of_sectors(asked_loads: float, passed_loads: float, stores: float) -> Traffic:
    """Turn sectors into bytes. Stores count the same on both levels, for the first cache writes through."""
    return Traffic(SECTOR * (asked_loads + stores), SECTOR * (passed_loads + stores))


def scan_pairs(s: Shape) -> Traffic:
    # A user's row stays in registers, or is read for every four rows that it is compared with.
    user_reads = 1 if s.one_tile else math.ceil((s.n_negatives + 1) / 4)
    rows = (s.n_negatives + 1 + user_reads) * s.asked(s.storage)
    # A warp's four pairs have the fault, their users and their positives in a sector each, and two or so weights.
    narrow = 3 / 4 + 2 / 4 + 2 + s.search_asked()
    passed = (s.n_negatives + 2) * s.touched(s.storage) + 2 * s.id_bytes / SECTOR + 1 + s.search_touched()
    return of_sectors(rows + narrow, passed, 10 / 4)  # ten numbers are stored, four pairs' in a sector


def looked_at(places: float, named: float) -> float:
    """Return the sectors of keys by which groups see if a row begins at their place.

    A warp reads four keys, in one sector, and for places that name a row those before them, every second time in two.
    """
    return places / 4 + 1.5 * named / 4


def _sum_runs(s: Shape, places: float, distinct: float, named: float, rows: int, entries: int) -> Traffic:
    """Sum up, for each pair: `places` to look at, `named` occurrences that read `rows` rows and `entries` numbers.

    A row of several tiles is stored before the clip and, as if every row were clipped, read and stored again.
    """

    def loads(row_sectors: Callable[[int], float]) -> float:
        own = distinct * (row_sectors(s.storage) + row_sectors(4)) + named * rows * row_sectors(s.storage)
        return own if s.one_tile else own + distinct * row_sectors(4)

    # Warps with a run among their four places: inactive places stand at the end.
    warps = named / 4 * (1 - (1 - distinct / named) ** 4) if named else 0
    keys = looked_at(places, named) + RUN_KEYS * s.tiles * warps
    stores = distinct * (s.asked(s.storage) + s.asked(4) * (1 if s.one_tile else 2))
    return of_sectors(
        loads(s.asked) + keys + named * entries * s.tiles,
        loads(s.touched) + places * 8 / SECTOR + named * entries,
        stores,
    )


def sum_runs_users(s: Shape) -> Traffic:
    return _sum_runs(s, 1, s.distinct_users, s.active, rows=2, entries=3)


def sum_runs_items(s: Shape) -> Traffic:
    return _sum_runs(s, 2, s.distinct_items, 2 * s.active, rows=1, entries=2)


def finish_long_rows(s: Shape) -> Traffic:
    """Every 64th place searches where its row begins. The rows with several runs themselves are not counted."""
    asked = sum(places // RUN * (math.log2(places) + 2) for places in (s.n_pairs, 2 * s.n_pairs) if places >= RUN)
    return of_sectors(asked / s.n_pairs, asked / s.n_pairs, 0)


def store_fresh_rows(s: Shape) -> Traffic:
    # Numbers that are moved one by one are moved in order here, for no sums are taken.
    row = s.asked(s.storage) if s.vector else row_requests(s.r, s.storage, THREADS, 1)
    rows = s.distinct_users
    return of_sectors(looked_at(1, s.active) + rows * row, 4 / SECTOR + rows * s.touched(s.storage), rows * row)


def sort(s: Shape) -> Traffic:
    """CUB's one-sweep radix sort: keys once for the histogram, then keys and places in and out for every eight bits."""
    passes = math.ceil((s.n_users + 1 + s.n_items).bit_length() / 8)
    moved = 3 * (4 + 16.0 * passes)
    return Traffic(moved, moved)


def add_up(s: Shape) -> Traffic:
    return Traffic(12, 12)


def check_pairs(s: Shape) -> Traffic:
    """Each pair's ids, and the two ends of the user's row by two requests."""
    ids = 2 * s.id_bytes / SECTOR
    return of_sectors(ids + 2, ids + 1, 0)


def store_weights(s: Shape) -> Traffic:
    stored = 4 * (s.n_negatives + 1) / s.n_pairs
    return Traffic(stored, stored)


KERNELS: dict[str, Callable[[Shape], Traffic]] = {
    "check_pairs_kernel": check_pairs,
    "store_weights": store_weights,
    "scan_pairs": scan_pairs,
    "sort": sort,
    "sum_runs, users": sum_runs_users,
    "sum_runs, items": sum_runs_items,
    "finish_long_rows": finish_long_rows,
    "store_fresh_rows": store_fresh_rows,
    "add_up": add_up,
}
