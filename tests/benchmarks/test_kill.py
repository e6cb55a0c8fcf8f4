"""The kills of `benchmarks.kill`, a few of each kind, and that it sees what it should."""

import os

import numpy as np
import pytest

from benchmarks import kill
from cmlfast.training.checkpoint import Checkpoints

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> kill.Data:
    monkeypatch.setattr(kill, "KINDS", {"warp": {"loss": "warp", "n_epochs": 30}, "softmax, tags": {"n_epochs": 4}})
    return kill.Data.draw(300, 400)


@pytest.mark.parametrize("kind", ["warp", "softmax, tags"])
@pytest.mark.parametrize("every", kill.EVERY.values(), ids=kill.EVERY)
def test_no_training_is_lost_or_differs(kind: str, every: int | str, small: kill.Data) -> None:
    tally = kill.torment(kind, every, 6, small, np.random.default_rng(1))
    assert tally.kills >= 6
    assert (tally.lost, tally.differing) == (0, 0)


def test_another_result_is_seen(small: kill.Data, monkeypatch: pytest.MonkeyPatch) -> None:
    """A training that begins its best tables anew, or a random stream, would differ."""
    restore = Checkpoints.restore

    def forgets(self: Checkpoints, tables: kill.Any, n_batches: int) -> kill.Any:
        found = restore(self, tables, n_batches)
        if found:
            tables.user_state.zero_()
        return found

    monkeypatch.setattr(Checkpoints, "restore", forgets)
    tally = kill.torment("warp", 1, 6, small, np.random.default_rng(1))
    assert tally.differing > 0
