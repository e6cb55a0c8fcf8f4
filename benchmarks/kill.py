"""``python -m benchmarks.kill``: kills trainings at random moments until each has ended, and compares the bits.

Each training runs in a process of its own, which is sent SIGKILL after a random time, and is begun again with the same
call until it ends by itself. With and without features, under both losses, with checkpoints after each epoch and within
epochs. "Lost" are trainings that did not end or went on from nothing though there was a checkpoint, "differing" those
whose tables are not those of a training that nobody disturbed. Exit status 1 if there is any.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import sparse

from benchmarks.kit.text import machine, markdown
from cmlfast import CML

KINDS: dict[str, dict[str, Any]] = {
    "warp": {"loss": "warp", "n_epochs": 60},
    "softmax": {"loss": "softmax", "n_epochs": 12},
    "warp, tags": {"loss": "warp", "n_epochs": 8},
    "softmax, tags": {"loss": "softmax", "n_epochs": 8},
}
EVERY: dict[str, int | str] = {"epoch": 1, "60 ms": "0.001 minutes"}


@dataclass(frozen=True)
class Data:
    """Likes, held-out ones and tags, made up."""

    likes: sparse.csr_matrix
    held_out: sparse.csr_matrix
    tags: sparse.csr_matrix

    @staticmethod
    def draw(n_users: int = 1500, n_items: int = 2500) -> Data:
        """Draw some ten likes a user."""
        rng = np.random.default_rng(0)
        likes, later = (sparse.random(n_users, n_items, share, format="csr", rng=rng) for share in (0.004, 0.001))
        held_out = (later - later.multiply(likes > 0)).tocsr()
        held_out.eliminate_zeros()
        return Data(likes, held_out, sparse.random(n_items, 200, 0.02, format="csr", rng=rng))


def train(kind: str, data: Data, folder: Path | None, every: int | str) -> str:
    """Train, or go on; return a digest of all that was learned."""
    tags = data.tags if "tags" in kind else None
    model = CML(32, batch_size=500, random_state=0, **KINDS[kind])
    how: dict[str, Any] = {} if folder is None else {"checkpoint_dir": folder, "checkpoint_every": every}
    model.fit(data.likes, tags, validation=data.held_out, show_progress=False, **how)
    digest = hashlib.sha256()
    for array in (model.user_embedding_, model.item_embedding_):
        digest.update(array.numpy().tobytes())
    return digest.hexdigest()


def in_process(kind: str, data: Data, folder: Path | None, every: int | str, seconds: float | None) -> str | None:
    """Train in a forked process, which is killed after some seconds; return its digest, None if it was killed.

    Raises
    ------
    RuntimeError
        If the training failed by itself.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        try:
            os.write(writing, train(kind, data, folder, every).encode())
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    os.close(writing)
    if seconds is not None:
        until = time.monotonic() + seconds
        while time.monotonic() < until and os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            time.sleep(0.001)
        os.kill(child, signal.SIGKILL)
    with os.fdopen(reading) as pipe:
        found = pipe.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status == -signal.SIGKILL and not found:
        return None
    if status not in (0, -signal.SIGKILL):
        raise RuntimeError(f"{kind} failed")
    return found


def newest(folder: Path) -> str:
    """Return the name of the last checkpoint, "" without one."""
    return max((path.name for path in folder.glob("checkpoint-*")), default="")


@dataclass
class Tally:
    """What became of the trainings of one kind."""

    kills: int = 0
    trainings: int = 0
    lost: int = 0
    differing: int = 0


def torment(kind: str, every: int | str, kills: int, data: Data, rng: np.random.Generator) -> Tally:
    """Kill trainings of a kind so many times at least, and see each to its end."""
    began = time.monotonic()
    expected = in_process(kind, data, None, every, None)
    undisturbed, tally = time.monotonic() - began, Tally()
    while tally.kills < kills:
        tally.trainings += 1
        with tempfile.TemporaryDirectory() as name:
            folder, last, found = Path(name), "", None
            # From a moment before the first step to most of what a whole training takes; then it is left alone.
            for seconds in (*rng.uniform(0.02, 0.7 * undisturbed, size=6), None):
                found = in_process(kind, data, folder, every, seconds)
                if found is not None:
                    break
                tally.kills += 1
                tally.lost += newest(folder) < last  # an older one in place of a newer
                last = newest(folder)
            tally.lost += found is None
            tally.differing += found is not None and found != expected
    return tally


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser("python -m benchmarks.kill", description=(__doc__ or "").partition("\n\n")[2])
    parser.add_argument("--kills", type=int, default=200, help="in all (default: %(default)s)")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)  # as forked processes have
    data, rng, rows, bad = Data.draw(), np.random.default_rng(0), [], 0
    each = -(-options.kills // (len(KINDS) * len(EVERY)))
    print(machine())
    for kind in KINDS:
        for name, every in EVERY.items():
            tally = torment(kind, every, each, data, rng)
            rows.append([f"{kind}, each {name}", *map(str, vars(tally).values())])
            bad += tally.lost + tally.differing
            print(f"{rows[-1]}", file=sys.stderr, flush=True)
    print(markdown(["checkpoints", "kills", "trainings", "lost", "differing"], rows))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
