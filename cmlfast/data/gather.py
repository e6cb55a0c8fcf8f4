"""The rows of a table of any length become pairs: numbered, sorted, each once, in about twice the memory of the result.

A pair is held as one 64-bit integer, the user's number above the item's: 8 bytes a row, and as many for its time. That
order is the matrix's. The table itself is never there as a whole.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy import sparse

from cmlfast.data import tables
from cmlfast.data.columns import LOG
from cmlfast.data.empty import EmptyCells
from cmlfast.data.ids import Numbering
from cmlfast.data.parts import Part, Table

ROWS = 1 << 20  # that are numbered together, at least
SLICE = 1 << 22  # pairs that are worked on together
SMALL = 2**31  # what 32 bits do not hold
LOW = 32  # bits of an item's number
ITEM = (1 << LOW) - 1
SCALES = {5.0: 4, 10.0: 8}  # the best ratings of common scales, and from where on they tell of a like


@dataclass
class Gathered:
    """Pairs as a canonical matrix of ones, with their times in its order, and what was merged and left out."""

    matrix: sparse.csr_matrix
    user_ids: Any
    item_ids: Any
    times: npt.NDArray[Any] | None
    n_duplicates: int
    n_dropped: int


def gather(
    table: Table,
    min_value: float | None = None,
    user_ids: Any = None,
    item_ids: Any = None,
    min_count: int = 1,
    show_progress: bool | None = False,
) -> Gathered:
    """Read a table of likes.

    Parameters
    ----------
    table : Table
    min_value : float, optional
        The least value that is a like; above zero by default.
    user_ids, item_ids : sequence of int or str, optional
        The whole catalogue; by default all ids that come, sorted.
    min_count : int
        Pairs with fewer rows that are likes are left out.
    show_progress : bool, optional

    Raises
    ------
    TypeError, ValueError
        As :meth:`cmlfast.Interactions.from_frame`.
    """
    if isinstance(min_count, bool) or not isinstance(min_count, int | np.integer) or min_count < 1:
        raise ValueError(f"min_count is {min_count!r}; it must be a whole number of at least 1")
    rows, empty = _Rows(min_value), EmptyCells(table.skip_empty)
    for part in table.shown(show_progress):
        rows.add(empty.without(part))
    empty.tell()
    rows.number()
    rows.check()
    rows.tell()
    users, user_ids = rows.users.settle(user_ids, table.strings)
    items, item_ids = rows.items.settle(item_ids, table.strings)
    n_rows, n_likes = rows.n_rows, len(rows.pairs)
    rows.renumber(users, items)
    pa.default_memory_pool().release_unused()
    n_rare = rows.once(int(min_count))
    matrix = _matrix(rows.pairs, len(user_ids), len(item_ids))
    n_duplicates = n_likes - n_rare - len(rows.pairs)
    return Gathered(matrix, user_ids, item_ids, rows.times, n_duplicates, n_rows - n_likes + n_rare)


class _Rows:
    """The likes among the rows that have come."""

    def __init__(self, min_value: float | None) -> None:
        self.users, self.items = Numbering("user"), Numbering("item")
        self.pairs = np.empty(0, dtype=np.int64)
        self.times: npt.NDArray[Any] | None = None
        self.n_rows = 0
        self._min_value = min_value
        self._smallest, self._largest = np.inf, -np.inf
        self._dated: bool | None = None
        self._users: list[Any] = []  # those that wait to be numbered
        self._items: list[Any] = []
        self._likes: list[npt.NDArray[np.bool_]] = []
        self._n_waiting = 0

    def add(self, part: Part) -> None:
        """Check a part and take it up; ids are numbered when enough have come to be worth a look at all known ones."""
        if self.n_rows == 0:
            tables.check_min_value(self._min_value, "value" in part.table.column_names)
        if part.table.num_rows == 0:
            return
        users, items = (tables.ids(part, role) for role in ("user", "item"))
        likes, smallest, largest = tables.liked(part, self._min_value)
        self._smallest, self._largest = min(self._smallest, smallest), max(self._largest, largest)
        self._take_times(part, likes)
        self._users.append(users)
        self._items.append(items)
        self._likes.append(likes)
        self.n_rows += part.table.num_rows
        self._n_waiting += part.table.num_rows
        if self._n_waiting >= max(ROWS, len(self.users), len(self.items)):
            self.number()

    def number(self) -> None:
        """Give numbers to the ids that wait."""
        if not self._likes:
            return
        users, items = (
            numbering.number([chunk for one in some for chunk in one.chunks])
            for numbering, some in ((self.users, self._users), (self.items, self._items))
        )
        users <<= LOW
        users |= items
        self.pairs = _longer(self.pairs, users[np.concatenate(self._likes)])
        self._users, self._items, self._likes, self._n_waiting = [], [], [], 0

    def check(self) -> None:
        """Raise ``ValueError`` if there are no rows, or none that is a like."""
        if self.n_rows == 0:
            raise ValueError("the table has no rows: interactions need at least one")
        if len(self.pairs) == 0:
            least = "above 0" if self._min_value is None else f"of min_value={self._min_value!r} or more"
            raise ValueError(f"no row has a value {least}; the largest is {self._largest:g}: lower min_value")

    def tell(self) -> None:
        """Ask, where values look like ratings and nobody has said which are likes, whether all of them are meant."""
        if self._min_value is None and 0 < self._smallest <= 1 and self._largest in SCALES:
            least = SCALES[self._largest]
            LOG.info(
                "ratings of %g to %g: is each a like? min_value=%d (--min-value %d) takes those of %d and more",
                self._smallest, self._largest, least, least, least,
            )  # fmt: skip

    def renumber(self, users: npt.NDArray[np.int64], items: npt.NDArray[np.int64]) -> None:
        """Put places, [n_users] and [n_items] by the ids' numbers, in the place of these, which are then forgotten."""
        for part in _slices(self.pairs):
            part[:] = (users[part >> LOW] << LOW) | items[part & ITEM]
        self.users, self.items = Numbering("user"), Numbering("item")

    def once(self, min_count: int) -> int:
        """Sort the pairs and keep each once, with the last of its times; return how many rows were of too rare ones."""
        if self.times is None:
            self.pairs.sort()
        else:
            order = np.argsort(self.pairs)
            self.pairs = self.pairs[order]
            self.times = self.times[order]
        is_first = np.ones(len(self.pairs), dtype=np.bool_)
        np.not_equal(self.pairs[1:], self.pairs[:-1], out=is_first[1:])
        n_rare = 0
        if min_count > 1 or not is_first.all():
            if self.times is not None:
                self.times = np.maximum.reduceat(self.times, np.flatnonzero(is_first))
            if min_count > 1:
                n_rare = self._leave_out_rare(is_first, min_count)
            self.pairs = _compressed(self.pairs, is_first)
        return n_rare

    def _leave_out_rare(self, is_first: npt.NDArray[np.bool_], min_count: int) -> int:
        begins = np.flatnonzero(is_first)
        counts = np.diff(begins, append=len(is_first))
        often = counts >= min_count
        if not often.any():
            raise ValueError(
                f"no pair has min_count={min_count} rows; the most that one has are {counts.max()}: lower it"
            )
        is_first[begins[~often]] = False
        if self.times is not None:
            self.times = self.times[often]
        return int(counts[~often].sum())

    def _take_times(self, part: Part, likes: npt.NDArray[np.bool_]) -> None:
        times = tables.times(part)
        if times is None:
            return
        dated = pa.types.is_temporal(part.table["time"].type)
        if self._dated not in (None, dated):
            raise ValueError(f"{part.source}: the time column has numbers in some rows and dates in others")
        self._dated = dated
        if self.times is None:
            self.times = np.empty(0, dtype=times.dtype)
        self.times = _longer(self.times, times[likes])


