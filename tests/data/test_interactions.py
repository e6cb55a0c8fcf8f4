"""Interactions against sets and loops, from every source."""

import gzip

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from cmlfast.data.interactions import Interactions, as_user_items

ROWS = [("bob", 30, 5.0), ("ann", 10, 3.0), ("bob", 10, 4.0), ("bob", 30, 1.0), ("eve", 20, 2.0)]
TABLE = pa.table({"who": [r[0] for r in ROWS], "what": [r[1] for r in ROWS], "stars": [r[2] for r in ROWS]})


def pairs(interactions: Interactions) -> set:
    """Return the pairs of own ids, read off the dense matrix one by one."""
    dense = interactions.matrix.toarray()
    return {
        (user, item)
        for row, user in enumerate(interactions.user_ids)
        for column, item in enumerate(interactions.item_ids)
        if dense[row, column] == 1
    }


def assert_canonical(interactions: Interactions) -> None:
    matrix = interactions.matrix
    assert isinstance(matrix, sparse.csr_matrix)
    assert matrix.dtype == np.float32
    assert (matrix.data == 1).all()
    for row in range(matrix.shape[0]):
        columns = matrix.indices[matrix.indptr[row] : matrix.indptr[row + 1]].tolist()
        assert columns == sorted(set(columns))


@pytest.mark.parametrize("layout", ["coo", "csr", "csc", "lil", "dok", "bsr", "dia"])
@pytest.mark.parametrize("kind", [sparse.coo_matrix, sparse.coo_array])
def test_every_scipy_format(layout, kind):
    dense = np.array([[0, 2, 0, 1], [0, 0, 0, 0], [7, 0, 1, 3]])
    interactions = Interactions(kind(dense).asformat(layout))
    assert_canonical(interactions)
    np.testing.assert_array_equal(interactions.matrix.toarray(), dense > 0)
    assert interactions.shape == (interactions.n_users, interactions.n_items) == (3, 4)
    assert interactions.nnz == 5
    assert interactions.n_duplicates == 0


entries = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 6), st.integers(0, 3)), max_size=40)


@given(entries, st.sampled_from(["coo", "csr", "csc"]))
@settings(derandomize=True, deadline=None)
def test_duplicates_and_zeros_are_counted(entries, layout):
    rows, columns, values = np.array(entries, dtype=np.int64).reshape(-1, 3).T
    matrix = sparse.coo_matrix((values.astype(float), (rows, columns)), shape=(5, 7))
    if layout != "coo":  # built so that the duplicates stay in it
        major, minor = (rows, columns) if layout == "csr" else (columns, rows)
        order = np.argsort(major, kind="stable")
        n_major = 5 if layout == "csr" else 7
        indptr = np.searchsorted(major[order], np.arange(n_major + 1))
        make = sparse.csr_matrix if layout == "csr" else sparse.csc_matrix
        matrix = make((values[order].astype(float), minor[order], indptr), shape=(5, 7))
    stored = matrix.nnz
    interactions = Interactions(matrix)
    positive = [(row, column) for row, column, value in entries if value > 0]
    assert_canonical(interactions)
    assert pairs(interactions) == set(positive)
    assert interactions.n_dropped == sum(value == 0 for *_, value in entries)
    assert interactions.n_duplicates == len(positive) - len(set(positive))
    assert matrix.nnz == stored, "the caller's matrix was changed"


names = st.text(alphabet="abc\u00e9\U0001f600", min_size=1, max_size=2)
numbers = st.integers(-(2**63), 2**63 - 1) | st.integers(0, 5)


@given(
    st.lists(st.tuples(names, numbers, st.floats(0, 5)), min_size=1, max_size=30),
    st.floats(0, 5),
    st.randoms(use_true_random=False),
)
@settings(derandomize=True, deadline=None)
def test_from_frame_equals_sets(rows, min_value, random):
    liked = [(user, item) for user, item, value in rows if value >= min_value]
    random.shuffle(rows)
    users, items, values = map(list, zip(*rows, strict=True))
    table = pa.table({"u": users, "i": pa.array(items, pa.int64()), "v": values})
    if not liked:
        with pytest.raises(ValueError, match="min_value"):
            Interactions.from_frame(table, value="v", min_value=min_value)
        return
    interactions = Interactions.from_frame(table, value="v", min_value=min_value)
    assert_canonical(interactions)
    assert pairs(interactions) == set(liked)
    assert interactions.user_ids.tolist() == sorted(set(users))
    assert interactions.item_ids.tolist() == sorted(set(items))
    assert interactions.n_dropped == len(rows) - len(liked)
    assert interactions.n_duplicates == len(liked) - len(set(liked))


