"""Whole trainings of cmlfast and of other libraries, side by side on the same data: seconds, pairs/s and recall.

Every library ranks by the same function. Settings and how they were chosen: `benchmarks.peers`.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import pytest
import torch
from scipy import sparse

from benchmarks.case import load_dataset
from benchmarks.measure import run
from benchmarks.paired import recalls_of_users
from benchmarks.peers import BUFFALO, PEERS, Factors
from cmlfast import split_per_user
from cmlfast.interactions import Interactions

ROUNDS = 3
KS = (50, 100)

Split = tuple[Interactions, Interactions, Interactions]  # training, validation, test


def load_split() -> tuple[str, Split]:
    """Return the name and split 0 of citeulike-t or, where it cannot be had, of made-up data of its size."""
    data = load_dataset()
    return data.name, split_per_user(data.interactions, 0)


def recall_of(factors: Factors, held_out: sparse.csr_matrix, seen: sparse.csr_matrix) -> dict[str, float]:
    """Return the mean Recall@K of the users with held-out items, ranking all items that they have not seen."""
    return {f"recall_at_{k}": float(each.mean()) for k, each in recalls_of_users(factors, held_out, seen, KS).items()}


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
    benchmark.extra_info.update(recall_of(fitted[-1], test.matrix, seen))
    if benchmark.stats is not None:
        benchmark.extra_info["training_seconds"] = benchmark.stats.stats.median


@pytest.mark.benchmark(group="peers")
@pytest.mark.skip(reason=BUFFALO)
def test_training_of_buffalo() -> None:
    """Stands for what cannot be compared."""
