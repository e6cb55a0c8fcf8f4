"""Items with few likes, farther away than they stand: one more coordinate, so that search stays Euclidean."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse
from torch import Tensor
from torch.nn import functional

Counts = npt.NDArray[np.int64]


def likes_of_items(matrix: sparse.csr_matrix) -> Counts:
    """Return how many users like each item, [J]."""
    return np.bincount(matrix.indices, minlength=matrix.shape[1]).astype(np.int64)


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
