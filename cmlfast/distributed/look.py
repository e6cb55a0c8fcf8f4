"""What a training by several ranks is looked at by: each searches its share of the items, and all join the finds."""

from __future__ import annotations

from types import ModuleType
from typing import Protocol

import numpy as np
import torch
from scipy import sparse

from cmlfast.data.csr import Counts
from cmlfast.distributed.ranks import Ranks
from cmlfast.distributed.shares import Shares
from cmlfast.distributed.tables import SharedTables
from cmlfast.serving.nearest import Positions, nearest, picked
from cmlfast.training.fitted import item_points, user_points
from cmlfast.training.settings import Settings


class Looked(Protocol):
    """Held-out likes of some users, and a measure of what was found: see `cmlfast.evaluation.evaluate.Validation`."""

    @property
    def rows(self) -> Positions:
        """The users, ascending, [L]."""

    @property
    def seen(self) -> sparse.csr_matrix:
        """What is left out, [L, J]."""

    @property
    def item_likes(self) -> Counts:
        """Of each item, [J]."""

    @property
    def settings(self) -> Settings:
        """What is added to distances."""

    @property
    def k(self) -> int:
        """How many items are looked for."""

    def score(self, ranked: Positions) -> float:
        """Return the measure."""


def look(kernels: ModuleType, ranks: Ranks, shares: Shares, validation: Looked, tables: SharedTables) -> float:
    """Return the measure of the tables of all ranks, the same bits for any number of them."""
    users, items = shares.users_of(ranks.rank), shares.items_of(ranks.rank)
    ends = np.searchsorted(validation.rows, shares.users)
    own = validation.rows[ends[ranks.rank] : ends[ranks.rank + 1]]
    asking = torch.cat(ranks.gather_rows(picked(tables.user, own - users.start), np.diff(ends).tolist()))
    likes = validation.item_likes[items.start : items.stop]
    points = item_points(tables.part().item, likes, validation.settings.rare_item_distance)
    seen = validation.seen[:, items.start : items.stop]
    found, scores = nearest(kernels, user_points(asking, points), points, validation.k, seen)
    k = min(validation.k, shares.items[-1])
    places, values = np.full((len(found), k), -1, np.int64), np.full((len(found), k), -np.inf, np.float32)
    places[:, : found.shape[1]] = np.where(found >= 0, found + items.start, -1)
    values[:, : found.shape[1]] = scores
    device = tables.user.device
    all_places, all_values = (
        np.concatenate(list(ranks.gather(torch.from_numpy(one).to(device)).cpu().numpy()), 1)
        for one in (places, values)
    )  # [L, ranks * k]
    # Nearest first, ties by the item, as an exact search has it; none is last.
    order = np.lexsort((all_places, -all_values), axis=1)[:, :k]
    return validation.score(np.take_along_axis(all_places, order, 1))
