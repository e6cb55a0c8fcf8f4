"""What an epoch visits: pairs of a user and an item they like, in an order of (seed, epoch) alone; a batch of them."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse
from torch import Tensor

SEEDS_AT_ONCE = 64
AHEAD = 2  # orders that are made while a GPU works


@dataclass(frozen=True)
class Pairs:
    """The pairs to learn from, and each user's positives, sorted, that negatives must avoid."""

    n_items: int
    n_liked: npt.NDArray[np.integer]  # [N], how many items the pair's user likes
    users: Tensor  # [N]
    items: Tensor  # [N]
    indptr: Tensor  # [I + 1]
    indices: Tensor  # [nnz]
    _ahead: dict[tuple[int, int, float | None], Future[npt.NDArray[np.int64]]] = field(
        default_factory=dict, init=False, repr=False
    )
    _dealt: dict[int, Tensor] = field(default_factory=dict, init=False, repr=False)

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

    def batches(self, seed: int, epoch: int, balance: float | None, n_batches: int) -> list[tuple[Tensor, Tensor]]:
        """Return an epoch's users and items, a batch each: dealt like cards, so that a pair's repeats meet in none."""
        order = self.order(seed, epoch, balance).index_select(0, self._deal(n_batches))
        sizes = [-(-(len(self) - batch) // n_batches) for batch in range(n_batches)]
        users, items = (ids.index_select(0, order).split(sizes) for ids in (self.users, self.items))
        return list(zip(users, items, strict=True))

    def _deal(self, n_batches: int) -> Tensor:
        """Return where each batch's cards are in a pack of all, one batch after the other, [N]."""
        if n_batches not in self._dealt:
            self._dealt.clear()
            places = np.concatenate([np.arange(batch, len(self), n_batches) for batch in range(n_batches)])
            self._dealt[n_batches] = torch.from_numpy(places).to(self.users.device)
        return self._dealt[n_batches]

    def order(self, seed: int, epoch: int, balance: float | None) -> Tensor:
        """Return which pairs an epoch visits, [N]; a function of (seed, epoch) alone.

        It is made by the host. While a GPU works on an epoch, threads make those of the next: an order takes longer
        than an epoch of the hinge.
        """
        ahead = self._ahead.pop((seed, epoch, balance), None)
        order = self._order(seed, epoch, balance) if ahead is None else ahead.result()
        if _has_time(self.users.device):
            soon = [(seed, epoch + later, balance) for later in range(1, AHEAD + 1)]
            for key in self._ahead.keys() - set(soon):
                self._ahead.pop(key).cancel()
            for key in soon:
                if key not in self._ahead:
                    self._ahead[key] = _threads().submit(self._order, *key)
        return torch.from_numpy(order).to(self.users.device)

    def _order(self, seed: int, epoch: int, balance: float | None) -> npt.NDArray[np.int64]:
        """Draw an epoch's order.

        Without ``balance``, every pair once, shuffled. With it, N draws where a pair of user i has the probability
        1 / (n_i + balance): by systematic resampling, so that a pair comes floor(x) or ceil(x) times if x times are
        expected. A pair's repeats stand next to each other.
        """
        n = len(self)
        generator = torch.Generator("cpu").manual_seed(_seed(seed, epoch))
        order: npt.NDArray[np.int64] = torch.randperm(n, generator=generator, device="cpu").numpy()
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
        return order

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


def _has_time(device: torch.device) -> bool:
    """Whether the host waits while a device works."""
    return device.type == "cuda"


@lru_cache(maxsize=1)
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(AHEAD, "cmlfast-order")


def _seed(seed: int, epoch: int) -> int:
    """Mix a seed with an epoch's number; streams 0 and 1 are the tables'."""
    return _seeds(seed, epoch // SEEDS_AT_ONCE)[epoch % SEEDS_AT_ONCE]


@lru_cache(maxsize=1)
def _seeds(seed: int, block: int) -> list[int]:
    """Mix a seed with the numbers of some epochs: between kernels, one alone takes ten times as long."""
    streams = range(block * SEEDS_AT_ONCE + 2, (block + 1) * SEEDS_AT_ONCE + 2)
    states = (np.random.SeedSequence([seed, stream]).generate_state(1, np.uint64)[0] for stream in streams)
    return [int(state >> np.uint64(1)) for state in states]
