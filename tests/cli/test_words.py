"""What the command says where a newcomer hesitates: misspelt words, rows left out, files of another kind."""

import csv
import io
import json
import logging
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

import cmlfast_cli
from cmlfast import CML, Interactions, split_by_time
from cmlfast_cli import main

FAST = ["--n-components", "8", "--n-epochs", "3"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("words")
    rng = np.random.default_rng(0)
    lines = [f"C{u:03},i{i},{u * 7 % 50 + i},{i % 5 + 1}" for u in range(40) for i in range(24) if rng.random() < 0.5]
    (folder / "likes.csv").write_text("\n".join(["user,item,day,stars", *lines, *lines[:3], ""]))
    (folder / "titles.csv").write_text("item,title,kind\n" + "".join(f"i{i},t{i},k{i % 3}\n" for i in range(24)))
    assert (
        main(
            ["train", str(folder / "likes.csv"), "--model", str(folder / "m"), *FAST, "--learning-rate", "0.123456789"]
        )
        == 0
    )
    return folder


def told(capsys, *words, code: int = 0):
    capsys.readouterr()
    try:
        found = main([str(word) for word in words])
    except SystemExit as ended:
        found = ended.code
    output = capsys.readouterr()
    assert found == code, output.err
    return output.out, output.err


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("train x --model m --epochs 5", "unrecognized arguments: --epochs 5; --epochs: did you mean --n-epochs?"),
        ("train x --modle m", "the following arguments are required: --model; --modle: did you mean --model?"),
        ("evaluate x --lerning-rate=1", "did you mean --learning-rate?"),
        ("trian x", "trian: did you mean train?"),
    ],
)
def test_a_misspelt_word_is_told_what_it_may_mean_in_two_lines(words, error, capsys):
    _, err = told(capsys, *words.split(), code=2)
    first, second = err.splitlines()
    assert first in ("cmlfast --help shows all options", f"cmlfast {words.split()[0]} --help shows all options")
    assert second.endswith(error)


def test_what_is_spelt_well_is_no_suggestion(capsys):
    assert "did you mean" not in told(capsys, "recommend", "m", "-n", "0", "--unk", "popular", code=2)[1]
    assert "did you mean" not in told(capsys, "evaluate", "x", "--leave-out", "0", "--also", "--loss warp", code=2)[1]


def test_rows_with_empty_cells_are_dropped_by_the_option_that_the_error_names(folder, capsys):
    (folder / "gaps.csv").write_text((folder / "likes.csv").read_text() + ",i1,3,1\nC001,,3,1\n")
    arguments = ["train", folder / "gaps.csv", "--model", folder / "gaps", *FAST]
    _, err = told(capsys, *arguments, code=3)
    assert "1 in user, 1 in item; rows" in err
    assert "(--skip-bad-lines)" in err
    assert "2 rows left out for an empty cell, the first of them row" in told(capsys, *arguments, "--skip-bad-lines")[1]


def test_the_parts_of_every_split_are_told(folder, capsys, caplog):
    likes = Interactions.from_csv(folder / "likes.csv", time="day")
    with caplog.at_level(logging.INFO, "cmlfast"):
        sizes = [part.nnz for part in split_by_time(likes)]
    lost = likes.nnz - sum(sizes)
    assert lost > 0
    by_time = "split by time: {} train, {} validation, {} test; ".format(*sizes)
    by_time += f"{lost} of users or items that training does not know are left out"
    assert by_time in caplog.text
    arguments = ["evaluate", folder / "likes.csv", "-k", "5", *FAST]
    assert f"cmlfast: {by_time}\n" in told(capsys, *arguments, "--time", "day")[1]
    _, err = told(capsys, *arguments, "--leave-out", "2")
    assert f"split by each user's random 2: {likes.nnz - 160} train, 80 validation, 80 test" in err
    assert "split of each user's likes at random: " in told(capsys, *arguments)[1]
    assert told(capsys, *arguments, "-q")[1] == ""


