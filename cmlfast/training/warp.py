"""The paper's loss (equation 1, section 3.2): a hinge against the hardest of U negatives, weighted by rank."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

import torch

from cmlfast.ops.arithmetic import lane_sum
from cmlfast.ops.autograd import gradient_entries
from cmlfast.training.checks import boolean, integer, positive
from cmlfast.training.loss import EPSILON, RowGradients, Totals
from cmlfast.training.pairs import Batch, Pairs
from cmlfast.training.schedule import Schedule
from cmlfast.training.tables import Tables, TableSettings

MAX_NEGATIVES = 20  # the upper end of the paper's U (section 3.2)
NEGATIVES_PER_DENSITY = 0.1


@dataclass(frozen=True)
class Warp:
    """The loss and its settings.

    Attributes
    ----------
    margin : Schedule
        From the first to the last, in squared distance.
    n_negatives : int
        U.
    rank_weight : bool
        Whether a pair is weighted by its estimated rank.
    """

    margin: Schedule
    n_negatives: int
    rank_weight: bool

    @staticmethod
    def of(params: dict[str, Any], density: float) -> Warp:
        """Check the loss's own parameters, resolve ``"auto"``; raise as :func:`cmlfast.training.settings.resolve`."""
        n_negatives = params["n_negatives"]
        if n_negatives == "auto":
            n_negatives = auto_n_negatives(density)
        return Warp(
            margin=Schedule(*_margin(params["margin"])),
            n_negatives=integer("n_negatives", n_negatives, 1, "or 'auto'"),
            rank_weight=boolean("rank_weight", params["rank_weight"]),
        )

    def at_end(self) -> Warp:
        """Return the loss as it is when a training ends."""
        return replace(self, margin=Schedule(self.margin.last, self.margin.last))

    def step(self, kernels: ModuleType, tables: Tables, pairs: Pairs, batch: Batch, settings: TableSettings) -> Totals:
        """Take the step with one fused operator, ``cml_step_``; return loss, impostors and active pairs."""
        totals: Totals = kernels.cml_step_(
            *tables.all(), pairs.indptr, pairs.indices, batch.users, batch.items,
            n_negatives=self.n_negatives, margin=self.margin.at(batch.progress), lr=batch.rate, eps=EPSILON,
            max_norm=settings.max_norm, rank_weight=self.rank_weight, seed=settings.seed, offset=batch.offset,
            stochastic_rounding=True,  # which float32 tables ignore
        )  # fmt: skip
        return totals

    def gradients(
        self, kernels: ModuleType, tables: Tables, pairs: Pairs, batch: Batch, settings: TableSettings
    ) -> tuple[Totals, RowGradients]:
        """Return loss, impostors and active pairs, and what the active ones ask of their rows."""
        ids = batch.users, batch.items
        loss, hardest, impostors = kernels.warp_hinge_sampled(
            tables.user, tables.item, pairs.indptr, pairs.indices, *ids, n_negatives=self.n_negatives,
            margin=self.margin.at(batch.progress), seed=settings.seed, offset=batch.offset,
            rank_weight=self.rank_weight,
        )  # fmt: skip
        entries = gradient_entries(
            torch.ones_like(loss), tables.user, tables.item, *ids, hardest, impostors, self.n_negatives,
            len(tables.item), self.rank_weight, "sqeuclidean",
        )  # fmt: skip
        # Its positives, and the negatives that the loss is of.
        batch_items = torch.cat((batch.items, hardest[hardest >= 0])).unique().long()
        n_active = torch.tensor(len(entries[0]), device=loss.device)
        return (lane_sum(loss.double()), impostors.long().sum(), n_active), RowGradients(*entries, batch_items)

    def record(self, totals: Sequence[float], n_pairs: int) -> dict[str, float]:
        """Return means over pairs, and the share of impostors among the negatives."""
        loss, impostors, active = totals
        return {
            "loss": loss / n_pairs,
            "impostors": impostors / (n_pairs * self.n_negatives),
            "active": active / n_pairs,
        }

    def scheduled(self, progress: float) -> dict[str, float]:
        """Return the margin."""
        return {"margin": self.margin.at(progress)}


def auto_n_negatives(density: float) -> int:
    """Return U for data of a density (likes among all pairs): ``0.1 / density``, at least 1 and at most 20.

    An item drawn as a negative is in truth one the user would like with a probability of about the density of what
    was seen. The loss keeps the hardest of U draws, which is where such an item would end up, so U times the density
    must stay small: 20 negatives suit 0.4% and less, MovieLens-100K with its 2% gets 5.
    """
    return int(min(max(round(NEGATIVES_PER_DENSITY / density), 1), MAX_NEGATIVES))


def _margin(value: Any) -> tuple[float, float]:
    ends = value if isinstance(value, tuple | list) else (value, value)
    if len(ends) != 2:
        raise ValueError(f"margin is {value}; it must be a positive number, or two: the first and the last")
    return positive("margin", ends[0]), positive("margin", ends[1])
