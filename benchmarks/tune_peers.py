"""Choose the peers' settings by validation data, over the grids that `benchmarks.peers` states.

``python -m benchmarks.tune_peers implicit_bpr lightfm_warp`` prints every point's Recall@50 and the best point.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Sequence

import torch

from benchmarks.bench_peers import load_split, recall_of
from benchmarks.peers import PEERS


def main(names: Sequence[str]) -> None:
    """Run the command."""
    _, (train, validation, _) = load_split()
    for name in names:
        peer, best = PEERS[name], (0.0, {})
        for point in itertools.product(*peer.grid.values()):
            setting = dict(zip(peer.grid, point, strict=True))
            factors = peer.fit(train.matrix, setting, torch.get_num_threads())
            recall = recall_of(factors, validation.matrix, train.matrix)["recall_at_50"]
            print(f"{name} {recall:.4f} {setting}", flush=True)
            best = max(best, (recall, setting), key=lambda result: result[0])
        print(f"{name}, best: {best[0]:.4f} {best[1]}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
