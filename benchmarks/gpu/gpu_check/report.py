"""Judges what has run, and writes the one report, in Markdown."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

from benchmarks.gpu.gpu_check.programs import Finished, Part, read_properties, results_of
from benchmarks.kit.report import report as speed_report
from benchmarks.kit.text import markdown

SUMMARY = re.compile(r"(?:ERROR|RACECHECK) SUMMARY: (\d+) (?:error|hazard)")
NOTHING_SELECTED = 5  # pytest's exit status
MOST = 8  # failures, or tests of one reason, that are shown
TIMING = """\
By the host's clock with `torch.cuda.synchronize()` before each look at it, around rounds of several calls; median and
interquartile range of the rounds, for one call. A step's GB/s are its least bytes (`benchmarks.kit.floor`), and the
floor is the time that these take at the copy's GB/s of this run, or at the published ones. All steps have a learning
rate of 0, so that each finds the same work; `graph` is the compiled step, captured once and replayed; `torch` is
`benchmarks.kit.torch_gpu`. Other operators' GB/s are the rows that they must move."""

KERNELS = """\
By torch's profiler, for one call. Predicted are the bytes that a kernel passes on, at the bandwidth of a copy of this
run, or its instructions at one a cycle of every lane (`benchmarks.gpu.gpu_check.kernels`)."""


def sanitizer_errors(text: str) -> int | None:
    """Return how many errors or hazards compute-sanitizer counted, over all processes; None if it says nothing."""
    counts = [int(count) for count in SUMMARY.findall(text)]
    return sum(counts) if counts else None


def sanitizer_lines(text: str, most: int = 12) -> list[str]:
    """Return the first lines in which compute-sanitizer reports something, without those of addresses."""
    lines = [line.removeprefix("=========").strip() for line in text.splitlines() if line.startswith("=========")]
    return [line for line in lines if line and not line.startswith(("Host Frame", "Saved host"))][:most]


def fault(run: Finished) -> str:
    """Say what is wrong with a program's run, "" if nothing is."""
    tests = run.tests
    if tests is None:
        return f"{run.ending}, no results"
    if tests.failures:
        return f"{len(tests.failures)} failed"
    if run.program.sanitizer and (errors := sanitizer_errors(run.sanitizer_report)) != 0:
        return "no summary of the sanitizer" if errors is None else f"{errors} errors"
    if run.status == NOTHING_SELECTED and not run.program.sanitizer and not tests.passed and not tests.skipped:
        return ""  # a file without a test for the GPU
    if run.status != 0:
        return run.ending
    return "" if tests.passed else "no test passed"


def runs_of(part: Part, finished: Sequence[Finished]) -> list[Finished]:
    """Return what became of a part's programs, in the part's order."""
    return [run for program in part.programs for run in finished if run.program is program]


def verdict(part: Part, finished: Sequence[Finished]) -> str:
    """Return "passed", or what a part failed by, or that it was not run."""
    if part.missing:
        return f"not run: {part.missing}"
    runs = runs_of(part, finished)
    wrong = [f"{run.program.name}: {fault(run)}" for run in runs if fault(run)]
    passed = sum(run.tests.passed for run in runs if run.tests)
    if len(runs) < len(part.programs):
        wrong.append(f"{len(part.programs) - len(runs)} programs did not end")
    if passed < part.least:
        wrong.append(f"{passed} tests passed, at least {part.least} were expected")
    return f"failed: {'; '.join(wrong)}" if wrong else "passed"


def report(heading: str, parts: Sequence[Part], finished: Sequence[Finished], folder: Path) -> str:
    """Return the report of what has run so far."""
    blocks = ["# GPU check of cmlfast", heading, "## Parts"]
    blocks.append("\n".join(f"- {part.name}: {verdict(part, finished)}" for part in parts))
    for part in parts:
        runs = runs_of(part, finished)
        rows = [[run.program.name, str(run.tests or "-"), run.ending, f"{run.seconds:.0f}"] for run in runs]
        blocks += [f"## {part.name}", markdown(["", "tests", "ended", "s"], rows)]
        blocks += [details(run) for run in runs if fault(run)]
        if part.name == "kernels":
            blocks += [KERNELS, kernel_table(read_properties(results_of("kernels", folder)["xml"], "kernel"))]
        if part.name == "speeds":
            blocks += [TIMING, speed_tables(results_of("speeds", folder)["json"])]
    return "\n\n".join([*blocks, "## Skipped, and why", skipped(finished)]) + "\n"


def details(run: Finished) -> str:
    """Show what is wrong with a program: its failures, what the sanitizer found, or the end of what it printed."""
    lines = [f"{run.program.name}: {fault(run)}", ""]
    failures = run.tests.failures if run.tests else []
    for name, message in failures[:MOST]:
        lines += [f"- `{name}`", "", *(f"      {line}" for line in message.splitlines()), ""]
    if run.program.sanitizer and sanitizer_errors(run.sanitizer_report):
        return "\n".join([*lines, "```", *sanitizer_lines(run.sanitizer_report), "```"])
    if not failures:
        lines += ["The end of its output:", "", "```", *run.printed.splitlines()[-15:], "```"]
    return "\n".join(lines)


def kernel_table(recorded: Sequence[str]) -> str:
    """Return a table of kernels, predicted and measured; the sum of a case stands above its kernels."""
    rows = [json.loads(one) for one in recorded]
    cells = []
    for case in dict.fromkeys(row["case"] for row in rows):
        own = [row for row in rows if row["case"] == case]
        cells.append([f"**{case}**", "", f"**{sum(row['measured'] for row in own):.1f}**", ""])
        for row in own:
            known = row["predicted"] is not None
            predicted = f"{row['predicted']:.1f}" if known else "-"
            share = f"{row['predicted'] / row['measured']:.0%}" if known else "-"
            cells.append([f"`{row['kernel']}`", predicted, f"{row['measured']:.1f}", share])
    return markdown(["", "predicted, us", "measured, us", "reached"], cells) if cells else "There are no times."


def speed_tables(times: Path) -> str:
    """Return the tables of the benchmarks, or why there are none."""
    try:
        return speed_report(json.loads(times.read_text()))
    except (OSError, ValueError):
        return "There are no times."


def skipped(finished: Sequence[Finished]) -> str:
    """List what was skipped; of many tests with one reason, the first."""
    by_reason: dict[str, list[str]] = {}
    for run in finished:
        for name, reason in run.tests.skipped if run.tests else []:
            by_reason.setdefault(reason, []).append(f"`{name}`")
    lines = []
    for reason, names in by_reason.items():
        more = f" and {len(names) - MOST} more" if len(names) > MOST else ""
        lines.append(f"- {', '.join(names[:MOST])}{more}: {reason}")
    return "\n".join(lines) or "Nothing."
