"""Matrix factorization with item biases: WARP and BPR of the paper's Table 2, by the loss that it is trained with."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

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
    """A score is u . v + b."""

    def __init__(self, n_users: int, n_items: int, n_components: int) -> None:
        super().__init__()
        self.users, self.items = table(n_users, n_components), with_bias(n_items, n_components)

    def forward(self) -> tuple[Tensor, Tensor]:
        """Return the users' and items' vectors."""
        return with_one(self.users), self.items
