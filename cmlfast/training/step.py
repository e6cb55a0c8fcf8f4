"""Steps of training, each on a batch of pairs: the loss alone, fused, or together with what regularizes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType

import torch
from torch import Tensor

from cmlfast.ops import reference
from cmlfast.training.covariance import covariance_gradient
from cmlfast.training.loss import Loss, Step, Totals, one_by_one, update_rows
from cmlfast.training.pairs import Batch, Batches, Pairs
from cmlfast.training.replay import Call, Outputs, Replays
from cmlfast.training.settings import Settings
from cmlfast.training.side_information import JointTables
from cmlfast.training.tables import Tables

Term = tuple[Tensor, Tensor]  # rows [P], which may repeat, and what is added to their gradients [P, r]


def fused_step(kernels: ModuleType, replays: Callable[[Call], Outputs] | None = None) -> Step:
    """Return the step of a plain training, which the loss takes by itself.

    Several steps are one call, which kernels on a GPU replay; ``replays`` makes it wherever they are.
    """
    on_gpu = Replays()

    def step(tables: Tables, pairs: Pairs, batches: Batches, settings: Settings) -> Totals:
        loss: Loss = settings.loss
        # One takes its numbers as they are; the reference would ask for those on a device.
        if len(batches.sizes) == 1 or kernels is reference:
            return one_by_one(lambda batch: loss.step(kernels, tables, pairs, batch, settings), batches)
        call = loss.steps(kernels, tables, pairs, batches, settings)
        replay = replays or (on_gpu if tables.user.is_cuda else None)
        return replay(call) if replay else call.take(*call.inputs)

    return step


def choose_step(kernels: ModuleType, settings: Settings, with_features: bool, freeze_items: bool = False) -> Step:
    """Return the fused steps wherever the loss is all there is, and all of it may move."""
    if with_features or freeze_items or settings.covariance_weight:
        return JointStep(kernels, freeze_items)
    return fused_step(kernels)


@dataclass(frozen=True)
class JointStep:
    """The step of the whole model: the loss, features (paper, section 3.3) and covariances (3.4).

    Every gradient is taken at the weights before the step. Gradients are rows that the batch names, and join in one
    update of those rows: no table is passed over. With nothing beside the loss, it does what the fused step does, to
    the bit, for tables of float32.

    Attributes
    ----------
    kernels : module
        Where the operators are.
    freeze_items : bool
        Leave the items where they are.
    """

    kernels: ModuleType
    freeze_items: bool = False

    def __call__(self, tables: JointTables, pairs: Pairs, batches: Batches, settings: Settings) -> Totals:
        """Change the tables; return the loss's totals."""
        return one_by_one(lambda batch: self._step(tables, pairs, batch, settings), batches)

    def _step(self, tables: JointTables, pairs: Pairs, batch: Batch, settings: Settings) -> Totals:
        totals, asked = settings.loss.gradients(self.kernels, tables, pairs, batch, settings)
        user_terms, item_terms = [(asked.users, asked.by_user)], [(asked.items, asked.by_item)]
        users, items = batch.users.unique().long(), asked.batch_items.unique().long()
        user_vectors, item_vectors = tables.user[users], tables.item[items]
        share = batch.rate / settings.learning_rate
        if tables.user_side:
            user_terms.append((users, tables.user_side.encoder.pull(users, user_vectors, share)))
        if tables.item_side:
            item_terms.append((items, tables.item_side.encoder.pull(items, item_vectors, share)))
        if settings.covariance_weight:
            gradient = covariance_gradient(torch.cat((user_vectors, item_vectors)))
            by_user, by_item = (settings.covariance_weight * gradient).tensor_split((len(users),))
            user_terms.append((users, by_user))
            item_terms.append((items, by_item))
        self._update(tables.user, tables.user_state, user_terms, batch, settings, settings.seed)
        if not self.freeze_items:
            # Another seed, so that the same row of both tables is not rounded alike.
            self._update(tables.item, tables.item_state, item_terms, batch, settings, settings.seed ^ 1)
        return totals

    def _update(
        self, table: Tensor, state: Tensor, terms: list[Term], batch: Batch, settings: Settings, seed: int
    ) -> None:
        rows, gradients = (torch.cat(parts) for parts in zip(*terms, strict=True))
        update_rows(self.kernels, table, state, rows, gradients, batch.rate, batch.offset, settings, seed)
