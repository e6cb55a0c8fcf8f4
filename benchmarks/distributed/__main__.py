"""``python -m benchmarks.distributed``: trainings by several processes beside that of one.

For each data set, loss, layout of the items and number of processes (0 is ``fit`` without a process group): recall, the
largest difference of an element of the tables, pairs a second (of a process also by the time that a processor worked
for it, start and end of the training included, for a busy machine makes all else slower), bytes that a process sends in
a step beside the least that it could (rows of users or sums of items' gradients, whichever is less, without ids, sizes
and padding), and how long it waits for others, the transport included. Each process has one thread.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
import torch.multiprocessing as mp

from benchmarks.distributed.worker import train
from benchmarks.kit.text import machine
from cmlfast import CML, Interactions, datasets, split_per_user

EPOCHS = {"warp": 10, "softmax": 3}
HEAD = (
    "| data | loss | items | processes | Recall@50 | difference | thousand pairs/s | of each | of each, by processor "
    "time | MB a step | of the least | waits, % | GiB |\n" + 4 * "|---" + 9 * "|---:" + "|"
)


def main() -> None:
    """Print the table."""
    text = (__doc__ or "").partition("\n\n")[2]
    parser = argparse.ArgumentParser("python -m benchmarks.distributed", description=text)
    parser.add_argument("--data", nargs="+", default=["citeulike-t", "gowalla"], help="of cmlfast.datasets")
    parser.add_argument("--losses", nargs="+", default=list(EPOCHS), choices=EPOCHS)
    parser.add_argument("--processes", nargs="+", type=int, default=[0, 1, 2, 4])
    parser.add_argument("--components", type=int, default=100)
    parser.add_argument("--epochs", type=int, help="of each training (default: 10 of the hinge, 3 of the softmax)")
    options = parser.parse_args()
    print(f"{machine()}, one thread a process\n\n{HEAD}", flush=True)
    for name in options.data:
        data = datasets.load(name)
        train_on, _, test = split_per_user(data.interactions, 0)
        if data.train is not None and data.test is not None:
            train_on, test = data.train, data.test
        for loss in options.losses:
            parameters = {
                "n_components": options.components, "loss": loss, "n_epochs": options.epochs or EPOCHS[loss],
                "random_state": 0,
            }  # fmt: skip
            first = None
            for size in options.processes:
                for shard_items in (False, True) if size > 1 else (False,):
                    found, tables = measured(train_on, test, parameters, size, shard_items)
                    first = first or tables
                    apart = max(float((a - b).abs().max()) for a, b in zip(first, tables, strict=True))
                    print(row(name, loss, shard_items, size, found, apart, train_on.nnz), flush=True)


def measured(
    likes: Interactions, test: Interactions, parameters: dict[str, Any], size: int, shard_items: bool
) -> tuple[dict[str, float], tuple[torch.Tensor, torch.Tensor]]:
    """Train by so many processes; return means of their figures, and the tables."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        likes.save(folder / "likes")
        mp.start_processes(
            train, (size, folder, parameters, shard_items), nprocs=max(size, 1), start_method="spawn"
        )  # fmt: skip
        counts = [json.loads((folder / f"counts-{rank}.json").read_text()) for rank in range(max(size, 1))]
        found = {key: sum(one[key] for one in counts) / len(counts) for key in counts[0]}
        found["recall"] = CML.load(folder / "model").evaluate(test, 50)["recall@50"]
        user, item = torch.load(folder / "tables.pt")
    return found, (user, item)


def row(name: str, loss: str, shard_items: bool, size: int, found: dict[str, float], apart: float, n_pairs: int) -> str:
    """Return a row of the table."""
    rate = n_pairs * found["epochs"] / found["seconds"] / 1000
    steps, least = max(found["steps"], 1), found["least"]
    cells = [
        name, loss, "shared out" if shard_items else "with each", size, f"{found['recall']:.4f}", f"{apart:.1e}",
        f"{rate:.1f}", f"{rate / max(size, 1):.1f}",
        f"{n_pairs * found['epochs'] / found['processor'] / max(size, 1) / 1000:.1f}",
        f"{found['sent'] / steps / 1e6:.3f}",
        f"{found['sent'] / least:.2f}" if least else "", f"{100 * found['waited'] / found['seconds']:.0f}",
        f"{found['peak']:.2f}",
    ]  # fmt: skip
    return "| " + " | ".join(map(str, cells)) + " |"


if __name__ == "__main__":
    sys.exit(main())
