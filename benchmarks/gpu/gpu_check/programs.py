"""Runs programs that are limited in time, some at once, and reads what pytest leaves of each."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[3]  # where programs run
GRACE = 5  # seconds between the request to stop, at which pytest writes its results, and the end
PAUSE = 0.05  # seconds between two looks
OWN = "vendor"  # folder of the packages that `pack` puts into an archive, a folder for each
TIME_IS_UP = (124, -9)  # statuses of `timeout`: the program stopped when it was asked to, or had to be killed
SHOWN_LINES = 6  # of a failure's message


@dataclass(frozen=True)
class Program:
    """A run of pytest, plain or under compute-sanitizer."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)  # beside this process's
    sanitizer: bool = False


@dataclass(frozen=True)
class Part:
    """Programs that are judged together.

    Attributes
    ----------
    name : str
        For the report.
    programs : sequence of Program
        What runs, `at_once` at a time.
    seconds : float
        The most that all together may take.
    least : int
        How many tests must pass in all together: tests that were skipped, or not found, prove nothing.
    missing : str
        Why nothing can run, "" if it can.
    """

    name: str
    programs: Sequence[Program]
    seconds: float
    least: int
    at_once: int = 1
    missing: str = ""


@dataclass
class Tally:
    """How many tests passed, and why the others failed or were skipped."""

    passed: int = 0
    failures: list[tuple[str, str]] = field(default_factory=list)  # test, message
    skipped: list[tuple[str, str]] = field(default_factory=list)  # test, reason

    def __str__(self) -> str:
        return f"{self.passed} passed, {len(self.failures)} failed, {len(self.skipped)} skipped"


@dataclass(frozen=True)
class Finished:
    """What became of a program."""

    program: Program
    status: int | None  # None: no time was left for it
    seconds: float
    tests: Tally | None  # None: there are no results
    printed: str
    sanitizer_report: str = ""

    @property
    def ending(self) -> str:
        """Say how it ended."""
        if self.status is None:
            return "not begun, no time was left"
        return "ran out of time" if self.status in TIME_IS_UP else f"exit status {self.status}"


def read_junit(path: Path) -> Tally | None:
    """Return what pytest wrote with ``--junit-xml``, or None where there is no such file, or half of one."""
    try:
        root = ElementTree.parse(path).getroot()
    except (OSError, ElementTree.ParseError):
        return None
    tests = Tally()
    for case in root.iter("testcase"):
        name = f"{case.get('classname', '')}::{case.get('name', '')}"
        told = next((each for each in case if each.tag in ("failure", "error", "skipped")), None)
        if told is None:
            tests.passed += 1
            continue
        message = "\n".join((told.get("message") or told.text or "").strip().splitlines()[:SHOWN_LINES])
        (tests.skipped if told.tag == "skipped" else tests.failures).append((name, message))
    return tests


def read_properties(path: Path, name: str) -> list[str]:
    """Return what tests have recorded under a name in pytest's results; nothing where there are none."""
    try:
        root = ElementTree.parse(path).getroot()
    except (OSError, ElementTree.ParseError):
        return []
    return [each.get("value", "") for each in root.iter("property") if each.get("name") == name]


def results_of(name: str, folder: Path) -> dict[str, Path]:
    """Return the files of a program: what it printed, pytest's results, its times, the sanitizer's report."""
    return {kind: folder / f"{name}.{kind}" for kind in ("log", "xml", "json", "sanitizer")}


def kept_in(folder: Path) -> dict[str, str]:
    """Return an environment in which programs write nowhere but into a folder, and find what was carried for them."""
    places = {
        "TMPDIR": "tmp", "XDG_CACHE_HOME": "cache", "HYPOTHESIS_STORAGE_DIRECTORY": "hypothesis",
        "TORCHINDUCTOR_CACHE_DIR": "inductor", "TRITON_CACHE_DIR": "triton", "CUDA_CACHE_PATH": "cuda",
    }  # fmt: skip
    made = {name: folder / "scratch" / place for name, place in places.items()}
    for place in made.values():
        place.mkdir(parents=True, exist_ok=True)
    paths = [*carried(), *filter(None, [os.environ.get("PYTHONPATH")])]
    found = {name: str(place) for name, place in made.items()} | {"PYTHONDONTWRITEBYTECODE": "1"}
    return found | ({"PYTHONPATH": os.pathsep.join(paths)} if paths else {})


def carried() -> list[str]:
    """Return the folders of packages that came with the tree and that this Python does not have itself."""
    folders = sorted((ROOT / OWN).glob("*/")) if (ROOT / OWN).is_dir() else []
    return [
        str(folder) for folder in folders
        if not all(importlib.util.find_spec(name) for name in (folder / "MODULES").read_text().split())
    ]  # fmt: skip


def begin(program: Program, folder: Path, seconds: float) -> subprocess.Popen[bytes]:
    """Start a program under coreutils' ``timeout``, which also passes on a request to stop."""
    files = results_of(program.name, folder)
    for old in files.values():
        old.unlink(missing_ok=True)
    # A shell's background jobs ignore SIGINT, and so would what they start.
    listening = ["env", "--default-signal=INT"]
    limited = [*listening, "timeout", "--signal=INT", f"--kill-after={GRACE}", f"{seconds:.1f}", *program.command]
    with files["log"].open("wb") as log:
        return subprocess.Popen(
            limited,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **kept_in(folder), **program.environment},
            cwd=ROOT,
        )


def end(program: Program, folder: Path, status: int | None, seconds: float) -> Finished:
    """Read what a program has left."""
    files = results_of(program.name, folder)
    texts = {kind: path.read_text(errors="replace") if path.exists() else "" for kind, path in files.items()}
    tests = None if status is None else read_junit(files["xml"])
    return Finished(program, status, seconds, tests, texts["log"], texts["sanitizer"])


def run_part(part: Part, folder: Path, until: float, after_each: Callable[[Finished], None]) -> None:
    """Run a part's programs; whatever happens, none outlives the call.

    Parameters
    ----------
    part : Part
        What to run.
    folder : Path
        For the programs' files.
    until : float
        When all must have ended, on the clock of `time.monotonic`, if the part's own limit is not earlier.
    after_each : callable
        Called with each program when it has ended.
    """
    until = min(until, time.monotonic() + part.seconds)
    waiting = list(part.programs)
    running: list[tuple[Program, subprocess.Popen[bytes], float]] = []  # and when it began
    try:
        while waiting or running:
            while waiting and len(running) < part.at_once:
                program, left = waiting.pop(0), until - time.monotonic()
                if left > GRACE:
                    running.append((program, begin(program, folder, left - GRACE), time.monotonic()))
                else:
                    after_each(end(program, folder, None, 0.0))
            for each in list(running):
                program, process, began = each
                if process.poll() is not None:
                    running.remove(each)
                    after_each(end(program, folder, process.returncode, time.monotonic() - began))
            time.sleep(PAUSE)
    finally:
        for _, process, _ in running:
            process.terminate()
        for _, process, _ in running:
            process.wait()
