"""CDL of the paper's Table 2: an item is where a perceptron puts its features, plus an offset of its own."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from benchmarks.baselines.features import Features, Perceptron
from benchmarks.baselines.mf import table, with_one


class CDL(nn.Module):
    """A score is u . (f(x) + v) + b; weight decay draws the offset v to 0."""

    def __init__(self, n_users: int, n_items: int, n_components: int, features: Features) -> None:
        super().__init__()
        self.users = table(n_users, n_components)
        self.offsets = nn.Parameter(torch.zeros(n_items, n_components + 1))  # the last is the bias
        self.perceptron = Perceptron(features, n_components)

    def forward(self) -> tuple[Tensor, Tensor]:
        """Return the users' and items' vectors."""
        return with_one(self.users), self.offsets + F.pad(self.perceptron(), (0, 1))
