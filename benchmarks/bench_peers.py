"""Whole trainings of cmlfast and of other libraries, side by side on the same data: seconds, pairs/s and recall.

Every library ranks by the same function. Settings and how they were chosen: `benchmarks.peers.libraries`.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import pytest
import torch
from scipy import sparse

from benchmarks.kit.data import Split, load_split
from benchmarks.kit.measure import run
from benchmarks.peers.libraries import BUFFALO, PEERS, Factors
from benchmarks.peers.recall import mean_recalls

ROUNDS = 3


@pytest.fixture(scope="module")
def data() -> tuple[str, Split]:
    return load_split()


@pytest.mark.benchmark(group="peers")
@pytest.mark.parametrize("name", PEERS)
def test_training(benchmark: Any, data: tuple[str, Split], name: str) -> None:
    peer = PEERS[name]
    pytest.importorskip(peer.module, reason=f"{peer.library} is not installed: pip install {peer.library}")
    data_name, (train, validation, test) = data
    threads = torch.get_num_threads()
    fitted: list[Factors] = []
    run(
        benchmark,
        lambda: fitted.append(peer.fit(train.matrix, peer.setting, threads)),
        ROUNDS,
        n_pairs=train.nnz * peer.setting["epochs"],
        data=data_name,
        library=peer.library,
        version=version(peer.library),
        method=peer.method,
        negatives=peer.negatives,
        setting=str(dict(peer.setting)),
    )
    seen = sparse.csr_matrix(train.matrix + validation.matrix)
    benchmark.extra_info.update(mean_recalls(fitted[-1], test.matrix, seen))
    if benchmark.stats is not None:
        benchmark.extra_info["training_seconds"] = benchmark.stats.stats.median


@pytest.mark.benchmark(group="peers")
@pytest.mark.skip(reason=BUFFALO)
def test_training_of_buffalo() -> None:
    """Stands for what cannot be compared."""
