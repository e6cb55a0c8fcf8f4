"""The CPU's kernels under AddressSanitizer and UBSan: ``python -m sanitized_cpu`` in the folder ``tests``.

Copies the tree to ``build/sanitized``, compiles the extension there with both, and runs the operators' tests on every
instruction set, then random cases of them (`ops.fuzz`). A first error ends the process.
"""

from __future__ import annotations

import argparse
import os
import re
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


def build(tree: Path = TREE, flags: str = FLAGS, source: Path | None = None) -> None:
    """Make the copy and its extension, of another source besides if one is given."""
    for name in ("cmlfast", "cmlfast_cli", "csrc", "tests"):
        shutil.copytree(
            ROOT / name, tree / name, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.so", "__pycache__")
        )
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree / name)
    # With symbols, so that a report names lines.
    (tree / "setup.py").write_text((ROOT / "setup.py").read_text().replace('["-Wl,-s"]', "[]"))
    if source is not None:
        shutil.copy(source, tree / "csrc" / "cpu" / source.name)
    how = {**os.environ, "CFLAGS": flags, "LDFLAGS": flags, "CMLFAST_CUDA": "0"}
    command = [sys.executable, "setup.py", "build_ext", "--inplace"]
    subprocess.run(command, cwd=tree, env=how, check=True, stdout=subprocess.DEVNULL)


def path_in(tree: Path) -> str:
    """Return where Python looks first: in a copy, before the tree that is installed."""
    return os.pathsep.join((str(tree), str(tree / "tests")))


def check_copy(tree: Path, environment: dict[str, str]) -> None:
    """Raise ``RuntimeError`` unless it is the copy's extension that Python takes, and it is instrumented."""
    script = "from cmlfast import _C; print(_C.__file__)"
    found = subprocess.run([sys.executable, "-c", script], cwd=tree / "tests", env=environment, capture_output=True)
    taken = Path(found.stdout.decode().strip())
    if tree not in taken.parents or not re.search(rb"__[at]san_", taken.read_bytes()):
        raise RuntimeError(f"what runs is {taken}, not what was instrumented in {tree}: {found.stderr.decode()[-500:]}")


def run(name: str, *arguments: str, folder: Path) -> int:
    """Run Python with the sanitizers in the copy; say how it went."""
    began = time.monotonic()
    environment = {**sanitized.environment(), "PYTHONPATH": path_in(TREE)}
    check_copy(TREE, environment)
    done = subprocess.run([sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        print(done.stdout[-10_000:], done.stderr[-10_000:], sep="\n")
    last = done.stdout.strip().splitlines()[-10 if "ops.fuzz" in arguments else -1 :] or ["no output"]
    print(f"{name}: {'; '.join(last)}, {time.monotonic() - began:.0f} s", flush=True)
    return done.returncode


def main() -> int:
    """Run the command; return how many parts failed."""
    parser = argparse.ArgumentParser("python -m sanitized_cpu", description=(__doc__ or "").partition("\n\n")[2])
    parser.add_argument(
        "--minutes", type=float, default=1, help="of processor time, of random cases (default: %(default)s)"
    )
    options = parser.parse_args()
    build()
    pytest = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "auto", "--dist", "loadfile"]
    failed = run("tests", *pytest, "-k", SELECTED, "tests/ops", folder=TREE)
    cases = ["-m", "ops.fuzz", "--minutes", str(options.minutes)]
    return bool(failed) + bool(run("random cases", *cases, folder=TREE / "tests"))


if __name__ == "__main__":
    sys.exit(main())
