"""The command ``cmlfast``: runs what its options ask for and says how it went.

It stands beside the package, not in it, for whatever is imported from the package imports torch first, which takes
longer than an answer to ``--help`` may. The other files do the work.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType

from cmlfast_cli import streams
from cmlfast_cli.options import check, parse

OK, FAILED, USAGE, BAD_INPUT, INTERRUPTED = 0, 1, 2, 3, 130


TRAINING = ("train", "evaluate", "tune", "update")


class Terminated(KeyboardInterrupt):
    """Somebody asked the process to end, by a signal whose number this holds."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : sequence of str, optional
        What follows the program's name; ``sys.argv[1:]`` by default.

    Returns
    -------
    int
        The exit code: 0 done, 1 failed, 2 wrong options, 3 unusable input, 128 and more ended by a signal.
    """
    can_print = streams.open_what_is_closed()
    streams.speak_utf8()
    _end_on_request()
    log = logging.getLogger("cmlfast")
    notes, level = streams.Notes(), log.level
    log.addHandler(notes)
    try:
        options, parser = parse(sys.argv[1:] if arguments is None else arguments)
        check(options, parser, can_print)
        log.setLevel(logging.ERROR if options.quiet else logging.INFO)
        if options.command in TRAINING and _let_threads_sleep() and not options.quiet:
            streams.complain("cmlfast: the machine is busy: threads that wait will sleep (OMP_WAIT_POLICY=PASSIVE)")
        from cmlfast_cli import answers, commands, drawing, processes, update  # and torch: only now that it is needed

        processes.check_alone(options)

        homes = {"map": drawing, "update": update, **dict.fromkeys(("recommend", "similar", "explain"), answers)}
        run = getattr(homes.get(options.command, commands), options.command)
        code: int | None = run(options, parser)
        sys.stdout.flush()
        return code or OK
    except Terminated as request:
        streams.complain("cmlfast: terminated")
        return 128 + int(request.args[0])
    except KeyboardInterrupt:
        streams.complain("cmlfast: interrupted")
        return INTERRUPTED
    except BrokenPipeError:  # the reader (head, less) has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except streams.OutputLostError as error:
        return _fail(error, FAILED)
    except (OSError, ValueError, LookupError, TypeError) as error:
        return _fail(error, BAD_INPUT)
    except (ArithmeticError, RuntimeError, MemoryError, ImportError) as error:
        return _fail(error, FAILED)
    finally:
        log.removeHandler(notes)
        log.setLevel(level)


def _let_threads_sleep() -> bool:
    """Keep threads that wait for others from spinning, where more want to run than there are cores; say whether.

    OpenMP reads the variable once, when torch loads it. Spinning threads take the cores from those they wait for.
    """
    if "torch" in sys.modules or "OMP_WAIT_POLICY" in os.environ or not hasattr(os, "getloadavg"):
        return False
    n_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        busy = os.getloadavg()[0] > n_cores
    except OSError:  # the system does not tell
        return False
    if busy:
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
    return busy


def _fail(error: BaseException, code: int) -> int:
    """Say what went wrong in one line."""
    text = str(error) or type(error).__name__
    streams.complain(f"cmlfast: error: {' '.join(text.split())}")
    return code


def _end_on_request() -> None:
    """Let SIGTERM and SIGHUP end the command as Ctrl-C does, so that no half-written file stays; unless ignored."""

    def end(number: int, frame: FrameType | None) -> None:
        raise Terminated(number)

    with contextlib.suppress(ValueError):  # not the main thread, where alone signals arrive
        hangup = [signal.SIGHUP] if hasattr(signal, "SIGHUP") else []  # Windows has none
        for number in (signal.SIGTERM, *hangup):
            if signal.getsignal(number) == signal.SIG_DFL:
                signal.signal(number, end)
