"""How far a training has come: all that decides how it goes on, beside the tables."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import Any

from cmlfast.data.tensor_file import require
from cmlfast.training.schedule import Schedule

Record = dict[str, float]
RECORDED = ("loss", "seconds")  # at least, of every epoch


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
    def of_json(stored: Any) -> Course:
        """Undo :meth:`as_json`.

        Raises
        ------
        ValueError
            If it is something else; says in what.
        """
        names = {one.name for one in fields(Course)}
        require(isinstance(stored, dict) and stored.keys() == names, f"its course is not one of {sorted(names)}")
        score = stored["best_score"]
        course = Course(**{**stored, "best_score": -math.inf if score is None else score})
        for name in ("left", "waited", "n_batches"):
            require(type(stored[name]) is int and stored[name] >= 0, f"its {name} is no number of times")
        for name in ("stride", "done", "seconds"):
            require(is_number(stored[name]) and 0 <= stored[name] < math.inf, f"its {name} is not finite and positive")
        # The rest of a sum of strides may be a rounding above.
        require(max(course.stride, course.done) < 1 + 1e-6, "its progress goes beyond the end")
        require(score is None or is_number(score), "its best_score is no number")
        check_history(course.history)
        require(isinstance(course.totals, list) and len(course.totals) == course.n_batches, "its totals are others")
        require(
            all(isinstance(one, list) and all(map(is_number, one)) for one in course.totals)
            and len(set(map(len, course.totals))) < 2,
            "its totals are no numbers, as many of each batch",
        )
        return course


def check_history(history: Any) -> None:
    """Raise ``ValueError`` unless it is a list of what was recorded of epochs."""
    require(isinstance(history, list) and all(isinstance(one, dict) for one in history), "its history is none")
    for record in history:
        require(all(map(is_number, record.values())), "its history holds something else than numbers")
        require(all(name in record for name in RECORDED), f"its history lacks {' or '.join(RECORDED)} of an epoch")


def is_number(value: Any) -> bool:
    """Whether what came from JSON is a number."""
    return isinstance(value, int | float) and not isinstance(value, bool)
