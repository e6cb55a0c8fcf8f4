"""What an epoch visits: pairs of a user and an item they like, in an order of (seed, epoch) alone; a batch of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from types import ModuleType
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from cmlfast.data.csr import Counts
from cmlfast.training.words import WORD, draw_words

SEEDS_AT_ONCE = 64
LEVELS = 2**16  # what NumPy sorts in linear time
AnyPairs = TypeVar("AnyPairs", bound="Pairs")


@dataclass(frozen=True)
class Pairs:
    """The pairs to learn from, user by user, and each user's positives, sorted, that negatives must avoid.

    All pairs, or those of a share of the users: I of M users, who have N of all pairs.
    """

    n_items: int
    n_pairs: Counts  # [M], of each user
    n_liked: Counts  # [M], how many items each user likes: those of their pairs, and others that are no negatives
    users: Tensor  # [N], ascending, counted from the first user here
    items: Tensor  # [N]
    indptr: Tensor  # [I + 1]
    indices: Tensor  # [nnz]
    kernels: ModuleType  # where the operators are
    first_user: int = 0
    _ends: dict[float, tuple[float, Tensor]] = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def of(
        cls: type[AnyPairs],
        matrix: sparse.csr_matrix,
        liked: sparse.csr_matrix,
        device: torch.device,
        kernels: ModuleType,
        users: slice = slice(None),
        **more: Any,
    ) -> AnyPairs:
        """Take the pairs of ``matrix``; ``liked`` holds them and all others that are no negatives either.

        Of the ``users`` alone, where there is a slice of them.
        """
        first, last, _ = users.indices(matrix.shape[0])
        n_pairs, n_liked = np.diff(matrix.indptr), np.diff(liked.indptr)
        if (first, last) != (0, matrix.shape[0]):
            same = liked is matrix
            matrix = matrix[first:last]
            liked = matrix if same else liked[first:last]
        integer = np.int64 if liked.nnz >= 2**31 else np.int32
        numbers = np.arange(last - first, dtype=integer).repeat(np.diff(matrix.indptr))
        here, items, indptr, indices = (
            torch.from_numpy(np.ascontiguousarray(array, dtype=integer)).to(device)
            for array in (numbers, matrix.indices, liked.indptr, liked.indices)
        )
        return cls(liked.shape[1], n_pairs, n_liked, here, items, indptr, indices, kernels, first, **more)

    def __len__(self) -> int:
        """Return the number of all pairs."""
        return int(self.n_pairs.sum())

    @property
    def n_without_negatives(self) -> int:
        """Number of pairs of users who like every item: visited, but they teach nothing."""
        return int(self.n_pairs[self.n_liked >= self.n_items].sum())

    def visited(self, seed: int, epoch: int, balance: float | None, n_batches: int) -> tuple[Tensor, Tensor, list[int]]:
        """Return an epoch's users and items, [V] each, one batch after the other, and how many each batch has."""
        order, sizes = self.order(seed, epoch, balance, n_batches)
        return self.users.index_select(0, order), self.items.index_select(0, order), sizes

    def order(self, seed: int, epoch: int, balance: float | None, n_batches: int) -> tuple[Tensor, list[int]]:
        """Return which pairs an epoch visits, one batch after the other, [V]; a function of (seed, epoch) alone.

        Without ``balance``, every pair once. With it, as many draws as there are pairs, where a pair of user i has the
        probability 1 / (n_i + balance): a pair comes floor(x) or ceil(x) times if x times are expected.

        Each pair draws by its number in which of ``n_batches`` stretches of the epoch it comes, and these, one after
        the other, are cut into batches of one size. So no pair's place asks for a random permutation of all. In a batch
        pairs stand in their own order, user by user, and rows of users are read in the order in which they lie. A pair
        that comes again does so in the next stretch. Where stretches differ in size, their first pairs come a batch
        early, or their last ones a batch late.

        Returns
        -------
        order : Tensor
            Shape [V], int64.
        sizes : list of int
            How many of these each batch has.
        """
        mixed, device = _seed(seed, epoch), self.users.device
        first = int(self.n_pairs[: self.first_user].sum())
        words = draw_words(self.kernels, first, len(self.users), mixed, 0, device)  # [N]
        stretch = words.long() * n_batches >> 31
        drawn = None
        if balance is not None:
            drawn, repeat = self._drawn(balance, draw_words(self.kernels, len(self), 1, mixed, 0, device))
            stretch = (stretch.index_select(0, drawn) + repeat) % n_batches
        sizes = self.sizes(stretch, n_batches)
        numbers = torch.arange(n_batches, device=device)
        in_batches = numbers.repeat_interleave(
            torch.tensor(sizes, dtype=torch.int64, device=device), output_size=len(stretch)
        )
        batch = torch.empty_like(stretch).scatter_(0, stable_order(stretch, n_batches), in_batches)
        order = stable_order(batch, n_batches)
        return order if drawn is None else drawn.index_select(0, order), sizes

    def _drawn(self, balance: float, word: Tensor) -> tuple[Tensor, Tensor]:
        """Return which pairs are drawn, in their own order, [V], and how often each was drawn before, [V].

        A pair owns a stretch of [0, all pairs) in proportion to its weight. Of ticks one unit apart, the first at a
        random place below 1, it is drawn once for each in its stretch.
        """
        begin, ends = self._ends_by(balance)
        tick = word.double() / WORD  # [1]
        passed = (ends + tick).floor_().clamp_(max=len(self)).long()  # [N], ticks before each pair's end
        # Nothing is read from a device where all pairs are here.
        before = min(math.floor(begin + tick.item()), len(self)) if self.first_user else 0
        n = len(self)
        if len(passed) < n:
            n = int(passed[-1]) - before if len(passed) else 0
        times = passed.diff(prepend=passed.new_full((1,), before))
        drawn = torch.arange(len(passed), device=passed.device).repeat_interleave(times, output_size=n)
        return drawn, torch.arange(before, before + n, device=drawn.device) - (passed - times).index_select(0, drawn)

    def _ends_by(self, balance: float) -> tuple[float, Tensor]:
        """Return where the stretch of the first pair here begins, and where each pair's ends, [N], float64."""
        if balance not in self._ends:
            self._ends.clear()
            # Who has no pairs, and with a balance of 0 no weight, has a finite one, which nothing is drawn by.
            weights = 1 / np.maximum(self.n_liked + balance, 1e-30)  # [M]
            sums = np.cumsum(self.n_pairs * weights)
            scale, begins = len(self) / sums[-1], np.concatenate(([0.0], sums[:-1]))
            users = self.users.cpu().numpy()
            here = self.n_pairs[self.first_user :][: len(self.indptr) - 1]
            number = np.arange(1, len(users) + 1) - (np.cumsum(here) - here)[users]  # of a pair among its user's
            users = users + self.first_user
            ends = np.minimum((begins[users] + number * weights[users]) * scale, len(self))
            if len(ends) and users[-1] == np.flatnonzero(self.n_pairs)[-1]:
                ends[-1] = len(self)  # not a little less, by rounding: all ticks lie before it
            self._ends[balance] = float(begins[self.first_user] * scale), torch.from_numpy(ends).to(self.users.device)
        return self._ends[balance]

    def sizes(self, stretch: Tensor, n_batches: int) -> list[int]:
        """Return how many pairs each batch has."""
        return sizes_of(len(stretch), n_batches)


