"""The case that the benchmarks share, and the tables that are printed after them."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from benchmarks.kit.case import Case, make_case
from benchmarks.kit.report import data_of, tables
from cmlfast import build_info

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


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print the tables of `benchmarks.kit.report`."""
    session = getattr(config, "_benchmarksession", None)
    measured = [one for one in session.benchmarks if one.stats.rounds and not one.has_error] if session else []
    if not measured:
        return
    found = [one.as_dict(include_data=False) for one in measured]
    terminalreporter.section("summary")
    terminalreporter.write_line(tables(found))
    terminalreporter.write_line("")
    data = ", ".join(data_of(found)) or "none"
    terminalreporter.write_line(NOTES.format(threads=torch.get_num_threads(), data=data))
