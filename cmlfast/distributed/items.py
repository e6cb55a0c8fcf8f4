"""Where items are: a copy with every rank, or a share with each. What a step reads of them, and sends to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from cmlfast.distributed.ranks import Ranks
from cmlfast.distributed.shares import Shares


class Message(NamedTuple):
    """What pairs ask of items: of each entry, one of some rows, an item, and a factor; entries in the pairs' order.

    As a rank sends it, with the items' own numbers; as it comes from all of them, rank by rank, with the items' rows in
    the table here.
    """

    rows: Tensor  # [A, r]
    slots: Tensor  # [E], the row of each entry
    items: Tensor  # [E], int64
    factors: Tensor  # [E], float32
    shared: Tensor | None = None  # [S, r], float32: what every rank asks of the same items; then the sum of that
    shared_items: Tensor | None = None  # [S], int64


class Items(Protocol):
    """Where items are."""

    def here(self) -> range:
        """Return the items that this rank has."""

    def fetch(self, table: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Return a table, and the rows in it of items [...]; ``table`` is of the items that are here."""

    def send(self, message: Message, said: Tensor) -> tuple[Message, Tensor]:
        """Send entries to whoever has their items, and numbers [m] to all, whose own come back, [ranks, m]."""


@dataclass(frozen=True)
class Replicated:
    """Every rank has all items, and learns what the pairs of all ranks ask of them."""

    ranks: Ranks
    n_items: int

    def here(self) -> range:
        """Return all items."""
        return range(self.n_items)

    def fetch(self, table: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Return what was given: all is here."""
        return table, ids

    def send(self, message: Message, said: Tensor) -> tuple[Message, Tensor]:
        """Send everything to everybody."""
        sizes = said.new_tensor([len(message.rows), len(message.slots)])
        told = self.ranks.gather(torch.cat((sizes, said)))
        rows, entries = (
            torch.cat(self.ranks.gather_rows(part, told[:, column].long().tolist()))
            for column, part in enumerate((message.rows, _packed(message)))
        )
        sizes = told[:, :2].long()
        shift = _starts(sizes[:, 0]).repeat_interleave(sizes[:, 1])
        slots, items, factors = _unpacked(entries)
        shared = None if message.shared is None else self.ranks.sum(message.shared)
        return Message(rows, slots + shift, items, factors, shared, message.shared_items), told[:, 2:]


@dataclass(frozen=True)
class Sharded:
    """Each rank has a stretch of the items; others fetch rows of them, and send what their pairs ask of them."""

    ranks: Ranks
    shares: Shares

    def here(self) -> range:
        """Return this rank's items."""
        return self.shares.items_of(self.ranks.rank)

    def fetch(self, table: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Return the distinct rows that are named, [D, r], from whoever has them."""
        wanted, places = ids.reshape(-1).long().unique(return_inverse=True)  # ascending, and so owner by owner
        counts, ones = self._counts(wanted), [1] * self.ranks.size
        to, asked_of_us = counts[:, 0].tolist(), self.ranks.exchange(counts, ones, ones)[:, 0].tolist()
        requests = self.ranks.exchange(wanted, to, asked_of_us)
        rows = table.index_select(0, requests - self.here().start)
        return self.ranks.exchange(rows, asked_of_us, to), places.view(ids.shape)

    def send(self, message: Message, said: Tensor) -> tuple[Message, Tensor]:
        """Send each entry to the rank that has its item, and there, once, the rows that entries name."""
        message = _with_shared(message)
        owners = torch.bucketize(message.items, self._borders(message.items), right=True)  # [E]
        order = owners.sort(stable=True).indices
        n_rows, size = max(len(message.rows), 1), self.ranks.size
        # For each owner, the distinct rows of its entries, and each entry's place among them.
        named, places = (owners * n_rows + message.slots).index_select(0, order).unique(return_inverse=True)
        rows_to = torch.bincount(named.div(n_rows, rounding_mode="floor"), minlength=size)
        entries_to = torch.bincount(owners, minlength=size)
        sent = Message(
            message.rows.index_select(0, named % n_rows),
            places - _starts(rows_to).repeat_interleave(entries_to),
            message.items.index_select(0, order),
            message.factors.index_select(0, order),
        )
        back = self.ranks.exchange(torch.stack((rows_to, entries_to), 1), [1] * size, [1] * size)
        rows = self.ranks.exchange(sent.rows, rows_to.tolist(), back[:, 0].tolist())
        slots, items, factors = _unpacked(self.ranks.exchange(_packed(sent), entries_to.tolist(), back[:, 1].tolist()))
        slots += _starts(back[:, 0]).repeat_interleave(back[:, 1])
        return Message(rows, slots, items - self.here().start, factors), self.ranks.gather(said)

    def _borders(self, like: Tensor) -> Tensor:
        return torch.tensor(self.shares.items[1:-1], dtype=torch.int64, device=like.device)

    def _counts(self, wanted: Tensor) -> Tensor:
        """Return how many of ascending items each rank has, [ranks, 1]."""
        ends = torch.searchsorted(wanted, torch.tensor(self.shares.items[1:], dtype=torch.int64, device=wanted.device))
        return ends.diff(prepend=ends.new_zeros(1))[:, None]


def _packed(message: Message) -> Tensor:
    """Return entries as numbers of 32 bits, [E, 3]: no table has more rows than those tell apart."""
    return torch.stack((message.slots.int(), message.items.int(), message.factors.view(torch.int32)), 1)


def _unpacked(entries: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    slots, items, factors = entries.unbind(1)
    return slots.long(), items.long(), factors.contiguous().view(torch.float32)


def _with_shared(message: Message) -> Message:
    """Return what all ranks ask of the same items as entries like others."""
    if message.shared is None or message.shared_items is None:
        return message
    n = len(message.shared)
    slots = torch.arange(len(message.rows), len(message.rows) + n, device=message.slots.device)
    return Message(
        torch.cat((message.rows, message.shared)),
        torch.cat((message.slots, slots)),
        torch.cat((message.items, message.shared_items)),
        torch.cat((message.factors, message.factors.new_ones(n))),
    )


def _starts(counts: Tensor) -> Tensor:
    """Return where each of some stretches begins."""
    return counts.cumsum(0) - counts
