"""Holds the compiled CUDA kernels to their plan, without a GPU: ``python -m benchmarks.gpu.cuda_check``.

Compiles ``csrc/cuda/*.cu`` for every supported architecture, reads the compiler's report and the machine code, and
compares registers, spills, width of loads and arithmetic of each kernel with `benchmarks.gpu.cuda_check.budgets`.
Exit status: 0 if all is as planned, 1 if not, 2 if a program that this needs, or the sources, are missing.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.gpu.cuda_check.budgets import PLANS
from benchmarks.gpu.cuda_check.compile import (
    ARCHITECTURES,
    CACHE,
    SOURCES,
    CompileError,
    MissingToolError,
    Tools,
    compile_all,
    find_tools,
    known_architectures,
)
from benchmarks.gpu.cuda_check.report import full_table, library_lines, problem_lines, short_table
from benchmarks.gpu.cuda_check.verdict import Kernel, Plan, read_kernels


def check(
    tools: Tools,
    sources: Sequence[Path],
    plans: Sequence[Plan],
    architectures: Sequence[int],
    cache: Path = CACHE,
) -> tuple[list[Kernel], list[str]]:
    """Compile and read all kernels; return them and the problems found."""
    builds = compile_all(tools, sources, architectures, cache)
    kernels = [kernel for build in builds for kernel in read_kernels(build, plans)]
    own = [kernel.name for kernel in kernels if not kernel.library]
    stale = [
        f"{plan.kernels}: planned, but no kernel has such a name; correct or remove it in "
        "benchmarks/gpu/cuda_check/budgets.py"
        for plan in plans
        if not any(plan.matches(name) for name in own)
    ]
    return kernels, problem_lines(kernels) + stale


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu.cuda_check", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("sources", nargs="*", type=Path, help="files to check instead of csrc/cuda/*.cu")
    parser.add_argument("--arch", type=int, nargs="+", default=ARCHITECTURES, help="such as 90 for sm_90")
    parser.add_argument("--all", action="store_true", help="show every architecture of each kernel")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    options = parse_arguments(arguments)
    sources = options.sources or sorted((SOURCES / "cuda").glob("*.cu"))
    if not sources:
        print("There is nothing to check: csrc/cuda has no .cu file.", file=sys.stderr)
        return 2
    try:
        tools = find_tools()
        architectures = known_architectures(tools, options.arch)
        kernels, found = check(tools, sources, PLANS, architectures, CACHE)
    except MissingToolError as error:
        print(f"The CUDA kernels cannot be checked: {error}.", file=sys.stderr)
        return 2
    except CompileError as error:
        print(error, file=sys.stderr)
        return 1
    ending = "\n".join([*library_lines(kernels), f"{len(found)} problems", *found])
    CACHE.mkdir(parents=True, exist_ok=True)
    report = CACHE / "report.txt"
    report.write_text(f"{full_table(kernels)}\n\n{ending}\n")
    print(f"{full_table(kernels) if options.all else short_table(kernels)}\n\n{ending}")
    print(f"{report} has every architecture of each kernel.")
    return 1 if found else 0
