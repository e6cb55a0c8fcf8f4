"""The training loop (paper, section 3.5): epochs, learning rate, early stopping, checkpoints, interrupts."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from tqdm.auto import tqdm

from cmlfast.data.progress import hides_bar
from cmlfast.training.checkpoint import Checkpoints
from cmlfast.training.course import Course, Record
from cmlfast.training.interrupts import Arrivals
from cmlfast.training.loss import Step
from cmlfast.training.pairs import Batches, Pairs
from cmlfast.training.progress import FORMAT, figures
from cmlfast.training.schedule import Schedule
from cmlfast.training.settings import Settings
from cmlfast.training.side_information import JointTables
from cmlfast.training.tables import AnyTables, Tables

LOG = logging.getLogger("cmlfast")
EVALUATIONS = 10  # how often a fit looks at its validation matrix, before it cools down
STEPS_AT_ONCE = {"cuda": 16}  # what a kind of device is told of in one call; one step elsewhere
LARGE_BATCH = 2**20  # pairs, which keep a device busy in one step
COOLING = 0.1  # of the epochs: how long the rate takes to fall once more epochs at it bring nothing


class DivergedError(ArithmeticError):
    """Training produced numbers that are not finite.

    Attributes
    ----------
    history : list of dict
        The epochs before.
    """

    history: Sequence[Record] = ()


def run_epoch(
    step: Step, tables: AnyTables, pairs: Pairs, settings: Settings, epoch: int, progress: Schedule
) -> Record:
    """Visit as many pairs as there are, see :meth:`Pairs.order`; return what was seen.

    ``progress`` says where in the training the epoch begins and ends: the learning rate falls linearly to 0 over the
    training, and a loss may have a schedule of its own.
    """
    course = Course.start(1)
    go_on(step, tables, pairs, settings, epoch, progress, course)
    return record_of(course, tables, pairs, settings, epoch, progress)


def go_on(
    step: Step,
    tables: AnyTables,
    pairs: Pairs,
    settings: Settings,
    epoch: int,
    progress: Schedule,
    course: Course,
    is_enough: Callable[[], bool] = lambda: False,
) -> bool:
    """Visit those batches of an epoch that the course has not seen; return whether the epoch is whole.

    It stops where ``is_enough``, which is asked after each step, or on a GPU after some, says so. The course is told of
    what was done.
    """
    started = time.perf_counter()
    n_batches = -(-len(pairs) // settings.batch_size)
    rate = Schedule(settings.learning_rate, 0.0)
    users, items, sizes = pairs.visited(settings.seed, epoch, settings.balance, n_batches)
    # A pair that comes again must draw anew: by the epoch if that is later, by the step if it may be sooner. Rows of 16
    # bits draw how they are rounded, in every step.
    by_epoch = settings.balance is None and settings.dtype == torch.float32
    at_once = STEPS_AT_ONCE.get(users.device.type, 1) if settings.batch_size <= LARGE_BATCH else 1
    calls = [range(first, min(first + at_once, n_batches)) for first in range(course.n_batches, n_batches, at_once)]
    parts = [sum(sizes[: course.n_batches]), *(sum(sizes[call.start : call.stop]) for call in calls)]
    all_totals = []
    for call, own_users, own_items in zip(calls, users.split(parts)[1:], items.split(parts)[1:], strict=True):
        now = [progress.at(number / n_batches) for number in call]
        steps = [epoch * n_batches + number for number in call]
        offsets, rates = [epoch] * len(call) if by_epoch else steps, [rate.at(each) for each in now]
        batches = Batches(own_users, own_items, sizes[call.start : call.stop], rates, now, offsets, steps)
        all_totals.append(step(tables, pairs, batches, settings))
        if is_enough():
            break
    if all_totals:
        # Read at the end only: on a GPU, reading waits for the step.
        columns = [torch.hstack(column).double() for column in zip(*all_totals, strict=True)]
        totals = torch.stack(columns, 1).tolist()
        course.totals += totals
        course.n_batches += len(totals)
    course.seconds += time.perf_counter() - started
    return course.n_batches == n_batches


def record_of(
    course: Course, tables: AnyTables, pairs: Pairs, settings: Settings, epoch: int, progress: Schedule
) -> Record:
    """Return what was seen in a whole epoch, or raise ``DivergedError`` if it was not finite."""
    totals = [math.fsum(column) for column in zip(*course.totals, strict=True)]
    record = {
        "epoch": epoch + 1,
        **settings.loss.record(totals, len(pairs)),
        **tables.clipped(settings.max_norm),
        "learning_rate": Schedule(settings.learning_rate, 0.0).at(progress.first),
        **settings.loss.scheduled(progress.first),
        "pairs": len(pairs),
        "seconds": course.seconds,
    }
    check_finite(record, settings)
    return record


@contextmanager
def _telling(course: Course) -> Iterator[None]:
    """Let whoever is told that a training diverged know what there was before."""
    try:
        yield
    except DivergedError as error:
        error.history = course.history
        raise


def check_finite(record: Record, settings: Settings, tables: Tables | None = None) -> None:
    """Raise ``DivergedError`` unless an epoch's loss and the tables are finite.

    A loss is that before its step. What the last step did only the tables show; what earlier ones did they show still.
    """
    if not (math.isfinite(record["loss"]) and (tables is None or tables.are_finite())):
        raise DivergedError(
            f"training diverged in epoch {record['epoch']}, with a loss of {record['loss']:g}: learning_rate is "
            f"{settings.learning_rate:g} and max_norm {settings.max_norm:g}, lower either"
        )


def fit_tables(
    step: Step,
    tables: JointTables,
    pairs: Pairs,
    settings: Settings,
    score: Callable[[JointTables], float] | None,
    show_progress: bool | None,
    callback: Callable[[Record], Any] | None,
    checkpoints: Checkpoints | None,
    interrupts: Arrivals,
) -> tuple[JointTables, list[Record]]:
    """Train for all epochs, or fewer if validation stops improving; return the (best) tables and the history.

    ``score`` is looked at some ``EVALUATIONS`` times; higher is better. Most of what a training gains, it gains when
    its rate and margin fall: where ``patience`` looks have brought nothing, they fall to their ends in a tenth of the
    epochs, with a look at the last. ``callback`` ends training by returning True. ``checkpoints`` are begun from, and
    written; when a signal waits among ``interrupts``, the training ends after its step.
    """
    measure = "{}@{}".format(*settings.validation_measure)
    n_batches = -(-len(pairs) // settings.batch_size)
    course, best = (checkpoints and checkpoints.restore(tables, n_batches)) or (Course.start(settings.n_epochs), tables)
    if course.history or course.n_batches:
        LOG.info(
            "fit: goes on from a checkpoint of %s and %s",
            _counted(course.epoch, "whole epoch", "whole epochs"),
            _counted(course.n_batches, "batch", "batches"),
        )
    every = max(1, settings.n_epochs // EVALUATIONS)

    def is_enough() -> bool:
        return interrupts.arrived is not None or (checkpoints is not None and checkpoints.due_within_epoch())

    bar = tqdm(total=settings.n_epochs, initial=course.epoch, bar_format=FORMAT, disable=hides_bar(show_progress))
    with _telling(course), bar, checkpoints or nullcontext():
        while course.left:
            epoch, progress = course.epoch, course.progress
            if not go_on(step, tables, pairs, settings, epoch, progress, course, is_enough):
                if checkpoints:
                    checkpoints.save(course, tables, best)
                if interrupts.arrived is not None:
                    break
                continue
            record = record_of(course, tables, pairs, settings, epoch, progress)
            course.end_epoch(record)
            if score and (course.epoch % every == 0 or not course.left):
                record[measure] = score(tables)
                if record[measure] > course.best_score:
                    best = tables.clone() if course.left else tables
                    course.best_score, course.waited = record[measure], 0
                else:
                    course.waited += 1
                if course.waited == settings.patience:
                    LOG.info(
                        "fit: %d looks without a better %s; what is left of the training is cut short",
                        course.waited,
                        measure,
                    )
                    course.left = min(course.left, math.ceil(COOLING * settings.n_epochs))
                    course.stride = (1 - course.done) / max(course.left, 1)
            LOG.debug("fit: %s", record)
            bar.update()
            bar.set_postfix_str(figures(record, course.best_score))
            if callback and callback(dict(record)) is True:
                course.left = 0
            ends = interrupts.arrived is not None
            if checkpoints and (ends or checkpoints.due_after_epoch(course)):
                checkpoints.save(course, tables, best)
            if ends:
                break
        if course.history:
            check_finite(course.history[-1], settings, tables)
    if course.left:
        LOG.warning(
            "fit was interrupted in epoch %d of %d: the model in memory is what had been learned by then",
            course.epoch + 1,
            settings.n_epochs,
        )
    return best, course.history


def _counted(n: int, one: str, more: str) -> str:
    return f"{n} {one if n == 1 else more}"
