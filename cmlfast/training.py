"""The training loop (paper, section 3.5): tables, epochs, learning rate, early stopping."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse
from torch import Tensor
from tqdm.auto import tqdm

from cmlfast._arithmetic import lane_sum, sqrt
from cmlfast.settings import Settings

EPSILON = 1e-10
CACHE_LINE = 64  # bytes
SEEDS_AT_ONCE = 64
EVALUATIONS = 20  # how often a fit looks at its validation matrix

Record = dict[str, float]
Seen = tuple[Tensor, Tensor, Tensor]  # of a step: its loss, impostors, active pairs
AnyTables = TypeVar("AnyTables", bound="Tables")


class DivergedError(ArithmeticError):
    """Training produced numbers that are not finite."""


@dataclass
class Tables:
    """What training changes: both embeddings and their AdaGrad accumulators."""

    user: Tensor  # [I, r]
    item: Tensor  # [J, r]
    user_state: Tensor  # [I, r]
    item_state: Tensor  # [J, r]

    def clone(self: AnyTables) -> AnyTables:
        """Return a copy that training cannot reach."""
        return type(self)(*(table.clone() for table in self.all()))

    def all(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the tables in the order in which ``cml_step_`` takes them."""
        return self.user, self.item, self.user_state, self.item_state


def new_rows(n: int, settings: Settings, stream: int) -> Tensor:
    """Draw rows [n, r] on the CPU: normal with deviation 1 / sqrt(r), clipped into the ball, rounded once."""
    # NumPy's generator and our own sum, for torch's depend on the instruction set.
    draws = np.random.default_rng([settings.seed, stream]).standard_normal((n, settings.n_components), np.float32)
    rows = torch.from_numpy(draws) / math.sqrt(settings.n_components)
    norm = sqrt(lane_sum(rows * rows))[:, None]
    clipped = torch.where(norm > settings.max_norm, rows * (torch.full_like(norm, settings.max_norm) / norm), rows)
    return clipped.to(settings.dtype)


def new_tables(n_users: int, n_items: int, settings: Settings, device: torch.device) -> Tables:
    """Draw both tables; the accumulators start at 0, float32 whatever the tables' type."""
    shapes = [(n, settings.n_components) for n in (n_users, n_items)]
    user, item = (zeros(shape, settings.dtype) for shape in shapes)
    user.copy_(new_rows(n_users, settings, 0))
    item.copy_(new_rows(n_items, settings, 1))
    states = (zeros(shape, torch.float32) for shape in shapes)
    return Tables(*(table.to(device) for table in (user, item, *states)))


def zeros(shape: tuple[int, int], dtype: torch.dtype) -> Tensor:
    """Return a zeroed table on the CPU, at the start of a cache line.

    Its memory is NumPy's, which asks the system for large pages where torch does not. Rows at random places of a large
    table then miss fewer translations: a step on a million items takes a tenth less time.
    """
    size = shape[0] * shape[1] * dtype.itemsize
    memory = np.zeros(size + CACHE_LINE, np.uint8)
    start = -memory.ctypes.data % CACHE_LINE
    return torch.from_numpy(memory[start : start + size]).view(dtype).view(shape)


