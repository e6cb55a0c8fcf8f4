"""Fixtures of the benchmarks, and the short table that is printed after them."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest
import torch

from benchmarks.kit.case import Case, make_case
from benchmarks.kit.limits import compiler
from benchmarks.kit.report import data_of, tables
from cmlfast import build_info, ops, reference

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
