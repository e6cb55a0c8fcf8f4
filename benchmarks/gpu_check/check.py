"""All that needs a GPU, unattended, into one report: ``python -m benchmarks.gpu_check`` (``make gpu-check``).

Says what machine this is, runs the operators' tests on the GPU, looks for results that change from run to run, measures
speeds and runs some tests under compute-sanitizer. Each part has a limit to its time, and so has the whole. Exit
status: 0 if nothing failed, 1 if something did, 2 if this cannot run here.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from pathlib import Path
from types import FrameType

from benchmarks.gpu_check.look import Facts, markdown, output, problem
from benchmarks.gpu_check.part import Part, Run, run_parts
from benchmarks.gpu_check.parts import PARTS
from benchmarks.gpu_check.process import ROOT
from benchmarks.gpu_check.report import Heading, report, verdict

REPORT = Path("build") / "gpu-report.md"
MINUTES = 10.0
LOOK_SECONDS = 60  # a driver that hangs is told, too


class LookError(Exception):
    """The machine could not be looked at."""


def look_in_a_process() -> Facts:
    """Return what `benchmarks.gpu_check.look` finds, in a process that leaves nothing on the GPU."""
    try:
        found = subprocess.run(
            [sys.executable, "-m", "benchmarks.gpu_check.look"],
            capture_output=True,
            text=True,
            timeout=LOOK_SECONDS,
            cwd=ROOT,
        )
    except subprocess.TimeoutExpired:
        raise LookError(f"torch did not say within {LOOK_SECONDS} s what GPU there is; see `nvidia-smi`.") from None
    if found.returncode:
        last = (found.stderr.strip().splitlines() or ["no message"])[-1]
        raise LookError(f"`python -m benchmarks.gpu_check.look` failed: {last}")
    facts: Facts = json.loads(found.stdout.splitlines()[-1])
    return facts


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu_check", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--output", type=Path, default=REPORT, help=f"the report (default: {REPORT})")
    parser.add_argument("--minutes", type=float, default=MINUTES, help=f"for all parts together (default: {MINUTES:g})")
    return parser.parse_args(arguments)


def _interrupt(_: int, __: FrameType | None) -> None:
    raise KeyboardInterrupt


def main(
    arguments: Sequence[str] | None = None,
    parts: Sequence[Part] = PARTS,
    look: Callable[[], Facts] = look_in_a_process,
) -> int:
    began = time.monotonic()
    options = parse_arguments(arguments)
    try:
        facts = look()
        reason = problem(facts)
    except LookError as error:
        reason = str(error)
    if reason:
        print(f"The GPU cannot be checked. {reason}", file=sys.stderr)
        return 2

    path = options.output.resolve()
    folder = path.with_suffix("")  # for the parts' files
    folder.mkdir(parents=True, exist_ok=True)
    commit = output("git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=12") or "unknown"
    date = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    heading = Heading(commit, date, markdown(facts), 60 * options.minutes, len(parts))

    def store(run: Run) -> None:
        path.write_text(report(heading, run, time.monotonic() - began))
        if run.outcomes:
            last = run.outcomes[-1]
            print(f"{last.name}: {last.status} ({last.seconds:.0f} s): {last.summary}", flush=True)

    before = signal.signal(signal.SIGTERM, _interrupt)  # whoever ends this process gets the report, too
    try:
        store(Run())
        run = run_parts(parts, folder, began + heading.limit, store)
    finally:
        signal.signal(signal.SIGTERM, before)
    print(verdict(run, len(parts)).replace("**", ""))
    print(f"The report is {path}; what the programs printed is in {folder}.")
    return 1 if run.failed else 0
