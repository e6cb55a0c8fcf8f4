"""The paper's loss (equation 1, section 3.2): a hinge against the hardest of U negatives, weighted by rank."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from cmlfast.ops.arithmetic import batch_sum
from cmlfast.ops.autograd import gradient_entries
from cmlfast.training.checks import boolean, integer, positive
from cmlfast.training.loss import EPSILON, AskNewUsers, RowGradients, Totals
from cmlfast.training.pairs import Batch, Batches, Pairs, there
from cmlfast.training.replay import Call
from cmlfast.training.schedule import Schedule
from cmlfast.training.tables import Tables, TableSettings


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
    def of(params: dict[str, Any]) -> Warp:
        """Check the loss's own parameters; raise as :func:`cmlfast.training.settings.resolve`."""
        return Warp(
            margin=Schedule(*_margin(params["margin"])),
            n_negatives=integer("n_negatives", params["n_negatives"], 1, "or 'auto'"),
            rank_weight=boolean("rank_weight", params["rank_weight"]),
        )

    @property
    def scale(self) -> float:
        """The last margin."""
        return self.margin.last

    def at_end(self) -> Warp:
        """Return the loss as it is when a training ends."""
        return replace(self, margin=Schedule(self.margin.last, self.margin.last))

    def step(self, kernels: ModuleType, tables: Tables, pairs: Pairs, batch: Batch, settings: TableSettings) -> Totals:
        """Take a step with the fused operator; return loss, impostors and active pairs."""
        totals: Totals = kernels.cml_step_(
            *tables.all(), pairs.indptr, pairs.indices, batch.users, batch.items,
            margin=self.margin.at(batch.progress), lr=batch.rate, offset=batch.offset, **self._options(settings),
        )  # fmt: skip
        return totals

    def steps(
        self, kernels: ModuleType, tables: Tables, pairs: Pairs, batches: Batches, settings: TableSettings
    ) -> Call:
        """Return the call of the operator that takes several."""
        device, fixed = tables.user.device, (*tables.all(), pairs.indptr, pairs.indices)
        options, margins = self._options(settings), [self.margin.at(progress) for progress in batches.progress]

        def take(users: Tensor, positives: Tensor, margins: Tensor, rates: Tensor, offsets: Tensor) -> Totals:
            totals: Totals = kernels.cml_steps_(
                *fixed, users, positives, margins=margins, lrs=rates, offsets=offsets, **options
            )
            return totals

        inputs = (
            batches.users,
            batches.items,
            there(torch.tensor(margins, dtype=torch.float32, device="cpu"), device),
            *batches.numbers(device),
        )
        return Call(take, inputs, fixed, tuple(options.values()))

    def _options(self, settings: TableSettings) -> dict[str, Any]:
        """Return what all steps of a training share."""
        return {
            "n_negatives": self.n_negatives, "eps": EPSILON, "max_norm": settings.max_norm,
            "rank_weight": self.rank_weight, "seed": settings.seed,
            "stochastic_rounding": True,  # which float32 tables ignore
        }  # fmt: skip

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
        batch_items = torch.cat((batch.items, hardest[hardest >= 0]))
        n_active = torch.tensor(len(entries[0]), dtype=torch.int64, device=loss.device)
        return (batch_sum(loss.double()), impostors.long().sum(), n_active), RowGradients(*entries, batch_items)

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
        """Return what it asks of new users, with the last margin and fresh negatives in every step."""
        u, counts = self.n_negatives, torch.unique_consecutive(users, return_counts=True)[1].tolist()
        negatives = torch.cat(  # [N, n_steps U]
            [_draw(kernels, own, candidates, n_steps * u, settings.seed) for own in positives.split(counts)]
            if counts
            else [positives.new_empty((0, n_steps * u))]
        )

        def ask(table: Tensor, step: int) -> tuple[Tensor, Tensor]:
            drawn = negatives[:, step * u : (step + 1) * u].contiguous()  # [N, U]
            hinge, hardest, impostors = kernels.warp_hinge(
                table, items, users, positives, drawn, self.margin.last, len(candidates), self.rank_weight
            )
            rows, gradients, _, _ = gradient_entries(
                torch.ones_like(hinge), table, items, users, positives, hardest, impostors, u, len(candidates),
                self.rank_weight, "sqeuclidean",
            )  # fmt: skip
            return rows, gradients

        return ask

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


def _margin(value: Any) -> tuple[float, float]:
    ends = value if isinstance(value, tuple | list) else (value, value)
    if len(ends) != 2:
        raise ValueError(f"margin is {value}; it must be a positive number, or two: the first and the last")
    return positive("margin", ends[0]), positive("margin", ends[1])


def _draw(kernels: ModuleType, liked: Tensor, candidates: Tensor, n: int, seed: int) -> Tensor:
    """Draw n negatives for each item that one user likes: [N, n], int32; -1 for a user who likes all candidates."""
    places = torch.searchsorted(candidates, liked.long()).clamp_max(len(candidates) - 1).int()  # [N]
    own = places[candidates[places.long()] == liked]
    # As the only user, so that the draws do not depend on the row.
    indptr = torch.tensor([0, len(own)], dtype=torch.int32, device=own.device)
    drawn = kernels.sample_negatives(indptr, own, torch.zeros_like(places), places, len(candidates), n, seed, 0)
    return torch.where(drawn < 0, drawn, candidates[drawn.clamp_min(0).long()].int())