def _seed(seed: int, epoch: int) -> int:
    """Mix a seed with an epoch's number; streams 0 and 1 are the tables'."""
    return _seeds(seed, epoch // SEEDS_AT_ONCE)[epoch % SEEDS_AT_ONCE]


@lru_cache(maxsize=1)
def _seeds(seed: int, block: int) -> list[int]:
    """Mix a seed with the numbers of some epochs: between kernels, one alone takes ten times as long."""
    streams = range(block * SEEDS_AT_ONCE + 2, (block + 1) * SEEDS_AT_ONCE + 2)
    states = (np.random.SeedSequence([seed, stream]).generate_state(1, np.uint64)[0] for stream in streams)
    return [int(state >> np.uint64(1)) for state in states]


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
        generator = torch.Generator().manual_seed(_seed(seed, epoch))
        order = torch.randperm(n, generator=generator).numpy()
        if balance is not None:
            first = torch.rand((), dtype=torch.float64, generator=generator).item()
            weights = (1 / (self.n_liked + balance)).take(order)  # [N]
            ends = np.cumsum(weights)  # [N], where each pair's stretch of a line ends
            # How many of n ticks, first, first + 1, ..., each end has passed: the last one all, whatever rounding does.
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
    margin: float
    rate: float
    offset: int  # what the draws of negatives depend on, beside seed, user and item


Step: TypeAlias = Callable[[AnyTables, Pairs, Batch, Settings], Seen]  # changes the tables


@dataclass(frozen=True)
class Schedule:
    """What changes over a training, from ``first`` to ``last`` in equal steps."""

    first: float
    last: float

    def at(self, progress: float) -> float:
        """Return the value at a progress from 0 to 1."""
        return self.first + (self.last - self.first) * progress


def run_epoch(
    step: Step[AnyTables], tables: AnyTables, pairs: Pairs, settings: Settings, epoch: int, progress: Schedule
) -> Record:
    """Visit as many pairs as there are, see :meth:`Pairs.order`; return what was seen.

    ``progress`` says where in the training the epoch begins and ends: the learning rate falls linearly to 0 and the
    margin from its first to its last value.
    """
    started = time.perf_counter()
    n = len(pairs)
    order = pairs.order(settings.seed, epoch, settings.balance)
    users, items = pairs.users.index_select(0, order), pairs.items.index_select(0, order)  # [N] each
    n_batches = -(-n // settings.batch_size)
    # Dealt like cards, so that a pair's repeats meet in no batch; all at once, for it is slow between kernels.
    dealt = [(users[batch::n_batches], items[batch::n_batches]) for batch in range(n_batches)]
    rate, margin = Schedule(settings.learning_rate, 0.0), Schedule(*settings.margin)
    seen = []
    for number, likes in enumerate(dealt):
        # A pair that comes again must draw anew: by the epoch if that is later, by the step if it may be sooner. Rows
        # of 16 bits draw how they are rounded, in every step.
        by_epoch = settings.balance is None and settings.dtype == torch.float32
        offset = epoch if by_epoch else epoch * n_batches + number
        now = progress.at(number / n_batches)
        seen.append(step(tables, pairs, Batch(*likes, margin.at(now), rate.at(now), offset), settings))
    # Read at the end only: on a GPU, reading waits for the step.
    sums = torch.stack([one for three in seen for one in three]).view(-1, 3).tolist()  # [n_batches, 3]
    loss, impostors, active = (math.fsum(column) for column in zip(*sums, strict=True))
    record = {
        "epoch": epoch + 1,
        "loss": loss / n,
        "impostors": impostors / (n * settings.n_negatives),
        "active": active / n,
        "learning_rate": rate.at(progress.first),
        "margin": margin.at(progress.first),
        "seconds": time.perf_counter() - started,
    }
    check_finite(record, settings)
    return record


def check_finite(record: Record, settings: Settings, *tables: Tensor) -> None:
    """Raise ``DivergedError`` unless an epoch's loss and the tables are finite.

    A loss is that before its step. What the last step did only the tables show; what earlier ones did they show still.
    """
    if not (math.isfinite(record["loss"]) and all(table.isfinite().all() for table in tables)):
        raise DivergedError(
            f"training diverged in epoch {record['epoch']}, with a loss of {record['loss']:g}: learning_rate is "
            f"{settings.learning_rate:g} and max_norm {settings.max_norm:g}, lower either"
        )


def fit_tables(
    step: Step[AnyTables],
    tables: AnyTables,
    pairs: Pairs,
    settings: Settings,
    score: Callable[[AnyTables], float] | None,
    show_progress: bool | None,
    callback: Callable[[Record], Any] | None,
) -> tuple[AnyTables, list[Record]]:
    """Train for all epochs, or until validation stops improving; return the (best) tables and the history.

    ``score`` is looked at some ``EVALUATIONS`` times; higher is better. ``callback`` ends training by returning True.
    """
    history: list[Record] = []
    best, best_score, waited = tables, -math.inf, 0
    every = max(1, settings.n_epochs // EVALUATIONS)
    # disable=None shows the bar on a terminal only
    disable = None if show_progress is None else not show_progress
    with tqdm(range(settings.n_epochs), desc="CML", unit="epoch", disable=disable) as bar:
        for epoch in bar:
            progress = Schedule(epoch / settings.n_epochs, (epoch + 1) / settings.n_epochs)
            record = run_epoch(step, tables, pairs, settings, epoch, progress)
            last = epoch + 1 == settings.n_epochs
            if score and ((epoch + 1) % every == 0 or last):
                record["recall@50"] = score(tables)
                if record["recall@50"] > best_score:
                    best, best_score, waited = tables if last else tables.clone(), record["recall@50"], 0
                else:
                    waited += 1
            history.append(record)
            shown = {"loss": f"{record['loss']:.3f}"}
            if score and best_score >= 0:
                shown["best recall@50"] = f"{best_score:.4f}"
            bar.set_postfix(shown)
            if waited >= settings.patience or (callback and callback(dict(record)) is True):
                break
    check_finite(history[-1], settings, tables.user, tables.item)
    return best, history
