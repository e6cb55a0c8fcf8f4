"""All that needs a GPU, unattended, into one report: ``python -m benchmarks.gpu.gpu_check`` (``make gpu-check``).

Says what machine this is, runs the operators' tests on the GPU, looks for results that change from run to run, measures
speeds and runs some tests under compute-sanitizer. Each part has a limit to its time, and so has the whole; the most
important come first, and the report is written again whenever a program has ended. Exit status: 0 if nothing failed, 1
if something did, 2 if this cannot run here.

It needs torch, pytest, NumPy, SciPy and pyarrow, and writes into one folder. ``--pack FILE`` makes an archive of the
tree, the extension as it is built and what else it needs, for a machine without a package index: unpack it there, and
type ``python3 -m benchmarks.gpu.gpu_check`` in it.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from pathlib import Path

from benchmarks.gpu.gpu_check.machine import NO_KERNELS
from benchmarks.gpu.gpu_check.pack import commit, pack
from benchmarks.gpu.gpu_check.parts import NAMES, all_parts
from benchmarks.gpu.gpu_check.programs import ROOT, Finished, Part, kept_in, run_part
from benchmarks.gpu.gpu_check.report import report, verdict
from benchmarks.gpu.gpu_check.tools import find_tool

FOLDER = Path("build") / "gpu-check"
REPORT = "report.md"
MINUTES = 4.0
LOOK_SECONDS = 60  # a driver that hangs is told, too


def look(folder: Path) -> tuple[bool, str]:
    """Return whether a GPU can be checked, and what machine this is or why not; build kernels that are missing."""
    environment = {**os.environ, **kept_in(folder)}
    command = [sys.executable, "-m", "benchmarks.gpu.gpu_check.machine"]

    def ask() -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, capture_output=True, text=True, timeout=LOOK_SECONDS, cwd=ROOT, env=environment)

    try:
        done = ask()
        if done.returncode == NO_KERNELS and find_tool("nvcc"):
            print("compiling the extension for the card that is here, which takes some minutes", flush=True)
            with (folder / "build.log").open("wb") as log:
                how = {**environment, "CMLFAST_CUDA": "1", "CMLFAST_CUDA_ARCHITECTURES": "native"}
                build = [sys.executable, "setup.py", "build_ext", "--inplace"]
                subprocess.run(build, stdout=log, stderr=log, cwd=ROOT, env=how, check=False)
            done = ask()
    except subprocess.TimeoutExpired:
        return False, f"torch did not say within {LOOK_SECONDS} s what GPU there is; see `nvidia-smi`."
    return done.returncode == 0, done.stdout.strip() or done.stderr.strip()[-500:]


def main(
    arguments: Sequence[str] | None = None,
    make_parts: Callable[[Path], Sequence[Part]] = all_parts,
    look: Callable[[Path], tuple[bool, str]] = look,
) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu.gpu_check",
        description=(__doc__ or "").partition("\n\n")[2],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(NAMES)} (default: all)")
    parser.add_argument(
        "--output", type=Path, default=FOLDER, metavar="FOLDER", help=f"for all that is written (default: {FOLDER})"
    )
    parser.add_argument("--minutes", type=float, default=MINUTES, help=f"for all parts together (default: {MINUTES:g})")
    parser.add_argument("--pack", type=Path, metavar="FILE", help="check nothing: write an archive to carry to a GPU")
    options = parser.parse_args(arguments)
    for name in options.parts:
        if name not in NAMES:
            parser.error(f"there is no part {name!r}, only {', '.join(NAMES)}")
    if options.pack:
        print(pack(options.pack))
        return 0
    folder = options.output.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    found, told = look(folder)
    if not found:
        print(f"The GPU cannot be checked. {told}", file=sys.stderr)
        return 2

    path = folder / REPORT
    heading = f"Commit {commit()}, {datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC.\n\n{told}"
    parts = [part for part in make_parts(folder) if not options.parts or part.name in options.parts]
    finished: list[Finished] = []

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
