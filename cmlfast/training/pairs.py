"""What an epoch visits: pairs of a user and an item they like, in an order of (seed, epoch) alone; a batch of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse
from torch import Tensor

SEEDS_AT_ONCE = 64


@dataclass(frozen=True)
class Pairs:
    """The pairs to learn from, and each user's positives, sorted, that negatives must avoid."""

    n_items: int
    n_liked: npt.NDArray[np.integer]  # [N], how many items the pair's user likes
    users: Tensor  # [N]
    items: Tensor  # [N]
    indptr: Tensor  # [I + 1]
    indices: Tensor  # [nnz]

    @property
    def n_without_negatives(self) -> int:
        """Number of pairs of users who like every item: visited, but they teach nothing."""
        return int((self.n_liked >= self.n_items).sum())

    @staticmethod
    def of(matrix: sparse.csr_matrix, liked: sparse.csr_matrix, device: torch.device) -> Pairs:
        """Take the pairs of ``matrix``; ``liked`` holds them and all others that are no negatives either."""
        integer = np.int64 if liked.nnz >= 2**31 else np.int32
        users = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
        arrays = (users, matrix.indices, liked.indptr, liked.indices)
        tensors = (torch.from_numpy(np.ascontiguousarray(array, dtype=integer)).to(device) for array in arrays)
        return Pairs(liked.shape[1], np.diff(liked.indptr)[users], *tensors)

    def order(self, seed: int, epoch: int, balance: float | None) -> Tensor:
        """Return which pairs an epoch visits, [N]; a function of (seed, epoch) alone.

        Without ``balance``, every pair once, shuffled. With it, N draws where a pair of user i has the probability
        1 / (n_i + balance): by systematic resampling, so that a pair comes floor(x) or ceil(x) times if x times are
        expected. A pair's repeats stand next to each other.
        """
        n = len(self)
        generator = torch.Generator("cpu").manual_seed(_seed(seed, epoch))
        order = torch.randperm(n, generator=generator, device="cpu").numpy()
        if balance is not None:
            first = torch.rand((), dtype=torch.float64, generator=generator, device="cpu").item()
            weights = (1 / (self.n_liked + balance)).take(order)  # [N]
            ends = np.cumsum(weights)  # [N], where each pair's stretch of a line ends
            # Pair i owns a stretch of [0, n) in proportion to its weight; one tick a unit, the first at `first`; a pair
            # is drawn once for each tick in its stretch. The last end passes all n: the running sum may round below n.
            passed = np.minimum((ends * (n / ends[-1]) - first + 1).astype(np.int64), n)  # [N]
            passed[-1] = n
            passed[1:] -= passed[:-1]  # by each end alone
            order = order.repeat(passed)
        return torch.from_numpy(order).to(self.users.device)

    def __len__(self) -> int:
        return len(self.users)


class Batch(NamedTuple):
    """What one step learns from, and how."""

    users: Tensor  # [N]
    items: Tensor  # [N]
    rate: float
    progress: float  # of the training, from 0 to 1
    offset: int  # what the draws of a pair's own negatives depend on, beside seed, user and item
    step: int  # its number since the training began, which draws of shared negatives depend on


def _seed(seed: int, epoch: int) -> int:
    """Mix a seed with an epoch's number; streams 0 and 1 are the tables'."""
    return _seeds(seed, epoch // SEEDS_AT_ONCE)[epoch % SEEDS_AT_ONCE]


@lru_cache(maxsize=1)
def _seeds(seed: int, block: int) -> list[int]:
    """Mix a seed with the numbers of some epochs: between kernels, one alone takes ten times as long."""
    streams = range(block * SEEDS_AT_ONCE + 2, (block + 1) * SEEDS_AT_ONCE + 2)
    states = (np.random.SeedSequence([seed, stream]).generate_state(1, np.uint64)[0] for stream in streams)
    return [int(state >> np.uint64(1)) for state in states]
