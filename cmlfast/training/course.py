"""How far a training has come: all that decides how it goes on, beside the tables."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from cmlfast.training.schedule import Schedule

Record = dict[str, float]


@dataclass
class Course:
    """A training's course.

    Attributes
    ----------
    left : int
        Epochs that are still to come, the one that is begun included.
    stride : float
        What an epoch is of the whole training: its progress goes from 0 to 1.
    done : float
        The progress at the end of the last whole epoch.
    history : list of dict
        An entry for each whole epoch.
    best_score, waited : float, int
        The best validation score so far, and how many looks came after it.
    n_batches : int
        Batches of the epoch that is begun, that are done.
    totals : list
        What the loss returned for each of them, summed up as far as that does not depend on order.
    seconds : float
        What they took.
    """

    left: int
    stride: float
    done: float = 0.0
    history: list[Record] = field(default_factory=list)
    best_score: float = -math.inf
    waited: int = 0
    n_batches: int = 0
    totals: list[list[float]] = field(default_factory=list)
    seconds: float = 0.0

    @staticmethod
    def start(n_epochs: int) -> Course:
        """Return the course of a training that has not begun."""
        return Course(left=n_epochs, stride=1 / n_epochs)

    @property
    def epoch(self) -> int:
        """The number of the epoch that is begun, from 0."""
        return len(self.history)

    @property
    def progress(self) -> Schedule:
        """Where in the training this epoch begins and ends."""
        return Schedule(self.done, self.done + self.stride if self.left > 1 else 1.0)

    def end_epoch(self, record: Record) -> None:
        """Note that an epoch is whole."""
        self.done = self.progress.last
        self.left -= 1
        self.history.append(record)
        self.n_batches, self.totals, self.seconds = 0, [], 0.0

    def as_json(self) -> dict[str, Any]:
        """Return what :meth:`of_json` takes."""
        # No deep copy, as `asdict` makes: a long training's history is long.
        return {**vars(self), "best_score": None if math.isinf(self.best_score) else self.best_score}

    @staticmethod
    def of_json(stored: dict[str, Any]) -> Course:
        """Undo :meth:`as_json`; raise ``TypeError`` for something else."""
        score = stored["best_score"]
        return Course(**{**stored, "best_score": -math.inf if score is None else score})
