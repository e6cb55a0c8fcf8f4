"""Run the operators' tests on the emulated CUDA kernels under the sanitizers and the race detector.

``python -m simt.check`` in the folder ``tests``. The tests are those that ``make test`` runs in the variant ``plain``,
under one schedule: a race is found in whatever order things happen to run.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable

from simt import build, sanitized

KINDS = "emulated-forward or emulated-cml or emulated-warp or emulated-topk or emulated-softmax"
SELECTED = f"({KINDS}) and not opcheck"
OPS = sanitized.TESTS / "ops"
TESTS = [str(path) for name in ("test_ops_*.py", "test_storage*.py") for path in sorted(OPS.glob(name))]
SPREAD = ["-n", "auto", "--dist", "loadfile"]  # over all cores
ARGUMENTS = ["-m", "pytest", "-q", "-p", "no:cacheprovider", *SPREAD, "-k", SELECTED, *TESTS]


def in_race() -> subprocess.CompletedProcess[str]:
    """Run the tests with the race detector."""
    return subprocess.run([sys.executable, *ARGUMENTS], cwd=sanitized.TESTS.parent, capture_output=True, text=True)


def in_asan() -> subprocess.CompletedProcess[str]:
    """Run the tests with AddressSanitizer and UBSan."""
    return sanitized.run(ARGUMENTS, timeout=1800)


def main() -> int:
    """Run both; return how many failed."""
    if build.why_not():
        print(f"not run: {build.why_not()}")
        return 2
    variants: dict[str, Callable[[], subprocess.CompletedProcess[str]]] = {"race": in_race, "asan": in_asan}
    failed = 0
    for variant, run in variants.items():
        started = time.monotonic()
        build.build(variant, build.KERNELS)
        built = time.monotonic()
        os.environ["CMLFAST_SIMT_VARIANT"] = variant
        done = run()
        seconds = f"built in {built - started:.0f} s, ran in {time.monotonic() - built:.0f} s"
        if done.returncode != 0:
            failed += 1
            print(done.stdout[-20000:], done.stderr[-20000:], sep="\n")
        print(f"{variant}: {done.stdout.strip().splitlines()[-1:] or ['no output']}, {seconds}", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())
