"""The popularity baseline against a plain count."""

import numpy as np
import pytest
from scipy import sparse

from cmlfast.evaluation.popularity import popularity_recall


def test_equals_a_plain_count() -> None:
    rng = np.random.default_rng(3)
    part = rng.integers(0, 8, (30, 25))  # 0, 1: training; 2: validation; 3: held out; else not liked
    train, validation, held = (sparse.csr_matrix(np.isin(part, which) * 1.0) for which in ([0, 1], [2], [3]))
    counts = np.asarray(train.sum(axis=0)).ravel()
    expected = []
    for user in range(30):
        truth = set(held[user].indices)
        if not truth:
            continue
        seen = set(train[user].indices) | set(validation[user].indices)
        ranking = sorted((item for item in range(25) if item not in seen), key=lambda item: (-counts[item], item))
        expected.append(len(truth & set(ranking[:4])) / len(truth))
    found = popularity_recall(train, held, [4], exclude=validation)
    assert found["recall@4"] == pytest.approx(np.mean(expected))


def test_k_beyond_the_catalogue_finds_everything() -> None:
    train, held = sparse.csr_matrix([[1, 0, 0], [0, 1, 0]]), sparse.csr_matrix([[0, 1, 0], [0, 0, 1]])
    assert popularity_recall(train, held, [1, 50])["recall@50"] == 1
