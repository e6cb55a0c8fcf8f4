"""A step that all ranks take together, each on its pairs of one batch; and what they agree on meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType

import torch
from torch import Tensor

from cmlfast.distributed.asks import ASKS, gradients_of
from cmlfast.distributed.checkpoint import PartCheckpoints
from cmlfast.distributed.items import Items
from cmlfast.training.loss import Totals, one_by_one, update_tables
from cmlfast.training.pairs import Batch, Batches, Pairs
from cmlfast.training.settings import Settings
from cmlfast.training.tables import Tables


@dataclass
class News:
    """What any rank may see first, and all must act on after the same step: a signal, the time for a checkpoint.

    Attributes
    ----------
    signalled : callable
        Which signal this rank was sent.
    checkpoints : PartCheckpoints or None
        Of this rank; told when it is time for one, by the first rank's clock.
    arrived : int or None
        Set where some rank was sent a signal: which, of the first of them.
    """

    signalled: Callable[[], int | None]
    checkpoints: PartCheckpoints | None
    arrived: int | None = None

    def told(self) -> list[float]:
        """Return what this rank says."""
        return [float(self.signalled() or 0), float(self.checkpoints is not None and self.checkpoints.clock())]

    def hear(self, told: Tensor) -> None:
        """Take what all ranks say, [ranks, 2]."""
        signals = told[:, 0][told[:, 0] > 0]
        if len(signals) and self.arrived is None:
            self.arrived = int(signals[0])
        if self.checkpoints is not None:
            self.checkpoints.is_due = bool(told[0, 1])


@dataclass
class SharedStep:
    """The step: gradients at the weights before it, users updated here, items wherever they are.

    Attributes
    ----------
    kernels : module
        Where the operators are.
    items : Items
        Where the items are.
    news : News
        What is agreed on.
    """

    kernels: ModuleType
    items: Items
    news: News

    def __call__(self, tables: Tables, pairs: Pairs, batches: Batches, settings: Settings) -> Totals:
        """Change the tables; return the totals of all ranks."""
        return one_by_one(lambda batch: self._step(tables, pairs, batch, settings), batches)

    def _step(self, tables: Tables, pairs: Pairs, batch: Batch, settings: Settings) -> Totals:
        asked = ASKS[type(settings.loss)](self.kernels, tables, self.items, pairs, batch, settings)
        said = torch.tensor(
            [*(float(total) for total in asked.totals), *self.news.told()],
            dtype=torch.float64, device=tables.item.device,
        )  # fmt: skip
        got, told = self.items.send(asked.message, said)
        told = told.cpu()
        self.news.hear(told[:, -2:])
        of_users, of_items = (asked.users, asked.by_user), gradients_of(settings.loss, got, tables.item)
        update_tables(self.kernels, tables, of_users, of_items, batch.rate, batch.offset, settings)
        return tuple(told[:, :-2].sum(0).unbind())
