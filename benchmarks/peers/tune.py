"""Choose peers' settings by validation data, over the grids of `benchmarks.peers.libraries`.

``python -m benchmarks.peers.tune implicit_bpr lightfm_warp`` prints every point's Recall@50 and the best point.
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Sequence

import numpy as np
import torch

from benchmarks.kit.data import Split, load_split
from benchmarks.kit.text import log
from benchmarks.peers.libraries import PEERS, Setting
from benchmarks.peers.recall import mean_recalls

FAR_BEHIND = 0.1  # the share of the best recall


def choose(name: str, splits: Sequence[Split]) -> tuple[Setting, float]:
    """Return a peer's setting with the best Recall@50 on validation data, the mean over the splits, and that recall.

    A setting that is `FAR_BEHIND` on one split is not tried on the next; splits differ by some 1% of the recall.
    """
    peer, threads = PEERS[name], torch.get_num_threads()
    best, most = peer.setting, -1.0
    # The largest first, which tend to be the best: then the others are soon seen to be behind.
    for point in list(itertools.product(*peer.grid.values()))[::-1]:
        setting = dict(zip(peer.grid, point, strict=True))
        recalls: list[float] = []
        for seed, (train, validation, _) in enumerate(splits):
            factors = peer.fit(train.matrix, {**setting, "random_state": seed}, threads)
            recalls.append(mean_recalls(factors, validation.matrix, train.matrix, (50,))["recall@50"])
            if recalls[-1] < (1 - FAR_BEHIND) * most:
                break
        recall = float(np.mean(recalls))
        if len(recalls) == len(splits) and recall > most:
            best, most = setting, recall
        log(f"{name} {recall:.4f} on {len(recalls)} splits, best {most:.4f}: {setting}")
    return best, most


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers.tune", description=__doc__)
    parser.add_argument("names", nargs="+", choices=[name for name, peer in PEERS.items() if peer.grid])
    options = parser.parse_args(arguments)
    _, split = load_split()
    for name in options.names:
        setting, recall = choose(name, [split])
        print(f"{name}, best: {recall:.4f} {setting}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
