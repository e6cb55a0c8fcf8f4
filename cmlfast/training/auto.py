"""What "auto" comes to: rules of the data's size and density, the same for every data set."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cmlfast.data.sides import Sides

MAX_BATCH_SIZE = 10_000
BATCHES_PER_EPOCH = 10
MIN_BATCH_SIZE = 256

NO_FEATURES: Sides[float | None] = Sides(None, None)


@dataclass(frozen=True)
class Shape:
    """What the rules look at.

    Attributes
    ----------
    n_pairs, n_users, n_items : int
        The likes, and the users and items that have any.
    lifts : Sides of float or None
        How much features of users and of items tell, see :func:`cmlfast.features.telling.lift`; None without any.
    """

    n_pairs: int
    n_users: int
    n_items: int
    lifts: Sides[float | None] = NO_FEATURES

    @property
    def with_features(self) -> bool:
        """Whether features of users or items are given."""
        return any(one is not None for one in self.lifts)

    @property
    def density(self) -> float:
        """Likes among all pairs."""
        return self.n_pairs / (self.n_users * self.n_items)


def fill_in(params: dict[str, Any], shape: Shape) -> dict[str, Any]:
    """Return what each parameter that is "auto" comes to, by name; the rest is left out."""
    found = {"loss": loss(shape)} if is_auto(params["loss"]) else {}
    rules = SOFTMAX if found.get("loss", params["loss"]) == "softmax" else WARP
    return found | {name: rule(shape) for name, rule in rules.items() if is_auto(params[name])}


def is_auto(value: Any) -> bool:
    """Whether a parameter leaves its value to a rule."""
    return isinstance(value, str) and value == "auto"


def loss(shape: Shape) -> str:
    """Return the loss: the softmax, or the hinge with features, from which it learns more."""
    return "warp" if shape.with_features else "softmax"


def temperature(shape: Shape) -> float:
    """Return the softmax's temperature: ``3.3 n^-0.2 / log(1 / density)`` with n the likes for each user.

    In the unit ball, squared distances differ by some 2 between what is liked and what is not, and probabilities by the
    number of items for each like, 1 / density: a temperature of about 2 / log(1 / density) makes the one of the other.
    The more likes there are for each user, the finer a distinction they bear.
    """
    likes = shape.n_pairs / shape.n_users
    found: float = min(max(3.3 / float(likes) ** 0.2 / max(math.log(1 / shape.density), 1.0), 0.1), 1.0)
    return found


def shared_negatives(shape: Shape) -> int:
    """Return S, the negatives that a batch shares: as many as it has pairs, at least 1,024 and at most 4,096."""
    return min(max(small_batch_size(shape), 1024), 4096, shape.n_items)


def own_negatives(shape: Shape) -> int:
    """Return U, the negatives of each pair of the hinge: ``0.1 / density``, at least 1 and at most 20.

    An item drawn as a negative is in truth one the user would like with a probability of about the density of what
    was seen. The loss keeps the hardest of U draws, which is where such an item would end up, so U times the density
    must stay small: 20 negatives suit 0.4% and less, MovieLens-100K with its 2.6% gets 4.
    """
    return int(min(max(round(0.1 / shape.density), 1), 20))


def batch_size(shape: Shape) -> int:
    """Return the pairs in a batch: a tenth of all, at least 256 and at most 10,000."""
    return min(max(shape.n_pairs // BATCHES_PER_EPOCH, MIN_BATCH_SIZE), MAX_BATCH_SIZE)


def small_batch_size(shape: Shape) -> int:
    """Return the pairs in a batch of the softmax: a hundredth of all, at least 256 and at most 5,000."""
    return min(max(shape.n_pairs // 100, 256), 5_000)


def pull(lift: float) -> float:
    """Return the hinge's feature weight, ``4 (lift / 6)^5``, at least 4 and at most 40.

    Where features tell items apart, as 8,000 tags do, being drawn to where they put them is worth a third of recall;
    where they do not, as 19 genres, it takes from each item what is its own.
    """
    return min(max(4 * (lift / 6) ** 5, 4.0), 40.0)


def pulls(shape: Shape) -> float | tuple[float, float]:
    """Return the hinge's feature weight, or those of users and of items where both have features."""
    found = [40.0 if one is None else pull(one) for one in shape.lifts]
    if None in shape.lifts:
        return min(found)
    return found[0], found[1]


def epochs_with_features(shape: Shape) -> int:
    """Return the hinge's epochs with features: 40 at a weight of 40, for strong features teach fast, to 200 at 4."""
    strongest = max((pull(one) for one in shape.lifts if one is not None), default=4.0)
    return round(40 * math.pow(40 / strongest, math.log10(5)))


Rule = Callable[[Shape], Any]
SOFTMAX: dict[str, Rule] = {
    "temperature": temperature,
    "n_negatives": shared_negatives,
    "batch_size": small_batch_size,
    "learning_rate": lambda _: 0.3,
    "n_epochs": lambda shape: 10 if shape.with_features else 30,
    "balance": lambda shape: 30.0 if shape.with_features else None,
    "feature_weight": lambda _: 4.0,
    "rare_item_distance": lambda shape: 0.0 if shape.with_features else 0.5,
}
WARP: dict[str, Rule] = {
    "margin": lambda _: (3.0, 1.0),
    "n_negatives": own_negatives,
    "batch_size": batch_size,
    "learning_rate": lambda _: 0.1,
    "n_epochs": lambda shape: epochs_with_features(shape) if shape.with_features else 200,
    "balance": lambda _: 30.0,
    "feature_weight": pulls,
    "rare_item_distance": lambda _: 0.0,
}
