"""``cmlfast prepare``: what it writes is taken as DATA everywhere, and is the same as the tables."""

import csv

import numpy as np
import pytest

from cmlfast import CML, Interactions
from cmlfast_cli import main

FAST = ["--n-components", "4", "--n-epochs", "2"]
READING = ["--value", "rating", "--min-value", "3", "--time", "when"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    (tmp_path / "logs").mkdir()
    for number in range(3):
        with open(tmp_path / "logs" / f"{number}.csv", "w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("user", "item", "rating", "when"))
            for _ in range(600):
                user, item, rating, when = (int(rng.integers(high)) for high in (40, 60, 6, 86_400 * 100))
                writer.writerow((f"u{user}", item, rating, 1_700_000_000 + when))
    return tmp_path


def run(*words: str) -> int:
    return main(list(words))


def test_models_and_measures_are_those_of_the_tables(folder, capsys) -> None:
    assert run("prepare", "logs", *READING, "-o", "likes.prepared") == 0
    assert "wrote likes.prepared" in capsys.readouterr().out
    for data, model in ((["logs", *READING], "a.model"), (["likes.prepared"], "b.model")):
        assert run("train", *data, "--model", model, *FAST) == 0
    tables, prepared = (CML.load(name) for name in ("a.model", "b.model"))
    np.testing.assert_array_equal(tables.user_embedding_, prepared.user_embedding_)
    capsys.readouterr()
    measured = []
    for words in (["logs", *READING], ["likes.prepared", "--by-time"]):
        assert run("evaluate", *words, *FAST, "-k", "10", "-q") == 0
        measured.append(capsys.readouterr().out)
    assert measured[0] == measured[1]
    assert run("evaluate", "likes.prepared", "--by-time", "--leave-out", "2", *FAST, "-q") == 0
    assert run("evaluate", "likes.prepared", "--model", "a.model", "-q") == 3
    assert "pairs in common with the training matrix" in capsys.readouterr().err  # it was trained on them
    assert run("recommend", "a.model", "u1", "--likes", "likes.prepared", "-q") == 0


def test_the_last_days_of_a_prepared_file_and_of_its_tables(folder) -> None:
    assert run("prepare", "logs", *READING, "-o", "all.prepared", "-q") == 0
    assert run("prepare", "logs", *READING, "--last-days", "20", "-o", "recent.prepared", "-q") == 0
    assert run("prepare", "all.prepared", "--last-days", "20", "-o", "again.prepared", "-q") == 0
    whole, recent, again = (Interactions.load(f"{name}.prepared") for name in ("all", "recent", "again"))
    assert 0 < recent.nnz < whole.nnz
    assert recent.times.min() >= whole.times.max() - 20 * 86_400
    np.testing.assert_array_equal(recent.matrix.toarray(), again.matrix.toarray())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("prepare logs likes.prepared -o x", "likes.prepared is prepared: give it alone, or prepare all"),
        ("train likes.prepared --user who --model x", "is prepared already, to which --user means nothing"),
        ("train likes.prepared --skip-bad-lines --model x", "to which --skip-bad-lines means nothing"),
        ("train plain.prepared --last-days 3 --model x", "have no times"),
        ("evaluate plain.prepared --by-time", "have no times"),
        ("prepare logs -o logs/1.csv", "--output logs/1.csv is a file of data"),
        ("prepare logs -o notes.txt", "is there and is no prepared file"),
        ("prepare likes.prepared -o likes.prepared", "is a file of data"),
        ("prepare nowhere.csv -o x", "no such file"),
        ("prepare logs -o nowhere/x", "its folder does not exist"),
        ("train a.model --model x", "a.model is a model, no table of likes"),
        ("train logs --model likes.prepared", "is there and is no model"),
        ("info likes.prepared", "likes that cmlfast prepare wrote, no model"),
    ],
)
def test_what_goes_wrong_is_said_by_name_and_nothing_is_written(folder, words, message, capsys) -> None:
    run("prepare", "logs", *READING, "-o", "likes.prepared", "-q")
    run("prepare", "logs", "-o", "plain.prepared", "-q")
    run("train", "plain.prepared", "--model", "a.model", *FAST, "-q")
    (folder / "notes.txt").write_text("mine")
    before = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    capsys.readouterr()
    assert run(*words.split()) == 3
    assert message in capsys.readouterr().err
    assert {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()} == before


def test_a_bad_row_in_the_last_file_leaves_nothing_written(folder, capsys) -> None:
    with open(folder / "logs" / "2.csv", "a") as file:
        file.write("u1,2,many,5\n")
    assert run("prepare", "logs", *READING, "-o", "likes.prepared") == 3
    told = capsys.readouterr().err
    assert "2.csv" in told
    assert "'many'" in told or "string, not numbers" in told
    assert [path.name for path in folder.iterdir()] == ["logs"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("prepare logs", "-o/--output"),
        ("prepare logs -o x --last-days 0", "--last-days is 0.0; it must be above 0"),
        ("prepare logs -o x --min-count 0", "--min-count is 0; it must be at least 1"),
        ("prepare logs -o x --min-value 3", "--min-value goes with --value"),
        ("evaluate logs --model m --by-time", "--by-time does not go with --model"),
        ("recommend m --min-count 2", "--min-count goes with --likes"),
    ],
)
def test_wrong_options(folder, words, message, capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        run(*words.split())
    assert ended.value.code == 2
    assert message in capsys.readouterr().err
