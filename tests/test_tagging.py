"""Likes and tags that know different items become one catalogue."""

import numpy as np
import pytest
from scipy import sparse

from cmlfast import Interactions
from cmlfast.tagging import join


def test_rows_are_found_by_id_and_both_kinds_of_strangers_stay() -> None:
    likes = Interactions(sparse.csr_matrix([[1, 1, 0], [0, 1, 1]]), ["u", "v"], ["b", "c", "a"])
    tags = Interactions(sparse.csr_matrix([[0, 1], [1, 1], [1, 0]]), ["new", "a", "b"], ["red", "blue"])
    wider, features = join(likes, tags, "item")
    assert wider.item_ids.tolist() == ["b", "c", "a", "new"]
    assert wider.user_ids.tolist() == ["u", "v"]
    np.testing.assert_array_equal(wider.matrix.toarray(), [[1, 1, 0, 0], [0, 1, 1, 0]])
    np.testing.assert_array_equal(features.toarray(), [[1, 0], [0, 0], [1, 1], [0, 1]])
    assert likes.shape == (2, 3)
    assert tags.shape == (3, 2)


def test_users_are_joined_alike() -> None:
    likes = Interactions(sparse.csr_matrix([[1, 1], [0, 1]]), ["u", "v"], ["b", "c"])
    tags = Interactions(sparse.csr_matrix([[0, 1], [1, 1]]), ["new", "v"], ["red", "blue"])
    wider, features = join(likes, tags, "user")
    assert wider.user_ids.tolist() == ["u", "v", "new"]
    assert wider.item_ids.tolist() == ["b", "c"]
    np.testing.assert_array_equal(wider.matrix.toarray(), [[1, 1], [0, 1], [0, 0]])
    np.testing.assert_array_equal(features.toarray(), [[0, 0], [1, 1], [0, 1]])
    with pytest.raises(ValueError, match="no user has both likes and tags: users are called 'u' in the likes"):
        join(likes, Interactions(sparse.csr_matrix([[1]]), ["U"], ["red"]), "user")


def test_without_a_common_item_the_names_are_told() -> None:
    likes = Interactions(sparse.csr_matrix([[1, 1]]), ["u"], [7, 8])
    tags = Interactions(sparse.csr_matrix([[1]]), ["i7"], ["red"])
    with pytest.raises(ValueError, match="items are called 7 in the likes and 'i7' in the tags"):
        join(likes, tags, "item")
