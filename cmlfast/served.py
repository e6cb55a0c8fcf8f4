"""What answers need of a fitted model's tables, each computed once."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from cmlfast.encoder import typical_length
from cmlfast.rarity import Counts, item_points
from cmlfast.training import Tables


@dataclass
class Served:
    """Fitted tables and what is derived from them.

    Attributes
    ----------
    tables : Tables
    item_likes : ndarray of shape (J,)
    by_features : bool
        Whether a network has placed the items that nobody likes.
    points : dict
        Where users look for items, by the `rare_item_distance` last asked for.
    """

    tables: Tables
    item_likes: Counts
    by_features: bool
    points: dict[float, Tensor] = field(default_factory=dict)

    def find_points(self, rare_item_distance: float) -> Tensor:
        """Return where users look for items, [J, r or r + 1], and keep it."""
        self.points = {rare_item_distance: item_points(self.tables.item, self.item_likes, rare_item_distance)}
        return self.points[rare_item_distance]

    @cached_property
    def candidates(self) -> Tensor:
        """The items that may be negatives, as in training: [C], ascending."""
        item = self.tables.item
        if not self.by_features:
            return torch.arange(len(item), device=item.device)
        liked = torch.from_numpy(self.item_likes > 0).to(item.device)
        return (liked | self.tables.item_state.any(1)).nonzero()[:, 0]

    @cached_property
    def user_length(self) -> Tensor:
        """The users' typical length."""
        return typical_length(self.tables.user)

    @cached_property
    def item_length(self) -> Tensor:
        """The items' typical length."""
        return typical_length(self.tables.item)
