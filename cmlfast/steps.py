"""One step of training on a batch of pairs: the metric loss alone, fused, or together with what regularizes it."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from cmlfast._arithmetic import lane_sum
from cmlfast._hinge_autograd import gradient_entries
from cmlfast.covariance import covariance_gradient
from cmlfast.settings import Settings
from cmlfast.side import JointTables
from cmlfast.training import EPSILON, Batch, Pairs, Seen, Step, Tables

Term = tuple[Tensor, Tensor]  # rows [P], which may repeat, and what is added to their gradients [P, r]


def metric_step(kernels: ModuleType) -> Step[Any]:
    """Return the step of a plain training: one fused operator, ``cml_step_``."""

    def step(tables: Tables, pairs: Pairs, batch: Batch, settings: Settings) -> Seen:
        seen: Seen = kernels.cml_step_(
            *tables.all(), pairs.indptr, pairs.indices, batch.users, batch.items,
            settings.n_negatives, batch.margin, batch.rate, EPSILON, settings.max_norm, settings.rank_weight,
            settings.seed, batch.offset, True,  # stochastic rounding, which float32 tables ignore
        )  # fmt: skip
        return seen

    return step


def choose_step(
    kernels: ModuleType, settings: Settings, with_features: bool, freeze_items: bool = False
) -> Step[JointTables]:
    """Return the fused step wherever the metric loss is all there is, and all of it may move."""
    if with_features or freeze_items or settings.covariance_weight:
        return JointStep(kernels, freeze_items)
    return metric_step(kernels)


@dataclass(frozen=True)
class JointStep:
    """The step of the whole model: the metric loss, features (paper, section 3.3) and covariances (3.4).

    Every gradient is taken at the weights before the step. Gradients are rows that the batch names, and join in one
    update of those rows: no table is passed over. With nothing beside the metric loss, it does what ``cml_step_`` does,
    to the bit, for tables of float32.

    Attributes
    ----------
    kernels : module
        Where ``warp_hinge_sampled`` and ``adagrad_clip_`` are.
    freeze_items : bool
        Leave the items where they are.
    """

    kernels: ModuleType
    freeze_items: bool = False

    def __call__(self, tables: JointTables, pairs: Pairs, batch: Batch, settings: Settings) -> Seen:
        """Change the tables; return the loss, and the numbers of impostors and of active pairs, all of the metric."""
        u, rank_weight = settings.n_negatives, settings.rank_weight
        ids = batch.users, batch.items
        loss, hardest, impostors = self.kernels.warp_hinge_sampled(
            tables.user, tables.item, pairs.indptr, pairs.indices, *ids, u, batch.margin, settings.seed, batch.offset,
            rank_weight,
        )  # fmt: skip
        user_rows, by_user, item_rows, by_item = gradient_entries(
            torch.ones_like(loss), tables.user, tables.item, *ids, hardest, impostors, u, len(tables.item), rank_weight,
            "sqeuclidean",
        )  # fmt: skip
        user_terms, item_terms = [(user_rows, by_user)], [(item_rows, by_item)]
        # What the batch is about: its users, its positives, and the negatives that the loss is of.
        users = batch.users.unique().long()
        items = torch.cat((batch.items, hardest[hardest >= 0])).unique().long()
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
        return lane_sum(loss.double()), impostors.long().sum(), torch.tensor(len(user_rows), device=loss.device)

    def _update(
        self, table: Tensor, state: Tensor, terms: list[Term], batch: Batch, settings: Settings, seed: int
    ) -> None:
        rows, gradients = (torch.cat(parts) for parts in zip(*terms, strict=True))
        self.kernels.adagrad_clip_(
            table, state, rows, gradients, batch.rate, EPSILON, settings.max_norm, True, seed, batch.offset
        )