def test_likes_are_counted_without_the_names_of_classes(folder, capsys):
    out, _ = told(
        capsys, "train", folder / "likes.csv", "--model", folder / "n", "--n-components", "8", "--n-epochs", "1"
    )
    likes = Interactions.from_csv(folder / "likes.csv")
    assert out.splitlines()[0] == f"40 users, 24 items, {likes.nnz} likes; 3 repeated rows merged"
    assert "trained 1 epoch in" in out
    assert "did you" not in out


def test_ratings_without_a_least_one_are_asked_about(folder, capsys):
    arguments = ["train", folder / "likes.csv", "--value", "stars", "--model", folder / "n", *FAST]
    assert told(capsys, *arguments)[1].count("ratings of 1 to 5: is each a like? min_value=4 (--min-value 4)") == 1
    assert "ratings" not in told(capsys, *arguments, "--min-value", "4")[1]


def test_a_broken_off_training_says_whether_anything_was_written(folder, capsys, monkeypatch):
    fit = CML.fit

    def interrupted(self, *given, **named):
        return fit(self, *given, **{**named, "callback": lambda _: os.kill(os.getpid(), signal.SIGINT)})

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        monkeypatch.setattr(CML, "fit", interrupted)
        arguments = ["train", folder / "likes.csv", "--model", folder / "broken", *FAST]
        _, err = told(capsys, *arguments, code=130)
        assert f"no model was written to {folder / 'broken'}; with --checkpoint DIR" in err
        _, err = told(capsys, *arguments, "--checkpoint", folder / "c", code=130)
        assert "no model was written" not in err
        assert not (folder / "broken").exists()
        monkeypatch.undo()
        _, err = told(capsys, *arguments, "--checkpoint", folder / "c")
        assert "goes on from a checkpoint of 1 whole epoch and 0 batches" in err
    finally:
        signal.signal(signal.SIGINT, before)


def test_an_unknown_id_is_told_the_nearest_one_and_of_others_only_where_there_are_some(folder, capsys):
    _, err = told(capsys, "recommend", folder / "m", "c012", code=3)
    assert err == "cmlfast: error: the model knows no user 'c012' (did you mean 'C012'?)\n"
    _, err = told(capsys, "recommend", folder / "m", "nobody", "C001", code=3)
    assert err == "cmlfast: error: the model knows no user 'nobody'; others were answered\n"
    assert "no item 'i99'" in told(capsys, "similar", folder / "m", "i99", code=3)[1]
    assert "(did you mean 'C012'?)" in told(capsys, "explain", folder / "m", "c012", "i1", code=3)[1]


def test_new_users_who_like_nothing_known_are_named_or_get_what_is_popular(folder, capsys):
    (folder / "new.csv").write_text("user,item\nkim,i0\nlee,strange\nC001,stranger\n")
    arguments = ["recommend", folder / "m", "--likes", folder / "new.csv", "-n", "2"]
    out, err = told(capsys, *arguments, code=3)
    rows = list(csv.reader(io.StringIO(out)))[1:]
    assert list(dict.fromkeys(row[0] for row in rows)) == ["C001", "kim"]
    assert (
        "no like of user 'lee' is of an item that the model knows (--unknown popular answers for them); others" in err
    )
    out, err = told(capsys, *arguments, "--unknown", "popular")
    rows = [row for row in csv.reader(io.StringIO(out)) if row[0] == "lee"]
    assert [row[1] for row in rows] == CML.load(folder / "m").popular_items(2)[0].tolist()
    assert [row[2] for row in rows] == ["", ""]
    assert "no like of user 'lee'" in told(capsys, *arguments, "lee", code=3)[1]
    explain = ["explain", folder / "m", "lee", "i1", "--likes", folder / "new.csv"]
    assert "no like of user 'lee'" in told(capsys, *explain, code=3)[1]


def test_files_are_named_when_they_are_written(folder, capsys):
    for arguments in (["recommend", "C001"], ["similar", "i1"], ["explain", "C001", "i1"]):
        words = [arguments[0], folder / "m", *arguments[1:], "-o", folder / "a.csv"]
        assert told(capsys, *words)[0] == f"wrote {folder / 'a.csv'}\n"
        assert told(capsys, *words, "-q")[0] == ""
    out, _ = told(capsys, "index", folder / "m", "annoy", "-o", folder / "indexed")
    (beside,) = folder.glob("indexed.*.annoy")
    assert f"wrote {folder / 'indexed'}, and beside it {beside.name}\n" in out


