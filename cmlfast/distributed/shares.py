"""Who has what: users by their pairs, items by their number, each rank a stretch of both."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from cmlfast.distributed.ranks import place_in


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
    def of(matrix: sparse.csr_matrix, n_ranks: int, balance: float | None) -> Shares:
        """Deal out users, so that each rank has about as many pairs of an epoch, and items.

        ``balance`` is that of `CML`: how often a user's pairs come.

        Raises
        ------
        ValueError
            If there are more ranks than users or items.
        """
        for name, n in zip(("users", "items"), matrix.shape, strict=True):
            if n < n_ranks:
                raise ValueError(f"process_group has {n_ranks} ranks, but there are {n} {name}; start fewer processes")
        n_likes = np.diff(matrix.indptr)
        visits = n_likes if balance is None else n_likes / np.maximum(n_likes + balance, 1e-30)
        return Shares(by_weight(visits, n_ranks), evenly(matrix.shape[1], n_ranks))

    def users_of(self, rank: int) -> range:
        """Return the users of a rank."""
        return range(self.users[rank], self.users[rank + 1])

    def items_of(self, rank: int) -> range:
        """Return the items of a rank."""
        return range(self.items[rank], self.items[rank + 1])


def share_of(n: int, process_group: Any) -> range:
    """Return which of n this process of a group has, all as many, give or take one; all without a group."""
    if process_group is None:
        return range(n)
    rank, size = place_in(process_group)
    bounds = evenly(n, size)
    return range(bounds[rank], bounds[rank + 1])


def name_of_share(path: str | os.PathLike[str], process_group: Any) -> str:
    """Return the name of this process's file among those of a group: of two, answers-0-of-2.csv and -1-of-2.csv."""
    front, ending = os.path.splitext(os.fspath(path))
    rank, size = place_in(process_group)
    return f"{front}-{rank}-of-{size}{ending}"


def evenly(n: int, n_ranks: int) -> list[int]:
    """Return where each of ``n_ranks`` stretches of n begins, and n."""
    return [n * rank // n_ranks for rank in range(n_ranks + 1)]


def by_weight(weights: npt.NDArray[Any], n_ranks: int) -> list[int]:
    """Return where each stretch of users begins, such that all weigh about as much, and have at least one user."""
    n_users, sums = len(weights), np.concatenate(([0], np.cumsum(weights)))
    ends = np.searchsorted(sums, np.arange(n_ranks + 1) * (sums[-1] / n_ranks))
    ranks = np.arange(n_ranks + 1)
    ends = np.maximum.accumulate(np.minimum(ends, n_users - n_ranks + ranks) - ranks) + ranks
    return [0, *(int(end) for end in ends[1:-1]), n_users]


def lengths(bounds: Sequence[int]) -> list[int]:
    """Return how long each stretch is."""
    return [end - begin for begin, end in pairwise(bounds)]
