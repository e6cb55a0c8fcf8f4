"""The training loop (paper, section 3.5): tables, epochs, learning rate, early stopping."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor
from tqdm.auto import tqdm

from cmlfast.settings import Settings

EPSILON = 1e-10
EVALUATIONS = 20  # how often a fit looks at its validation matrix

Record = dict[str, float]


class DivergedError(ArithmeticError):
    """Training produced numbers that are not finite."""


@dataclass
class Tables:
    """What training changes: both embeddings and their AdaGrad accumulators."""

    user: Tensor  # [I, r]
    item: Tensor  # [J, r]
    user_state: Tensor  # [I, r]
    item_state: Tensor  # [J, r]

    def clone(self) -> Tables:
        """Return a copy that training cannot reach."""
        return Tables(*(table.clone() for table in self.all()))

    def all(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the tables in the order in which ``cml_step_`` takes them."""
        return self.user, self.item, self.user_state, self.item_state


def new_rows(n: int, settings: Settings, stream: int) -> Tensor:
    """Draw rows [n, r], normal with deviation 1 / sqrt(r) and clipped into the ball, on the CPU."""
    generator = torch.Generator().manual_seed(_seed(settings.seed, stream))
    rows = torch.randn(n, settings.n_components, generator=generator) / math.sqrt(settings.n_components)
    norm = rows.norm(dim=1, keepdim=True)
    return torch.where(norm > settings.max_norm, rows * (settings.max_norm / norm), rows)


def new_tables(n_users: int, n_items: int, settings: Settings, device: torch.device) -> Tables:
    """Draw both tables; the accumulators start at 0."""
    user, item = new_rows(n_users, settings, -1).to(device), new_rows(n_items, settings, -2).to(device)
    return Tables(user, item, torch.zeros_like(user), torch.zeros_like(item))


def _seed(seed: int, stream: int) -> int:
    """Mix a seed with a stream's number, so that epochs and tables draw independently."""
    return int(np.random.SeedSequence([seed, stream + 2]).generate_state(1, np.uint64)[0] >> np.uint64(1))


@dataclass(frozen=True)
class Pairs:
    """The pairs to learn from, and each user's positives, sorted, that negatives must avoid."""

    n_items: int
    users: Tensor  # [N]
    items: Tensor  # [N]
    indptr: Tensor  # [I + 1]
    indices: Tensor  # [nnz]
    n_liked: Tensor  # [N], how many items the pair's user likes

    @property
    def n_without_negatives(self) -> int:
        """Number of pairs of users who like every item: visited, but they teach nothing."""
        return int((self.n_liked >= self.n_items).sum())

    @staticmethod
    def of(matrix: sparse.csr_matrix, liked: sparse.csr_matrix, device: torch.device) -> Pairs:
        """Take the pairs of ``matrix``; ``liked`` holds them and all others that are no negatives either."""
        integer = np.int64 if liked.nnz >= 2**31 else np.int32
        users = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
        arrays = (users, matrix.indices, liked.indptr, liked.indices, np.diff(liked.indptr)[users])
        tensors = (torch.from_numpy(np.ascontiguousarray(array, dtype=integer)).to(device) for array in arrays)
        return Pairs(liked.shape[1], *tensors)

    def order(self, seed: int, epoch: int, balance: float | None) -> Tensor:
        """Return which pairs an epoch visits, [N]; a function of (seed, epoch) alone.

        Without ``balance``, every pair once, shuffled. With it, N draws where a pair of user i has the probability
        1 / (n_i + balance): by systematic resampling, so that a pair comes floor(x) or ceil(x) times if x times are
        expected.
        """
        n = len(self)
        generator = torch.Generator().manual_seed(_seed(seed, epoch))
        order = torch.randperm(n, generator=generator)
        if balance is not None:
            weight = 1 / (self.n_liked.cpu().double() + balance)
            ends = weight[order].cumsum(0)  # [N], each pair's stretch of a line
            ticks = torch.arange(n, dtype=torch.float64) + torch.rand((), dtype=torch.float64, generator=generator)
            hit = torch.searchsorted(ends * (n / ends[-1]), ticks).clamp(max=n - 1)
            order = order[hit][torch.randperm(n, generator=generator)]  # a pair's repeats were neighbours
        return order.to(self.users.device)

    def __len__(self) -> int:
        return len(self.users)


def run_epoch(
    kernels: ModuleType,
    tables: Tables,
    pairs: Pairs,
    settings: Settings,
    epoch: int,
    rates: tuple[float, float],
) -> Record:
    """Visit as many pairs as there are, see :meth:`Pairs.order`; return what was seen.

    The learning rate falls linearly from the first of ``rates`` to the second.
    """
    started = time.perf_counter()
    n = len(pairs)
    order = pairs.order(settings.seed, epoch, settings.balance)
    n_batches = -(-n // settings.batch_size)
    loss, impostors, active = 0.0, 0, 0
    for batch in range(n_batches):
        chosen = order[batch * n // n_batches : (batch + 1) * n // n_batches]
        # A pair that comes again must draw anew: by the epoch if that is later, by the step if it may be sooner.
        offset = epoch if settings.balance is None else epoch * n_batches + batch
        rate = rates[0] + (rates[1] - rates[0]) * batch / n_batches
        step = kernels.cml_step_(
            *tables.all(), pairs.indptr, pairs.indices, pairs.users[chosen], pairs.items[chosen],
            settings.n_negatives, settings.margin, rate, EPSILON, settings.max_norm, settings.rank_weight,
            settings.seed, offset,
        )  # fmt: skip
        loss, impostors, active = (old + new for old, new in zip((loss, impostors, active), step, strict=True))
    record = {
        "epoch": epoch + 1,
        "loss": float(loss) / n,
        "impostors": float(impostors) / (n * settings.n_negatives),
        "active": float(active) / n,
        "learning_rate": rates[0],
        "seconds": time.perf_counter() - started,
    }
    if not math.isfinite(record["loss"]):
        raise DivergedError(
            f"training diverged in epoch {epoch + 1}: the loss is {record['loss']}; learning_rate is "
            f"{settings.learning_rate:g} and max_norm {settings.max_norm:g}, lower either"
        )
    return record


def fit_tables(
    kernels: ModuleType,
    tables: Tables,
    pairs: Pairs,
    settings: Settings,
    score: Callable[[Tables], float] | None,
    show_progress: bool | None,
    callback: Callable[[Record], Any] | None,
) -> tuple[Tables, list[Record]]:
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
            left = (1 - epoch / settings.n_epochs, 1 - (epoch + 1) / settings.n_epochs)
            rates = (settings.learning_rate * left[0], settings.learning_rate * left[1])
            record = run_epoch(kernels, tables, pairs, settings, epoch, rates)
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
    return best, history
