"""Every way in which the input of Interactions can be wrong, and what the error says."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from scipy import sparse

from cmlfast.data.interactions import Interactions, UnknownIdError, as_user_items

ROWS = [("bob", 30, 5.0), ("ann", 10, 3.0), ("bob", 10, 4.0), ("bob", 30, 1.0), ("eve", 20, 2.0)]
TABLE = pa.table({"who": [r[0] for r in ROWS], "what": [r[1] for r in ROWS], "stars": [r[2] for r in ROWS]})


@pytest.mark.parametrize(
    ("changed", "options", "error", "message"),
    [
        ({"who": ["a", None, "b", "c", "d"]}, {}, ValueError, r"empty cells .* 1 of 5 rows: 1 in user; row 2 of"),
        ({"what": [1.0, 2.0, 3.0, 4.0, 5.0]}, {}, ValueError, "item column.*double.*convert"),
        ({"what": pa.array([2**63] * 5, pa.uint64())}, {}, ValueError, "item column.*must be strings"),
        ({"who": [True] * 5}, {}, ValueError, "user column.*bool"),
        ({"stars": [1, 2, -3, 4, 5]}, {"value": "stars"}, ValueError, "value column contains -3.*min_value"),
        ({"stars": [1, 2, np.nan, 4, 5]}, {"value": "stars"}, ValueError, "value column contains nan"),
        ({"stars": [1, 2, np.inf, 4, 5]}, {"value": "stars", "min_value": 1}, ValueError, "contains inf"),
        (
            {"stars": [1, 2, None, 4, 5]},
            {"value": "stars"},
            ValueError,
            r"empty cells .* 1 of 5 rows: 1 in value; row 3 of",
        ),
        ({"stars": ["a"] * 5}, {"value": "stars"}, ValueError, "not numbers"),
        ({}, {"value": "stars", "min_value": 6}, ValueError, r"min_value=6.*largest is 5.*lower"),
        ({}, {"min_value": 3}, ValueError, "min_value=3 without value"),
        ({}, {"user": "whom"}, ValueError, r"user='whom'.*is not there.*'who', 'what', 'stars'"),
        ({}, {"value": "rating"}, ValueError, "value='rating'"),
        ({}, {"user": "who", "item": "who"}, ValueError, "a different column for each"),
        ({}, {"item_ids": [10, 20]}, ValueError, r"item id 30 \(1 such in all\) is not in item_ids"),
        (
            {"who": TABLE["who"].dictionary_encode()},
            {"user_ids": ["ann", "eve"]},
            ValueError,
            r"user id 'bob' \(1 such in all\) is not in user_ids",
        ),
        ({}, {"item_ids": ["10", "20", "30"]}, ValueError, "item column holds integers, item_ids strings"),
        ({}, {"user_ids": ["ann", "bob", "eve", "bob"]}, ValueError, "user_ids: 'bob' occurs more than once"),
        ({}, {"user_ids": ["ann", 5, "eve"]}, ValueError, "user_ids.*all integers or all strings"),
    ],
)
def test_wrong_table(changed, options, error, message):
    columns = {name: TABLE[name] for name in TABLE.column_names} | changed
    with pytest.raises(error, match=message):
        Interactions.from_frame(pa.table(columns), **options)


def test_wrong_frame():
    with pytest.raises(ValueError, match="no rows"):
        Interactions.from_frame(TABLE[:0])
    with pytest.raises(ValueError, match=r"1 column\(s\)"):
        Interactions.from_frame(TABLE.select(["who"]))
    with pytest.raises(TypeError, match="dict, which does not export Arrow"):
        Interactions.from_frame({"who": ["a"], "what": ["b"]})
    with pytest.raises(ValueError, match="single type"):
        Interactions.from_frame(pd.DataFrame({"u": ["a", 1], "i": [1, 2]}))
    with pytest.raises(ValueError, match="is there 2 times"):
        Interactions.from_frame(pa.table([[1], [2], [3]], names=["u", "i", "u"]), user="u")


def test_wrong_file(tmp_path):
    path = tmp_path / "wrong.csv"
    for text, message in [
        ("u\n1\n", "delimiter ','.*1 column"),
        ("u,i\n1,2,3\n", "wrong.csv"),
        ("u,i\n1,\n", "1 of 1 rows: 1 in item"),
        ("", "wrong.csv"),
    ]:
        path.write_text(text)
        with pytest.raises(ValueError, match=message):
            Interactions.from_csv(path)
    with pytest.raises(ValueError, match=r"wrong\.csv"):
        Interactions.from_parquet(path)
    for read in (Interactions.from_csv, Interactions.from_parquet):
        with pytest.raises(FileNotFoundError, match="nowhere"):
            read(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("matrix", "error", "message"),
    [
        (np.eye(2), TypeError, "ndarray, not a SciPy sparse matrix"),
        (sparse.csr_matrix([[1.0, -2.0]]), ValueError, r"contains -2.0"),
        (sparse.csr_matrix([[1.0, np.nan]]), ValueError, "contains nan"),
        (sparse.csr_matrix([[1.0, np.inf]]), ValueError, "contains inf"),
        (sparse.coo_matrix(([2.0, -2.0], ([0, 0], [0, 0])), shape=(1, 1)), ValueError, "contains -2.0"),
        (sparse.csr_matrix([[1j]]), ValueError, "complex"),
        (sparse.csr_matrix((0, 3)), ValueError, r"shape \(0, 3\)"),
    ],
)
def test_wrong_matrix(matrix, error, message):
    with pytest.raises(error, match=message):
        as_user_items(matrix)


def test_wrong_ids():
    matrix = sparse.eye(3, format="csr")
    with pytest.raises(ValueError, match="user_ids has 2 ids for 3 positions"):
        Interactions(matrix, user_ids=["a", "b"])
    with pytest.raises(ValueError, match="item_ids: 7 occurs more than once"):
        Interactions(matrix, item_ids=[7, 8, 7])
    with pytest.raises(ValueError, match="item_ids"):
        Interactions(matrix, item_ids=[0.5, 1.5, 2.5])


def test_unknown_id():
    interactions = Interactions(sparse.eye(3), ["x", "a", "7"])
    with pytest.raises(UnknownIdError, match=r"^user id 'b' is not in the data$"):
        interactions.user_index(["x", "b"])
    with pytest.raises(KeyError, match=r"user id 7 .*ids are strings, convert yours with str"):
        interactions.user_index(7)
    with pytest.raises(KeyError, match=r"item id '1' .*ids are integers, convert yours with int"):
        interactions.item_index("1")
    with pytest.raises(ValueError, match="double"):  # 1.0 == 1 in Python, but a float is no id
        interactions.item_index(1.0)
