"""The split against its definition, user by user, and the known size of a real data set's training part."""

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from cmlfast.data.datasets import load
from cmlfast.data.interactions import Interactions
from cmlfast.data.split import k_fold, split_by_time, split_last, split_per_user


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


def timed(seed: int = 0, n: int = 400) -> tuple[list, Interactions]:
    """Return rows (user, item, time), and the same as Interactions."""
    rng = np.random.default_rng(seed)
    rows = sorted({(f"u{rng.integers(30)}", int(rng.integers(40))) for _ in range(n)})
    rows = [(*row, int(rng.integers(1000))) for row in rows]
    order = rng.permutation(len(rows))
    columns = ([rows[at][place] for at in order] for place in range(3))
    table = pa.table(dict(zip(("user", "item", "time"), columns, strict=True)))
    return rows, Interactions.from_frame(table, time="time")


def named(part: Interactions) -> set:
    rows, columns = part.matrix.nonzero()
    return set(zip(part.user_ids[rows].tolist(), part.item_ids[columns].tolist(), strict=True))


@pytest.mark.parametrize("n", [1, 3])
def test_last_of_each_user(n):
    rows, likes = timed()
    parts = split_last(likes, n)
    expected = (set(), set(), set())
    for user in {row[0] for row in rows}:
        own = sorted(((time, item) for one, item, time in rows if one == user), reverse=True)
        cut = (2 * n, n) if len(own) > 2 * n else (0, 0)
        for place, (_, item) in enumerate(own):
            expected[2 if place < cut[1] else 1 if place < cut[0] else 0].add((user, item))
    assert tuple(map(named, parts)) == expected
    for part in parts:  # which can be split again
        by_pair = {(user, item): time for user, item, time in rows}
        matrix = part.matrix
        assert part.times.tolist() == [
            by_pair[part.user_ids[user], part.item_ids[item]] for user, item in zip(*matrix.nonzero(), strict=True)
        ]


def test_random_ones_of_each_user_where_there_are_no_times():
    whole = random_interactions([0, 2, 3, 40] * 10)
    train, validation, test = split_last(whole, seed=1)
    assert named(train) | named(validation) | named(test) == named(whole)
    assert np.diff(test.matrix.indptr).tolist() == np.diff(validation.matrix.indptr).tolist() == [0, 0, 1, 1] * 10
    assert named(split_last(whole, seed=1)[2]) == named(test) != named(split_last(whole, seed=2)[2])
    # Each of a user's 40 items is as likely as another: 2,000 draws, chi squared with 39 degrees of freedom, p > 1e-4.
    many = random_interactions([40] * 2000)
    counts = np.asarray(split_last(many, seed=3)[2].matrix.sum(0)).ravel()
    assert ((counts - 50) ** 2 / 50).sum() < 82
    with pytest.raises(ValueError, match=r"no times.*time="):
        split_last(whole)
    with pytest.raises(ValueError, match="n is 0"):
        split_last(whole, 0, seed=1)
    with pytest.raises(ValueError, match=r"min_ratings=2.*at least 3"):
        split_last(whole, 1, seed=1, min_ratings=2)


def test_by_time():
    rows, likes = timed()
    train, validation, test = split_by_time(likes, 0.2, known_only=False)
    times = sorted(time for *_, time in rows)
    first, second = times[int(np.ceil(0.6 * len(times))) - 1], times[int(np.ceil(0.8 * len(times))) - 1]
    assert named(train) == {(user, item) for user, item, time in rows if time <= first}
    assert named(validation) == {(user, item) for user, item, time in rows if first < time <= second}
    assert named(test) == {(user, item) for user, item, time in rows if time > second}
    known = split_by_time(likes)
    users, items = ({pair[place] for pair in named(train)} for place in (0, 1))
    assert named(known[0]) == named(train)
    for part, whole in zip(known[1:], (validation, test), strict=True):
        assert named(part) == {(user, item) for user, item in named(whole) if user in users and item in items}
    with pytest.raises(ValueError, match="no times"):
        split_by_time(random_interactions([5]))
    likes.times[:] = 7
    with pytest.raises(ValueError, match="all have the time 7"):
        split_by_time(likes)
    with pytest.raises(ValueError, match=r"fraction=0.5"):
        split_by_time(likes, 0.5)


def test_folds():
    whole = random_interactions([0, 1, 3, 7, 40, 40])
    folds = list(k_fold(whole, 4, seed=0))
    assert len(folds) == 4
    for train, test in folds:
        assert named(train) | named(test) == named(whole)
        assert not named(train) & named(test)
        assert np.abs(np.diff(test.matrix.indptr) - np.array([0, 1, 3, 7, 40, 40]) / 4).max() < 1
    assert sum(len(named(test)) for _, test in folds) == whole.nnz
    assert named(folds[0][1]) != named(next(k_fold(whole, 4, seed=1))[1])
    with pytest.raises(ValueError, match="k is 1"):
        next(k_fold(whole, 1, seed=0))


def test_matrices_are_split_as_interactions_are():
    whole = random_interactions([10, 20, 30])
    for split in (split_per_user, split_last):
        for bare, named_part in zip(split(whole.matrix, seed=0), split(whole, seed=0), strict=True):
            assert (bare.matrix != named_part.matrix).nnz == 0
            assert bare.by_position
            assert not named_part.by_position
    assert next(k_fold(whole.matrix, 2, 0))[0].by_position
