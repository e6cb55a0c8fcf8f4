"""What the compiler says of each kernel: ptxas' report of its resources, and the arithmetic of its PTX."""

from __future__ import annotations

import re
from dataclasses import dataclass

ENTRY = re.compile(r"Compiling entry function '([^']+)'")
FRAME = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
USED = re.compile(r"Used (\d+) registers")
SHARED = re.compile(r"(\d+) bytes smem")
PTX_FUNCTION = re.compile(r"^\s*(?:\.(?:visible|weak|extern)\s+)*\.(entry|func)\s+(?:\([^)]*\)\s*)?([$\w]+)", re.M)
# A sum or product that names its rounding is not fused with another; nvcc names it under --fmad=false.
PTX_FREE = re.compile(r"\bfma\.|\b(?:add|sub|mul|mad)(?!\.r[nzmp]\b)[.\w]*\.b?f\d|\.approx\b|\.full\b")
PTX_DIVISION = re.compile(r"\b(?:div|sqrt|rcp)\.r[nzmp]\.")
PTX_CALL = re.compile(r"\bcall\b")


@dataclass
class Resources:
    """What one kernel needs; bytes, except for the registers per thread."""

    registers: int = 0
    spill_stores: int = 0
    spill_loads: int = 0
    stack: int = 0
    shared: int = 0


def parse_report(text: str) -> dict[str, Resources]:
    """Read the output of ``ptxas -v``, by mangled name of the kernel."""
    kernels: dict[str, Resources] = {}
    kernel: Resources | None = None
    for line in text.splitlines():
        if found := ENTRY.search(line):
            kernel = kernels.setdefault(found[1], Resources())
        elif kernel is None:
            continue
        elif found := FRAME.search(line):  # of the kernel, and then of functions in it that were not inlined
            kernel.stack = max(kernel.stack, int(found[1]))
            kernel.spill_stores += int(found[2])
            kernel.spill_loads += int(found[3])
        elif found := USED.search(line):
            kernel.registers = int(found[1])
            shared = SHARED.search(line)
            kernel.shared = int(shared[1]) if shared else 0
    return kernels


@dataclass(frozen=True)
class Arithmetic:
    """Floating-point operations in a kernel's PTX.

    Attributes
    ----------
    free : int
        Those whose value is not pinned: fused, left free to be fused, or approximate. They come from ``fmaf``, from
        mathematical functions of CUDA, or from a build without ``--fmad=false``.
    divisions : int
        Correctly rounded divisions, reciprocals and square roots, which take many instructions each.
    """

    free: int
    divisions: int


def arithmetic_in_ptx(text: str) -> dict[str, Arithmetic]:
    """Count by mangled name of the kernel; one that calls functions counts those of all functions too."""
    starts = list(PTX_FUNCTION.finditer(text))
    ends = [found.start() for found in starts[1:]] + [len(text)]
    bodies = [(found[1], found[2], text[found.end() : end]) for found, end in zip(starts, ends, strict=True)]
    functions = "".join(body for kind, _, body in bodies if kind == "func")
    kernels = {name: body + functions * bool(PTX_CALL.search(body)) for kind, name, body in bodies if kind == "entry"}
    return {
        name: Arithmetic(len(PTX_FREE.findall(body)), len(PTX_DIVISION.findall(body))) for name, body in kernels.items()
    }
