"""The command ``cmlfast``: runs what its options ask for and says how it went.

It stands beside the package, not in it, for whatever is imported from the package imports torch first, which takes
longer than an answer to ``--help`` may. :mod:`cmlfast_cli.commands` does the work.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from cmlfast_cli.options import build_parser, check

OK, FAILED, USAGE, BAD_INPUT, INTERRUPTED = 0, 1, 2, 3, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : sequence of str, optional
        What follows the program's name; ``sys.argv[1:]`` by default.

    Returns
    -------
    int
        The exit code: 0 done, 1 failed, 2 wrong options, 3 unusable input, 130 interrupted.
    """
    try:
        parser = build_parser()
        options = parser.parse_args(arguments)
        check(options, parser)
        from cmlfast_cli import commands  # and torch: only now that there is something to do

        getattr(commands, options.command)(options, parser)
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("cmlfast: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader (head, less) has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except (OSError, ValueError, LookupError, TypeError) as error:
        print(f"cmlfast: error: {_sentence(error)}", file=sys.stderr)
        return BAD_INPUT
    except (ArithmeticError, RuntimeError, MemoryError, ImportError) as error:
        print(f"cmlfast: error: {_sentence(error)}", file=sys.stderr)
        return FAILED
    return OK


def _sentence(error: BaseException) -> str:
    """Return an error's text in one line."""
    text = str(error) or type(error).__name__
    return " ".join(text.split())
