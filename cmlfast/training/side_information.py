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
from scipy import sparse
from torch import Tensor, nn

from cmlfast.data.align import ids_of
from cmlfast.data.csr import Counts
from cmlfast.data.interactions import Interactions
from cmlfast.data.sides import Kind, Sides
from cmlfast.features.encoder import Encoder, place, predict, typical_length
from cmlfast.features.network import FeatureMLP
from cmlfast.features.rows import Features
from cmlfast.features.tags import rows_of
from cmlfast.features.telling import lift
from cmlfast.training.settings import Settings
from cmlfast.training.tables import Tables, zeros


def read_features(known: Interactions, given: Sides[Any], device: torch.device) -> Sides[Features | None]:
    """Return what was given of users and of items, a row for each that is known; None for nothing.

    Raises
    ------
    TypeError, ValueError
        As :meth:`Features.of`, and :func:`cmlfast.features.tags.rows_of`.
    """
    kinds: tuple[Kind, Kind] = ("user", "item")
    found: list[Features | None] = []
    for kind in kinds:
        ids, name, features = ids_of(known, kind), f"{kind}_features", given[kind]
        rows = None if features is None else rows_of(features, ids, None, name)
        found.append(None if rows is None else Features.of(rows, len(ids), name, device))
    return Sides(*found)


def lifts_of(likes: sparse.csr_matrix, features: Sides[Features | None]) -> Sides[float | None]:
    """Return how much features of users and of items tell of who likes what, [I, J]; None where there are none."""
    users, items = features
    return Sides(None if users is None else lift(users, likes.T.tocsr()), None if items is None else lift(items, likes))


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
        features: Features | None,
        n_likes: Counts,
        network: nn.Module | None,
        settings: Settings,
        kind: Kind,
    ) -> Side | None:
        """Set up the training of a network, or return None if there are no features.

        Parameters
        ----------
        features : Features, optional
            Of the n users or items.
        n_likes : ndarray of shape (n,)
            Of each; those with any take part.
        network : nn.Module, optional
            f; by default a :class:`FeatureMLP`.
        kind : {"user", "item"}
            What to call them in errors.
        """
        if features is None:
            return None
        device = features.rows.device
        if network is None:
            network = FeatureMLP(features.n_columns, settings.n_components, seed=settings.seed)
        taking_part, others = (torch.from_numpy(np.flatnonzero(rows)).to(device) for rows in (n_likes, n_likes == 0))
        trained = Features(features.take(taking_part))
        encoder = Encoder(network, trained, settings.feature_weight[kind], settings.n_components, f"{kind}_network")
        return Side(features, taking_part, others, encoder)

    def start(self, table: Tensor, settings: Settings) -> None:
        """Put the rows of a training [n, r] where the network, still untrained, places them."""
        predicted = predict(self.encoder.network, self.encoder.features, "features")
        norms = predicted.norm(dim=1, keepdim=True)
        table.copy_(predicted * (settings.max_norm / norms.clamp_min(1e-30)).clamp_max(1))

    def whole(self, table: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Return the trained rows among all, the others where the network places them; likewise the accumulators."""
        rows, sums = (zeros((len(self.features), one.shape[1]), one.dtype).to(one.device) for one in (table, state))
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
