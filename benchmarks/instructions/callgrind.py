"""Counts the extension's own instructions with valgrind's callgrind."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

OBJECT = re.compile(r"c?ob=\((\d+)\)(?: (.*))?")


def own_instructions(profile: Iterable[str], library: str) -> int:
    """Sum what callgrind's output file counts in functions of one shared object, without what they call elsewhere.

    A name is written once, with a number that stands for it from then on; a line of costs belongs to the last ``ob=``,
    unless it follows ``calls=``: then it holds the callee's cost.
    """
    names: dict[str, str] = {}
    total, inside, of_callee = 0, False, False
    for line in profile:
        if found := OBJECT.match(line):
            number, name = found.groups()
            if name:
                names[number] = name.strip()
            if line.startswith("ob="):
                inside = names[number] == library
        elif line.startswith("calls="):
            of_callee = True
        elif re.match(r"[\d+*-]", line):
            if inside and not of_callee:
                total += int(line.split()[1])  # position, instructions
            of_callee = False
    return total


def count(isa: str, library: Path) -> int:
    """Run the step with one thread on the kernels of one instruction set, and return the instructions of a library."""
    with tempfile.TemporaryDirectory() as folder:
        profile = Path(folder) / "callgrind.out"
        options = ["--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={profile}"]
        done = subprocess.run(
            ["valgrind", *options, sys.executable, "-m", "benchmarks.instructions.step"],
            env={**os.environ, "CMLFAST_ISA": isa, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise RuntimeError(f"the step does not run under valgrind with CMLFAST_ISA={isa}: {done.stderr[-2000:]}")
        with profile.open() as lines:
            total = own_instructions(lines, str(library))
    if not total:
        raise RuntimeError(f"callgrind counted nothing in {library}")
    return total


def compiler_of(library: Path) -> str:
    """Return the compiler's name and version that it has left in a shared object, or "unknown".

    Linked objects bring their own compilers along, as the CUDA runtime does: clang's name comes before GCC's, whose
    start files clang links, and a compiler's own before those of libraries.
    """
    code = library.read_bytes()
    found = re.search(rb"\w* ?clang version [^\0]+", code) or re.search(rb"GCC: \([^\0]+", code)
    return found.group().decode() if found else "unknown"
