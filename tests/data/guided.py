"""Readers with files that grow by what they reach: ``python -m data.guided --minutes 10`` in ``tests``, with Atheris.

It sees which lines of Python an input runs, and keeps those that run others. Inputs are whole files (text, Parquet,
safetensors), or what stands in the headers of models, prepared likes and checkpoints, with tensors and checksums that
are right, for which random changes hardly ever come by. Each kind has a process; a finding is anything but one of
`fuzz.CLEAN` with a message. Without Atheris it says so.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import fuzzing

MISSING = "Atheris is not installed (make .venv/fuzz): readers are not tried with inputs that grow by what they reach"


def targets(folder: Path) -> dict[str, tuple[list[bytes], Callable[[bytes], None]]]:
    """Return inputs to begin with, and what reads one, by kind."""
    from data import fuzz
    from safetensors.torch import save_file

    from cmlfast.data import prepared, tensor_file
    from cmlfast.training.course import Course

    whole = fuzz.originals(folder)

    def file(name: str) -> tuple[list[bytes], Callable[[bytes], None]]:
        def reads(content: bytes) -> None:
            (folder / name).write_bytes(content)
            fuzz.read(folder / name)

        return [whole[name]], reads

    def header(name: str, key: str) -> tuple[list[bytes], Callable[[bytes], None]]:
        (folder / name).write_bytes(whole[name])
        of = prepared.LIKES if key == prepared.LIKES.key else tensor_file.MODEL
        mapped, own = tensor_file.read(folder / name, of)
        tensors = {each: tensor.clone() for each, tensor in mapped.items()}  # for their file is written over

        def reads(content: bytes) -> None:
            save_file(tensors, folder / name, metadata={key: content.decode(errors="replace").replace("\0", "")})
            fuzz.read(folder / name)

        return [json.dumps(own).encode()], reads

    def course(content: bytes) -> None:
        Course.of_json(json.loads(content))

    (folder / "a.model").write_bytes(whole["kept.model"])
    kept = tensor_file.read(folder / "a.model")[1]["checkpoint"]["course"]
    return {
        "text": file("likes.csv"),
        "Parquet": file("likes.parquet"),
        "safetensors": file("a.model"),
        "a model's header": header("a.model", tensor_file.KEY),
        "prepared likes' header": header("likes.prepared", prepared.LIKES.key),
        "a checkpoint's course": ([json.dumps(kept).encode()], course),
    }


def grow(kind: str, minutes: float) -> None:
    """Try a kind until the time is up; the process ends, with status 0 if nothing was found."""
    import atheris

    import cmlfast.ops  # noqa: F401 (not instrumented: what it does with numbers would hide the rest)

    with atheris.instrument_imports(include=["cmlfast"]):
        from data import fuzz

    logging.getLogger("cmlfast").setLevel(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "begin").mkdir()
        begin, reads = targets(folder)[kind]
        for number, content in enumerate(begin):
            (folder / "begin" / str(number)).write_bytes(content)
        tried, until = [0], fuzzing.worked() + 60 * minutes

        def one(content: bytes) -> None:
            if fuzzing.worked() > until:
                print(f"{kind}: {tried[0]:,} inputs in {minutes:.1f} minutes of processor time", flush=True)
                os._exit(0)
            tried[0] += 1
            try:
                reads(content)
            except fuzz.CLEAN as error:
                if not str(error):
                    raise RuntimeError(f"{type(error).__name__} without a word") from error
            except RecursionError:
                if kind != "a checkpoint's course":  # whose reader is not where JSON is read
                    raise

        atheris.Setup([sys.argv[0], f"-artifact_prefix={folder}/", "-max_len=20000", "-rss_limit_mb=6000",
                       "-timeout=60", "-verbosity=0", str(folder / "begin")], one)  # fmt: skip
        atheris.Fuzz()


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser("python -m data.guided", description=(__doc__ or "").partition("\n\n")[2])
    parser.add_argument("--minutes", type=float, default=1, help="of processor time, in all")
    parser.add_argument("--kind", help="of inputs, for all of the time (default: each)")
    options = parser.parse_args()
    if importlib.util.find_spec("atheris") is None:
        print(MISSING)
        return 0
    if options.kind:
        grow(options.kind, options.minutes)
    with tempfile.TemporaryDirectory() as name:
        kinds = list(targets(Path(name)))
    found = 0
    for kind in kinds:
        command = [sys.executable, "-W", "ignore", "-m", "data.guided", "--kind", kind]
        done = subprocess.run(
            [*command, "--minutes", str(options.minutes / len(kinds))], capture_output=True, text=True
        )
        found += bool(done.returncode)
        print(done.stdout + (done.stderr[-5000:] if done.returncode else ""), end="", flush=True)
    print(f"{len(kinds)} kinds of inputs, {found} findings")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
