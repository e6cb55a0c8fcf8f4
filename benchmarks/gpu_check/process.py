"""Runs programs for ``benchmarks.gpu_check`` with a limit to their time, their output in files."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]  # where programs run
GRACE = 5.0  # seconds between the request to stop and the end, in which pytest writes its results
PAUSE = 0.05  # seconds between two looks


@dataclass(frozen=True)
class Command:
    """A program to run, and the file that takes what it prints."""

    name: str
    arguments: Sequence[str]
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict)  # beside this process's


@dataclass(frozen=True)
class Finished:
    """What became of a program."""

    name: str
    status: int | None  # None: it was ended, or never began, since time ran out
    seconds: float
    log: Path

    def tail(self, lines: int = 15) -> str:
        """Return the end of what it printed."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    @property
    def ending(self) -> str:
        """Say how it ended."""
        if self.status is None:
            return f"ran out of time after {self.seconds:.0f} s"
        if self.status < 0:
            return f"was ended by signal {-self.status}"
        return f"exit status {self.status}"


class Running:
    """A program that has begun, in a process group of its own."""

    def __init__(self, command: Command) -> None:
        self.command, self.began = command, time.monotonic()
        command.log.parent.mkdir(parents=True, exist_ok=True)
        with command.log.open("wb") as log:
            self.process = subprocess.Popen(
                command.arguments,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **command.environment},
                cwd=ROOT,
                start_new_session=True,
            )
        self.stopped = 0.0  # when it was asked to stop

    def poll(self, until: float) -> Finished | None:
        """Return what became of it once it has ended; after `until`, make it end."""
        status = self.process.poll()
        now = time.monotonic()
        if status is not None:
            self.kill()  # what it may have left behind
            return self._finished(None if self.stopped else status)
        if now >= until and not self.stopped:
            self.stopped = now
            self._signal(signal.SIGINT)
        elif self.stopped and now >= self.stopped + GRACE:
            self.kill()
        return None

    def kill(self) -> None:
        """End it and all that it began."""
        self._signal(signal.SIGKILL)
        self.process.wait()

    def _signal(self, number: signal.Signals) -> None:
        try:
            os.killpg(self.process.pid, number)
        except (ProcessLookupError, PermissionError):  # all have ended
            return

    def _finished(self, status: int | None) -> Finished:
        return Finished(self.command.name, status, time.monotonic() - self.began, self.command.log)


@contextmanager
def _ended_afterwards() -> Iterator[list[Running]]:
    """Yield a list of programs; whatever happens, none of them outlives the block."""
    running: list[Running] = []
    try:
        yield running
    finally:
        for one in running:
            one.kill()


def run_all(commands: Sequence[Command], until: float, at_once: int = 1) -> list[Finished]:
    """Run programs, some at a time, and return what became of them, in their order.

    Parameters
    ----------
    commands : sequence of Command
        What to run; names differ.
    until : float
        When to stop, on the clock of `time.monotonic`. Programs that still run get `GRACE` seconds to write their
        results, the others do not begin.
    at_once : int
        How many may run at the same time.
    """
    waiting, finished = list(commands), {}
    with _ended_afterwards() as running:
        while waiting or running:
            while waiting and len(running) < at_once and time.monotonic() < until:
                running.append(Running(waiting.pop(0)))
            if waiting and time.monotonic() >= until:
                finished.update({one.name: Finished(one.name, None, 0.0, one.log) for one in waiting})
                waiting.clear()
            for one in list(running):
                ended = one.poll(until)
                if ended:
                    finished[ended.name] = ended
                    running.remove(one)
            time.sleep(PAUSE)
    return [finished[command.name] for command in commands]
