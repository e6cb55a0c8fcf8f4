"""Training steps of the baselines of the paper's Table 2: their losses by the package's operators, and in plain torch.

A step is all of it: the items' vectors from their features, the loss, the backward pass, AdaGrad. All but the loss is
the same torch code both ways. The two take turns, so that what else the machine does disturbs both alike; the ratio is
the median of those of a round. The time of plain torch is not in the benchmark's own but beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from time import perf_counter
from typing import Any

import pytest
import torch

from benchmarks.kit.case import N_COMPONENTS, N_NEGATIVES, N_PAIRS, SEED
from benchmarks.kit.data import load_dataset, load_split
from benchmarks.kit.measure import require_extension, run
from benchmarks.peers.baselines.features import Features
from benchmarks.peers.baselines.training import BASELINES, DEFAULTS, make_loss, make_model, make_optimizer, step_
from cmlfast import ops
from cmlfast.training.pairs import Pairs

ROUNDS = 40
STEPS_BEFORE = 20  # so that most pairs of WARP still have a loss, but not all


@pytest.fixture(scope="module")
def pairs() -> Pairs:
    _, (train, _, _) = load_split()
    return Pairs.of(train.matrix, train.matrix, torch.device("cpu"), ops)


@pytest.fixture(scope="module")
def features() -> Features:
    matrix = load_dataset().item_features
    if matrix is None:
        pytest.skip("made-up data has no features")
    return Features(matrix)


@pytest.mark.parametrize("name", BASELINES)
def test_baseline(benchmark: Any, request: pytest.FixtureRequest, pairs: Pairs, name: str) -> None:
    require_extension()
    features = request.getfixturevalue("features") if BASELINES[name].hybrid else None
    step, torch_step = (training(name, pairs, features, by_operators) for by_operators in (True, False))
    torch_seconds: list[float] = []

    def setup() -> None:
        started = perf_counter()
        torch_step()
        torch_seconds.append(perf_counter() - started)

    for _ in range(STEPS_BEFORE):
        step(), torch_step()
    run(
        benchmark,
        step,
        ROUNDS,
        setup=setup,
        n_pairs=N_PAIRS,
        data=load_dataset().name,
        n_negatives=1 if BASELINES[name].loss == "bpr" else N_NEGATIVES,
        r=N_COMPONENTS,
    )
    if benchmark.stats is not None:
        seconds = benchmark.stats.stats.data
        ratios = [theirs / ours for ours, theirs in zip(seconds, torch_seconds[-len(seconds) :], strict=True)]
        benchmark.extra_info["torch_pairs_per_second"] = N_PAIRS / median(torch_seconds[-len(seconds) :])
        benchmark.extra_info["times_baseline"] = median(ratios)


def training(name: str, pairs: Pairs, features: Features | None, by_operators: bool) -> Callable[[], Any]:
    """Return a function that takes one step of a training after another; both ways see the same pairs."""
    torch.manual_seed(SEED)
    model = make_model(name, len(pairs.indptr) - 1, pairs.n_items, N_COMPONENTS, features)
    loss = make_loss(BASELINES[name].loss, by_operators, pairs, N_NEGATIVES, float(DEFAULTS["margin"]), SEED)
    optimizer = make_optimizer(model, float(DEFAULTS["learning_rate"]), float(DEFAULTS["weight_decay"]))
    n_batches = -(-len(pairs) // N_PAIRS)
    batches = iter(
        [
            (*(ids.tensor_split(n_batches)[0] for ids in pairs.visited(SEED, step, None, n_batches)[:2]), step)
            for step in range(STEPS_BEFORE + 2 * ROUNDS)
        ]
    )
    return lambda: step_(model, loss, optimizer, *next(batches))
