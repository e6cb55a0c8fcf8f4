"""Recall against its definition, in a loop."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from cmlfast.evaluation.measures import recall_at_k, recall_per_user


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
