"""The tables of a rank: its users, and all items or its share of them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from cmlfast.distributed.items import Items
from cmlfast.distributed.ranks import Ranks
from cmlfast.distributed.shares import Shares, lengths
from cmlfast.training.settings import Settings
from cmlfast.training.side_information import JointTables
from cmlfast.training.tables import Tables, on_edge, tables_of


@dataclass
class SharedTables(JointTables):
    """As :class:`JointTables`, of one rank; without networks."""

    ranks: Ranks | None = None
    shares: Shares | None = None
    items: Items | None = None

    @staticmethod
    def new(ranks: Ranks, shares: Shares, items: Items, settings: Settings, device: torch.device) -> SharedTables:
        """Draw this rank's rows of the tables that one process would draw."""
        drawn = tables_of(shares.users_of(ranks.rank), items.here(), settings, device)
        return SharedTables(*drawn.all(), None, None, ranks, shares, items)

    def clone(self) -> SharedTables:
        """Return a copy that training cannot reach."""
        user, item, user_state, item_state = (table.clone() for table in self.all())
        return SharedTables(user, item, user_state, item_state, None, None, self.ranks, self.shares, self.items)

    def are_finite(self) -> bool:
        """Whether no number is NaN or infinite, with any rank."""
        ranks, _, _ = self._common()
        wrong = torch.tensor([float(not super().are_finite())], dtype=torch.float64, device=self.user.device)
        return not ranks.sum(wrong).item()

    def clipped(self, max_norm: float) -> dict[str, float]:
        """Return the shares of all users and items on the edge of the ball."""
        ranks, shares, _ = self._common()
        counts = torch.stack([on_edge(table, max_norm) for table in (self.user, self._own_items(self.item))])
        users, edge = ranks.sum(counts).tolist()
        return {"clipped_users": users / shares.users[-1], "clipped_items": edge / shares.items[-1]}

    def bounds(self, here: bool = False) -> dict[str, tuple[int, int]]:
        """Return the first and the last but one of this rank's users and items; or of the items that are here."""
        ranks, shares, items = self._common()
        own = items.here() if here else shares.items_of(ranks.rank)
        users = shares.users_of(ranks.rank)
        return {"user": (users.start, users.stop), "item": (own.start, own.stop)}

    def part(self) -> JointTables:
        """Return this rank's share of both, which with those of all others is everything."""
        return JointTables(
            self.user, self._own_items(self.item), self.user_state, self._own_items(self.item_state)
        )  # fmt: skip

    def whole(self) -> Tables:
        """Return the tables of all ranks, which all of them get."""
        ranks, shares, items = self._common()
        users = [torch.cat(ranks.gather_rows(one, lengths(shares.users))) for one in (self.user, self.user_state)]
        both = [self.item, self.item_state]
        if len(items.here()) < shares.items[-1]:
            both = [torch.cat(ranks.gather_rows(one, lengths(shares.items))) for one in both]
        return Tables(users[0], both[0], users[1], both[1])

    def _own_items(self, table: Tensor) -> Tensor:
        ranks, shares, items = self._common()
        here, own = items.here(), shares.items_of(ranks.rank)
        return table[own.start - here.start : own.stop - here.start]

    def _common(self) -> tuple[Ranks, Shares, Items]:
        assert self.ranks is not None
        assert self.shares is not None
        assert self.items is not None
        return self.ranks, self.shares, self.items
