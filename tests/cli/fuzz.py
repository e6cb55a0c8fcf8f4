"""The command line with random words and files: ``python -m cli.fuzz --minutes 10`` in ``tests``.

Each case is a command (train, evaluate, recommend, similar, index, info) with options and values that are right,
wrong, huge, empty or not text, and files that are whole, damaged, missing, folders or devices. It ends with an exit
code of the command's, a line of complaint where that is not 0, no traceback, and leaves every file as it was that it
does not write. Cases run in forked processes with limits of memory and time.
"""

from __future__ import annotations

import logging
import os
import random
import resource
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from data import fuzz as readers
from fuzzing import command, in_turns

import cmlfast_cli
from cmlfast_cli import options

CODES = (cmlfast_cli.OK, cmlfast_cli.FAILED, cmlfast_cli.USAGE, cmlfast_cli.BAD_INPUT)
MEMORY, SECONDS = 6 * 2**30, 20
NUMBERS = ("0", "1", "2", "-1", "1e400", "nan", "0.5", "auto", "2147483648", str(2**64), "", "x", "1_0", "٣")
TEXTS = (
    "", "user", "item", "rating", ",", "::", "\t", "é", "\udc80", "utf-16", "rot13", "-", "--", "a,b,c,d", "cpu",
)  # fmt: skip
FILES = (
    "likes.csv", "likes.parquet", "a.model", "damaged.csv", "damaged.model", "missing", ".", "/dev/null", "/dev/full",
    "new/a.model", "out", "-",
)  # fmt: skip
STARTS = (
    ("train", "likes.csv", "--model", "out", "--n-epochs", "1", "--n-components", "4"),
    ("evaluate", "likes.csv", "--n-epochs", "1", "--n-components", "4"),
    ("evaluate", "likes.csv", "--model", "a.model"), ("recommend", "a.model", "u1", "u2"), ("recommend", "a.model"),
    ("similar", "a.model", "i3"), ("index", "a.model", "annoy", "-o", "out"), ("info", "a.model"), ("info",),
)  # fmt: skip


def words(seed: int) -> list[str]:
    """Return a case's words."""
    draw = random.Random(seed)
    found = list(draw.choice(STARTS))
    known = sorted(options._parsers()[1][found[0]]._option_string_actions)
    for _ in range(draw.randrange(4)):
        how = draw.randrange(5)
        if how == 0:
            found[draw.randrange(len(found))] = draw.choice((*NUMBERS, *TEXTS, *FILES))
        elif how == 1:
            del found[draw.randrange(len(found))]
        else:
            found.append(draw.choice(known))
            if draw.randrange(4):
                found.append(draw.choice(draw.choice((NUMBERS, TEXTS, FILES))))
        if not found:
            break
    return found


def prepare(folder: Path) -> dict[str, bytes]:
    """Return whole files, by name."""
    made = readers.originals(folder / "made")
    return {name: made[name] for name in ("likes.csv", "likes.parquet", "a.model")}


def case(seed: int, whole: dict[str, bytes], folder: Path) -> str:
    """Say what goes wrong, "" if nothing does."""
    draw = readers.np.random.default_rng(seed)
    files = {
        **whole,
        "damaged.csv": readers.changed(whole["likes.csv"], draw, False),
        "damaged.model": readers.changed(whole["a.model"], draw, True),
    }
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    given = words(seed)
    status = run(given, folder)
    said = (folder / "stderr").read_text(encoding="utf-8", errors="replace")
    told = f"seed {seed}, {given}: status {status}, {said[-1500:]}"
    if status in (-9, -24):  # too long, or too large for the limits
        return ""
    if status not in CODES or "Traceback" in said:
        return told
    if status and not any(line.startswith("cmlfast") and "error: " in line for line in said.splitlines()):
        return f"without a word: {told}"
    written = {given[at + 1] for at, word in enumerate(given[:-1]) if word in ("--model", "-o", "--output", "--study")}
    written |= {word.partition("=")[2] for word in given}
    if given[:1] == ["index"]:
        written |= set(given[1:2])
    lost = [name for name in files if (folder / name).read_bytes() != files[name] and name not in written]
    if status:  # what was to be written over is whole, old or new
        lost += [name for name in files if not (folder / name).exists()]
    return f"{lost} changed: {told}" if lost else ""


def run(given: list[str], folder: Path) -> int:
    """Run the command in a forked process; return its exit code, or the signal that ended it, negative."""
    child = os.fork()
    if child == 0:
        code = 99
        try:
            os.chdir(folder)
            for number, name, how in ((0, os.devnull, os.O_RDONLY), (1, "stdout", os.O_WRONLY | os.O_CREAT),
                                      (2, "stderr", os.O_WRONLY | os.O_CREAT)):  # fmt: skip
                os.dup2(os.open(name, how), number)
            sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w")  # noqa: SIM115
            used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
            resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
            try:
                code = cmlfast_cli.main(given)
            except SystemExit as end:
                code = end.code if isinstance(end.code, int) else 98
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def search(minutes: float, first: int, tell: Callable[[str], None]) -> list[str]:
    """Try cases until the time is up; return the findings."""
    logging.getLogger("cmlfast").handlers.clear()
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "made").mkdir()
        whole, folder = prepare(Path(name)), Path(name) / "case"
        return in_turns(
            ("random words",), minutes, first, lambda _, seed: case(seed, whole, folder), tell,
            "command lines", "{findings} findings",
        )  # fmt: skip


if __name__ == "__main__":
    sys.exit(command("cli.fuzz", __doc__, search))
