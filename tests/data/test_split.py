"""The split against its definition, user by user, and the known size of a real data set's training part."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from cmlfast.data.datasets import load
from cmlfast.data.interactions import Interactions
from cmlfast.data.split import split_per_user


def per_user(interactions: Interactions) -> list[set]:
    return [set(np.flatnonzero(row)) for row in interactions.matrix.toarray()]


def random_interactions(counts: list[int], seed: int = 0) -> Interactions:
    rng = np.random.default_rng(seed)
    dense = np.zeros((len(counts), 40))
    for row, count in enumerate(counts):
        dense[row, rng.choice(40, size=count, replace=False)] = 1
    users = [f"user {row}" for row in range(len(counts))]
    return Interactions(sparse.csr_matrix(dense), user_ids=users, item_ids=range(100, 140))


@given(st.lists(st.integers(0, 40), min_size=1, max_size=12), st.integers(0, 2**32))
@settings(derandomize=True, deadline=None)
def test_rounded_rule(counts, seed):
    whole = random_interactions(counts)
    train, validation, test = split_per_user(whole, seed)
    for part in (train, validation, test):
        assert part.shape == whole.shape
        assert part.user_ids.tolist() == whole.user_ids.tolist()
        assert part.item_ids.tolist() == whole.item_ids.tolist()
        assert part.matrix.has_sorted_indices
    for all_, *parts in zip(*map(per_user, (whole, train, validation, test)), strict=True):
        held = round(len(all_) / 5) if len(all_) >= 5 else 0
        assert [len(part) for part in parts] == [len(all_) - 2 * held, held, held]
        assert set.union(*parts) == all_


@given(st.lists(st.integers(0, 40), min_size=1, max_size=12))
@settings(derandomize=True, deadline=None)
def test_published_rule(counts):
    whole = random_interactions(counts)
    parts = [per_user(part) for part in split_per_user(whole, 1, rule="published")]
    for all_, *mine in zip(per_user(whole), *parts, strict=True):
        n = len(all_)
        c = n // 5
        assert [len(part) for part in mine] == ([3 * c, c, c] if n >= 5 else [n, 0, 0])
        assert set.union(*mine) <= all_
        assert len(set.union(*mine)) == sum(map(len, mine))


def test_other_fractions():
    whole = random_interactions([3, 9, 10, 40])
    train, validation, test = split_per_user(whole, 0, fraction=0.1, min_ratings=10)
    assert [np.diff(part.matrix.indptr).tolist() for part in (train, validation, test)] == [
        [3, 9, 8, 32],
        [0, 0, 1, 4],
        [0, 0, 1, 4],
    ]
    hundred = Interactions(sparse.csr_matrix(np.ones((1, 100))))
    _, validation, _ = split_per_user(hundred, 0, fraction=0.29, rule="published")
    assert validation.nnz == 29  # though 0.29 * 100 is below 29 in floating point


def test_seed_alone_decides():
    whole = random_interactions([40] * 20)
    first, again, other = (split_per_user(whole, seed) for seed in (1, 1, 2))
    for one, two in zip(first, again, strict=True):
        assert (one.matrix != two.matrix).nnz == 0
    assert (first[2].matrix != other[2].matrix).nnz > 0


def test_every_item_is_equally_likely_to_be_held_out():
    whole = Interactions(sparse.csr_matrix(np.ones((4000, 10))))
    for part in split_per_user(whole, 5)[1:]:
        held = np.asarray(part.matrix.sum(axis=0)).ravel()
        # Binomial(4000, 0.2): mean 800, deviation 25.3; six deviations for ten items.
        assert np.abs(held - 800).max() < 6 * 25.3
        # And the pairs of items within a user are not always the same ones.
        together = Counter(tuple(row) for row in part.matrix.indices.reshape(4000, 2).tolist())
        assert len(together) == 45


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_citeulike_t(shared_data, seed):
    whole = load("citeulike-t").interactions
    train, validation, test = split_per_user(whole, seed)
    assert train.nnz == 84_904
    assert validation.nnz == test.nnz == (134_860 - 84_904) / 2
    assert ((train.matrix + validation.matrix + test.matrix) != whole.matrix).nnz == 0


def test_errors():
    whole = random_interactions([2, 10])
    with pytest.raises(ValueError, match=r"fraction=0.5 is not in \(0, 0.5\)"):
        split_per_user(whole, 0, fraction=0.5)
    with pytest.raises(ValueError, match="rule='random' is unknown"):
        split_per_user(whole, 0, rule="random")
    with pytest.raises(ValueError, match=r"fraction=0.4 leaves users with 2 items none.*min_ratings=1"):
        split_per_user(whole, 0, fraction=0.4, min_ratings=1)
