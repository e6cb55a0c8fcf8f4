"""Which columns are taken as what, against a list of the names that tables have."""

import logging

import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from cmlfast.data.columns import Roles, choose
from cmlfast.data.interactions import Interactions

BY_NAME = [
    # names of the columns, the users' and the items'
    ("user item", "user item"),
    ("item user", "user item"),
    ("userId movieId rating timestamp", "userId movieId"),
    ("timestamp rating item user", "user item"),
    ("user_id artist_id", "user_id artist_id"),
    ("USER_ID ISBN Book-Rating", "USER_ID ISBN"),
    ("User-ID ISBN Book-Rating", "User-ID ISBN"),
    ("reviewerID asin overall unixReviewTime", "reviewerID asin"),
    ("business_id user_id stars date", "user_id business_id"),
    ("artists listeners", "listeners artists"),
    ("uid iid", "uid iid"),
    ("customer thing", "customer thing"),
    ("who movie", "who movie"),
    ("user title", "user title"),
    ("CustomerKey ProductKey Quantity Price", "CustomerKey ProductKey"),
    ("item tag", "item tag"),
    ("tag movie", "movie tag"),
    ("user genre", "user genre"),
    ("user tag item", "user item"),
    ("user_id:token item_id:token rating:float timestamp:float", "user_id:token item_id:token"),
]
BY_PLACE = [
    ("who what stars", "who what"),
    ("timestamp rating who what", "who what"),
    ("a b c", "a b"),
    ("Unnamed:_0 who what", "who what"),
    ("0 1", "0 1"),
]


@pytest.mark.parametrize(("names", "expected"), BY_NAME)
def test_names_tell(names, expected, caplog):
    with caplog.at_level(logging.INFO, "cmlfast"):
        chosen = choose(names.split(), Roles(), "likes.csv")
    user, item = expected.split()
    assert chosen == {"user": user, "item": item}
    assert caplog.records[0].levelname == "INFO"
    assert f"likes.csv: user from '{user}', item from '{item}'" in caplog.text
    left = set(names.split()) - {user, item}
    assert all(repr(name) in caplog.text.partition("not used")[2] for name in left)


@pytest.mark.parametrize(("names", "expected"), BY_PLACE)
def test_where_names_tell_nothing_places_do_and_it_is_said(names, expected, caplog):
    user, item = expected.split()
    assert choose([name.replace("_", " ") for name in names.split()], Roles(), "x") == {"user": user, "item": item}
    assert caplog.records[0].levelname == "WARNING"
    assert "guessed from the columns' order; name them with" in caplog.text


@pytest.mark.parametrize(
    ("names", "roles", "message"),
    [
        ("movie mood", Roles(), r"'movie' is the items' by its name.*which is the users', with user=.*--user"),
        ("user a b", Roles(), r"'user' is the users' by its name.*item=.*--item"),
        ("user artist track", Roles(), r"columns 'artist', 'track' may all be the items'.*item=.*--item"),
        ("user user_id item", Roles(), r"columns 'user', 'user_id' may all be the users'"),
        ("user item", Roles(time="when"), r"time='when': this column is not there"),
        ("user item item", Roles(), r"may all be the items'"),
        ("user item", Roles(user="item", item="item"), "name a different column for each"),
        ("user", Roles(), r"1 column\(s\) \['user'\]"),
        ("index user", Roles(user="user"), "there is none left for item="),
    ],
)
def test_what_may_mean_several_things_is_an_error(names, roles, message):
    with pytest.raises(ValueError, match=message):
        choose(names.split(), roles, "x")


def test_a_column_that_is_named_leaves_the_others_to_their_names(caplog):
    names = ["time", "item", "person", "other"]
    assert choose(names, Roles(user="other"), "x") == {"user": "other", "item": "item"}
    assert choose(names, Roles(item="other"), "x") == {"user": "person", "item": "other"}
    assert choose(["a", "rating", "b"], Roles(user="a", value="rating"), "x") == {
        "user": "a", "item": "b", "value": "rating",
    }  # fmt: skip
    assert [record.levelname for record in caplog.records] == ["WARNING"]  # of the last alone


