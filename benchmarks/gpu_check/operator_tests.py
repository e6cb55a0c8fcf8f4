"""The parts of ``benchmarks.gpu_check`` that run tests: of the operators, and some of them under compute-sanitizer."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.gpu_check.look import find_tool
from benchmarks.gpu_check.part import Context, Outcome
from benchmarks.gpu_check.process import ROOT, Command, Finished, run_all
from benchmarks.gpu_check.results import Tally, failure_lines, parse_junit, sanitizer_errors, sanitizer_lines

PATTERNS = ("test_ops_*.py", "test_*storage*.py")  # under tests/: the files that run operators on backends
AT_ONCE = 4  # processes that run tests at a time
HANG = 90  # seconds after which a test's stack is printed
SANITIZERS = ("memcheck", "racecheck", "initcheck")
SANITIZER_SECONDS = 150.0  # for each
FOUND = 86  # exit status of compute-sanitizer if it found errors


def test_files() -> list[Path]:
    """Return the files that have tests of the operators."""
    return sorted({path for pattern in PATTERNS for path in (ROOT / "tests").glob(pattern)})


def pytest_command(files: Sequence[Path], which: str, junit: Path, *options: str) -> list[str]:
    """Return the command that runs the GPU's tests of some files: ``which`` is "all" or "sample"."""
    return [
        sys.executable, "-m", "pytest", "-v", "-p", "benchmarks.gpu_check.selection", "--gpu", which,
        "-p", "no:cacheprovider", "-o", f"faulthandler_timeout={HANG}", f"--rootdir={ROOT}", f"--junit-xml={junit}",
        *options, *map(str, files),
    ]  # fmt: skip


def operator_tests(context: Context) -> Outcome:
    """Run every test of an operator on the GPU.

    A process for each file: one whose kernels fail leaves a GPU that refuses all later work to its own process alone.
    """
    files = test_files()
    junits = {path.stem: context.folder / f"{path.stem}.xml" for path in files}
    for junit in junits.values():
        junit.unlink(missing_ok=True)  # of an earlier run
    commands = [
        Command(path.stem, pytest_command([path], "all", junits[path.stem]), context.folder / f"{path.stem}.log")
        for path in files
    ]
    finished = run_all(commands, context.until, min(AT_ONCE, max(1, (os.cpu_count() or 1) // 2)))
    return judge_tests([(one, parse_junit(junits[one.name])) for one in finished])


def judge_tests(runs: Sequence[tuple[Finished, Tally | None]]) -> Outcome:
    """Sum up files' tests. One without results, or that ended otherwise than its results say, counts as failed."""
    total, lines, broken = Tally(), [], []
    for run, tests in runs:
        lines.append(f"| {run.name} | {tests or 'no results'} | {run.seconds:.0f} |")
        if tests:
            total.add(tests)
        no_test = run.status == 5 and tests and not tests.passed  # pytest's status where none was selected
        if tests is None or not (run.status == 0 or no_test or (run.status == 1 and tests.failures)):
            broken.append(f"`{run.name}` {run.ending}. The end of its output:\n\n```\n{run.tail()}\n```")
    table = "\n".join(["| tests | outcome | s |", "|---|---|---:|", *lines])
    body = "\n\n".join(part for part in (table, failure_lines(total.failures), *broken) if part)
    summary = str(total) + (f"; {len(broken)} of {len(runs)} files were not run to their end" if broken else "")
    if not total.passed and not total.failures:
        return Outcome("failed", f"{summary}: nothing ran on the GPU", body)
    missing = [f"test `{name}`: {reason}" for name, reason in total.skipped]
    return Outcome("failed" if total.failures or broken else "passed", summary, body, missing)


def sanitized_tests(context: Context) -> Outcome:
    """Run the sample of the tests under each of compute-sanitizer's tools, all tools at the same time."""
    program = find_tool("compute-sanitizer")
    if program is None:
        return without_sanitizer()
    commands = []
    for tool in SANITIZERS:
        for old in (junit_of(context, tool), report_of(context, tool)):
            old.unlink(missing_ok=True)
        commands.append(sanitizer_command(program, tool, context))
    until = min(context.until, time.monotonic() + SANITIZER_SECONDS)
    finished = run_all(commands, until, at_once=len(commands))
    return judge_sanitizers([_sanitized(one, context) for one in finished])


def without_sanitizer() -> Outcome:
    """Return the outcome where the program is missing."""
    reason = "compute-sanitizer was found neither on PATH nor in CUDA_HOME; it comes with the CUDA toolkit"
    return Outcome("not run", reason, missing=[f"{tool}: {reason}" for tool in SANITIZERS])


def sanitizer_command(program: str, tool: str, context: Context) -> Command:
    """Return the command of one tool. torch's cache of memory would hide what runs over a tensor's end."""
    options = ["--tool", tool, "--error-exitcode", str(FOUND), "--print-limit", "20"]
    options += ["--target-processes", "application-only"]
    if tool == "memcheck":
        options += ["--report-api-errors", "no"]  # torch tries what may fail; our own calls are checked
    options.append("--log-file")
    tests = pytest_command(test_files(), "sample", junit_of(context, tool))
    return Command(
        tool,
        [program, *options, str(report_of(context, tool)), *tests],
        context.folder / f"{tool}.log",
        {"PYTORCH_NO_CUDA_MEMORY_CACHING": "1"},
    )


def junit_of(context: Context, tool: str) -> Path:
    return context.folder / f"{tool}.xml"


def report_of(context: Context, tool: str) -> Path:
    return context.folder / f"{tool}.report.txt"


def _sanitized(run: Finished, context: Context) -> tuple[Finished, Tally | None, str]:
    report = report_of(context, run.name)
    return run, parse_junit(junit_of(context, run.name)), report.read_text(errors="replace") if report.exists() else ""


def judge_sanitizers(runs: Sequence[tuple[Finished, Tally | None, str]]) -> Outcome:
    """Sum up the tools: one passed only if it ended well, says that it found nothing, and tests ran under it."""
    lines, details, bad = [], [], []
    for run, tests, report in runs:
        errors = sanitizer_errors(report)
        found = "no summary" if errors is None else f"{errors} errors"
        good = run.status == 0 and errors == 0 and tests is not None and tests.passed > 0 and not tests.failures
        lines.append(f"| {run.name} | {found} | {tests or 'no results'} | {run.ending} | {run.seconds:.0f} |")
        if good:
            continue
        bad.append(run.name)
        shown = sanitizer_lines(report) if errors else run.tail()
        details.append(f"{run.name}:\n\n```\n{shown}\n```")
        if tests and tests.failures:
            details.append(failure_lines(tests.failures, 3))
    table = "\n".join(["| tool | found | tests | ended | s |", "|---|---|---|---|---:|", *lines])
    summary = f"{len(runs) - len(bad)} of {len(runs)} tools found nothing" + (f"; not {', '.join(bad)}" if bad else "")
    return Outcome("failed" if bad else "passed", summary, "\n\n".join([table, *details]))
