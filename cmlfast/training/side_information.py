"""A training with features: its tables and networks, who takes part in it, and where those go who do not.

Negatives are drawn from all items of a training. One that nobody likes yet would only be pushed away, and with it what
its features stand for: on citeulike-t, a tenth of the items withheld, leaving them out found .65 of the likes among the
first 50 of them, letting them take part .60. So a training with features has the liked items alone.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from cmlfast.data.csr import Counts
from cmlfast.data.ids import Ids
from cmlfast.features.encoder import Encoder, place, predict, typical_length
from cmlfast.features.network import FeatureMLP
from cmlfast.features.rows import Features
from cmlfast.features.tags import rows_of
from cmlfast.training.settings import Settings
from cmlfast.training.tables import Tables, zeros


@dataclass(frozen=True)
class Side:
    """Users or items, their features, and the network that places them.

    Attributes
    ----------
    features : Features
        Of all of them.
    taking_part, others : Tensor
        Shapes [n] and [m], int64: the rows that are trained, and those that are not.
    encoder : Encoder
        Of those.
    """

    features: Features
    taking_part: Tensor
    others: Tensor
    encoder: Encoder

    @staticmethod
    def of(
        given: Any,
        ids: Ids,
        n_likes: Counts,
        network: nn.Module | None,
        settings: Settings,
        device: torch.device,
        kind: str,
    ) -> Side | None:
        """Set up the training of a network, or return None if there are no features.

        Parameters
        ----------
        given : any
            What :meth:`Features.of` takes: a row for each id.
        ids : ndarray of shape (n,)
            Of the users or items.
        n_likes : ndarray of shape (n,)
            Of each; those with any take part.
        network : nn.Module, optional
            f; by default a :class:`FeatureMLP`.
        kind : {"user", "item"}
            What to call them in errors.
        """
        if given is None:
            return None
        name = f"{kind}_features"
        features = Features.of(rows_of(given, ids, None, name), len(ids), name, device)
        if network is None:
            network = FeatureMLP(features.n_columns, settings.n_components, seed=settings.seed)
        taking_part, others = (torch.from_numpy(np.flatnonzero(rows)).to(device) for rows in (n_likes, n_likes == 0))
        trained = Features(features.take(taking_part))
        encoder = Encoder(network, trained, settings.feature_weight, settings.n_components, f"{kind}_network")
        return Side(features, taking_part, others, encoder)

    def start(self, table: Tensor, settings: Settings) -> None:
        """Put the rows of a training [n, r] where the network, still untrained, places them."""
        predicted = predict(self.encoder.network, self.encoder.features, "features")
        norms = predicted.norm(dim=1, keepdim=True)
        table.copy_(predicted * (settings.max_norm / norms.clamp_min(1e-30)).clamp_max(1))

    def whole(self, table: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Return the trained rows among all, the others where the network places them; likewise the accumulators."""
        rows, sums = (zeros((len(self.features), table.shape[1]), one.dtype).to(one.device) for one in (table, state))
        rows[self.taking_part], sums[self.taking_part] = table, state
        if len(self.others):
            others = Features(self.features.take(self.others))
            placed = place(self.encoder.network, others, typical_length(table), "features")
            rows[self.others] = placed.to(rows.dtype)
        return rows, sums

    def clone(self) -> Side:
        """Return a side whose network training cannot reach."""
        encoder = copy.copy(self.encoder)
        encoder.network = copy.deepcopy(self.encoder.network)
        return replace(self, encoder=encoder)


@dataclass
class JointTables(Tables):
    """The tables of a training, and what knows features of their rows."""

    user_side: Side | None = None
    item_side: Side | None = None

    def clone(self) -> JointTables:
        """Return a copy that training cannot reach."""
        users, items = (side and side.clone() for side in self.sides())
        user, item, user_state, item_state = (table.clone() for table in self.all())
        return JointTables(user, item, user_state, item_state, users, items)

    def sides(self) -> tuple[Side | None, Side | None]:
        """Return that of the users and that of the items."""
        return self.user_side, self.item_side

    def start(self, settings: Settings) -> None:
        """Begin where the networks place users and items."""
        for side, table in ((self.user_side, self.user), (self.item_side, self.item)):
            if side:
                side.start(table, settings)

    def whole(self) -> Tables:
        """Return the tables of all users and items, those included that did not take part."""
        (user, user_state), (item, item_state) = (
            side.whole(table, state) if side else (table, state)
            for side, table, state in (
                (self.user_side, self.user, self.user_state),
                (self.item_side, self.item, self.item_state),
            )
        )
        return Tables(user, item, user_state, item_state)
