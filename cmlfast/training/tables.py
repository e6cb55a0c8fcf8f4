"""What training changes: two embedding tables and their AdaGrad accumulators; how they start."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from cmlfast.ops.arithmetic import lane_sum, sqrt

CACHE_LINE = 64  # bytes
DRAWN_AT_ONCE = 2**16  # rows
ROWS_AT_ONCE = 2**16  # looked at
EDGE = 0.999  # of max_norm: a row of this length lies on the ball's edge, rounding apart

TABLES = ("user", "item", "user_state", "item_state")  # as `Tables.all` returns them
AnyTables = TypeVar("AnyTables", bound="Tables")


@dataclass(frozen=True)
class TableSettings:
    """What both tables are, and what every step keeps them to."""

    n_components: int
    max_norm: float
    dtype: torch.dtype
    rowwise_adagrad: bool
    seed: int

    @property
    def n_accumulators(self) -> int:
        """The numbers of AdaGrad's accumulators for a row."""
        return 1 if self.rowwise_adagrad else self.n_components


@dataclass
class Tables:
    """What training changes: both embeddings and their AdaGrad accumulators."""

    user: Tensor  # [I, r]
    item: Tensor  # [J, r]
    user_state: Tensor  # [I, r], or row-wise [I, 1]
    item_state: Tensor  # [J, r], or row-wise [J, 1]

    def clone(self: AnyTables) -> AnyTables:
        """Return a copy that training cannot reach."""
        return type(self)(*(table.clone() for table in self.all()))

    def all(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the tables in the order in which ``cml_step_`` takes them."""
        return self.user, self.item, self.user_state, self.item_state

    def are_finite(self) -> bool:
        """Whether no number of both embeddings is NaN or infinite."""
        return bool(all_finite(self.user) & all_finite(self.item))

    def clipped(self, max_norm: float) -> dict[str, float]:
        """Return the shares of users and of items on the edge of the ball, to which a step clips (section 3.4)."""
        # Read at once: on a GPU, reading waits.
        users, items = torch.stack([on_edge(table, max_norm) for table in (self.user, self.item)]).tolist()
        return {"clipped_users": users / len(self.user), "clipped_items": items / len(self.item)}


def on_edge(table: Tensor, max_norm: float) -> Tensor:
    """Count a table's rows on the edge of the ball; in parts, for torch would have a float32 copy of a 16-bit table."""
    count = torch.zeros((), dtype=torch.int64, device=table.device)
    for rows in table.split(ROWS_AT_ONCE):
        # In place: small tensors between large ones would keep the allocator from using these places again.
        count += (torch.linalg.vector_norm(rows, dim=1, dtype=torch.float32) >= EDGE * max_norm).sum()
    return count


def all_finite(table: Tensor) -> Tensor:
    """Tell whether no number of a table is NaN or infinite; in parts, for torch needs twice the memory it looks at."""
    finite = torch.ones((), dtype=torch.bool, device=table.device)
    for rows in table.split(ROWS_AT_ONCE):
        finite &= rows.isfinite().all()
    return finite


def new_table(rows: range, settings: TableSettings, stream: int) -> Tensor:
    """Draw rows of a table on the CPU: normal with deviation 1 / sqrt(r), clipped into the ball, rounded once.

    Of the table that ``stream`` stands for, the rows with these numbers: whoever needs some draws these alone, and
    those that are drawn with them.
    """
    r = settings.n_components
    table = zeros((len(rows), r), settings.dtype)
    for first in range(rows.start - rows.start % DRAWN_AT_ONCE, rows.stop, DRAWN_AT_ONCE):
        # NumPy's generator and our own sum, for torch's depend on the instruction set.
        stream_of_block = [settings.seed, stream, first // DRAWN_AT_ONCE] if first else [settings.seed, stream]
        n = min(DRAWN_AT_ONCE, rows.stop - first)
        drawn = torch.from_numpy(np.random.default_rng(stream_of_block).standard_normal((n, r), np.float32))
        drawn = drawn[max(rows.start - first, 0) :] / math.sqrt(r)
        norm = sqrt(lane_sum(drawn * drawn))[:, None]
        clipped = torch.where(
            norm > settings.max_norm, drawn * (torch.full_like(norm, settings.max_norm) / norm), drawn
        )
        begin = max(first, rows.start) - rows.start
        table[begin : begin + len(clipped)] = clipped
    return table


def new_tables(n_users: int, n_items: int, settings: TableSettings, device: torch.device) -> Tables:
    """Draw both tables; the accumulators start at 0, float32 whatever the tables' type."""
    return tables_of(range(n_users), range(n_items), settings, device)


def tables_of(users: range, items: range, settings: TableSettings, device: torch.device) -> Tables:
    """Draw some rows of both tables, as :func:`new_tables` would draw them."""
    user, item = new_table(users, settings, 0), new_table(items, settings, 1)
    states = (zeros((len(rows), settings.n_accumulators), torch.float32) for rows in (users, items))
    return Tables(*(table.to(device) for table in (user, item, *states)))


def copied(table: Tensor, device: torch.device) -> Tensor:
    """Return a copy of a table on a device, in memory as of :func:`zeros` on the CPU."""
    if device.type != "cpu":
        return table.to(device, copy=True)
    copy = zeros((len(table), table.shape[1]), table.dtype)
    return copy.copy_(table)


def zeros(shape: tuple[int, int], dtype: torch.dtype) -> Tensor:
    """Return a zeroed table on the CPU, at the start of a cache line.

    Its memory is NumPy's, which asks the system for large pages where torch does not. Rows at random places of a large
    table then miss fewer translations: a step on a million items takes a tenth less time.
    """
    size = shape[0] * shape[1] * dtype.itemsize
    memory = np.zeros(size + CACHE_LINE, np.uint8)
    start = -memory.ctypes.data % CACHE_LINE
    return torch.from_numpy(memory[start : start + size]).view(dtype).view(shape)
