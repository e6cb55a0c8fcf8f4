"""Measures against their definitions, in a loop, and against implicit's and torchmetrics'."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from implicit.evaluation import ranking_metrics_at_k
from scipy import sparse
from torchmetrics import retrieval

from cmlfast.evaluation import measures
from cmlfast.evaluation.measures import hits_of_users, ranking_measures, recall_at_k, recall_per_user
from cmlfast.training.checks import MEASURES


@given(st.integers(0, 2**32), st.integers(1, 6), st.integers(1, 12))
@settings(derandomize=True, deadline=None)
def test_equals_the_definition(seed, k, n_items):
    rng = np.random.default_rng(seed)
    held_out = rng.random((8, n_items)) < 0.3
    held_out[0, 0] = True  # somebody has held-out items
    recommended = rng.integers(-1, n_items, size=(8, 6))
    expected = []
    for row in range(8):
        liked = set(np.flatnonzero(held_out[row]))
        hits = {item for item in recommended[row, :k].tolist() if item in liked}
        expected.append(len(hits) / len(liked) if liked else np.nan)
    matrix = sparse.csr_matrix(held_out.astype(float))
    np.testing.assert_array_equal(recall_per_user(recommended, matrix, k), expected)
    assert recall_at_k(recommended, matrix, k) == pytest.approx(np.nanmean(expected), rel=1e-15)


def test_by_hand():
    held_out = sparse.csr_matrix([[1, 1, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1]])
    recommended = [[2, 0, 1], [0, 1, 2], [3, -1, -1]]
    assert recall_at_k(recommended, held_out, 1) == (0 + 1 / 4) / 2
    assert recall_at_k(recommended, held_out, 2) == (1 / 2 + 1 / 4) / 2
    assert recall_at_k(recommended, held_out, 3) == (1 + 1 / 4) / 2


def test_errors():
    held_out = sparse.csr_matrix([[1, 0], [0, 1]])
    with pytest.raises(ValueError, match=r"k=3 is not in \[1, 2\]"):
        recall_at_k([[0, 1], [1, 0]], held_out, 3)
    with pytest.raises(ValueError, match="k=0"):
        recall_at_k([[0, 1], [1, 0]], held_out, 0)
    with pytest.raises(ValueError, match=r"shape \(1, 2\).*2 rows"):
        recall_at_k([[0, 1]], held_out, 1)
    with pytest.raises(ValueError, match="float64"):
        recall_at_k([[0.0, 1.0], [1.0, 0.0]], held_out, 1)
    with pytest.raises(ValueError, match="from 0 to 2, held_out has 2 items"):
        recall_at_k([[0, 1], [1, 2]], held_out, 2)
    with pytest.raises(ValueError, match="held_out holds no item"):
        recall_at_k([[0], [1]], sparse.csr_matrix((2, 2)), 1)


def ranking(seed: int, n_users: int = 40, n_items: int = 60) -> tuple[np.ndarray, sparse.csr_matrix]:
    """Draw whole rankings, and held-out items: of some users more than K, of all at least one."""
    rng = np.random.default_rng(seed)
    held = rng.random((n_users, n_items)) < rng.uniform(0.01, 0.4, (n_users, 1))
    held[np.arange(n_users), rng.integers(0, n_items, n_users)] = True
    return rng.permuted(np.tile(np.arange(n_items), (n_users, 1)), axis=1), sparse.csr_matrix(held.astype(np.float32))


@pytest.mark.parametrize("k", [1, 5, 20])
def test_torchmetrics_finds_the_same(k) -> None:
    ranked, held = ranking(k)
    found = ranking_measures(ranked, held, np.zeros(60, np.int64), [k])
    scores = np.empty(ranked.shape)
    np.put_along_axis(scores, ranked, 60 - np.arange(60.0)[None].repeat(len(ranked), 0), 1)
    users = torch.arange(len(ranked))[:, None].expand(ranked.shape)
    arguments = torch.from_numpy(scores).flatten(), torch.from_numpy(held.toarray() > 0).flatten()
    theirs = {
        "recall": retrieval.RetrievalRecall,
        "ndcg": retrieval.RetrievalNormalizedDCG,
        "precision": retrieval.RetrievalPrecision,
        "hit_rate": retrieval.RetrievalHitRate,
        "mrr": retrieval.RetrievalMRR,
    }
    for name, metric in theirs.items():
        # It computes in float32.
        expected = metric(top_k=k)(*arguments, indexes=users.flatten())
        assert found[f"{name}@{k}"] == pytest.approx(expected.item(), rel=1e-5), name


class Answers:
    """What implicit's evaluator asks of a model: given rankings."""

    def __init__(self, ranked: np.ndarray) -> None:
        self.ranked = ranked.astype(np.int32)

    def recommend(self, userid, user_items, N=10, **_):  # noqa: N803 (implicit's name)
        return self.ranked[userid, :N], np.zeros((len(userid), N))


