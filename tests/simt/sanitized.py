"""Run Python with AddressSanitizer, which the module of the variant ``asan`` needs to load.

``run(["-m", "pytest", "tests/..."])`` runs a child whose process ends, with a report on stderr, at the first error.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

TESTS = Path(__file__).parents[1]


def library(name: str) -> str:
    """Return the path of one of the compiler's libraries."""
    found = subprocess.run(["g++", f"-print-file-name={name}"], capture_output=True, text=True, check=True)
    return str(Path(found.stdout.strip()).resolve())


def environment() -> dict[str, str]:
    """Return the child's environment."""
    return {
        **os.environ,
        # The sanitizer comes before all else; libstdc++ beside it, for it looks up __cxa_throw when it starts.
        "LD_PRELOAD": f"{library('libasan.so')} {library('libstdc++.so')}",
        # Python keeps memory to its end; each report ends the process with an exit code of its own.
        "ASAN_OPTIONS": "detect_leaks=0:halt_on_error=1:exitcode=99",
        "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
        "PYTHONPATH": os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep),
    }


def run(arguments: Sequence[str], timeout: float = 600) -> subprocess.CompletedProcess[str]:
    """Run Python with these arguments, in the repository's folder."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=TESTS.parent,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=timeout,
    )
