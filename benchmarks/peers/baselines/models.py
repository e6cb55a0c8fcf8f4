"""The models of the paper's Table 2: each returns its users' and items' vectors, whose dot products are the scores."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from benchmarks.peers.baselines.features import Features, Perceptron

SCALE = 0.1  # of the starting numbers: vectors of 100 dimensions are then about 1 long


def table(n: int, width: int) -> nn.Parameter:
    """Return a table [n, width] to learn."""
    return nn.Parameter(torch.randn(n, width) * SCALE)


def with_bias(n: int, width: int) -> nn.Parameter:
    """Return a table [n, width + 1] whose last column, a bias, starts at 0."""
    return nn.Parameter(F.pad(torch.randn(n, width) * SCALE, (0, 1)))


def with_one(users: Tensor) -> Tensor:
    """Return users' vectors [I, d + 1] whose products with the items' have the items' biases in them."""
    return F.pad(users, (0, 1), value=1.0)


class MatrixFactorization(nn.Module):
    """WARP and BPR, by the loss that it is trained with: a score is u . v + b."""

    def __init__(self, n_users: int, n_items: int, n_components: int) -> None:
        super().__init__()
        self.users, self.items = table(n_users, n_components), with_bias(n_items, n_components)

    def forward(self) -> tuple[Tensor, Tensor]:
        """Return the users' and items' vectors."""
        return with_one(self.users), self.items


class FactorizationMachine(nn.Module):
    """FM, with the interactions (user, item) and (user, item feature).

    An item's vector and bias are its own plus the sums of those of its features.
    """

    def __init__(self, n_users: int, n_items: int, n_components: int, features: Features) -> None:
        super().__init__()
        self.features = features
        self.users, self.items = table(n_users, n_components), with_bias(n_items, n_components)
        self.parts = with_bias(features.shape[1], n_components)

    def forward(self) -> tuple[Tensor, Tensor]:
        """Return the users' and items' vectors."""
        return with_one(self.users), self.items + self.features @ self.parts


class VBPR(nn.Module):
    """VBPR: half of a vector is for features, which a perceptron projects; a score is u . v + u' . f(x) + b.

    Vectors are twice as long as the other models' (paper, footnote 7).
    """

    def __init__(self, n_users: int, n_items: int, n_components: int, features: Features) -> None:
        super().__init__()
        self.users, self.items = table(n_users, 2 * n_components), with_bias(n_items, n_components)
        self.perceptron = Perceptron(features, n_components)

    def forward(self) -> tuple[Tensor, Tensor]:
        """Return the users' and items' vectors."""
        return with_one(self.users), torch.cat((self.perceptron(), self.items), 1)


class CDL(nn.Module):
    """CDL: a score is u . (f(x) + v) + b; weight decay draws the offset v to 0."""

    def __init__(self, n_users: int, n_items: int, n_components: int, features: Features) -> None:
        super().__init__()
        self.users = table(n_users, n_components)
        self.offsets = nn.Parameter(torch.zeros(n_items, n_components + 1))  # the last is the bias
        self.perceptron = Perceptron(features, n_components)

    def forward(self) -> tuple[Tensor, Tensor]:
        """Return the users' and items' vectors."""
        return with_one(self.users), self.offsets + F.pad(self.perceptron(), (0, 1))
