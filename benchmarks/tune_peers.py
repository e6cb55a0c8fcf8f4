"""Choose the peers' settings by validation data, over the grids that `benchmarks.peers` states.

``python -m benchmarks.tune_peers implicit_bpr lightfm_warp`` prints every point's Recall@50, the best last.
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
        peer, results = PEERS[name], []
        for point in itertools.product(*peer.grid.values()):
            setting = dict(zip(peer.grid, point, strict=True))
            factors = peer.fit(train.matrix, setting, torch.get_num_threads())
            results.append((recall_of(factors, validation.matrix, train.matrix)["recall_at_50"], setting))
        for recall, setting in sorted(results, key=lambda result: result[0]):
            print(f"{name} {recall:.4f} {setting}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
