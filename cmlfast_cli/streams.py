"""Standard output and error as a command finds them: closed, full, read by nobody; nothing of it may harm the work."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Iterator


class OutputLostError(OSError):
    """What was asked for could not be printed."""


def open_what_is_closed() -> bool:
    """Put the null device where a standard stream is closed; return whether standard output was open.

    Otherwise the next file to be opened would take the stream's number, and be written to by whoever prints.
    """
    was_open = True
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            was_open &= number != 1
            os.open(os.devnull, os.O_RDWR)  # the lowest free number, which is this one
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115
    return was_open


def speak_utf8() -> None:
    """Print every id, also where the locale knows ASCII alone: data are UTF-8, as they are read."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure") and (stream.encoding or "").lower().replace("-", "") != "utf8":
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")


def say(text: str) -> None:
    """Print what is good to know; that nobody can read it stops nothing."""
    try:
        print(text, flush=True)
    except (OSError, ValueError):  # a broken pipe, a full disk; a stream that is closed
        silence(sys.stdout)


def show(text: str) -> None:
    """Print what was asked for, see :func:`standard_output`."""
    with standard_output():
        print(text, flush=True)


@contextlib.contextmanager
def standard_output() -> Iterator[None]:
    """Let something be printed that was asked for.

    Raises
    ------
    OutputLostError
        If it cannot be printed, for any reason but that nobody reads it.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        if error.filename is not None:  # of a file that was read
            raise
        silence(sys.stdout)
        raise OutputLostError(f"standard output cannot be written to: {error.strerror}") from error


def complain(text: str) -> None:
    """Print to standard error; that nobody can read it stops nothing."""
    try:
        print(text, file=sys.stderr, flush=True)
    except (OSError, ValueError):
        silence(sys.stderr)


def silence(stream: object) -> None:
    """Send what a stream still holds, and all that will be printed there, to the null device."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())  # type: ignore[attr-defined]
        os.close(null)


class Notes(logging.Handler):
    """Shows what the package logs, a line each, on standard error."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record."""
        complain(f"cmlfast: {record.getMessage()}")
