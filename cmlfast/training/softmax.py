"""The second loss: a softmax over distances to the pair's item and to negatives that the whole batch shares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from cmlfast.ops import shared_softmax
from cmlfast.training.checks import integer, positive
from cmlfast.training.loss import AskNewUsers, RowGradients, Totals, update_tables
from cmlfast.training.pairs import Batch, Batches, Pairs, there
from cmlfast.training.replay import Call
from cmlfast.training.tables import Tables, TableSettings
from cmlfast.training.words import draw_words

# Of what a gradient asks of a row's length. Lengths say how popular an item is, and learn that from few likes as soon
# as directions do: on small data they learn too much. Rows of length 1 alone (0) are as bad for large data.
LENGTH_SHARE = 0.3


@dataclass(frozen=True)
class Softmax:
    """The loss and its settings.

    Attributes
    ----------
    temperature : float
        In squared distance.
    n_negatives : int
        S, the negatives that a batch shares.
    """

    temperature: float
    n_negatives: int

    @staticmethod
    def of(params: dict[str, Any]) -> Softmax:
        """Check the loss's own parameters; raise as :func:`cmlfast.training.settings.resolve`."""
        return Softmax(
            positive("temperature", params["temperature"], expected="it must be a positive number, or 'auto'"),
            integer("n_negatives", params["n_negatives"], 1, "or 'auto'"),
        )

    @property
    def scale(self) -> float:
        """The temperature."""
        return self.temperature

    def at_end(self) -> Softmax:
        """Return the loss as it is when a training ends."""
        return self

    def step(self, kernels: ModuleType, tables: Tables, pairs: Pairs, batch: Batch, settings: TableSettings) -> Totals:
        """Take a step: the gradients, then an update of each table; return the loss."""
        (negatives,) = self._negatives(kernels, tables.item, [batch.step], batch.items.dtype, settings)
        return self._step(kernels, tables, batch.users, batch.items, negatives, batch.rate, batch.offset, settings)

    def steps(
        self, kernels: ModuleType, tables: Tables, pairs: Pairs, batches: Batches, settings: TableSettings
    ) -> Call:
        """Return the call that takes several."""
        device, sizes = tables.user.device, batches.sizes

        def take(users: Tensor, items: Tensor, negatives: Tensor, rates: Tensor, offsets: Tensor) -> Totals:
            each = zip(users.split(sizes), items.split(sizes), negatives, rates, offsets, strict=True)
            totals = [self._step(kernels, tables, *batch, settings) for batch in each]
            return tuple(map(torch.stack, zip(*totals, strict=True)))

        inputs = (
            batches.users,
            batches.items,
            self._negatives(kernels, tables.item, batches.steps, batches.items.dtype, settings),
            *batches.numbers(device),
        )
        return Call(take, inputs, tables.all(), (self, tuple(sizes), settings.max_norm, settings.seed))

    def _step(
        self,
        kernels: ModuleType,
        tables: Tables,
        users: Tensor,
        items: Tensor,
        negatives: Tensor,
        rate: float | Tensor,
        offset: int | Tensor,
        settings: TableSettings,
    ) -> Totals:
        totals, asked = self._asked(kernels, tables, users, items, negatives)
        of_users, of_items = (asked.users, asked.by_user), (asked.items, asked.by_item)
        update_tables(kernels, tables, of_users, of_items, rate, offset, settings)
        return totals

    def gradients(
        self, kernels: ModuleType, tables: Tables, pairs: Pairs, batch: Batch, settings: TableSettings
    ) -> tuple[Totals, RowGradients]:
        """Return the loss, and what it asks of the rows of users, positives and negatives."""
        (negatives,) = self._negatives(kernels, tables.item, [batch.step], batch.items.dtype, settings)
        return self._asked(kernels, tables, batch.users, batch.items, negatives)

    def _negatives(
        self, kernels: ModuleType, item_table: Tensor, steps: Sequence[int], dtype: torch.dtype, settings: TableSettings
    ) -> Tensor:
        """Return the negatives of some steps, [steps, S], where the table is; a device is not waited for."""
        n_items, seed = len(item_table), settings.seed
        drawn = torch.stack([shared_negatives(kernels, n_items, self.n_negatives, seed, step) for step in steps])
        return there(drawn.to(dtype), item_table.device)

    def _asked(
        self, kernels: ModuleType, tables: Tables, users: Tensor, positives: Tensor, negatives: Tensor
    ) -> tuple[Totals, RowGradients]:
        items = torch.cat((positives, negatives))
        loss, by_user, by_item = self.row_gradients(kernels, tables.user, tables.item, users, items)
        return (loss,), RowGradients(users, by_user, items, by_item, positives)

    def row_gradients(
        self, kernels: ModuleType, user_table: Tensor, item_table: Tensor, users: Tensor, items: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the loss, and what it asks of users [N] and of items [N + S], positives before negatives.

        Nothing is asked of a device: ids are known to be the tables'.
        """
        positives, negatives = items.tensor_split((len(users),))
        ones = torch.ones(len(users), dtype=torch.float32, device=items.device)
        loss, *gradients = shared_softmax.gradients(
            kernels.softmax_weights_, user_table, item_table, users, positives, negatives, ones, self.temperature,
            decoupled=True, checked=True,
        )  # fmt: skip
        rows = torch.cat((user_table.index_select(0, users), item_table.index_select(0, items)))
        # All in one: several times as many rows cost little more where threads have to wake up for each operator.
        asked = less_along(torch.cat(gradients), rows.float())  # [N + N + S, r]
        by_user, by_item = asked.tensor_split((len(users),))
        return loss.double().sum(), by_user, by_item

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
        """Return what it asks of new users: the same negatives in every step, four times as many as in a training."""
        drawn = shared_negatives(kernels, len(candidates), 4 * self.n_negatives, settings.seed, 0)
        negatives = candidates[drawn.to(candidates.device)].to(positives.dtype)
        ones = torch.ones(len(users), dtype=torch.float32, device=items.device)

        def ask(table: Tensor, step: int) -> tuple[Tensor, Tensor]:
            _, by_user, _, _ = kernels.sampled_softmax_gradients(
                table, items, users, positives, negatives, ones, self.temperature, None, "sqeuclidean", True
            )
            return users, by_user

        return ask

    def record(self, totals: Sequence[float], n_pairs: int) -> dict[str, float]:
        """Return the mean loss of a pair."""
        return {"loss": totals[0] / n_pairs}

    def scheduled(self, progress: float) -> dict[str, float]:
        """Return nothing: the temperature stays."""
        return {}


def less_along(gradients: Tensor, rows: Tensor) -> Tensor:
    """Leave ``LENGTH_SHARE`` of what gradients [P, r] have along their rows [P, r]; change them in place.

    It is linear: done for each entry, it is done for a row's sum.
    """
    along = torch.linalg.vecdot(gradients, rows) / torch.linalg.vecdot(rows, rows).clamp_min(1e-30)  # [P]
    return gradients.addcmul_(along[:, None], rows, value=LENGTH_SHARE - 1)


def shared_negatives(kernels: ModuleType, n_items: int, n_negatives: int, seed: int, step: int) -> Tensor:
    """Draw the items that a batch has as negatives; all of them if no more are asked for.

    They are distinct, and a function of (seed, step) alone: the catalogue is cut into ``n_negatives`` stretches as long
    as each other, give or take one item, one item is drawn from each, and where the first stretch begins is drawn too,
    so that every item comes with the same probability.

    Returns
    -------
    Tensor
        Shape [S] with S the smaller of ``n_negatives`` and ``n_items``, int64, on the CPU: so few are drawn there at
        once, while a GPU's own draw would make the host wait.
    """
    if n_negatives >= n_items:
        return torch.arange(n_items, device="cpu")
    words = draw_words(kernels, 0, n_negatives + 1, seed, step, torch.device("cpu")).long()  # [S + 1]
    begins, lengths = _stretches(n_items, n_negatives)
    drawn = begins + (lengths * words[:-1] >> 31) + (n_items * words[-1] >> 31)
    return torch.where(drawn < n_items, drawn, drawn - n_items)


@lru_cache(maxsize=1)
def _stretches(n_items: int, n_negatives: int) -> tuple[Tensor, Tensor]:
    """Return where the stretches of a catalogue begin, and how long they are, [S] each: the same for every step."""
    ends = torch.arange(n_negatives + 1, device="cpu") * n_items // n_negatives  # [S + 1]
    return ends[:-1], ends.diff()
