"""Who has what: users by their pairs, items by their number, each rank a stretch of both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse


@dataclass(frozen=True)
class Shares:
    """The users and items of each rank.

    Attributes
    ----------
    users, items : sequence of int
        Where the stretch of each rank begins, and where the last one ends, [ranks + 1].
    """

    users: Sequence[int]
    items: Sequence[int]

    @staticmethod
    def of(matrix: sparse.csr_matrix, n_ranks: int) -> Shares:
        """Deal out users, so that each rank has about as many pairs, and items.

        Raises
        ------
        ValueError
            If there are more ranks than users or items.
        """
        for name, n in zip(("users", "items"), matrix.shape, strict=True):
            if n < n_ranks:
                raise ValueError(f"process_group has {n_ranks} ranks, but there are {n} {name}; start fewer processes")
        return Shares(by_pairs(matrix.indptr, n_ranks), evenly(matrix.shape[1], n_ranks))

    def users_of(self, rank: int) -> range:
        """Return the users of a rank."""
        return range(self.users[rank], self.users[rank + 1])

    def items_of(self, rank: int) -> range:
        """Return the items of a rank."""
        return range(self.items[rank], self.items[rank + 1])


def evenly(n: int, n_ranks: int) -> list[int]:
    """Return where each of ``n_ranks`` stretches of n begins, and n."""
    return [n * rank // n_ranks for rank in range(n_ranks + 1)]


def by_pairs(indptr: npt.NDArray[Any], n_ranks: int) -> list[int]:
    """Return where each stretch of users begins, such that all have about as many pairs, and at least one user."""
    n_users = len(indptr) - 1
    ends = np.searchsorted(indptr, np.arange(n_ranks + 1) * int(indptr[-1]) // n_ranks)
    ranks = np.arange(n_ranks + 1)
    ends = np.maximum.accumulate(np.minimum(ends, n_users - n_ranks + ranks) - ranks) + ranks
    return [0, *(int(end) for end in ends[1:-1]), n_users]


def lengths(bounds: Sequence[int]) -> list[int]:
    """Return how long each stretch is."""
    return [end - begin for begin, end in pairwise(bounds)]
