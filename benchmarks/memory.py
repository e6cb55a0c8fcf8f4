"""``python -m benchmarks.memory``: what memory a process holds while it does the same thing again and again.

Fits under both losses, with tags, checkpoints, saves and loads, ``partial_fit``, answers to new users, and indexes of
each kind. After a warm-up the resident memory must stay within 2%; each kind has a process of its own. Exit status 1 if
one grows by more. Free pages that the allocator keeps are given back before each look, where the system has that.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import gc
import logging
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from benchmarks.kit.text import machine, markdown
from cmlfast import CML

MOST = 0.02  # of growth
WARM = 10


def data(n_users: int = 3000, n_items: int = 5000) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
    """Return some 20 likes a user, and tags of the items, made up."""
    rng = np.random.default_rng(0)
    return (
        sparse.random(n_users, n_items, 0.004, format="csr", rng=rng),
        sparse.random(n_items, 100, 0.05, format="csr", rng=rng),
    )


def fits(loss: str, with_tags: bool = False) -> Callable[[], Any]:
    likes, tags = data()
    return lambda: CML(32, loss, n_epochs=1, random_state=0).fit(likes, tags if with_tags else None)


def checkpoints() -> Callable[[], Any]:
    likes, _ = data()

    def once() -> None:
        with tempfile.TemporaryDirectory() as folder:
            CML(32, "warp", n_epochs=3, random_state=0).fit(likes, checkpoint_dir=folder)

    return once


def saves_and_loads() -> Callable[[], Any]:
    likes, tags = data()
    model = CML(32, "warp", n_epochs=1, random_state=0).fit(likes, tags)

    def once() -> None:
        with tempfile.TemporaryDirectory() as folder:
            model.save(Path(folder) / "a.model")
            CML.load(Path(folder) / "a.model").recommend(np.arange(50), N=10)

    return once


def partial_fits() -> Callable[[], Any]:
    likes, _ = data()
    model = CML(32, "warp", n_epochs=1, random_state=0).fit(likes)
    return lambda: model.partial_fit(likes[:, ::-1])


def new_users() -> Callable[[], Any]:
    likes, _ = data()
    model = CML(32, "warp", n_epochs=1, random_state=0).fit(likes)
    return lambda: model.recommend(np.arange(20), likes[:20], N=10, recalculate_user=True)


def indexes(kind: str) -> Callable[[], Any]:
    likes, _ = data()
    model = CML(32, "warp", n_epochs=1, random_state=0).fit(likes)

    def once() -> None:
        model.build_index(kind)
        model.recommend(np.arange(50), N=10)

    return once


KINDS: dict[str, Callable[[], Callable[[], Any]]] = {
    "fit, hinge": lambda: fits("warp"),
    "fit, softmax": lambda: fits("softmax"),
    "fit, hinge, tags": lambda: fits("warp", with_tags=True),
    "fit with checkpoints": checkpoints,
    "save and load": saves_and_loads,
    "partial_fit": partial_fits,
    "new users": new_users,
    "index, annoy": lambda: indexes("annoy"),
    "index, hnsw": lambda: indexes("hnsw"),
    "index, ivf": lambda: indexes("ivf"),
}


def resident() -> int:
    """Return the bytes of memory that are this process's alone."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    fields = dict(line.split(":") for line in Path("/proc/self/smaps_rollup").read_text().splitlines()[1:])
    return 1024 * sum(int(fields[name].split()[0]) for name in ("Private_Clean", "Private_Dirty"))


def in_process(kind: str, times: int) -> tuple[int, int]:
    """Return what :func:`watch` does in a new process."""
    script = f"from {__spec__.name} import watch; print(*watch({kind!r}, {times}))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{kind} failed: {done.stderr[-3000:]}")
    before, after = done.stdout.split()[-2:]
    return int(before), int(after)


def watch(kind: str, times: int) -> tuple[int, int]:
    """Return the memory after the warm-up, and the median of the last looks after so many times more."""
    logging.getLogger("cmlfast").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    once = KINDS[kind]()
    for _ in range(WARM):
        once()
    before = resident()
    looks = []
    for _ in range(times):
        once()
        looks.append(resident())
    return before, int(np.median(looks[-5:]))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser("python -m benchmarks.memory", description=(__doc__ or "").partition("\n\n")[2])
    parser.add_argument("--times", type=int, default=50, help="after the warm-up (default: %(default)s)")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS), metavar="KIND")
    options = parser.parse_args(arguments)
    if not Path("/proc/self/smaps_rollup").exists():
        print("not measured: this system does not tell a process's memory in /proc")
        return 0
    rows, bad = [], 0
    for kind in options.kinds:
        before, after = in_process(kind, options.times)
        growth = after / before - 1
        bad += growth > MOST
        rows.append([kind, f"{before / 2**20:.1f}", f"{after / 2**20:.1f}", f"{growth:+.2%}"])
        print(rows[-1], file=sys.stderr, flush=True)
    print(machine())
    print(markdown(["again and again", "MiB after the warm-up", f"after {options.times} more", "growth"], rows))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
