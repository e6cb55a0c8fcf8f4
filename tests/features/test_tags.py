"""Tables of tags are brought to the rows and columns of a model by their names."""

from typing import Any

import numpy as np
import pytest
from scipy import sparse

from cmlfast import Interactions
from cmlfast.data.align import joined, widened
from cmlfast.data.interactions import as_user_items
from cmlfast.features.tags import columns_of, rows_of, tag_ids_of

LIKES = Interactions(sparse.csr_matrix([[1, 1, 0], [0, 1, 1]]), ["u", "v"], ["b", "c", "a"])
TAGS = Interactions(sparse.csr_matrix([[0, 1], [1, 1], [1, 0]]), ["new", "a", "b"], ["red", "blue"])


def test_items_that_tags_alone_name_are_appended() -> None:
    wider = joined(LIKES, TAGS, None)
    assert wider.item_ids.tolist() == ["b", "c", "a", "new"]
    assert wider.user_ids.tolist() == ["u", "v"]
    np.testing.assert_array_equal(wider.matrix.toarray(), [[1, 1, 0, 0], [0, 1, 1, 0]])
    assert LIKES.shape == (2, 3)
    matrix = TAGS.matrix
    assert joined(LIKES, matrix, None) is widened(LIKES, matrix, "user") is LIKES


def test_so_are_users() -> None:
    people = Interactions(sparse.csr_matrix([[0, 1], [1, 1]]), ["new", "v"], ["town", "land"])
    wider = joined(LIKES, None, people)
    assert wider.user_ids.tolist() == ["u", "v", "new"]
    assert wider.item_ids.tolist() == ["b", "c", "a"]
    np.testing.assert_array_equal(wider.matrix.toarray(), [[1, 1, 0], [0, 1, 1], [0, 0, 0]])
    np.testing.assert_array_equal(rows_of(people, wider.user_ids, None, "f").toarray(), [[0, 0], [1, 1], [0, 1]])


def test_rows_are_found_by_id_and_those_without_tags_are_empty() -> None:
    ids = np.array(["c", "b", "new"], dtype=object)
    np.testing.assert_array_equal(rows_of(TAGS, ids, None, "f").toarray(), [[0, 0], [1, 0], [0, 1]])
    assert TAGS.shape == (3, 2)
    assert rows_of(TAGS.matrix, ids, None, "f") is TAGS.matrix
    assert rows_of(TAGS, ids[:0], None, "f").shape == (0, 2)
    with pytest.raises(
        ValueError, match="f has no row for any: they are called 'c' where they are liked and 'new' in f"
    ):
        rows_of(TAGS, ids[:1], None, "f")


@pytest.mark.parametrize(
    ("tag_ids", "expected"),
    [
        (["red", "blue"], [[0, 1], [1, 1], [1, 0]]),
        (["blue", "red"], [[1, 0], [1, 1], [0, 1]]),
        (["green", "blue", "pink"], [[0, 1, 0], [0, 1, 0], [0, 0, 0]]),
    ],
)
def test_columns_are_found_by_name_and_tags_that_are_not_known_are_left_out(tag_ids: Any, expected: Any) -> None:
    known = np.array(tag_ids, dtype=object)
    np.testing.assert_array_equal(columns_of(TAGS, known, "f").toarray(), expected)
    rows = rows_of(TAGS, np.array(["b", "new"], dtype=object), known, "f").toarray()
    np.testing.assert_array_equal(rows, [expected[2], expected[0]])
    assert TAGS.shape == (3, 2)


def test_tags_without_names_stay_as_they_are() -> None:
    assert columns_of(TAGS, None, "f") is TAGS.matrix
    assert tag_ids_of(TAGS.matrix) is None
    assert tag_ids_of(TAGS).tolist() == ["red", "blue"]


def test_names_that_do_not_match_are_told() -> None:
    likes = Interactions(sparse.csr_matrix([[1, 1]]), ["u"], [7, 8])
    tags = Interactions(sparse.csr_matrix([[1]]), ["i7"], ["red"])
    with pytest.raises(
        ValueError, match="items are called 7 in the likes and 'i7' in item_features; give them the same"
    ):
        joined(likes, tags, None)
    with pytest.raises(ValueError, match="no user has both likes and features: users are called 'u' in the likes"):
        joined(likes, None, tags)
    with pytest.raises(ValueError, match="items are called 7 in the likes and 'i7' in item_features; give them ids of"):
        widened(likes, tags, "item")
    numbered = as_user_items(sparse.csr_matrix([[1, 1]]))
    with pytest.raises(ValueError, match="item_features names the item 5, but items are numbers here, 0 to 1"):
        joined(numbered, Interactions(sparse.csr_matrix([[1], [1]]), [1, 5], ["red"]), None)
    with pytest.raises(ValueError, match="f has none of the 1 tags that the model knows, such as 'x', but 'red'; call"):
        columns_of(TAGS, np.array(["x"], dtype=object), "f")
