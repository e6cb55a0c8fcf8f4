"""FM of the paper's Table 2: a factorization machine with the interactions (user, item) and (user, item feature)."""

from __future__ import annotations

from torch import Tensor, nn

from benchmarks.baselines.features import Features
from benchmarks.baselines.mf import table, with_bias, with_one


class FactorizationMachine(nn.Module):
    """An item's vector and bias are its own plus the sums of those of its features."""

    def __init__(self, n_users: int, n_items: int, n_components: int, features: Features) -> None:
        super().__init__()
        self.features = features
        self.users, self.items = table(n_users, n_components), with_bias(n_items, n_components)
        self.parts = with_bias(features.shape[1], n_components)

    def forward(self) -> tuple[Tensor, Tensor]:
        """Return the users' and items' vectors."""
        return with_one(self.users), self.items + self.features @ self.parts
