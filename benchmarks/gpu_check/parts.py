"""What ``benchmarks.gpu_check`` runs: the list of its parts, and those of them that are no tests."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.gpu_check.operator_tests import SANITIZER_SECONDS, operator_tests, sanitized_tests
from benchmarks.gpu_check.part import Context, Outcome, Part
from benchmarks.gpu_check.process import ROOT, Command, Finished, run_all
from benchmarks.gpu_check.results import Speed, Tally, failure_lines, parse_benchmarks, parse_junit, speed_table

MOST = 300  # characters of what is wrong with a check
TIMING = """\
By the host's clock with `torch.cuda.synchronize()` before each look at it, around rounds of several calls; median and
interquartile range of the rounds, for one call. A step's GB/s are the least bytes of `benchmarks.cuda_model`, and the
percentages say how much of a step's time that floor is, at the copy's GB/s of this run and at the published GB/s. All
steps have a learning rate of 0, so that each finds the same work; `graph` is the compiled step, captured once and
replayed; `torch` is `benchmarks.gpu_check.torch_step`. Other operators' GB/s are the rows that they must move."""


def determinism(context: Context) -> Outcome:
    """Run the checks of `benchmarks.gpu_check.determinism` in a process of their own."""
    results = context.folder / "determinism.json"
    results.unlink(missing_ok=True)
    command = [sys.executable, "-m", "benchmarks.gpu_check.determinism", str(results)]
    (run,) = run_all([Command("determinism", command, context.folder / "determinism.log")], context.until)
    return judge_determinism(run, json.loads(results.read_text()) if results.exists() else {"planned": 0, "checks": []})


def judge_determinism(run: Finished, found: dict[str, Any]) -> Outcome:
    """Sum up the checks; those that were planned and did not run make the part fail."""
    checks, planned = found["checks"], found["planned"]
    lines = ["| check | outcome | s |", "|---|---|---:|"]
    for check in checks:
        detail = " ".join(check["detail"].split()).replace("|", "\\|")[:MOST]
        lines.append(f"| {check['name']} | {'passed' if check['passed'] else detail} | {check['seconds']:.1f} |")
    passed = sum(check["passed"] for check in checks)
    summary, body = f"{passed} of {planned} checks passed", "\n".join(lines)
    good = run.status == 0 and passed == planned > 0
    if len(checks) < planned or not planned or (run.status != 0 and passed == planned):
        summary += f"; the program {run.ending}"
        body += f"\n\nThe end of its output:\n\n```\n{run.tail()}\n```"
    return Outcome("passed" if good else "failed", summary, body)


def speeds(context: Context) -> Outcome:
    """Run the benchmarks of ``bench_cuda.py``."""
    times, junit = context.folder / "speeds.json", context.folder / "speeds.xml"
    for old in (times, junit):
        old.unlink(missing_ok=True)
    command = [
        sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", f"--rootdir={ROOT}", "--benchmark-only",
        f"--benchmark-json={times}", f"--junit-xml={junit}", str(Path("benchmarks") / "bench_cuda.py"),
    ]  # fmt: skip
    (run,) = run_all([Command("speeds", command, context.folder / "speeds.log")], context.until)
    return judge_speeds(run, parse_junit(junit), parse_benchmarks(times))


def judge_speeds(run: Finished, tests: Tally | None, found: list[Speed]) -> Outcome:
    """Sum up the benchmarks: all must have run, but for those that say why not."""
    tests = tests or Tally()
    summary = f"{len(found)} measured, {tests.failed} failed, {len(tests.skipped)} skipped"
    body = [TIMING, speed_table(found)] if found else []
    if tests.failures:
        body.append(failure_lines(tests.failures))
    good = run.status == 0 and bool(found) and not tests.failures
    if not good and not tests.failures:
        summary += f"; pytest {run.ending}"
        body.append(f"The end of pytest's output:\n\n```\n{run.tail()}\n```")
    missing = [f"benchmark `{name}`: {reason}" for name, reason in tests.skipped]
    return Outcome("passed" if good else "failed", summary, "\n\n".join(body), missing)


# The sanitizers are last: they take what time is left, and nothing else needs their outcome.
PARTS = (
    Part("operators' tests", operator_tests, 180),
    Part("determinism", determinism, 100),
    Part("speeds", speeds, 240),
    Part("compute-sanitizer", sanitized_tests, SANITIZER_SECONDS + 20),
)
