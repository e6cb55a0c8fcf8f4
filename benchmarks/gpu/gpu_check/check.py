"""All that needs a GPU, unattended, into one report: ``python -m benchmarks.gpu.gpu_check`` (``make gpu-check``).

Says what machine this is, runs the operators' tests on the GPU, looks for results that change from run to run, measures
speeds and runs some tests under compute-sanitizer. Each part has a limit to its time, and so has the whole. Exit
status: 0 if nothing failed, 1 if something did, 2 if this cannot run here.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from pathlib import Path

from benchmarks.gpu.gpu_check.machine import output
from benchmarks.gpu.gpu_check.parts import all_parts
from benchmarks.gpu.gpu_check.programs import ROOT, Finished, Part, run_part
from benchmarks.gpu.gpu_check.report import report, verdict

REPORT = Path("build") / "gpu-report.md"
MINUTES = 10.0
LOOK_SECONDS = 60  # a driver that hangs is told, too


def look() -> tuple[bool, str]:
    """Return whether a GPU can be checked, and what machine this is or why not."""
    command = [sys.executable, "-m", "benchmarks.gpu.gpu_check.machine"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LOOK_SECONDS, cwd=ROOT)
    except subprocess.TimeoutExpired:
        return False, f"torch did not say within {LOOK_SECONDS} s what GPU there is; see `nvidia-smi`."
    return done.returncode == 0, done.stdout.strip() or done.stderr.strip()[-500:]


def main(
    arguments: Sequence[str] | None = None,
    make_parts: Callable[[Path], Sequence[Part]] = all_parts,
    look: Callable[[], tuple[bool, str]] = look,
) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu.gpu_check", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--output", type=Path, default=REPORT, help=f"the report (default: {REPORT})")
    parser.add_argument("--minutes", type=float, default=MINUTES, help=f"for all parts together (default: {MINUTES:g})")
    options = parser.parse_args(arguments)
    found, told = look()
    if not found:
        print(f"The GPU cannot be checked. {told}", file=sys.stderr)
        return 2

    path = options.output.resolve()
    folder = path.with_suffix("")  # for the programs' files
    folder.mkdir(parents=True, exist_ok=True)
    commit = output("git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=12") or "unknown"
    heading = f"Commit {commit}, {datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC.\n\n{told}"
    parts, finished = make_parts(folder), list[Finished]()

    def store(run: Finished) -> None:
        finished.append(run)
        path.write_text(report(f"**Not finished.**\n\n{heading}", parts, finished, folder))
        print(f"{run.program.name}: {run.tests or 'no results'}, {run.ending} ({run.seconds:.0f} s)", flush=True)

    until = time.monotonic() + 60 * options.minutes
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # whoever ends this process gets a report, too
    try:
        for part in parts:
            run_part(part, folder, until, store)
    except KeyboardInterrupt:
        heading = f"**Interrupted.** What had been found by then:\n\n{heading}"
    finally:
        signal.signal(signal.SIGTERM, before)
    path.write_text(report(heading, parts, finished, folder))
    verdicts = [verdict(part, finished) for part in parts]
    for part, outcome in zip(parts, verdicts, strict=True):
        print(f"{part.name}: {outcome}")
    print(f"The report is {path}; what the programs printed is in {folder}.")
    return 1 if any(outcome.startswith("failed") for outcome in verdicts) else 0