def test_an_index_of_pandas_is_where_pandas_shows_it():
    frame = pd.DataFrame({"user": ["ann", "ann", "bob"], "item": ["x", "y", "y"]})
    expected = Interactions.from_frame(frame)
    assert expected.user_ids.tolist() == ["ann", "bob"]
    strange = frame.rename(columns={"user": "who", "item": "what"})
    filtered = frame[frame.item != "z"].iloc[[2, 0, 1]]  # its index is 2, 0, 1, without a name
    for given in (frame.set_index("user"), strange.set_index("who"), filtered, frame.set_index("item")):
        found = Interactions.from_frame(given)
        assert found.user_ids.tolist() == ["ann", "bob"]
        assert found.item_ids.tolist() == ["x", "y"]
        assert (found.matrix != expected.matrix).nnz == 0


def test_row_numbers_that_pandas_writes_are_no_users(tmp_path):
    frame = pd.DataFrame({"who": ["ann", "ann", "bob"], "what": ["x", "y", "y"]})
    frame.to_csv(tmp_path / "likes.csv")
    frame.iloc[[2, 0, 1]].to_parquet(tmp_path / "likes.parquet")
    assert Interactions.from_csv(tmp_path / "likes.csv").user_ids.tolist() == ["ann", "bob"]
    assert Interactions.from_parquet(tmp_path / "likes.parquet").user_ids.tolist() == ["ann", "bob"]


def test_parquet_files_by_pattern_list_and_folder(tmp_path):
    for number in range(3):
        table = pa.table({"rating": [1.0], "item": [number], "user": [f"u{number}"]})
        parquet.write_table(table, tmp_path / f"{number}.parquet")
    (tmp_path / "readme.txt").write_text("no table")
    for where in (tmp_path / "*.parquet", [tmp_path / f"{number}.parquet" for number in range(3)]):
        found = Interactions.from_parquet(where)
        assert found.user_ids.tolist() == ["u0", "u1", "u2"]
        assert found.item_ids.tolist() == [0, 1, 2]


def test_times_come_in_the_order_of_the_matrix_and_of_repeats_the_last():
    table = pa.table(
        {"user": ["b", "a", "b", "b", "a"], "item": [2, 1, 1, 2, 3], "when": [30, 5, 20, 31, 7], "v": [1, 1, 1, 1, 0]}
    )
    found = Interactions.from_frame(table, time="when", value="v")
    assert found.times.tolist() == [5, 20, 31]
    assert Interactions.from_frame(table).times is None
    for times, expected in [
        (pa.array([30, 5, 20, 31, 7], pa.timestamp("s")), [5_000_000, 20_000_000, 31_000_000]),
        (pa.array([30, 5, 20, 31, 7], pa.date32()), [day * 86_400_000_000 for day in (5, 20, 31)]),
        (pa.array([3.5, 0.5, 2.5, 4.5, 1.0]), [0.5, 2.5, 4.5]),
    ]:
        given = table.set_column(2, "when", times)
        assert Interactions.from_frame(given, time="when", value="v").times.tolist() == expected
    for wrong, message in [
        (pa.array(["x"] * 5), "time column is string, such as 'x': give numbers, or dates"),
        (pa.array([1, None, 2, 3, 4]), r"empty cells .* 1 of 5 rows: 1 in time"),
        (pa.array([1.0, float("nan"), 2, 3, 4]), "time column contains nan"),
    ]:
        with pytest.raises(ValueError, match=message):
            Interactions.from_frame(table.set_column(2, "when", wrong), time="when")


def test_titles_and_tags_are_called_what_they_are(caplog):
    with caplog.at_level(logging.INFO, "cmlfast"):
        choose(["movie_id", "year", "movie_title"], Roles(describes="item titles"), "titles")
        choose(["town", "user"], Roles(describes="user tags"), "towns")
    assert "titles: item from 'movie_id', title from 'movie_title'; not used: 'year'" in caplog.text
    assert "towns: user from 'user', tag from 'town'" in caplog.text
    with pytest.raises(ValueError, match="name the ids' after items, such as item_id, and the titles' title"):
        choose(["movie_id", "year", "what"], Roles(describes="item titles"), "titles")
