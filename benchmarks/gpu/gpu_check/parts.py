"""What is run on the GPU: operators' tests, checks of determinism, benchmarks, tests under compute-sanitizer."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.gpu.gpu_check.programs import ROOT, Part, Program, results_of
from benchmarks.gpu.gpu_check.tools import find_tool

NAMES = ("operators", "determinism", "kernels", "speeds", "compute-sanitizer")

PATTERNS = ("test_ops_*.py", "test_*storage*.py")  # somewhere under tests/: the files that run operators on backends
HANG = 90  # seconds after which a test's stack is printed
SANITIZERS = ("memcheck", "racecheck", "initcheck")
FOUND = 86  # exit status of compute-sanitizer if it found errors
NO_SANITIZER = "compute-sanitizer was found neither on PATH nor in CUDA_HOME; it comes with the CUDA toolkit"


def test_files() -> list[Path]:
    """Return the files that have tests of the operators."""
    return sorted({path for pattern in PATTERNS for path in (ROOT / "tests").rglob(pattern)})


def pytest_command(name: str, folder: Path, *arguments: str) -> list[str]:
    """Return the command that runs pytest and leaves its results in a folder."""
    return [
        sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", "-o", f"faulthandler_timeout={HANG}",
        f"--rootdir={ROOT}", f"--junit-xml={results_of(name, folder)['xml']}", *arguments,
    ]  # fmt: skip


def selected(which: str, files: Sequence[Path]) -> list[str]:
    """Return pytest's arguments for the GPU's tests of some files: ``which`` is "all" or "sample"."""
    return ["-p", "benchmarks.gpu.gpu_check.selection", "--gpu", which, *map(str, files)]


def operators(folder: Path, files: Sequence[Path]) -> Part:
    """Run every test of an operator on the GPU.

    A process for each file: one whose kernels fail leaves a GPU that refuses all later work to its own process alone.
    """
    programs = [Program(path.stem, pytest_command(path.stem, folder, *selected("all", [path]))) for path in files]
    return Part("operators", programs, seconds=100, least=400, at_once=min(4, max(1, (os.cpu_count() or 1) // 2)))


def determinism(folder: Path) -> Part:
    """Look for the same bits on every run, alone, captured, on another stream and in other odd places."""
    files = [str(Path(__file__).with_name(name)) for name in ("determinism.py", "places.py")]
    return Part("determinism", [Program("determinism", pytest_command("determinism", folder, *files))], 50, least=12)


def kernels(folder: Path) -> Part:
    """Time each kernel of a step and of a search, beside what is predicted of it; then steps and an epoch of a fit."""
    files = [str(Path(__file__).with_name(name)) for name in ("kernels.py", "trainings.py")]
    return Part("kernels", [Program("kernels", pytest_command("kernels", folder, *files))], 60, least=12)


def speeds(folder: Path) -> Part:
    """Run the benchmarks of ``bench_cuda.py``; some need more memory than every GPU has."""
    times = f"--benchmark-json={results_of('speeds', folder)['json']}"
    storage = f"--benchmark-storage=file://{folder / 'scratch' / 'benchmarks'}"
    command = pytest_command("speeds", folder, "--benchmark-only", times, storage, "benchmarks/bench_cuda.py")
    return Part("speeds", [Program("speeds", command)], 120, least=20)


def sanitizers(folder: Path, files: Sequence[Path]) -> Part:
    """Run a sample of the operators' tests under each of compute-sanitizer's tools, all tools at the same time."""
    program = find_tool("compute-sanitizer")
    return Part(
        "compute-sanitizer",
        [sanitized(program, tool, folder, files) for tool in SANITIZERS] if program else [],
        seconds=170,
        least=20 * len(SANITIZERS),
        at_once=len(SANITIZERS),
        missing="" if program else NO_SANITIZER,
    )


def sanitized(program: str, tool: str, folder: Path, files: Sequence[Path]) -> Program:
    """Return the run under one tool."""
    options = ["--tool", tool, "--error-exitcode", str(FOUND), "--print-limit", "20"]
    options += ["--target-processes", "application-only", "--log-file", str(results_of(tool, folder)["sanitizer"])]
    if tool == "memcheck":
        options += ["--report-api-errors", "no"]  # torch tries what may fail; our own calls are checked
    # torch's cache of memory would hide what runs over a tensor's end.
    environment = {"PYTORCH_NO_CUDA_MEMORY_CACHING": "1"}
    command = [program, *options, *pytest_command(tool, folder, *selected("sample", files))]
    return Program(tool, command, environment, sanitizer=True)


def all_parts(folder: Path) -> list[Part]:
    """Return the parts; the sanitizers are last, for they take what time is left and nothing else needs them."""
    files = test_files()
    return [operators(folder, files), determinism(folder), kernels(folder), speeds(folder), sanitizers(folder, files)]
