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
    """The pairs that an epoch visits, and each user's positives, sorted, that negatives must avoid."""

    users: Tensor  # [N]
    items: Tensor  # [N]
    indptr: Tensor  # [I + 1]
    indices: Tensor  # [nnz]
    n_without_negatives: int  # pairs of users who like every item: visited, but they teach nothing

    @staticmethod
    def of(matrix: sparse.csr_matrix, liked: sparse.csr_matrix, device: torch.device) -> Pairs:
        """Take the pairs of ``matrix``; ``liked`` holds them and all others that are no negatives either."""
        wide = liked.nnz >= 2**31
        integer = np.int64 if wide else np.int32
        users = np.repeat(np.arange(matrix.shape[0], dtype=integer), np.diff(matrix.indptr))
        n_liked = np.diff(liked.indptr)
        arrays = (users, matrix.indices, liked.indptr, liked.indices)
        tensors = [torch.from_numpy(np.ascontiguousarray(array, dtype=integer)).to(device) for array in arrays]
        n_without_negatives = int((n_liked[users] >= liked.shape[1]).sum())
        return Pairs(tensors[0], tensors[1], tensors[2], tensors[3], n_without_negatives)

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
    """Visit every pair once, in an order that depends on (seed, epoch) alone; return what was seen.

    The learning rate falls linearly from the first of ``rates`` to the second.
    """
    started = time.perf_counter()
    n = len(pairs)
    generator = torch.Generator().manual_seed(_seed(settings.seed, epoch))
    order = torch.randperm(n, generator=generator).to(pairs.users.device)
    n_batches = -(-n // settings.batch_size)
    loss, impostors, active = 0.0, 0, 0
    for batch in range(n_batches):
        chosen = order[batch * n // n_batches : (batch + 1) * n // n_batches]
        rate = rates[0] + (rates[1] - rates[0]) * batch / n_batches
        step = kernels.cml_step_(
            *tables.all(), pairs.indptr, pairs.indices, pairs.users[chosen], pairs.items[chosen],
            settings.n_negatives, settings.margin, rate, EPSILON, settings.max_norm, settings.rank_weight,
            settings.seed, epoch,
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