def _longer(array: npt.NDArray[Any], more: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Append to an array where it lies: the C library moves pages, not bytes."""
    if more.dtype != array.dtype:  # integers, of which some now have fractions
        array = array.astype(np.result_type(array, more))
    n = len(array)
    array.resize(n + len(more), refcheck=False)
    array[n:] = more
    return array


def _slices(array: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
    return [array[begin : begin + SLICE] for begin in range(0, len(array), SLICE)]


def _compressed(array: npt.NDArray[Any], kept: npt.NDArray[np.bool_]) -> npt.NDArray[Any]:
    """Return what a mask keeps of an array, in the array's own memory."""
    n = 0
    for part, mask in zip(_slices(array), _slices(kept), strict=True):
        some = part[mask]
        array[n : n + len(some)] = some
        n += len(some)
    return array[:n]


def _matrix(pairs: npt.NDArray[np.int64], n_users: int, n_items: int) -> sparse.csr_matrix:
    """Return sorted pairs as a matrix, with offsets and numbers of 64 bits where SciPy needs them."""
    small = max(len(pairs), n_users, n_items) < SMALL
    indices = np.empty(len(pairs), dtype=np.int32 if small else np.int64)
    for numbers, part in zip(_slices(indices), _slices(pairs), strict=True):
        numbers[:] = part & ITEM
    indptr = np.searchsorted(pairs, np.arange(n_users + 1, dtype=np.int64) << LOW).astype(np.int64)
    return ones_at(indptr, indices, (n_users, n_items))


def ones_at(indptr: npt.NDArray[Any], indices: npt.NDArray[Any], shape: tuple[int, int]) -> sparse.csr_matrix:
    """Return the matrix of ones at these places, which are sorted and each there once; they are not copied."""
    ones = np.ones(len(indices), dtype=np.float32)
    matrix = sparse.csr_matrix((ones, indices, indptr), shape=shape, copy=False)
    matrix.has_sorted_indices = matrix.has_canonical_format = True
    return matrix
