"""What the comparison with other libraries computes itself: recall, biases as a dimension, peaks of memory."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import sparse

from benchmarks.peers import tune
from benchmarks.peers.libraries import PEERS, Factors, with_item_biases
from benchmarks.peers.recall import mean_recalls

USERS = np.array([[1, 0], [0, 1], [1, 1]], np.float32)
ITEMS = np.zeros((150, 2), np.float32)
ITEMS[:, 0] = np.arange(150)  # user 0 ranks 149, 148, ... first
ITEMS[:, 1] = -np.arange(150)  # user 1 ranks 0, 1, ... first


def matrix(*pairs: tuple[int, int]) -> sparse.csr_matrix:
    rows, columns = zip(*pairs, strict=True)
    return sparse.csr_matrix((np.ones(len(pairs), np.float32), (rows, columns)), shape=(3, 150))


def test_recall_is_the_one_counted_by_hand() -> None:
    seen = matrix((0, 149), (0, 148))
    # User 0 sees ranks 0 .. 49 in items 147 .. 98, ranks 50 .. 99 in 97 .. 48; user 1 in 0 .. 49 and 50 .. 99.
    held_out = matrix((0, 98), (0, 97), (0, 47), (0, 0), (1, 49), (1, 50))
    recall = mean_recalls(Factors(USERS, ITEMS, "dot"), held_out, seen)
    assert recall == {
        "recall@50": pytest.approx((1 / 4 + 1 / 2) / 2),
        "recall@100": pytest.approx((2 / 4 + 2 / 2) / 2),
    }


def test_distances_rank_otherwise_than_products() -> None:
    held_out = matrix((0, 0), (0, 149))
    recall = mean_recalls(Factors(USERS, ITEMS, "sqeuclidean"), held_out, sparse.csr_matrix((3, 150)))
    assert recall == {"recall@50": 0.5, "recall@100": 0.5}  # 0 is nearest, 149 farthest


def test_item_biases_are_added_to_products() -> None:
    draws = np.random.default_rng(0)
    users, items, biases = (draws.normal(size=size).astype(np.float32) for size in ((3, 4), (5, 4), (5,)))
    factors = with_item_biases(users, items, biases)
    np.testing.assert_allclose(factors.users @ factors.items.T, users @ items.T + biases, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_a_process_tells_its_peaks(tmp_path: Path) -> None:
    sparse.save_npz(tmp_path / "train.npz", sparse.random(60, 80, 0.1, "csr", np.float32, random_state=0))
    ballast = np.ones(2**26)  # 512 MB of this process, which must not be counted
    command = [sys.executable, "-m", "benchmarks.peers.memory", "cmlfast_fast", str(tmp_path / "train.npz")]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    peaks = json.loads(done.stdout)
    assert 0 < peaks["floor_rss_mb"] <= peaks["peak_rss_mb"] < peaks["floor_rss_mb"] + 100
    assert peaks["floor_rss_mb"] < 8 * len(ballast) / 2**20


def test_the_best_setting_is_chosen_and_those_far_behind_are_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    held_out = SimpleNamespace(matrix=matrix((0, 149), (1, 0)))
    split = (SimpleNamespace(matrix=sparse.csr_matrix((3, 150))), held_out, held_out)
    tried: list[tuple[int, int]] = []

    def fit(train: sparse.csr_matrix, setting: dict, threads: int) -> Factors:
        tried.append((setting["sign"], setting["random_state"]))
        return Factors(setting["sign"] * USERS, ITEMS, "dot")

    monkeypatch.setitem(PEERS, "peer", replace(PEERS["implicit_als"], fit=fit, grid={"sign": (-1, 1)}))
    assert tune.choose("peer", [split, split]) == ({"sign": 1}, 1.0)
    assert tried == [(1, 0), (1, 1), (-1, 0)]
