"""The parts of ``benchmarks.gpu_check``: each has a limit to its time, and none can keep the next from running."""

from __future__ import annotations

import signal
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType
from typing import Literal

Status = Literal["passed", "failed", "not run"]
MARGIN = 10.0  # seconds that a part's programs end before the part must


@dataclass(frozen=True)
class Context:
    """What a part may use."""

    folder: Path  # for its files
    deadline: float  # on the clock of time.monotonic

    @property
    def until(self) -> float:
        """Return when a part's programs must end, so that it can still read their results."""
        return self.deadline - MARGIN


@dataclass(frozen=True)
class Outcome:
    """What a part found."""

    status: Status
    summary: str  # a sentence or less
    body: str = ""  # Markdown
    missing: Sequence[str] = ()  # what was not run, each with its reason
    name: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class Part:
    """A function of a context, and the most seconds it may take."""

    name: str
    function: Callable[[Context], Outcome]
    seconds: float


class TimeUpError(Exception):
    """A part's time is up."""


@dataclass
class Run:
    """All parts' outcomes, in the order in which they ran."""

    outcomes: list[Outcome] = field(default_factory=list)
    interrupted: bool = False

    @property
    def failed(self) -> bool:
        """Tell whether anything failed, or was broken off."""
        return self.interrupted or any(outcome.status == "failed" for outcome in self.outcomes)


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise `TimeUpError` in the block when the time is up; for the main thread."""

    def ring(_: int, __: FrameType | None) -> None:
        raise TimeUpError

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 1e-3))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def run_part(part: Part, folder: Path, seconds: float) -> Outcome:
    """Run a part for at most so many seconds; a crash or the end of its time is a failure."""
    began = time.monotonic()
    try:
        with time_limit(seconds):
            outcome = part.function(Context(folder, began + seconds))
    except TimeUpError:
        outcome = Outcome("failed", f"not finished after {seconds:.0f} s, its limit")
    except Exception as error:  # a part may raise anything, and the next one runs all the same
        body = "```\n" + traceback.format_exc().strip() + "\n```"
        outcome = Outcome("failed", f"crashed: {type(error).__name__}: {error}", body)
    return replace(outcome, name=part.name, seconds=time.monotonic() - began)


def run_parts(parts: Sequence[Part], folder: Path, until: float, after_each: Callable[[Run], None]) -> Run:
    """Run parts one after the other; each has its own limit or the time that is left, if that is less.

    Parameters
    ----------
    parts : sequence of Part
        In their order.
    folder : Path
        For their files.
    until : float
        When all must have ended, on the clock of `time.monotonic`.
    after_each : callable
        Called with what there is so far, also when the user interrupts.
    """
    run = Run()
    for part in parts:
        left = until - time.monotonic()
        if run.interrupted or left <= 0:
            reason = "interrupted before it" if run.interrupted else "no time was left"
            run.outcomes.append(Outcome("not run", reason, missing=[f"{part.name}: {reason}"], name=part.name))
        else:
            try:
                run.outcomes.append(run_part(part, folder, min(part.seconds, left)))
            except KeyboardInterrupt:
                run.interrupted = True
                run.outcomes.append(Outcome("failed", "interrupted", name=part.name))
        try:
            after_each(run)
        except KeyboardInterrupt:
            run.interrupted = True
            after_each(run)
    return run
