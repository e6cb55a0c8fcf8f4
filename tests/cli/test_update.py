"""``cmlfast update``: a day's likes into a model, what is said of it, and that nothing is lost on the way."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

from cmlfast import CML, Interactions
from cmlfast_cli import main

DAY = 86_400
START = 1_700_000_000
TIMED = ["--time", "when"]


def run(*words: str) -> int:
    return main(list(words))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Give a model of users 0 to 29, of whom those below 10 were last seen long ago, and a day of likes."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"user": np.repeat(np.arange(30), 12), "item": rng.integers(0, 40, 360)})
    frame["when"] = START + np.where(frame.user < 10, 0, 80 * DAY) + rng.integers(0, DAY, 360)
    frame.to_csv(tmp_path / "likes.csv", index=False)
    assert run("train", "likes.csv", *TIMED, "--model", "m", "--n-components", "4", "--n-epochs", "2", "-q") == 0
    known = set(zip(frame.user, frame.item, strict=True))
    fresh = next(item for item in range(40) if (15, item) not in known)
    day = [(15, fresh), (16, frame.item[frame.user == 16].iloc[0]), (100, 3), (101, 4), (17, 777)]
    pd.DataFrame([(*one, START + 90 * DAY) for one in day], columns=["user", "item", "when"]).to_csv(
        "day.csv", index=False
    )
    return tmp_path


def test_it_is_load_partial_fit_save(folder, capsys) -> None:
    expected = CML.load("m").partial_fit(Interactions.from_csv("day.csv", time="when"))
    capsys.readouterr()
    assert run("update", "m", "day.csv", *TIMED, "-o", "other") == 0
    out = capsys.readouterr().out
    model = CML.load("other")
    np.testing.assert_array_equal(model.user_embedding_, expected.user_embedding_)
    np.testing.assert_array_equal(model.item_embedding_, expected.item_embedding_)
    assert (model.user_items_.matrix != expected.user_items_.matrix).nnz == 0
    assert "4 of them new" in out  # user 16 had theirs
    assert "users: 2 new, 2 grown, 0 dropped; 32 now" in out
    n_items = len(CML.load("m").item_ids_)
    assert f"items: 1 new, 3 grown, 0 dropped; {n_items + 1} now" in out
    assert len(CML.load("m").user_ids_) == 30, "the old model is left alone"


def test_without_kept_likes_those_with_any_have_grown(folder, capsys) -> None:
    CML(4, n_epochs=1, random_state=0, keep_user_items=False).fit(Interactions.from_csv("likes.csv")).save("m")
    assert run("update", "m", "day.csv") == 0
    assert "users: 2 new, 3 grown, 0 dropped; 32 now" in capsys.readouterr().out


def test_who_is_gone_is_dropped_and_counted(folder, capsys) -> None:
    assert run("update", "m", "day.csv", *TIMED, "--drop-users-after", "30", "--drop-items-after", "60") == 0
    out = capsys.readouterr().out
    assert "users: 2 new, 2 grown, 10 dropped; 22 now" in out
    assert sorted(CML.load("m").user_ids_) == [*range(10, 30), 100, 101]
    assert run("update", "m", "day.csv", "-q") == 0
    assert capsys.readouterr().out == ""


def test_a_prepared_day_is_as_good(folder) -> None:
    assert run("prepare", "day.csv", *TIMED, "-o", "day.prepared", "-q") == 0
    assert run("update", "m", "day.csv", *TIMED, "-o", "a", "-q") == 0
    assert run("update", "m", "day.prepared", "-o", "b", "-q") == 0
    a, b = CML.load("a"), CML.load("b")
    np.testing.assert_array_equal(a.user_embedding_, b.user_embedding_)
    np.testing.assert_array_equal(a._fitted.last_seen.user, b._fitted.last_seen.user)


def test_an_index_is_built_anew(folder, capsys) -> None:
    pytest.importorskip("annoy")
    assert run("index", "m", "annoy", "n_trees=7") == 0
    old = next(folder.glob("m.*.annoy"))
    assert run("update", "m", "day.csv", *TIMED) == 0
    assert "annoy index built anew" in capsys.readouterr().out
    new = [file for file in folder.glob("m.*") if file.suffix == ".annoy"]
    assert len(new) == 1
    assert new != [old]
    model = CML.load("m")
    assert (model.index["kind"], model.index["n_trees"]) == ("annoy", 7)
    found, _ = model.recommend(model.user_ids_, N=3)
    exact, _ = CML.load("m").build_index("exact").recommend(model.user_ids_, N=3)
    np.testing.assert_array_equal(found, exact)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("update m nowhere.csv", "no such file"),
        ("update nowhere day.csv", "there is no such file"),
        ("update m m", "m is a model, no table"),
        ("update likes.csv day.csv", "which is text and no model file"),
        ("update m day.csv -o day.csv", "is there and is no model"),
        ("update m day.csv -o nowhere/x", "its folder does not exist"),
        ("update m words.csv", "no user and no item that the model knows"),
        ("update m day.csv --item-features tags.csv", "item_features"),
        ("update plain day.csv --drop-users-after 3", "knows no dates of likes"),
        ("update m day.csv --freeze-items", "would stay at random places"),
    ],
)
def test_what_goes_wrong_is_said_and_the_model_is_what_it_was(folder, words, message, capsys) -> None:
    (folder / "words.csv").write_text("user,item\nann,x\n")
    (folder / "tags.csv").write_text("item,tag\n777,new\n")
    assert run("train", "likes.csv", "--model", "plain", "--n-components", "4", "--n-epochs", "1", "-q") == 0
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    capsys.readouterr()
    assert run(*words.split()) == 3
    assert message in capsys.readouterr().err
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before


def test_a_write_that_fails_leaves_model_and_index(folder, monkeypatch, capsys) -> None:
    pytest.importorskip("annoy")
    assert run("index", "m", "annoy") == 0
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    replace, n_calls = os.replace, 0

    def full(*names):
        nonlocal n_calls
        n_calls += 1
        if n_calls == 2:  # the index has been written, the model is not
            raise OSError(28, "No space left on device")
        replace(*names)

    monkeypatch.setattr(os, "replace", full)
    assert run("update", "m", "day.csv", *TIMED) == 3
    assert "No space left" in capsys.readouterr().err
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before


LOOP = """
import sys
from cmlfast_cli import main
while True:
    if main(["update", "m", "day.csv", "--time", "when"]):
        sys.exit("an update failed")
"""


@pytest.mark.slow
def test_a_killed_update_leaves_a_whole_model(folder) -> None:
    """Killed twice, at a moment within 200 ms, of updates that follow each other as fast as they can."""
    rng = np.random.default_rng(0)
    n_epochs = [len(CML.load("m").history_)]
    for _ in range(2):
        process = subprocess.Popen([sys.executable, "-c", LOOP], stdout=subprocess.PIPE, text=True)
        for line in process.stdout:
            if line.startswith("wrote"):
                break
        time.sleep(rng.random() * 0.2)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        model = CML.load("m")  # which checks it
        n_epochs.append(len(model.history_))
        assert len(model.recommend(15, N=3)[0]) == 3
        for part in folder.glob(".cmlfast-*"):
            part.unlink()
    assert n_epochs[0] < n_epochs[1] < n_epochs[2]
