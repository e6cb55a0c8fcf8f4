"""The commands recommend and similar: who is asked for, who is unknown or new, and where the answers go."""

import csv
import io
import json
import sys

import numpy as np
import pytest
from pyarrow import parquet

from cmlfast import CML, Interactions
from cmlfast.indexes import KINDS
from cmlfast_cli import main
from cmlfast_cli.options import INDEXES

N_USERS, N_ITEMS = 40, 24
FAST = ["--n-components", "8", "--n-epochs", "20"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two tastes: users and items of the same parity go together; a model of them without and one with tags."""
    folder = tmp_path_factory.mktemp("answers")
    rng = np.random.default_rng(0)
    lines = [f"u{u},i{i}" for u in range(N_USERS) for i in range(u % 2, N_ITEMS, 2) if rng.random() < 0.5]
    (folder / "likes.csv").write_text("\n".join(["user,item", *lines, ""]))
    (folder / "tags.csv").write_text("item,tag\n" + "".join(f"i{i},{['even', 'odd'][i % 2]}\n" for i in range(N_ITEMS)))
    (folder / "people.csv").write_text("user,town\n" + "".join(f"u{u},t{u % 2}\n" for u in range(N_USERS)))
    (folder / "titles.csv").write_text(
        "item,year,title\n" + "".join(f'i{i},2000,"Title, {i}"\n' for i in range(N_ITEMS))
    )
    assert main(["train", str(folder / "likes.csv"), "--model", str(folder / "plain"), *FAST]) == 0
    tags = ["--item-features", str(folder / "tags.csv"), "--user-features", str(folder / "people.csv")]
    assert main(["train", str(folder / "likes.csv"), "--model", str(folder / "tagged"), *tags, *FAST]) == 0
    return folder


def asked(capsys, *arguments: str, code: int = 0) -> tuple[list[list[str]], str]:
    assert main([str(one) for one in arguments]) == code
    output = capsys.readouterr()
    return list(csv.reader(io.StringIO(output.out)))[1:], output.err


def test_who_is_unknown_is_named_and_the_others_are_answered(folder, capsys):
    rows, told = asked(capsys, "recommend", folder / "plain", "u1", "nobody", "u2", "-n", "2", "noone", code=3)
    assert [row[0] for row in rows] == ["u1", "u1", "u2", "u2"]
    assert "no user 'nobody', 'noone'" in told
    rows, told = asked(capsys, "similar", folder / "plain", "i1", "nothing", code=3)
    assert {row[0] for row in rows} == {"i1"}
    assert "no item 'nothing'" in told


def test_popular_items_for_whom_nothing_is_known(folder, capsys):
    rows, told = asked(capsys, "recommend", folder / "plain", "u1", "nobody", "-n", "3", "--unknown", "popular")
    assert told == ""
    likes = Interactions.from_csv(folder / "likes.csv")
    counts = dict(zip(likes.item_ids, likes.matrix.sum(0).A1, strict=True))
    found = [row[1] for row in rows if row[0] == "nobody"]
    assert [counts[item] for item in found] == sorted(counts.values(), reverse=True)[:3]
    assert [row[2] for row in rows if row[0] == "nobody"] == [""] * 3


def test_options_and_ids_in_any_order(folder, capsys, tmp_path, monkeypatch):
    expected, _ = asked(capsys, "recommend", folder / "plain", "u1", "u2", "-n", "2")
    assert len(expected) == 4
    for order in (["-n", 2, folder / "plain", "u1", "u2"], [folder / "plain", "-n", "2", "u1", "u2"],
                  [folder / "plain", "u1", "-n2", "u2"], [folder / "plain", "-n", "2", "--", "u1", "u2"]):  # fmt: skip
        assert asked(capsys, "recommend", *order)[0] == expected
    (tmp_path / "who.txt").write_text("u1\n\nu2\r\n")
    assert asked(capsys, "recommend", folder / "plain", "--users-from", tmp_path / "who.txt", "-n", "2")[0] == expected
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"u1\nu2\n")))
    assert asked(capsys, "recommend", folder / "plain", "--users-from", "-", "-n", "2")[0] == expected


def test_ids_that_begin_with_a_dash(capsys, tmp_path):
    names = ["-1", "-n", "--", "5"]
    lines = [f"{names[u % 4]},i{i}" for u in range(4) for i in range(u % 2, 9, 2) if (u + i) % 5]
    (tmp_path / "likes.csv").write_text("\n".join(["user,item", *lines, ""]))
    model = tmp_path / "m"
    assert main(["train", str(tmp_path / "likes.csv"), "--model", str(model), *FAST]) == 0
    (tmp_path / "who").write_text("\n".join(names))
    capsys.readouterr()
    assert {row[0] for row in asked(capsys, "recommend", model, "-n", "1", "--users-from", tmp_path / "who")[0]} == set(
        names
    )
    assert asked(capsys, "recommend", model, "-n", "1", "--", "-n")[0][0][0] == "-n"


def test_new_users_are_placed_by_their_likes(folder, capsys, tmp_path):
    (tmp_path / "new.csv").write_text("user,item\nkim,i0\nkim,i2\nkim,strange\nu1,i3\n")
    rows, told = asked(capsys, "recommend", folder / "plain", "--likes", tmp_path / "new.csv", "-n", "4")
    assert "1 of 4 likes are of items that the model does not know" in told
    assert list(dict.fromkeys(row[0] for row in rows)) == ["kim", "u1"]
    evens = [int(row[1][1:]) % 2 == 0 for row in rows if row[0] == "kim"]
    assert all(evens)
    assert not {"i0", "i2"} & {row[1] for row in rows if row[0] == "kim"}
    known = Interactions.from_csv(folder / "likes.csv")
    liked = set(known.item_ids[known.matrix[known.user_index("u1")].indices]) | {"i3"}
    assert not liked & {row[1] for row in rows if row[0] == "u1"}
    rows, _ = asked(capsys, "recommend", folder / "plain", "kim", "u2", "--likes", tmp_path / "new.csv", "-n", "1")
    assert [row[0] for row in rows] == ["kim", "u2"]
    (tmp_path / "new.csv").write_text("user,item\nkim,strange\n")
    assert (
        "names no item that the model knows"
        in asked(capsys, "recommend", folder / "plain", "--likes", tmp_path / "new.csv", code=3)[1]
    )


def test_new_users_and_items_are_placed_by_their_tags(folder, capsys, tmp_path):
    (tmp_path / "people.csv").write_text("user,town\nkim,t0\nlee,t1\n")
    (tmp_path / "tags.csv").write_text("item,tag\nnew0,even\nnew1,odd\n")
    features = ["--user-features", tmp_path / "people.csv", "--item-features", tmp_path / "tags.csv"]
    rows, _ = asked(capsys, "recommend", folder / "tagged", "kim", "lee", "-n", "5", *features)
    model = CML.load(folder / "tagged")
    for name, town in (("kim", 0), ("lee", 1)):
        near = [row[1] for row in rows if row[0] == name]
        assert sum(int(one[-1]) % 2 == town for one in near) >= 4
    near = [row[1] for row in asked(capsys, "similar", folder / "tagged", "new0", *features, "-n", "5")[0]]
    assert sum(int(one[-1]) % 2 == 0 for one in near) >= 4
    assert "new0" not in model.item_ids_
    assert "no network" in asked(capsys, "recommend", folder / "plain", "kim", *features, code=3)[1]


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_files_of_answers_with_titles(form, folder, capsys, tmp_path):
    target = tmp_path / f"answers.{form}"
    arguments = ["recommend", folder / "plain", "u1", "nobody", "--unknown", "popular", "-n", "3"]
    expected, _ = asked(capsys, *arguments)
    for given in (["-o", target], ["-o", target.with_suffix(".x"), "--format", form]):
        titles = ["--titles", folder / "titles.csv"]
        assert main([str(one) for one in (*arguments, *given, *titles)]) == 0
        assert capsys.readouterr().out == f"wrote {given[1]}\n"
    assert target.read_bytes() == target.with_suffix(".x").read_bytes()
    assert len(list(tmp_path.iterdir())) == 2  # no half-written file
    if form == "csv":
        found = list(csv.DictReader(target.open(newline="")))
    elif form == "jsonl":
        found = [json.loads(line) for line in target.read_text().splitlines()]
    else:
        found = parquet.read_table(target).to_pylist()
    assert [[row["user"], row["item"]] for row in found] == [row[:2] for row in expected]
    assert [row["title"] for row in found] == [f"Title, {row['item'][1:]}" for row in found]
    for row, (*_, score) in zip(found, expected, strict=True):
        assert (
            (row["score"] in ("", None))
            if score == ""
            else float(row["score"]) == pytest.approx(float(score), rel=1e-5)
        )


def test_a_file_of_answers_is_whole_or_what_it_was(folder, capsys, tmp_path):
    target = tmp_path / "answers.csv"
    target.write_text("precious")
    assert main(["recommend", str(folder / "plain"), "--titles", "none.csv", "-o", str(target)]) == 3
    assert main(["recommend", str(folder / "plain"), "nobody", "-o", str(target)]) == 3
    assert target.read_text() == "precious"
    assert main(["recommend", str(folder / "plain"), "-o", str(tmp_path / "no" / "a.csv")]) == 3
    assert "folder does not exist" in capsys.readouterr().err
    assert [one.name for one in tmp_path.iterdir()] == ["answers.csv"]


def test_several_models_and_settings_side_by_side(folder, capsys, monkeypatch):
    likes = str(folder / "likes.csv")
    assert main(["evaluate", likes, *FAST, "--also", "--loss warp --margin 2", "-k", "5", "-q"]) == 0
    output = capsys.readouterr()
    assert output.err == ""
    head, first, *_ = output.out.splitlines()
    assert head.split() == ["popularity", "CML", "--loss", "warp", "--margin", "2"]
    assert len(first.split()) == 4
    held = folder / "held.csv"
    held.write_text("user,item\nu1,i0\nu2,i1\nstranger,i0\nu1,strange\n")
    models = ["--model", str(folder / "plain"), "--model", str(folder / "tagged")]
    assert main(["evaluate", str(held), *models, "-k", "5", "--drop-unknown"]) == 0
    output = capsys.readouterr()
    assert "2 of 4 are of unknown users or items" in output.err
    model = CML.load(folder / "tagged")
    expected = model.evaluate(Interactions.from_csv(held).select(model.user_ids_, model.item_ids_), 5)
    assert float(output.out.splitlines()[1].split()[-1]) == round(expected["recall@5"], 4)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(held.read_bytes())))  # which can be read once
    assert main(["evaluate", "-", *models, "-k", "5", "--drop-unknown"]) == 0
    assert capsys.readouterr().out == output.out
    assert main(["evaluate", str(held), *models, "-k", "5"]) == 3
    assert "stranger" in capsys.readouterr().err


def test_evaluation_by_time_and_by_the_last(folder, capsys, tmp_path):
    rng = np.random.default_rng(0)
    lines = (folder / "likes.csv").read_text().splitlines()[1:]
    (tmp_path / "timed.csv").write_text(
        "\n".join(["user,item,when", *(f"{line},{rng.integers(100)}" for line in lines)])
    )
    for options in (["--time", "when"], ["--time", "when", "--leave-out", "1"], ["--leave-out", "2"]):
        assert main(["evaluate", str(tmp_path / "timed.csv"), *options, *FAST, "-k", "5"]) == 0
        assert "recall@5" in capsys.readouterr().out


def test_where_popularity_is_ahead_it_is_said(capsys, tmp_path):
    rng = np.random.default_rng(0)
    chance = 0.9 / (1 + np.arange(30))  # all users have the same taste
    lines = [f"u{u},i{i}" for u in range(60) for i in range(30) if rng.random() < chance[i]]
    (tmp_path / "likes.csv").write_text("\n".join(["user,item", *lines, ""]))
    assert main(["evaluate", str(tmp_path / "likes.csv"), "--leave-out", "1", *FAST, "-k", "1"]) == 0
    out = capsys.readouterr().out
    (row,) = (line.split() for line in out.splitlines() if line.startswith("recall@1"))
    assert float(row[1]) > float(row[2])
    assert f"popularity is ahead in recall@1, {row[1]} to {row[2]}" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("train LIKES --model m --feature-weight 3", "--feature-weight goes with --item-features"),
        ("evaluate LIKES --feature-weight 3", "--feature-weight goes with --item-features"),
        ("train LIKES --model m --validation-measure ndcg@5", "--validation-measure goes with --validation"),
        ("train LIKES --model m --drop-unknown", "--drop-unknown goes with --validation"),
        ("train LIKES --model m --min-value 3", "--min-value goes with --value"),
        ("evaluate LIKES --drop-unknown", "--drop-unknown goes with --model"),
        ("evaluate LIKES --model PLAIN --n-epochs 3", "--n-epochs does not go with --model"),
        ("evaluate LIKES --model PLAIN --seed 3", "--seed does not go with --model"),
        ("evaluate LIKES --model PLAIN --time when", "--time does not go with --model"),
        ("evaluate LIKES --model PLAIN --also x", "--also does not go with --model"),
        ("evaluate LIKES --also --n-epochs=x", "cmlfast evaluate"),
        ("evaluate LIKES --leave-out 0", "--leave-out is 0"),
        ("recommend PLAIN --unknown popular", "--unknown goes with users' ids or --likes"),
        ("recommend PLAIN --delimiter ;", "--delimiter goes with --likes"),
        ("recommend PLAIN --user who", "--user goes with --likes"),
        ("similar PLAIN", "required: ID"),
        ("similar PLAIN u1 --users --titles LIKES", "--titles does not go with --users"),
    ],
)
def test_what_has_no_effect_is_refused_by_the_name_of_the_command(arguments, message, folder, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    words = [{"LIKES": "likes.csv", "PLAIN": "plain"}.get(word, word) for word in arguments.split()]
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert message in told
    assert told.splitlines()[0] == f"cmlfast {words[0]} --help shows all options"
    assert len(told.splitlines()) == 2


def test_what_means_nothing_to_parquet_is_refused(folder, capsys, tmp_path):
    from pyarrow import csv as arrow_csv

    parquet.write_table(arrow_csv.read_csv(folder / "likes.csv"), tmp_path / "likes.parquet")
    assert main(["train", str(tmp_path / "likes.parquet"), "--decimal", ",", "--model", str(tmp_path / "m")]) == 3
    assert "is Parquet, to which --decimal means nothing" in capsys.readouterr().err


def test_an_index_is_built_kept_and_used(folder, capsys, tmp_path):
    model = tmp_path / "indexed"
    assert main(["index", str(folder / "plain"), "annoy", "n_trees=7", "-o", str(model)]) == 0
    said = capsys.readouterr().out
    assert "annoy: n_trees 7; 24 items in" in said
    assert f"wrote {model}" in said
    assert CML.load(model).index == {"kind": "annoy", "n_trees": 7, "search_k": None}
    assert main(["info", str(model)]) == 0
    assert "annoy" in capsys.readouterr().out
    expected = asked(capsys, "recommend", folder / "plain", "-n", "3")[0]
    for how in ([], ["--index", "annoy"], ["--index", "exact"], ["--index", "hnsw"], ["--index", "ivf"]):
        rows = asked(capsys, "recommend", model, "-n", "3", *how)[0]
        assert [row[0] for row in rows] == [row[0] for row in expected]
        if how == ["--index", "exact"]:
            assert rows == expected
    assert main(["index", str(model), "exact"]) == 0
    assert capsys.readouterr().out.startswith("exact; 24 items")
    assert [path.name for path in tmp_path.iterdir()] == ["indexed"]
    for wrong, message in (
        (("annoy", "n_probe=3"), "n_probe is no parameter"),
        (("annoy", "n_trees=0"), "n_trees is 0"),
    ):
        assert message in asked(capsys, "index", model, *wrong, code=3)[1]
    for wrong in (("tree",), ("annoy", "n_trees"), ("annoy", "n_trees=many")):
        with pytest.raises(SystemExit, match="2"):
            main(["index", str(model), *wrong])


def test_the_indexes_are_the_models():
    assert set(INDEXES) == {"exact", *KINDS}
