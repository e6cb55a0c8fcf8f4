"""The CPU's kernels under ThreadSanitizer: ``python -m tsan_cpu`` in the folder ``tests``.

Copies the tree to ``build/tsan``, compiles the extension there with it and with `tsan_parallel_for.cpp`, and runs
random cases of the operators (`ops.fuzz`). Before that it lets threads' shares overlap, which must be seen. Exit status
1 if that is not seen, or if anything is without it.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
import sys
import time

import sanitized_cpu
from simt import sanitized

TREE = sanitized_cpu.ROOT / "build" / "tsan"
FLAGS = "-fsanitize=thread -fno-omit-frame-pointer -g1"
RACE = "WARNING: ThreadSanitizer: data race"


def run(minutes: float, **more: str) -> subprocess.CompletedProcess[str]:
    """Run random cases; the process ends at the first race."""
    environment = {
        **os.environ,
        "LD_PRELOAD": f"{sanitized.library('libtsan.so')} {sanitized.library('libstdc++.so')}",
        "TSAN_OPTIONS": "halt_on_error=1:exitcode=66:report_signal_unsafe=0",
        "PYTHONPATH": sanitized_cpu.path_in(TREE),
        # torch's own threads tell ThreadSanitizer nothing, and are not what is looked at.
        "OMP_NUM_THREADS": "1",
        **more,
    }
    # Before GCC 13 it finds no room for its shadow where addresses are drawn from too many bits.
    fixed = ["setarch", platform.machine(), "-R"] if shutil.which("setarch") else []
    sanitized_cpu.check_copy(TREE, environment)
    command = [*fixed, sys.executable, "-m", "ops.fuzz", "--minutes", str(minutes)]
    return subprocess.run(command, cwd=TREE / "tests", env=environment, capture_output=True, text=True)


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser("python -m tsan_cpu", description=(__doc__ or "").partition("\n\n")[2])
    parser.add_argument(
        "--minutes", type=float, default=1, help="of processor time, of random cases (default: %(default)s)"
    )
    options = parser.parse_args()
    sanitized_cpu.build(TREE, FLAGS, sanitized_cpu.ROOT / "tests" / "tsan_parallel_for.cpp")
    planted = run(1, CMLFAST_TSAN_OVERLAP="1")
    seen = planted.returncode == 66 and RACE in planted.stderr
    print("shares that overlap are seen" if seen else f"a planted race was not seen:\n{planted.stderr[-5000:]}")
    began = time.monotonic()
    done = run(options.minutes)
    if done.returncode:
        print(done.stdout[-5_000:], done.stderr[-10_000:], sep="\n")
    print("\n".join(done.stdout.strip().splitlines()[-9:]), f"{time.monotonic() - began:.0f} s", sep="\n")
    return 0 if seen and done.returncode == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
