"""What a training step works on, as numbers, and how many 32-byte sectors of memory its rows and searches touch."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

SECTOR = 32  # bytes: what global memory moves at least
THREADS, LANES = 8, 32  # of a group that shares a row; elements that it takes at a time
LARGEST_TILE = 128  # elements of a row that a group keeps in registers


@dataclass(frozen=True)
class Shape:
    """One batch and its tables.

    The defaults are a batch of citeulike-t's training part after three epochs, as `benchmarks.kit.case` makes it and
    `benchmarks.gpu.cuda_model.traffic` counts it.

    Attributes
    ----------
    n_pairs, n_negatives, r : int
        N pairs, U negatives for each, rows of r numbers.
    n_users, n_items : int
        Rows of the tables; they decide how many bits are sorted, and whether a table fits a cache.
    active : float
        Share of the pairs with a positive hinge.
    distinct_users, distinct_items : float
        Distinct rows that active pairs name, for each pair of the batch.
    storage : {4, 2}
        Bytes of a number in the tables; accumulators have 4.
    id_bytes : {4, 8}
        Bytes of an id.
    steps : tuple of float
        Share of the pairs whose user's positives take 0, 1, 2, ... halvings to search: the bits of their number.
    aligned : bool
        Whether the tables begin at multiples of 16 bytes.
    """

    n_pairs: int = 10_000
    n_negatives: int = 20
    r: int = 100
    n_users: int = 7_947
    n_items: int = 25_975
    active: float = 0.9964
    distinct_users: float = 0.408
    distinct_items: float = 1.121
    storage: int = 4
    id_bytes: int = 4
    steps: tuple[float, ...] = (0, 0, 0.078, 0.191, 0.15, 0.159, 0.141, 0.107, 0.089, 0.054, 0.018, 0.013)
    aligned: bool = True

    @property
    def vector(self) -> bool:
        """Tell whether rows are read four numbers at a time."""
        return self.aligned and self.r % 4 == 0

    @property
    def one_tile(self) -> bool:
        """Tell whether a row stays in a group's registers."""
        return self.vector and self.r <= LARGEST_TILE

    @property
    def tiles(self) -> int:
        """Return how many pieces a row is worked off in."""
        return math.ceil(self.r / (LARGEST_TILE if self.vector else LANES))

    @property
    def rounds(self) -> tuple[int, ...]:
        """Return how many negatives a group draws in each round of eight slots; the first slot is the positive."""
        slots = self.n_negatives + 1
        return tuple(min(THREADS, slots - first) - (first == 0) for first in range(0, slots, THREADS))

    def row_bytes(self, size: int) -> int:
        """Return the bytes of a row of numbers of so many bytes."""
        return self.r * size

    def asked(self, size: int) -> float:
        """Return the sectors that the requests for a row count together, in the mean over a table's rows."""
        return row_requests(self.r, size, LANES, 4) if self.vector else row_requests(self.r, size, THREADS, 1)

    def touched(self, size: int) -> float:
        """Return the distinct sectors of a row, in the mean over a table's rows."""
        starts = row_starts(self.r * size)
        return sum(math.ceil((start + self.r * size) / SECTOR) for start in starts) / len(starts)

    # --- the search for the t-th item that a user has not liked

    def search_asked(self) -> float:
        """Return the sectors that a pair's searches ask for, request by request."""
        return self._over_steps(lambda bits: sum(self._round(bits, draws) for draws in self.rounds))

    def search_entries(self) -> float:
        """Return the distinct entries of a user's positives that a pair's searches look at."""
        return self._over_steps(self._entries)

    def search_touched(self) -> float:
        """Return the distinct sectors that a pair's searches touch."""
        return self._over_steps(lambda bits: expected_distinct(self._list_sectors(bits), self._entries(bits)))

    def _over_steps(self, of_bits: Callable[[int], float]) -> float:
        return sum(share * of_bits(bits) for bits, share in enumerate(self.steps) if share)

    def _list_sectors(self, bits: int) -> float:
        # A list of `bits` halvings has 2^(bits - 1) to 2^bits - 1 entries: about 0.7 times 2^bits.
        n_liked = max(1.0, 0.7 * 2**bits)
        return (n_liked - 1) * self.id_bytes / SECTOR + 1

    def _round(self, bits: int, draws: int) -> float:
        # The k-th halving has 2^k entries to look at, spread evenly over the list.
        return sum(expected_distinct(min(2**k, self._list_sectors(bits)), draws) for k in range(bits))

    def _entries(self, bits: int) -> float:
        return sum(expected_distinct(2**k, self.n_negatives) for k in range(bits))


def expected_distinct(cells: float, draws: float) -> float:
    """Return how many of so many cells are hit by independent even draws."""
    return cells * (1 - (1 - 1 / cells) ** draws) if cells > 1 else min(1.0, draws)


def row_starts(row_bytes: int) -> list[int]:
    """Return where in a sector the rows of a table begin, one after another until it repeats."""
    return [row * row_bytes % SECTOR for row in range(SECTOR // math.gcd(row_bytes, SECTOR))]


@lru_cache
def row_requests(r: int, size: int, lanes: int, width: int) -> float:
    """Count the sectors of each request that eight threads make for a row, and add up; the mean over rows.

    Parameters
    ----------
    r, size : int
        Numbers in a row, bytes of a number.
    lanes : int
        A thread takes this many numbers, divided by eight, in a row ...
    width : int
        ... by loads of so many.
    """
    each = lanes // THREADS
    starts = row_starts(r * size)
    total = 0
    for start in starts:
        for first in range(0, r, lanes):
            for number in range(0, each, width):
                elements = range(first + number, min(first + lanes, r), each)
                spans = [(start + e * size, start + (e + width) * size - 1) for e in elements]
                total += len({sector for low, high in spans for sector in range(low // SECTOR, high // SECTOR + 1)})
    return total / len(starts)
