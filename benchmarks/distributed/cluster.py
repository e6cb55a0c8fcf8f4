"""``python -m benchmarks.distributed.cluster``: what a billion users would need, from costs that are measured here.

Two processes train on made-up likes, items shared out, on two sizes; what a pair costs, of a processor's time and of
bytes sent, and what pairs and rows take of memory, comes of these runs. A cluster's network is not known here: for it
stand the bytes a second, and the time of a small exchange, that two processes of this machine reach, measured in the
same run. The printed table is arithmetic on these alone; `needs` is all of it.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from scipy import sparse

from benchmarks.distributed.worker import train
from benchmarks.kit.text import machine
from benchmarks.kit.zipf import zipf
from cmlfast import Interactions
from cmlfast.distributed.ranks import Ranks

USERS, ITEMS, PAIRS = 10**9, 10**8, 10**11
RANKS = (256, 1024, 4096)
BATCH = 2_500  # pairs of a rank in a step
SMALL, LARGE = 500_000, 2_000_000  # pairs of the two runs
PROCESSES = 2


@dataclass(frozen=True)
class Costs:
    """What was measured.

    Attributes
    ----------
    processor : float
        Seconds of a processor for a pair.
    sent : float
        Bytes that a rank sends for a pair of its own, to each half of the items that it does not have.
    pair_bytes : float
        Memory of a rank for each of its pairs, an epoch's order included.
    row_bytes : int
        Memory of a row with its accumulators.
    calls : float
        Exchanges in a step.
    latency, bandwidth : float
        Seconds of a small exchange, and bytes a second of a large one.
    """

    processor: float
    sent: float
    pair_bytes: float
    row_bytes: int
    calls: float
    latency: float
    bandwidth: float


def main() -> None:
    """Measure, and print both tables."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks.distributed.cluster", description=(__doc__ or "").partition("\n\n")[2]
    )
    parser.add_argument("--components", type=int, default=100)
    options = parser.parse_args()
    latency, bandwidth = transport()
    print(f"{machine()}, one thread a process\n\n| loss | us a pair | KB sent a pair | bytes a pair | bytes a row | "
          "exchanges a step | us an exchange | GB/s |\n|---|---:|---:|---:|---:|---:|---:|---:|")  # fmt: skip
    found = {}
    for loss in ("warp", "softmax"):
        costs = found[loss] = measured(loss, options.components, latency, bandwidth)
        print(
            f"| {loss} | {1e6 * costs.processor:.2f} | {costs.sent / 1e3:.2f} | {costs.pair_bytes:.0f} | "
            f"{costs.row_bytes} | {costs.calls:.1f} | {1e6 * latency:.0f} | {bandwidth / 1e9:.2f} |",
            flush=True,
        )
    print("\n| loss | ranks | rows, GB a rank | pairs, GB a rank | steps an epoch | processor, s | network, s | "
          "exchanges, s |\n|---|---:|---:|---:|---:|---:|---:|---:|")  # fmt: skip
    for loss, costs in found.items():
        for ranks in RANKS:
            print(f"| {loss} | {ranks} | " + " | ".join(needs(costs, ranks)) + " |")


def needs(costs: Costs, ranks: int) -> list[str]:
    """Return what a rank needs: memory for rows and pairs; steps, and three times of an epoch that do not overlap."""
    rows = (USERS + ITEMS) / ranks * costs.row_bytes / 1e9
    pairs = PAIRS / ranks
    steps = pairs / BATCH
    # Of the items, a rank has 1 / ranks; what was measured was sent for the half that is elsewhere.
    sent = pairs * costs.sent * ((ranks - 1) / ranks) / ((PROCESSES - 1) / PROCESSES)
    return [
        f"{rows:.1f}", f"{pairs * costs.pair_bytes / 1e9:.1f}", f"{steps:,.0f}", f"{pairs * costs.processor:,.0f}",
        f"{sent / costs.bandwidth:,.0f}", f"{steps * costs.calls * costs.latency * np.log2(ranks):,.0f}",
    ]  # fmt: skip


def measured(loss: str, r: int, latency: float, bandwidth: float) -> Costs:
    """Train on two sizes, and take what they differ by."""
    parameters = {"n_components": r, "loss": loss, "n_epochs": 1, "batch_size": PROCESSES * BATCH, "random_state": 0}
    if loss == "softmax":
        parameters["n_negatives"] = 4096
    else:
        parameters["n_negatives"] = 20
    runs = [run(n, parameters) for n in (SMALL, LARGE)]
    small, large = ({key: sum(one[key] for one in ranks) / PROCESSES for key in ranks[0]} for ranks in runs)
    more = (LARGE - SMALL) / PROCESSES  # pairs of a rank
    return Costs(
        processor=(large["processor"] - small["processor"]) / more,
        sent=(large["sent"] - small["sent"]) / more,
        pair_bytes=(large["peak"] - small["peak"]) * 2**30 / more,
        row_bytes=2 * 4 * r,
        calls=large["calls"] / large["steps"],
        latency=latency,
        bandwidth=bandwidth,
    )


def run(n_pairs: int, parameters: dict[str, Any]) -> list[dict[str, float]]:
    """Train on so many pairs of as many users and items whatever their number, an epoch."""
    rng = np.random.default_rng(0)
    users, items = zipf(rng, n_pairs, 200_000), zipf(rng, n_pairs, 200_000)
    matrix = sparse.csr_matrix((np.ones(n_pairs, np.float32), (users, items)), (200_000, 200_000))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        Interactions(matrix).save(folder / "likes")
        mp.start_processes(train, (PROCESSES, folder, parameters, True), nprocs=PROCESSES, start_method="spawn")
        return [json.loads((folder / f"counts-{rank}.json").read_text()) for rank in range(PROCESSES)]


def transport() -> tuple[float, float]:
    """Return the time of a small exchange between two processes, and bytes a second that each sends in a large one."""
    with tempfile.TemporaryDirectory() as name:
        mp.start_processes(_exchange, (Path(name),), nprocs=PROCESSES, start_method="spawn")
        small, large = json.loads((Path(name) / "times.json").read_text())
    return small, 2**26 / PROCESSES / large


def _exchange(rank: int, folder: Path) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=PROCESSES)
    ranks, times = Ranks(dist.group.WORLD), []
    for n, repeats in ((PROCESSES, 300), (2**26 // 400, 7)):
        rows = torch.zeros((n, 100), dtype=torch.float32)
        to = [n // PROCESSES] * PROCESSES
        each = []
        for _ in range(repeats):
            dist.barrier()
            began = time.perf_counter()
            ranks.exchange(rows[: sum(to)], to, to)
            each.append(time.perf_counter() - began)
        times.append(sorted(each)[repeats // 2])
    if rank == 0:
        (folder / "times.json").write_text(json.dumps(times))
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    sys.exit(main())
