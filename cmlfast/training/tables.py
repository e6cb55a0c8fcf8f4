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

TABLES = ("user", "item", "user_state", "item_state")  # as `Tables.all` returns them
AnyTables = TypeVar("AnyTables", bound="Tables")


@dataclass(frozen=True)
class TableSettings:
    """What both tables are, and what every step keeps them to."""

    n_components: int
    max_norm: float
    dtype: torch.dtype
    seed: int


@dataclass
class Tables:
    """What training changes: both embeddings and their AdaGrad accumulators."""

    user: Tensor  # [I, r]
    item: Tensor  # [J, r]
    user_state: Tensor  # [I, r]
    item_state: Tensor  # [J, r]

    def clone(self: AnyTables) -> AnyTables:
        """Return a copy that training cannot reach."""
        return type(self)(*(table.clone() for table in self.all()))

    def all(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the tables in the order in which ``cml_step_`` takes them."""
        return self.user, self.item, self.user_state, self.item_state


def new_rows(n: int, settings: TableSettings, stream: int) -> Tensor:
    """Draw rows [n, r] on the CPU: normal with deviation 1 / sqrt(r), clipped into the ball, rounded once."""
    # NumPy's generator and our own sum, for torch's depend on the instruction set.
    draws = np.random.default_rng([settings.seed, stream]).standard_normal((n, settings.n_components), np.float32)
    rows = torch.from_numpy(draws) / math.sqrt(settings.n_components)
    norm = sqrt(lane_sum(rows * rows))[:, None]
    clipped = torch.where(norm > settings.max_norm, rows * (torch.full_like(norm, settings.max_norm) / norm), rows)
    return clipped.to(settings.dtype)


def new_tables(n_users: int, n_items: int, settings: TableSettings, device: torch.device) -> Tables:
    """Draw both tables; the accumulators start at 0, float32 whatever the tables' type."""
    shapes = [(n, settings.n_components) for n in (n_users, n_items)]
    user, item = (zeros(shape, settings.dtype) for shape in shapes)
    user.copy_(new_rows(n_users, settings, 0))
    item.copy_(new_rows(n_items, settings, 1))
    states = (zeros(shape, torch.float32) for shape in shapes)
    return Tables(*(table.to(device) for table in (user, item, *states)))


def zeros(shape: tuple[int, int], dtype: torch.dtype) -> Tensor:
    """Return a zeroed table on the CPU, at the start of a cache line.

    Its memory is NumPy's, which asks the system for large pages where torch does not. Rows at random places of a large
    table then miss fewer translations: a step on a million items takes a tenth less time.
    """
    size = shape[0] * shape[1] * dtype.itemsize
    memory = np.zeros(size + CACHE_LINE, np.uint8)
    start = -memory.ctypes.data % CACHE_LINE
    return torch.from_numpy(memory[start : start + size]).view(dtype).view(shape)
