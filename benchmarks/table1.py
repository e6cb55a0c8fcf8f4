"""``python -m benchmarks.table1``: the data sets of the paper's Table 1 at full size, made up, and an epoch on each.

Prints each row's statistics beside those of its twin (`benchmarks.kit.twins`), then trains one epoch of either loss
with default parameters, in a process of its own: the epoch's time, pairs a second, what loading and fitting took
together and of all threads, and the process's peak memory.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.kit.process import python
from benchmarks.kit.text import log, machine, markdown
from benchmarks.kit.twins import TABLE1

MAKE = """
import json, sys, time
from benchmarks.kit.process import peak
from benchmarks.kit.twins import TABLE1, concentration, twin
from cmlfast import Interactions
began = time.perf_counter()
matrix = twin(TABLE1[sys.argv[1]])
seconds = time.perf_counter() - began
Interactions(matrix).save(sys.argv[2])
counts = {"users": (matrix.getnnz(1) > 0).sum(), "items": (matrix.getnnz(0) > 0).sum(), "ratings": matrix.nnz}
found = {name: int(count) for name, count in counts.items()}
print(json.dumps(found | {"concentration": concentration(matrix), "seconds": seconds, "peak": peak()}))
"""
TRAIN = """
import json, sys, time
from benchmarks.kit.process import peak
from cmlfast import CML, Interactions
began = time.perf_counter()
likes = Interactions.load(sys.argv[1])
model = CML(loss=sys.argv[2], n_epochs=1, random_state=0).fit(likes, show_progress=False)
[epoch] = model.history_
whole = {"whole": time.perf_counter() - began, "cpu": time.process_time(), "peak": peak()}
print(json.dumps({"pairs": epoch["pairs"], "epoch": epoch["seconds"]} | whole))
"""
LOSSES = ("softmax", "warp")


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables."""
    parser = argparse.ArgumentParser("python -m benchmarks.table1", description=(__doc__ or "").partition("\n\n")[2])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of rows: {', '.join(TABLE1)} (default: all)")
    options = parser.parse_args(arguments)
    if unknown := set(options.names) - set(TABLE1):
        parser.error(f"{', '.join(sorted(unknown))}: no row of Table 1; choose from {', '.join(TABLE1)}")
    statistics, epochs = [], []
    with tempfile.TemporaryDirectory() as folder:
        for name in options.names or TABLE1:
            shape, path = TABLE1[name], str(Path(folder) / f"{name}.prepared")
            made = python(MAKE, name, path)
            log(f"{name}: {made}")
            paper = {"users": shape.n_users, "items": shape.n_items, "ratings": shape.n_likes}
            statistics.append(
                [
                    name,
                    *(f"{count:,} / {made[key]:,}" for key, count in paper.items()),
                    f"{shape.concentration:.2%} / {made['concentration']:.2%}",
                    f"{made['seconds']:.0f}",
                    f"{made['peak'] / 2**30:.2f}",
                ]
            )
            for loss in LOSSES:
                trained = python(TRAIN, path, loss)
                log(f"{name}, {loss}: {trained}")
                epochs.append(
                    [
                        name,
                        loss,
                        f"{trained['epoch']:.1f}",
                        f"{trained['pairs'] / trained['epoch']:,.0f}",
                        f"{trained['whole']:.1f}",
                        f"{trained['cpu']:.1f}",
                        f"{trained['peak'] / 2**30:.2f}",
                    ]
                )
    header = ["paper / twin", "users", "items", "ratings", "top 5% of items", "made in, s", "peak, GiB"]
    print(markdown(header, statistics), end="\n\n")
    print(
        markdown(
            ["", "loss", "epoch, s", "pairs/s", "load and fit, s", "of all threads, s", "peak, GiB"], epochs, left=2
        )
    )
    print(f"\n{machine()}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
