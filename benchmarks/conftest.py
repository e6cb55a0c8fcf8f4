"""Fixtures of the benchmarks, and the short table that is printed after them."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
import torch

from benchmarks.kit.case import Case, make_case
from benchmarks.kit.limits import compiler
from cmlfast import build_info, ops, reference

BASELINE = "baseline"  # the key of extra_info that marks what the others of a group are compared with

NOTES = """\
{threads} threads; data: {data}. GB/s: the rows that a step or an operator must read and write, by the median. Limit:
how fast random rows of the same table can be read, measured right after. Baseline: tuned torch, where there is one."""


def pytest_report_header() -> str:
    info = build_info()
    kernels = f"kernels for {info['isa']}" if info["extension"] else f"no kernels ({info['reason']})"
    return f"cmlfast {info['version']}: {kernels}, torch {info['torch']}, {torch.get_num_threads()} threads"


@pytest.hookimpl(optionalhook=True)  # pytest-benchmark's
def pytest_benchmark_update_machine_info(machine_info: dict[str, Any]) -> None:
    """Store what the figures depend on besides the machine."""
    machine_info["cmlfast"] = {**build_info(), "threads": torch.get_num_threads()}


@pytest.fixture(scope="session")
def case() -> Case:
    return make_case()


@pytest.fixture(params=["compiled", "reference"])
def kernels(request: pytest.FixtureRequest) -> ModuleType:
    """Return the operators, compiled and as the reference."""
    return kernels_of(request.param)


def kernels_of(name: str) -> ModuleType:
    """Return the operators by name, or skip the benchmark."""
    if name == "compiled":
        require_extension()
    return ops if name == "compiled" else reference


def require_extension() -> None:
    """Skip the benchmark where the operators are not compiled."""
    if not build_info()["extension"]:
        pytest.skip(str(build_info()["reason"]))


def require_compiler(what: str) -> None:
    """Skip the benchmark where there is no C++ compiler."""
    if compiler() is None:
        pytest.skip(f"{what} needs a C++ compiler here; install one, or name it in CXX")


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print name, median, spread, throughput and ratio of every benchmark."""
    session = getattr(config, "_benchmarksession", None)
    measured = [one for one in session.benchmarks if one.stats.rounds and not one.has_error] if session else []
    if not measured:
        return
    rows = [("benchmark", "median ms", "IQR ms", "M pairs/s", "GB/s", "of limit", "times baseline"), *_rows(measured)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    data = sorted({one.extra_info["data"] for one in measured if "data" in one.extra_info})
    terminalreporter.section("summary")
    for row in rows:
        cells = [cell.rjust(width) for cell, width in zip(row, widths, strict=True)]
        terminalreporter.write_line("  ".join([row[0].ljust(widths[0]), *cells[1:]]))
    terminalreporter.write_line("")
    terminalreporter.write_line(NOTES.format(threads=torch.get_num_threads(), data=", ".join(data) or "none"))


def _rows(measured: list[Any]) -> Iterator[tuple[str, ...]]:
    baselines = {one.group: one.stats.median for one in measured if one.extra_info.get(BASELINE)}
    for one in measured:
        median, info = one.stats.median, one.extra_info
        pairs, gigabytes = info.get("pairs_per_second"), info.get("gb_per_second")
        fraction, ratio = info.get("fraction_of_limit"), info.get("times_baseline")
        if one.group in baselines:
            ratio = baselines[one.group] / median
        yield (
            one.name.removeprefix("test_"),
            f"{1e3 * median:.2f}",
            f"{1e3 * one.stats.iqr:.2f}",
            f"{pairs / 1e6:.3f}" if pairs else "",
            f"{gigabytes:.1f}" if gigabytes else "",
            f"{fraction:.0%}" if fraction else "",
            f"{ratio:.2f}" if ratio else "",
        )
