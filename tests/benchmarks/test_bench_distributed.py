"""The benchmark of several processes, at a size of seconds: what it counts, and the arithmetic of a cluster."""

import pytest
import torch

from benchmarks.distributed.__main__ import measured, row
from benchmarks.distributed.cluster import BATCH, ITEMS, PAIRS, USERS, Costs, needs
from cmlfast import datasets, split_per_user


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["warp", "softmax"])
def test_two_processes_are_measured(loss: str) -> None:
    likes = datasets.load("synthetic", n_users=150, n_items=200, n_pairs=4000).interactions
    train, _, test = split_per_user(likes, 0)
    parameters = {"n_components": 8, "loss": loss, "n_epochs": 2, "random_state": 0}
    alone, tables = measured(train, test, parameters, 0, False)
    together, found = measured(train, test, parameters, 2, True)
    assert alone["sent"] == alone["steps"] == 0
    assert together["recall"] == pytest.approx(alone["recall"], abs=1e-3)
    assert all(torch.allclose(*both, atol=2e-5) for both in zip(tables, found, strict=True))
    assert 0 < together["least"] < together["sent"] < 3 * together["least"]
    assert row("made up", loss, True, 2, together, 0.0, train.nnz).startswith(f"| made up | {loss} | shared out | 2 |")


def test_needs_are_arithmetic_on_what_was_measured() -> None:
    costs = Costs(processor=1e-6, sent=500.0, pair_bytes=50.0, row_bytes=800, calls=6.0, latency=1e-4, bandwidth=1e9)
    rows, pairs, steps, processor, network, exchanges = needs(costs, 1024)
    of_rank = PAIRS / 1024
    assert float(rows) == pytest.approx((USERS + ITEMS) * 800 / 1024 / 1e9, abs=0.05)
    assert float(pairs) == pytest.approx(of_rank * 50 / 1e9, abs=0.05)
    assert float(steps.replace(",", "")) == pytest.approx(of_rank / BATCH, abs=0.5)
    assert float(processor.replace(",", "")) == pytest.approx(of_rank * 1e-6, abs=0.5)
    # Half of the items were elsewhere where it was measured; here all but a 1,024th.
    assert float(network.replace(",", "")) == pytest.approx(of_rank * 500 * 2 * 1023 / 1024 / 1e9, abs=0.5)
    assert float(exchanges.replace(",", "")) == pytest.approx(of_rank / BATCH * 6 * 1e-4 * 10, abs=0.5)
