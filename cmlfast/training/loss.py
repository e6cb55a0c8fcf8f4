"""What a loss is: an object with its own settings that can take a step, or say what it asks of each row.

A second loss is a file beside ``warp.py`` that does what :class:`Loss` says.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, NamedTuple, Protocol, TypeAlias

import torch
from torch import Tensor

from cmlfast.training.pairs import Batch, Batches, Pairs
from cmlfast.training.replay import Call
from cmlfast.training.tables import Tables, TableSettings

EPSILON = 1e-10  # AdaGrad's

# What adds up over an epoch: losses, then what the loss counts; of one step [] each, of several [S].
Totals: TypeAlias = tuple[Tensor, ...]
Step: TypeAlias = Callable[[Any, Pairs, Batches, Any], Totals]  # takes one on each batch, which changes the tables


# Of a table of new users [Q, r] and a step: the rows that are asked, which may repeat [P], and what of them [P, r].
AskNewUsers: TypeAlias = Callable[[Tensor, int], tuple[Tensor, Tensor]]


class RowGradients(NamedTuple):
    """What a loss asks of the rows that it names, which may repeat; at the weights before the step."""

    users: Tensor  # [P]
    by_user: Tensor  # [P, r]
    items: Tensor  # [Q]
    by_item: Tensor  # [Q, r]
    batch_items: Tensor  # [M], which may repeat: the items that the batch is about, which regularizers pull at


class Loss(Protocol):
    """A loss and its settings."""

    @property
    def n_negatives(self) -> int:
        """How many negatives are drawn for a pair."""

    @property
    def scale(self) -> float:
        """What is near by it and what is far, in squared distance, when a training ends."""

    def at_end(self) -> Loss:
        """Return the loss as it is when a training ends, whatever of it has a schedule."""

    def step(self, kernels: ModuleType, tables: Tables, pairs: Pairs, batch: Batch, settings: TableSettings) -> Totals:
        """Take a whole step where this loss is all there is."""

    def steps(
        self, kernels: ModuleType, tables: Tables, pairs: Pairs, batches: Batches, settings: TableSettings
    ) -> Call:
        """Return the call that takes several such steps, and returns their totals."""

    def gradients(
        self, kernels: ModuleType, tables: Tables, pairs: Pairs, batch: Batch, settings: TableSettings
    ) -> tuple[Totals, RowGradients]:
        """Return what it asks of each row, for a step together with other terms; change nothing."""

    def for_new_users(
        self,
        kernels: ModuleType,
        items: Tensor,
        candidates: Tensor,
        users: Tensor,
        positives: Tensor,
        n_steps: int,
        settings: TableSettings,
    ) -> AskNewUsers:
        """Return what it asks of new users, items staying where they are, as it is when a training ends.

        Parameters
        ----------
        items : Tensor
            Shape [J, r], float32.
        candidates : Tensor
            Shape [C], int64, ascending: the items that may be negatives.
        users, positives : Tensor
            Shape [N], int32: the pairs, user by user.
        n_steps : int
            How often it will be asked.
        """

    def record(self, totals: Sequence[float], n_pairs: int) -> dict[str, float]:
        """Return what an epoch saw, for the history; ``loss`` is one of its entries."""

    def scheduled(self, progress: float) -> dict[str, float]:
        """Return what has a schedule, for the history, as it is at a progress from 0 to 1."""


def update_rows(
    kernels: ModuleType,
    table: Tensor,
    state: Tensor,
    rows: Tensor,
    gradients: Tensor,
    rate: float | Tensor,
    offset: int | Tensor,
    settings: TableSettings,
    seed: int,
) -> None:
    """Take a batch's AdaGrad step on the rows of a table that gradients [P, r] are of, which may repeat [P]."""
    kernels.adagrad_clip_(
        table, state, rows, gradients, rate, EPSILON, settings.max_norm,
        stochastic_rounding=True, seed=seed, offset=offset,
    )  # fmt: skip


def update_tables(
    kernels: ModuleType,
    tables: Tables,
    of_users: tuple[Tensor, Tensor],
    of_items: tuple[Tensor, Tensor],
    rate: float | Tensor,
    offset: int | Tensor,
    settings: TableSettings,
) -> None:
    """Take the step on both tables: of each the rows that are named [P], and what is asked of them [P, r]."""
    update_rows(kernels, tables.user, tables.user_state, *of_users, rate, offset, settings, settings.seed)
    # Another seed, so that the same row of both tables is not rounded alike.
    update_rows(kernels, tables.item, tables.item_state, *of_items, rate, offset, settings, settings.seed ^ 1)


def one_by_one(step: Callable[[Batch], Totals], batches: Batches) -> Totals:
    """Take a step on each batch."""
    totals = [step(batch) for batch in batches.each()]
    return totals[0] if len(totals) == 1 else tuple(map(torch.stack, zip(*totals, strict=True)))