def test_every_source_gives_the_same(tmp_path):
    frame = TABLE.to_pandas()
    polars = pl.from_arrow(TABLE)
    frame.to_csv(tmp_path / "plain.csv", index=False)
    frame.to_csv(tmp_path / "tabs.tsv", index=False, sep="\t")
    (tmp_path / "packed.csv.gz").write_bytes(gzip.compress((tmp_path / "plain.csv").read_bytes()))
    pq.write_table(TABLE, tmp_path / "one.parquet")
    (tmp_path / "many").mkdir()
    pq.write_table(TABLE[:2], tmp_path / "many" / "a.parquet")
    pq.write_table(TABLE[2:], tmp_path / "many" / "b.parquet")
    options = {"value": "stars", "min_value": 2.0}
    made = {
        "arrow": Interactions.from_frame(TABLE, **options),
        "pandas": Interactions.from_frame(frame, **options),
        "category": Interactions.from_frame(frame.astype({"who": "category", "what": "category"}), **options),
        "polars": Interactions.from_frame(polars, **options),
        "polars categorical": Interactions.from_frame(polars.cast({"who": pl.Categorical}), **options),
        "unsigned": Interactions.from_frame(polars.cast({"what": pl.UInt8, "stars": pl.Int16}), **options),
        "reordered": Interactions.from_frame(frame[["stars", "what", "who"]], "who", "what", **options),
        "csv": Interactions.from_csv(tmp_path / "plain.csv", **options),
        "tsv": Interactions.from_csv(tmp_path / "tabs.tsv", **options, delimiter="\t"),
        "csv.gz": Interactions.from_csv(str(tmp_path / "packed.csv.gz"), **options),
        "parquet": Interactions.from_parquet(tmp_path / "one.parquet", **options),
        "parquet folder": Interactions.from_parquet(tmp_path / "many", **options),
    }
    for source, interactions in made.items():
        assert pairs(interactions) == {("bob", 30), ("ann", 10), ("bob", 10), ("eve", 20)}, source
        assert interactions.user_ids.tolist() == ["ann", "bob", "eve"], source
        assert interactions.user_ids.dtype == np.object_, source
        assert interactions.item_ids.dtype == np.int64, source
        assert (interactions.n_dropped, interactions.n_duplicates) == (1, 0), source


def test_dictionaries_that_differ_from_part_to_part():
    """With ids that no row has, and ids that come twice: as if they were written out."""
    rng = np.random.default_rng(0)
    chunks, n = [], 500
    for _ in range(4):
        words = pa.array([f"u{number}" for number in rng.integers(0, 40, 60)])
        chunks.append(pa.DictionaryArray.from_arrays(rng.integers(0, 50, n), words))
    items = rng.integers(0, 30, 4 * n)
    written = [word for chunk in chunks for word in chunk.to_pylist()]
    found = Interactions.from_frame(pa.table({"user": pa.chunked_array(chunks), "item": items}))
    expected = Interactions.from_frame(pa.table({"user": written, "item": items}))
    assert found.user_ids.tolist() == sorted(set(written))
    assert pairs(found) == set(zip(written, items.tolist(), strict=True)) == pairs(expected)
    assert found.n_duplicates == expected.n_duplicates


def test_catalogue_fixes_order_and_size():
    interactions = Interactions.from_frame(TABLE, user_ids=["eve", "zoe", "bob", "ann"], item_ids=[30, 20, 10, 5])
    expected = [[0, 1, 0, 0], [0, 0, 0, 0], [1, 0, 1, 0], [0, 0, 1, 0]]
    np.testing.assert_array_equal(interactions.matrix.toarray(), expected)
    assert interactions.n_duplicates == 1
    assert interactions.user_ids.tolist() == ["eve", "zoe", "bob", "ann"]


def test_zero_without_threshold_is_no_like_and_flags_are_values():
    frame = pl.DataFrame({"u": [1, 1, 2], "i": [1, 2, 2], "count": [3, 0, 1], "flag": [True, False, True]})
    for value in ("count", "flag"):
        interactions = Interactions.from_frame(frame, value=value)
        assert pairs(interactions) == {(1, 1), (2, 2)}
        assert interactions.n_dropped == 1


def test_negative_value_is_fine_below_a_threshold():
    frame = pl.DataFrame({"u": [1, 2], "i": [1, 2], "v": [-10.0, 10.0]})
    assert pairs(Interactions.from_frame(frame, value="v", min_value=5)) == {(2, 2)}


def test_csv_keeps_ids_as_they_are_written(tmp_path):
    path = tmp_path / "odd.csv"
    path.write_text("u,i\n007,NA\n7,null\n-7,a b\n")
    interactions = Interactions.from_csv(path)
    assert pairs(interactions) == {("007", "NA"), ("7", "null"), ("-7", "a b")}
    path.write_text("u,i\n7,-1\n8,0\n")
    assert pairs(Interactions.from_csv(path)) == {(7, -1), (8, 0)}
    # Ids that turn into words only after the first megabyte, where a reader that guesses types has guessed.
    path.write_text("u,i\n" + "".join(f"{n},1\n" for n in range(300_000)) + "last,1\n")
    assert Interactions.from_csv(path).user_index("last") == 300_000


def test_index():
    interactions = Interactions(sparse.eye(3), ["x", "a", "007"], np.array([2**62, -1, 5]))
    assert interactions.user_index("007") == 2
    assert type(interactions.user_index(np.str_("a"))) is int
    assert type(interactions.item_index(np.int64(2**62))) is int
    queries = [
        ["a", "x", "a"],
        np.array(["a", "x", "a"]),
        pd.Series(["a", "x", "a"]),
        pl.Series(["a", "x", "a"]),
    ]
    for query in queries:
        positions = interactions.user_index(query)
        assert positions.dtype == np.int64
        assert positions.tolist() == [1, 0, 1]
    assert interactions.item_index([]).shape == (0,)
    assert interactions.item_index(np.array([5, -1], dtype=np.int32)).tolist() == [2, 1]


def test_as_user_items_and_repr():
    matrix = sparse.coo_matrix(([1, 1, 0], ([0, 0, 1], [1, 1, 0])), shape=(2, 1000))
    interactions = as_user_items(matrix)
    assert (interactions.n_duplicates, interactions.n_dropped) == (1, 1)
    assert as_user_items(interactions) is interactions
    assert repr(interactions) == "Interactions(2 users x 1,000 items, 1 pairs)"
