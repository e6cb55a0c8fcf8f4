"""VBPR of the paper's Table 2: half of a user's and an item's vector are for features, which a perceptron projects."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from benchmarks.baselines.features import Features, Perceptron
from benchmarks.baselines.mf import table, with_bias, with_one


class VBPR(nn.Module):
    """A score is u . v + u' . f(x) + b: vectors are twice as long as the other models' (paper, footnote 7)."""

    def __init__(self, n_users: int, n_items: int, n_components: int, features: Features) -> None:
        super().__init__()
        self.users, self.items = table(n_users, 2 * n_components), with_bias(n_items, n_components)
        self.perceptron = Perceptron(features, n_components)

    def forward(self) -> tuple[Tensor, Tensor]:
        """Return the users' and items' vectors."""
        return with_one(self.users), torch.cat((self.perceptron(), self.items), 1)
