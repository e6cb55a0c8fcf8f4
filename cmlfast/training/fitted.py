"""What a training leaves: one frozen record, which serving asks and a file keeps, and what is derived from it once."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from cmlfast.data.align import without_pairs
from cmlfast.data.csr import Counts
from cmlfast.data.ids import Ids
from cmlfast.data.interactions import Interactions
from cmlfast.data.sides import Kind, Sides
from cmlfast.features.encoder import typical_length
from cmlfast.training.course import Record
from cmlfast.training.settings import Settings
from cmlfast.training.tables import Tables

Times: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Fitted:
    """What was fitted.

    Attributes
    ----------
    tables : Tables
        Of all users and items.
    known : Interactions
        Their ids, and the training pairs if those are kept: without ``has_pairs``, what is given has its pairs removed.
    has_pairs : bool
        Whether they are.
    item_likes : ndarray of shape (J,)
        How many likes of each item the training had.
    settings : Settings
        Of the training.
    history : list of dict
        An entry for every epoch.
    skipped : dict
        Counts of what was not trained on.
    networks : Sides of nn.Module or None
        What places users and items by their features.
    tag_ids : Sides of ndarray or None
        The names of the features' columns.
    placed : Sides of ndarray, bool
        Of which users [I] and items [J] something was learned: from likes, or by a network from their features.
    by_features : bool
        Whether a network has placed the items that nobody likes.
    last_seen : Sides of ndarray or None
        When users [I] and items [J] were last in a like, seconds since 1970, NaN where that is not known; None where
        no likes had dates.
    missing_networks : tuple of str
        Networks that the model's file has and the model has not.
    """

    tables: Tables
    known: Interactions
    has_pairs: bool
    item_likes: Counts
    settings: Settings
    history: list[Record]
    skipped: dict[str, int]
    networks: Sides[nn.Module | None]
    tag_ids: Sides[Ids | None]
    placed: Sides[npt.NDArray[np.bool_]]
    by_features: bool
    last_seen: Sides[Times | None] = field(default_factory=lambda: Sides(None, None))
    missing_networks: tuple[str, ...] = ()
    _last_points: tuple[float, int, Tensor] | None = field(default=None, init=False, repr=False)
    _last_listed: dict[str, tuple[Tensor, int, Tensor]] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        if not self.has_pairs:
            object.__setattr__(self, "known", without_pairs(self.known))

    @property
    def dtype(self) -> str:
        """The tables' type, by the parameter's name for it."""
        return str(self.tables.user.dtype).removeprefix("torch.")

    def known_points(self, rare_item_distance: float) -> Tensor | None:
        """Return :meth:`points` if they were asked for last."""
        last = self._last_points
        # By the version too: who writes into the table means what is found by it.
        known = last and last[:2] == (rare_item_distance, self.tables.item._version)
        return last[2] if last and known else None

    def points(self, rare_item_distance: float) -> Tensor:
        """Return where users look for items, [J, r or r + 1], and keep it until another distance is asked for."""
        found = self.known_points(rare_item_distance)
        if found is None:
            found = item_points(self.tables.item, self.item_likes, rare_item_distance)
            # One assignment, for threads that ask for different distances.
            object.__setattr__(self, "_last_points", (rare_item_distance, self.tables.item._version, found))
        return found

    def searched(self, points: Tensor) -> Tensor:
        """Return the items' points for a search: NaN, which no search lists, for items that were never trained."""
        return self._listed("points", points, self.trained)

    def near(self, kind: Kind) -> Tensor:
        """Return the users' or the items' table for a search: NaN where nothing was learned."""
        return self._listed(kind, self.tables.item if kind == "item" else self.tables.user, self.placed[kind])

    def _listed(self, name: str, table: Tensor, known: npt.NDArray[np.bool_]) -> Tensor:
        """Return a table with NaN in its other rows, and keep it until the table is another, or has changed."""
        if known.all():
            return table
        last = self._last_listed.get(name)
        if last is None or last[0] is not table or last[1] != table._version:
            listed = table.clone()
            listed[torch.from_numpy(~known).to(table.device)] = torch.nan
            last = self._last_listed[name] = (table, table._version, listed)
        return last[2]

    @cached_property
    def candidates(self) -> Tensor:
        """The items that may be negatives, as in training: [C], ascending."""
        item = self.tables.item
        if not self.by_features:
            return torch.arange(len(item), device=item.device)
        liked = torch.from_numpy(self.item_likes > 0).to(item.device)
        return (liked | self.tables.item_state.any(1)).nonzero()[:, 0]

    @cached_property
    def trained(self) -> npt.NDArray[np.bool_]:
        """The items that were trained, as negatives at least, or placed by features, [J]."""
        trained: npt.NDArray[np.bool_] = self.placed.item.copy()
        trained[self.candidates.cpu().numpy()] = True
        return trained

    @cached_property
    def typical_lengths(self) -> Sides[Tensor]:
        """The typical length of the users, and of the items, of whom something was learned."""
        both = ((self.tables.user, self.placed.user), (self.tables.item, self.placed.item))
        return Sides(*(typical_length(table[torch.from_numpy(placed).to(table.device)]) for table, placed in both))


def item_points(items: Tensor, likes: Counts, rare_item_distance: float) -> Tensor:
    """Return the points at which items are searched, [J, r + 1]; the table [J, r] itself if the distance is 0.

    An item with k likes gets the coordinate sqrt(rare_item_distance / (1 + k)), a user 0, so that the squared distance
    between them grows by rare_item_distance / (1 + k).
    """
    if rare_item_distance == 0:
        return items
    heights = np.sqrt(rare_item_distance / (1 + likes))  # [J]
    return torch.cat((items, torch.from_numpy(heights).to(items)[:, None]), 1)


def user_points(users: Tensor, points: Tensor) -> Tensor:
    """Return users [Q, r] among the items' points [J, r or r + 1]: their coordinates, then 0."""
    return functional.pad(users, (0, points.shape[1] - users.shape[1]))