def test_numbers_have_six_digits_where_people_read_them(folder, capsys):
    found = CML.load(folder / "m").explain("C001", "i1", N=3)
    out, _ = told(capsys, "explain", folder / "m", "C001", "i1", "-n", "3")
    assert [row["distance"] for row in csv.DictReader(io.StringIO(out))] == [f"{one:.6g}" for one in found.distances]
    out, _ = told(capsys, "explain", folder / "m", "C001", "i1", "-n", "3", "--format", "jsonl")
    assert [json.loads(line)["share"] for line in out.splitlines()] == [float(f"{one:.6g}") for one in found.shares]
    facts = CML.load(folder / "m").summary()
    assert any(isinstance(value, float) and value != float(f"{value:.6g}") for value in facts.values())
    lines = told(capsys, "info", folder / "m")[0].splitlines()
    for name, value in facts.items():
        if isinstance(value, float):
            assert f"{name:18} {value:.6g}" in lines


def test_a_text_is_no_model(folder, capsys):
    _, err = told(capsys, "info", folder / "likes.csv", code=3)
    assert "likes.csv', which is text and no model file: MODEL is what cmlfast train, or CML.save, wrote" in err
    (folder / "cut").write_bytes((folder / "m").read_bytes()[:-9])
    assert "damaged or no model file" in told(capsys, "info", folder / "cut", code=3)[1]
    with pytest.raises(TypeError, match=r"user_items is 'c4\.csv', not .* Interactions\.from_csv\(path\) reads a file"):
        CML().fit("c4.csv")


def test_a_wrong_color_is_told_by_its_option_before_the_model_is_loaded(folder, capsys):
    words = ["map", folder / "none", "-o", folder / "m.html", "--titles", folder / "titles.csv", "--color", "colour"]
    _, err = told(capsys, *words, code=3)
    assert "error: --color colour: " in err
    assert "this column is not there; the columns are ['item', 'title', 'kind']" in err
    assert "value=" not in err


@pytest.mark.slow
def test_the_map_tells_of_columns_once(folder, capsys):
    pytest.importorskip("openTSNE")
    words = ["map", folder / "m", "-o", folder / "m.html", "--titles", folder / "titles.csv", "--color", "kind"]
    _, err = told(capsys, *words)
    assert "titles.csv" in err
    assert "the frame" not in err
    assert not logging.getLogger("cmlfast").filters


BUSY = """
import os, sys
os.getloadavg = lambda: ({load}, 0, 0)
from cmlfast_cli import main
code = main(sys.argv[1:])
print(code, os.environ.get("OMP_WAIT_POLICY"), "torch" in sys.modules)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "getloadavg"), reason="this system does not tell its load")
@pytest.mark.parametrize(
    ("load", "given", "words", "expected", "is_told"),
    [
        (1e9, None, ["train", "none.csv", "--model", "m"], "PASSIVE", True),
        (1e9, None, ["train", "none.csv", "--model", "m", "-q"], "PASSIVE", False),
        (1e9, "ACTIVE", ["train", "none.csv", "--model", "m"], "ACTIVE", False),
        (0, None, ["train", "none.csv", "--model", "m"], "None", False),
    ],
)
def test_threads_sleep_where_the_machine_is_busy(load, given, words, expected, is_told):
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    environment |= {"OMP_WAIT_POLICY": given} if given else {}
    script = [sys.executable, "-c", BUSY.format(load=load), *words]
    found = subprocess.run(script, capture_output=True, text=True, env=environment)
    assert found.stdout.split() == ["3", expected, "True"], found.stderr
    assert ("OMP_WAIT_POLICY=PASSIVE" in found.stderr) == is_told


def test_nothing_is_changed_once_torch_is_there(monkeypatch):
    monkeypatch.setattr(os, "getloadavg", lambda: (1e9, 0, 0))
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    assert not cmlfast_cli._let_threads_sleep()
    assert "OMP_WAIT_POLICY" not in os.environ
