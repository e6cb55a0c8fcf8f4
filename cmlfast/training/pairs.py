"""What an epoch visits: pairs of a user and an item they like, in an order of (seed, epoch) alone; a batch of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from types import ModuleType
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse
from torch import Tensor

from cmlfast.training.words import WORD, draw_words

SEEDS_AT_ONCE = 64
LEVELS = 2**16  # what NumPy sorts in linear time


@dataclass(frozen=True)
class Pairs:
    """The pairs to learn from, user by user, and each user's positives, sorted, that negatives must avoid."""

    n_items: int
    n_liked: npt.NDArray[np.integer]  # [I], how many items each user likes
    users: Tensor  # [N], ascending
    items: Tensor  # [N]
    indptr: Tensor  # [I + 1]
    indices: Tensor  # [nnz]
    kernels: ModuleType  # where the operators are
    _ends: dict[float, Tensor] = field(default_factory=dict, init=False, repr=False)

    @property
    def n_without_negatives(self) -> int:
        """Number of pairs of users who like every item: visited, but they teach nothing."""
        return int((self.n_liked >= self.n_items)[self.users.cpu().numpy()].sum())

    @staticmethod
    def of(matrix: sparse.csr_matrix, liked: sparse.csr_matrix, device: torch.device, kernels: ModuleType) -> Pairs:
        """Take the pairs of ``matrix``; ``liked`` holds them and all others that are no negatives either."""
        integer = np.int64 if liked.nnz >= 2**31 else np.int32
        numbers = np.arange(matrix.shape[0], dtype=integer)
        users, items, indptr, indices = (
            torch.from_numpy(np.ascontiguousarray(array, dtype=integer)).to(device)
            for array in (numbers.repeat(np.diff(matrix.indptr)), matrix.indices, liked.indptr, liked.indices)
        )
        return Pairs(liked.shape[1], np.diff(liked.indptr), users, items, indptr, indices, kernels)

    def batches(self, seed: int, epoch: int, balance: float | None, n_batches: int) -> list[tuple[Tensor, Tensor]]:
        """Return an epoch's users and items, a batch each: of as many pairs as the others, or one more or less."""
        order = self.order(seed, epoch, balance, n_batches)
        sizes = sizes_of(len(self), n_batches)
        users, items = (ids.index_select(0, order).split(sizes) for ids in (self.users, self.items))
        return list(zip(users, items, strict=True))

    def order(self, seed: int, epoch: int, balance: float | None, n_batches: int) -> Tensor:
        """Return which pairs an epoch visits, one batch after the other, [N]; a function of (seed, epoch) alone.

        Without ``balance``, every pair once. With it, N draws where a pair of user i has the probability 1 / (n_i +
        balance): a pair comes floor(x) or ceil(x) times if x times are expected.

        Each pair draws by its number in which of ``n_batches`` stretches of the epoch it comes; in a stretch pairs
        stand in their own order, user by user; and the whole is cut into batches of one size. So no pair's place asks
        for a random permutation of all, and rows of a batch's users are read in the order in which they lie. Where a
        pair comes again, it does so in the next stretch. Where stretches differ in size, their first pairs come a batch
        early, or their last ones a batch late.
        """
        n, device = len(self), self.users.device
        mixed = _seed(seed, epoch)
        words = draw_words(self.kernels, 0, n + 1, mixed, 0, device)
        stretch = words[:n].long() * n_batches >> 31  # [N]
        if balance is None:
            return stable_order(stretch, n_batches)
        # Pair i owns a stretch of [0, n) in proportion to its weight; one tick a unit, the first at a random place
        # below 1; a pair is drawn once for each tick in its stretch.
        first = words[n:].double() / WORD  # [1]
        passed = (self._ends_by(balance) + first).floor_().clamp_(max=n).long()  # [N], ticks before each pair's end
        times = passed.diff(prepend=passed.new_zeros(1))
        pairs = torch.arange(n, device=device).repeat_interleave(times, output_size=n)  # [N]
        before = (passed - times).index_select(0, pairs)  # [N], the place of a pair's first draw
        repeat = torch.arange(n, device=device) - before
        return pairs.index_select(0, stable_order((stretch.index_select(0, pairs) + repeat) % n_batches, n_batches))

    def _ends_by(self, balance: float) -> Tensor:
        """Return where each pair's stretch of [0, N) ends, [N], float64."""
        if balance not in self._ends:
            self._ends.clear()
            weights = (1 / (self.n_liked + balance))[self.users.cpu().numpy()]  # [N]
            ends = np.cumsum(weights)
            ends *= len(self) / ends[-1]
            # The running sum may round: its last end is N, so that N ticks lie before it, wherever the first is.
            ends[-1] = len(self)
            self._ends[balance] = torch.from_numpy(np.minimum(ends, len(self))).to(self.users.device)
        return self._ends[balance]

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


def sizes_of(n: int, n_batches: int) -> Sequence[int]:
    """Return how many of ``n`` pairs each batch has."""
    return [-(-(n - batch) // n_batches) for batch in range(n_batches)]


def stable_order(levels: Tensor, n_levels: int) -> Tensor:
    """Return the order [N], int64, that sorts levels [N] of [0, n_levels), equal ones in the order they come in."""
    if levels.device.type != "cpu":
        return levels.sort(stable=True).indices
    narrow = levels.numpy().astype(np.uint16 if n_levels <= LEVELS else np.int64)
    return torch.from_numpy(narrow.argsort(kind="stable"))


def _seed(seed: int, epoch: int) -> int:
    """Mix a seed with an epoch's number; streams 0 and 1 are the tables'."""
    return _seeds(seed, epoch // SEEDS_AT_ONCE)[epoch % SEEDS_AT_ONCE]


@lru_cache(maxsize=1)
def _seeds(seed: int, block: int) -> list[int]:
    """Mix a seed with the numbers of some epochs: between kernels, one alone takes ten times as long."""
    streams = range(block * SEEDS_AT_ONCE + 2, (block + 1) * SEEDS_AT_ONCE + 2)
    states = (np.random.SeedSequence([seed, stream]).generate_state(1, np.uint64)[0] for stream in streams)
    return [int(state >> np.uint64(1)) for state in states]