class Batch(NamedTuple):
    """What one step learns from, and how."""

    users: Tensor  # [N]
    items: Tensor  # [N]
    rate: float
    progress: float  # of the training, from 0 to 1
    offset: int  # what the draws of a pair's own negatives depend on, beside seed, user and item
    step: int  # its number since the training began, which draws of shared negatives depend on


class Batches(NamedTuple):
    """S batches of an epoch that come one after the other: what each of as many steps learns from, and how."""

    users: Tensor  # [N], one batch after the other
    items: Tensor  # [N]
    sizes: list[int]  # [S], and so on
    rates: Sequence[float]  # as in `Batch`
    progress: Sequence[float]
    offsets: Sequence[int]
    steps: Sequence[int]

    def numbers(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Return the rates and offsets, [S] each, on a device, which is not waited for."""
        rates = torch.tensor(self.rates, dtype=torch.float32, device="cpu")
        return there(rates, device), there(torch.tensor(self.offsets, dtype=torch.int64, device="cpu"), device)

    def each(self) -> Iterator[Batch]:
        """Yield them one by one."""
        one = len(self.sizes) == 1
        parts = ((ids,) if one else ids.split(self.sizes) for ids in (self.users, self.items))
        return map(Batch, *parts, self.rates, self.progress, self.offsets, self.steps)


def sizes_of(n: int, n_batches: int) -> list[int]:
    """Return how many of ``n`` pairs each batch has: as ``torch.tensor_split`` cuts them, the longer ones first."""
    return [-(-(n - batch) // n_batches) for batch in range(n_batches)]


def there(numbers: Tensor, device: torch.device) -> Tensor:
    """Bring what the host has made to a device, which it does not wait for: a GPU fetches what is pinned."""
    return numbers.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else numbers.to(device)


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