@pytest.mark.parametrize("k", [1, 5, 20])
def test_implicit_finds_the_same(k) -> None:
    ranked, held = ranking(10 + k)
    found = ranking_measures(ranked, held, np.zeros(60, np.int64), [k])
    theirs = ranking_metrics_at_k(Answers(ranked), sparse.csr_matrix(held.shape), held, K=k, show_progress=False)
    assert found[f"ndcg@{k}"] == pytest.approx(theirs["ndcg"], rel=1e-12)
    assert found[f"map@{k}"] == pytest.approx(theirs["map"], rel=1e-12)


def test_all_measures_by_hand() -> None:
    held = sparse.csr_matrix([[1, 1, 0, 0, 0], [1, 0, 0, 0, 0], [1, 1, 1, 1, 0]])
    ranked = np.array([[4, 0, 1], [1, 2, -1], [3, 3, 0]])
    found = ranking_measures(ranked, held, np.array([5, 1, 1, 1, 2]), [1, 3])
    second = 1 / np.log2(3)
    assert found == pytest.approx(
        {
            "recall@1": (0 + 0 + 1 / 4) / 3,
            "ndcg@1": (0 + 0 + 1) / 3,
            "precision@1": 1 / 3,
            "hit_rate@1": 1 / 3,
            "mrr@1": 1 / 3,
            "map@1": 1 / 3,
            "coverage@1": 3 / 5,
            "popularity@1": (2 + 1 + 1) / 3,
            "recall@3": (1 + 0 + 2 / 4) / 3,
            "ndcg@3": ((second + 0.5) / (1 + second) + 0 + (1 + 0.5) / (1 + second + 0.5)) / 3,
            "precision@3": (2 / 3 + 0 + 2 / 3) / 3,
            "hit_rate@3": 2 / 3,
            "mrr@3": (1 / 2 + 0 + 1) / 3,
            "map@3": ((1 / 2 + 2 / 3) / 2 + 0 + (1 + 2 / 3) / 3) / 3,
            "coverage@3": 1.0,
            "popularity@3": (2 + 5 + 1 + 1 + 1 + 1 + 1 + 5) / 8,
        }
    )


def test_a_catalogue_of_fewer_items_than_k() -> None:
    ranked, held = ranking(1, n_items=7)
    few, many = (
        ranking_measures(ranked, held, np.ones(7, np.int64), [7, 30]),
        ["recall", "ndcg", "hit_rate", "mrr", "map"],
    )
    assert all(few[f"{name}@7"] == pytest.approx(few[f"{name}@30"]) for name in many)
    assert few["precision@30"] == pytest.approx(few["precision@7"] * 7 / 30)


def test_hits_are_where_they_come_first() -> None:
    held = sparse.csr_matrix([[0, 1, 1], [0, 0, 0]])
    assert hits_of_users([[1, 1, 2, -1], [0, 1, 2, 2]], held, 4).tolist() == [[True, False, True, False], [False] * 4]


def test_the_measures_that_a_training_may_stop_by_are_these() -> None:
    assert tuple(measures.OF_USERS) == MEASURES
