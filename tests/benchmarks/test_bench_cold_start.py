"""What the cold-start benchmark withholds: nothing of it may be seen in training or tuning."""

import numpy as np
from featured import likes_and_tags

from benchmarks.paper.cold_start import found_by, splits, withhold
from benchmarks.peers.libraries import Factors

LIKES, _ = likes_and_tags()


def test_withheld_items_have_no_likes_left_and_nothing_else_is_missing() -> None:
    items = np.array([3, 7, 30])
    split = withhold(LIKES, items)
    assert split.train[:, items].nnz == 0
    assert (split.likes != LIKES[:, items]).nnz == 0
    assert split.train.nnz + split.likes.nnz == LIKES.nnz
    assert ((split.train - LIKES.multiply(split.train)) != 0).nnz == 0


def test_tuning_sees_neither_the_test_items_nor_its_own() -> None:
    test, validation = splits(LIKES, seed=4)
    assert len(test.items) == len(validation.items) == round(0.1 * LIKES.shape[1])
    assert set(test.items).isdisjoint(validation.items)
    assert test.train[:, validation.items].nnz == validation.likes.nnz > 0
    assert validation.train[:, np.union1d(test.items, validation.items)].nnz == 0
    again, _ = splits(LIKES, seed=4)
    assert np.array_equal(again.items, test.items)
    assert not np.array_equal(splits(LIKES, seed=5)[0].items, test.items)


def test_recall_is_of_the_withheld_items_among_themselves() -> None:
    items = np.arange(120)
    split = withhold(LIKES, items)
    right = split.likes.toarray().astype(np.float32)
    found = found_by(Factors(right, np.eye(len(items), dtype=np.float32), "dot"), split)
    assert found == {"recall@50": 1.0, "recall@100": 1.0}
