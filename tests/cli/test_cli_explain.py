"""The command explain: the same numbers as the model's, formats and titles, ids that nobody knows, new users."""

import csv
import io
import json

import numpy as np
import pytest
from pyarrow import parquet

from cmlfast import CML
from cmlfast_cli import main


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("explain")
    rng = np.random.default_rng(0)
    lines = [f"{u},i{i}" for u in range(40) for i in range(u % 2, 24, 2) if rng.random() < 0.5]
    (folder / "likes.csv").write_text("\n".join(["user,item", *lines, ""]))
    (folder / "new.csv").write_text("user,item\n77,i1\n77,i3\n77,i9\n")
    (folder / "titles.csv").write_text("item,title\n" + "".join(f'i{i},"Title, {i}"\n' for i in range(24)))
    data = [str(folder / "likes.csv"), "--n-components", "8", "--n-epochs", "20"]
    assert main(["train", *data, "--model", str(folder / "m")]) == 0
    return folder


def asked(capsys, *arguments, code: int = 0):
    capsys.readouterr()
    assert main(["explain", *map(str, arguments)]) == code
    output = capsys.readouterr()
    return list(csv.DictReader(io.StringIO(output.out))), output.err


def test_rows_are_what_the_model_says(folder, capsys):
    model = CML.load(folder / "m")
    item = model.recommend(1, N=1)[0][0]
    expected = model.explain(1, item, N=3)
    rows, told = asked(capsys, folder / "m", "1", item, "-n", "3")
    assert list(rows[0]) == ["user", "item", "liked", "distance", "user_distance", "share"]
    assert {(row["user"], row["item"]) for row in rows} == {("1", item)}
    assert [row["liked"] for row in rows] == expected.liked.tolist()
    for name, values in (("distance", expected.distances), ("user_distance", expected.user_distances),
                         ("share", expected.shares)):  # fmt: skip
        assert [row[name] for row in rows] == [f"{value:.6g}" for value in values]
    assert told == f"cmlfast: {expected.title}. {expected.guarantee}\n"
    assert asked(capsys, "-q", folder / "m", "1", item, "-n", "3") == (rows, "")


def test_titles_and_formats(folder, capsys, tmp_path):
    rows, _ = asked(capsys, folder / "m", "1", "i2", "-n", "2", "--titles", folder / "titles.csv")
    assert [row["title"] for row in rows] == [f"Title, {row['liked'][1:]}" for row in rows]
    asked(capsys, folder / "m", "1", "i2", "-n", "2", "-o", tmp_path / "x.parquet")
    assert parquet.read_table(tmp_path / "x.parquet")["liked"].to_pylist() == [row["liked"] for row in rows]
    asked(capsys, folder / "m", "1", "i2", "-n", "2", "-o", tmp_path / "x.jsonl")
    first = json.loads((tmp_path / "x.jsonl").read_text().splitlines()[0])
    assert (first["user"], first["liked"], first["share"]) == (1, rows[0]["liked"], float(rows[0]["share"]))


def test_new_users_by_their_likes(folder, capsys):
    model = CML.load(folder / "m")
    rows, told = asked(capsys, folder / "m", "77", "i5", "--likes", folder / "new.csv")
    assert {row["liked"] for row in rows} == {"i1", "i3", "i9"}
    np.testing.assert_allclose(sum(float(row["share"]) for row in rows), 1, atol=3 * 5e-7)  # three of six digits
    likes = np.zeros((1, 24))
    likes[0, model.user_items_.item_index(["i1", "i3", "i9"])] = 1
    from scipy import sparse

    expected = model.explain(77, "i5", sparse.csr_matrix(likes), recalculate_user=True)
    assert [row["distance"] for row in rows] == [f"{distance:.6g}" for distance in expected.distances]
    assert f"distance {expected.distance:.3f}" in told


def test_who_has_nothing_else(folder, capsys, tmp_path):
    (tmp_path / "one.csv").write_text("user,item\n77,i1\n")
    rows, told = asked(capsys, folder / "m", "77", "i1", "--likes", tmp_path / "one.csv")
    assert rows == []
    assert "Nothing is known that user 77 likes beside it" in told


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["1", "nothing"], 3, "the model knows no item 'nothing'"),
        (["nobody", "i1"], 3, "the model knows no user 'nobody'"),
        (["1"], 2, "the following arguments are required: ITEM"),
        (["1", "i1", "-n", "0"], 2, "-n is 0; it must be at least 1"),
        (["1", "i1", "--value", "rating"], 2, "--value goes with --likes"),
    ],
)
def test_what_is_refused(folder, capsys, arguments, code, text):
    try:
        got = main(["explain", str(folder / "m"), *arguments])
    except SystemExit as end:
        got = end.code
    output = capsys.readouterr()
    assert (got, output.out) == (code, "")
    assert text in output.err
