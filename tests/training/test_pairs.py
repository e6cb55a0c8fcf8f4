"""What an epoch visits: batches that are dealt, orders that a thread makes ahead."""

import threading
from typing import Any

import numpy as np
import pytest
import torch
from scipy import sparse

from cmlfast.training.pairs import Pairs


def test_batches_are_dealt_and_orders_made_ahead_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a thread, as beside a GPU: what an epoch visits does not depend on it, nor on which epoch was asked before."""
    train = sparse.random(30, 40, 0.3, format="csr", rng=np.random.default_rng(0))
    pairs = Pairs.of(train, train, torch.device("cpu"))
    for balance in (None, 4.0):
        orders = [pairs.order(3, epoch, balance) for epoch in range(4)]
        for n_batches in (1, 7, len(pairs)):
            for epoch, order in enumerate(orders):
                dealt = pairs.batches(3, epoch, balance, n_batches)
                assert len(dealt) == n_batches
                for number, (users, items) in enumerate(dealt):
                    assert torch.equal(users, pairs.users[order[number::n_batches]])
                    assert torch.equal(items, pairs.items[order[number::n_batches]])
        with monkeypatch.context() as patch:
            patch.setattr("cmlfast.training.pairs._has_time", lambda device: True)
            threads: set[str] = set()
            draw = Pairs._order

            def seen(self: Pairs, *given: Any, draw: Any = draw, threads: set[str] = threads) -> Any:
                threads.add(threading.current_thread().name)
                return draw(self, *given)

            patch.setattr(Pairs, "_order", seen)
            for epoch in (0, 1, 2, 3, 1, 0, 2):
                assert torch.equal(pairs.order(3, epoch, balance), orders[epoch])
            assert any(name.startswith("cmlfast-order") for name in threads)
