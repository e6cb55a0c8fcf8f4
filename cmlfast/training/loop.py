"""The training loop (paper, section 3.5): epochs, learning rate, early stopping."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from tqdm.auto import tqdm

from cmlfast.training.loss import Step
from cmlfast.training.pairs import Batch, Pairs
from cmlfast.training.progress import hides_bar
from cmlfast.training.schedule import Schedule
from cmlfast.training.settings import Settings
from cmlfast.training.tables import AnyTables

LOG = logging.getLogger("cmlfast")
EVALUATIONS = 10  # how often a fit looks at its validation matrix, before it cools down
COOLING = 0.1  # of the epochs: how long the rate takes to fall once more epochs at it bring nothing

Record = dict[str, float]


class DivergedError(ArithmeticError):
    """Training produced numbers that are not finite."""


def run_epoch(
    step: Step, tables: AnyTables, pairs: Pairs, settings: Settings, epoch: int, progress: Schedule
) -> Record:
    """Visit as many pairs as there are, see :meth:`Pairs.order`; return what was seen.

    ``progress`` says where in the training the epoch begins and ends: the learning rate falls linearly to 0 over the
    training, and a loss may have a schedule of its own.
    """
    started = time.perf_counter()
    n = len(pairs)
    n_batches = -(-n // settings.batch_size)
    rate = Schedule(settings.learning_rate, 0.0)
    all_totals = []
    for number, likes in enumerate(pairs.batches(settings.seed, epoch, settings.balance, n_batches)):
        # A pair that comes again must draw anew: by the epoch if that is later, by the step if it may be sooner. Rows
        # of 16 bits draw how they are rounded, in every step.
        by_epoch = settings.balance is None and settings.dtype == torch.float32
        steps_before = epoch * n_batches + number
        offset = epoch if by_epoch else steps_before
        now = progress.at(number / n_batches)
        all_totals.append(step(tables, pairs, Batch(*likes, rate.at(now), now, offset, steps_before), settings))
    # Read at the end only: on a GPU, reading waits for the step.
    sums = torch.stack([total for totals in all_totals for total in totals]).view(n_batches, -1)  # [n_batches, ...]
    totals = [math.fsum(column) for column in zip(*sums.tolist(), strict=True)]
    record = {
        "epoch": epoch + 1,
        **settings.loss.record(totals, n),
        "learning_rate": rate.at(progress.first),
        **settings.loss.scheduled(progress.first),
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
    step: Step,
    tables: AnyTables,
    pairs: Pairs,
    settings: Settings,
    score: Callable[[AnyTables], float] | None,
    show_progress: bool | None,
    callback: Callable[[Record], Any] | None,
) -> tuple[AnyTables, list[Record]]:
    """Train for all epochs, or fewer if validation stops improving; return the (best) tables and the history.

    ``score`` is looked at some ``EVALUATIONS`` times; higher is better. Most of what a training gains, it gains when
    its rate and margin fall: where ``patience`` looks have brought nothing, they fall to their ends in a tenth of the
    epochs, with a look at the last. ``callback`` ends training by returning True.
    """
    measure = "{}@{}".format(*settings.validation_measure)
    history: list[Record] = []
    best, best_score, waited = tables, -math.inf, 0
    every = max(1, settings.n_epochs // EVALUATIONS)
    done, stride, left = 0.0, 1 / settings.n_epochs, settings.n_epochs  # progress, that of an epoch, epochs
    with tqdm(total=settings.n_epochs, desc="CML", unit="epoch", disable=hides_bar(show_progress)) as bar:
        while left:
            left -= 1
            progress = Schedule(done, done + stride if left else 1.0)
            record = run_epoch(step, tables, pairs, settings, len(history), progress)
            done = progress.last
            if score and (len(history) % every == every - 1 or not left):
                record[measure] = score(tables)
                if record[measure] > best_score:
                    best, best_score, waited = tables.clone() if left else tables, record[measure], 0
                else:
                    waited += 1
                if waited == settings.patience:
                    LOG.info(
                        "fit: %d looks without a better %s; what is left of the training is cut short", waited, measure
                    )
                    left = min(left, math.ceil(COOLING * settings.n_epochs))
                    stride = (1 - done) / max(left, 1)
            history.append(record)
            LOG.debug("fit: %s", record)
            bar.update()
            shown = {"loss": f"{record['loss']:.3f}"}
            if score and best_score >= 0:
                shown[f"best {measure}"] = f"{best_score:.4f}"
            bar.set_postfix(shown)
            if callback and callback(dict(record)) is True:
                break
    check_finite(history[-1], settings, tables.user, tables.item)
    return best, history
