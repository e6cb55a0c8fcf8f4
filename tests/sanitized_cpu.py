"""The CPU's kernels under AddressSanitizer and UBSan: ``python -m sanitized_cpu`` in the folder ``tests``.

Copies the tree to ``build/sanitized``, compiles the extension there with both, and runs the operators' tests on every
instruction set, then random cases of them (`ops.fuzz`). A first error ends the process.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from simt import sanitized

ROOT = Path(__file__).parents[1]
TREE = ROOT / "build" / "sanitized"
FLAGS = "-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -g1"
# One thread and two; opcheck and compilation would test torch.
SELECTED = "cpu and not opcheck and not compil"


def build() -> None:
    """Make the copy and its extension."""
    for name in ("cmlfast", "cmlfast_cli", "csrc", "tests"):
        shutil.copytree(
            ROOT / name, TREE / name, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.so", "__pycache__")
        )
    for name in ("setup.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, TREE / name)
    how = {**os.environ, "CFLAGS": FLAGS, "LDFLAGS": FLAGS, "CMLFAST_CUDA": "0"}
    command = [sys.executable, "setup.py", "build_ext", "--inplace"]
    subprocess.run(command, cwd=TREE, env=how, check=True, stdout=subprocess.DEVNULL)


def run(name: str, *arguments: str, folder: Path) -> int:
    """Run Python with the sanitizers in the copy; say how it went."""
    began = time.monotonic()
    environment = {**sanitized.environment(), "PYTHONPATH": str(TREE / "tests")}
    done = subprocess.run([sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        print(done.stdout[-10_000:], done.stderr[-10_000:], sep="\n")
    last = done.stdout.strip().splitlines()[-10 if "ops.fuzz" in arguments else -1 :] or ["no output"]
    print(f"{name}: {'; '.join(last)}, {time.monotonic() - began:.0f} s", flush=True)
    return done.returncode


def main() -> int:
    """Run the command; return how many parts failed."""
    parser = argparse.ArgumentParser("python -m sanitized_cpu", description=(__doc__ or "").partition("\n\n")[2])
    parser.add_argument("--minutes", type=float, default=1, help="of random cases (default: %(default)s)")
    options = parser.parse_args()
    build()
    pytest = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "auto", "--dist", "loadfile"]
    failed = run("tests", *pytest, "-k", SELECTED, "tests/ops", folder=TREE)
    cases = ["-m", "ops.fuzz", "--minutes", str(options.minutes)]
    return bool(failed) + bool(run("random cases", *cases, folder=TREE / "tests"))


if __name__ == "__main__":
    sys.exit(main())
