"""What the compiler says of each kernel: ptxas' report of its resources, and fused arithmetic in its PTX."""

from __future__ import annotations

import re
from dataclasses import dataclass

ENTRY = re.compile(r"Compiling entry function '([^']+)'")
FRAME = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
USED = re.compile(r"Used (\d+) registers")
SHARED = re.compile(r"(\d+) bytes smem")
PTX_FUNCTION = re.compile(r"^\s*(?:\.(?:visible|weak|extern)\s+)*\.(entry|func)\s+(?:\([^)]*\)\s*)?([$\w]+)", re.M)
PTX_FUSED = re.compile(r"\bfma\.")
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


def fused_in_ptx(text: str) -> dict[str, int]:
    """Count the fused multiply-adds that a kernel's PTX asks for, by mangled name.

    Correctly rounded division and square roots are single instructions there, so these come from the source: from
    ``fmaf``, from the mathematical functions of CUDA, or from a build without ``--fmad=false``. A kernel that calls
    functions counts those of all functions.
    """
    starts = list(PTX_FUNCTION.finditer(text))
    ends = [found.start() for found in starts[1:]] + [len(text)]
    bodies = [(found[1], found[2], text[found.end() : end]) for found, end in zip(starts, ends, strict=True)]
    in_functions = sum(len(PTX_FUSED.findall(body)) for kind, _, body in bodies if kind == "func")
    return {
        name: len(PTX_FUSED.findall(body)) + (in_functions if PTX_CALL.search(body) else 0)
        for kind, name, body in bodies
        if kind == "entry"
    }
