"""Ctrl-C and requests to end: a training first finishes its step, and keeps what it has."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any, Protocol


class Arrivals(Protocol):
    """What may end a training before its time."""

    @property
    def arrived(self) -> int | None:
        """The number of the signal that has come."""


class Interrupts:
    """The signals that have come while a training was busy."""

    def __init__(self) -> None:
        self.arrived: int | None = None

    @contextlib.contextmanager
    def deferred(self) -> Iterator[None]:
        """Keep the first SIGINT, SIGTERM or SIGHUP waiting until the end of the block; a second one acts at once.

        Those that are ignored stay ignored. In other threads than the main one, which alone is sent signals, nothing
        is deferred.
        """
        handlers: dict[int, Any] = {}

        def wait(number: int, frame: FrameType | None) -> None:
            if self.arrived is None:
                self.arrived = number
            else:
                _deliver(number, handlers[number], frame)

        try:
            if threading.current_thread() is threading.main_thread():
                for name in ("SIGINT", "SIGTERM", "SIGHUP"):  # Windows has no SIGHUP
                    number = getattr(signal, name, None)
                    # None: a handler that Python did not install, and cannot give back
                    if number is not None and signal.getsignal(number) not in (signal.SIG_IGN, None):
                        handlers[number] = signal.getsignal(number)
                        signal.signal(number, wait)
            yield
        finally:
            # SIGINT last, for its handler may raise here.
            for number in reversed(handlers):
                signal.signal(number, handlers[number])
            if self.arrived in handlers:  # also where something failed meanwhile
                _deliver(self.arrived, handlers[self.arrived], None)


def _deliver(number: int, handler: Any, frame: FrameType | None) -> None:
    """Do what the process does at a signal otherwise."""
    if callable(handler):
        handler(number, frame)
    else:
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
