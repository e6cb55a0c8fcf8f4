"""`cmlfast train --report`: checked before the training, written behind the model, also of what was broken off."""

import os
import re
import signal

import numpy as np
import pytest

from cmlfast import CML
from cmlfast.data import tensor_file
from cmlfast.training import DivergedError
from cmlfast_cli import main

pytest.importorskip("plotly")
pytest.importorskip("matplotlib")
FAST = ["--n-components", "8", "--n-epochs", "4"]


@pytest.fixture
def likes(tmp_path):
    rng = np.random.default_rng(0)
    lines = [f"u{u},i{i}" for u in range(40) for i in range(u % 2, 24, 2) if rng.random() < 0.5]
    (tmp_path / "likes.csv").write_text("\n".join(["user,item", *lines, ""]))
    return tmp_path / "likes.csv"


def text_of(page) -> str:
    return re.sub(r"<script.*?</script>", "", page.read_text(), flags=re.DOTALL)


@pytest.mark.parametrize("name", ["r.html", "r.png"])
def test_it_is_written_and_told(likes, tmp_path, capsys, name):
    report = tmp_path / name
    assert main(["train", str(likes), "--model", str(tmp_path / "m"), "--report", str(report), *FAST]) == 0
    assert capsys.readouterr().out.splitlines()[-2:] == [f"wrote {tmp_path / 'm'}", f"wrote {report}"]
    if name == "r.html":
        assert "<th>n_epochs</th><td>4</td><td>4</td>" in text_of(report)
    else:
        assert report.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("report", "text"),
    [
        ("r.pdf", "its name must end in .html or .png"),
        ("no/r.html", "folder does not exist"),
        ("m.html", "is the model or a file of data"),
        ("likes.html", "is the model or a file of data"),
    ],
)
def test_a_wrong_path_is_told_before_the_training(likes, tmp_path, capsys, monkeypatch, report, text):
    likes = likes.rename(tmp_path / "likes.html")
    monkeypatch.setattr(CML, "fit", lambda *_, **__: pytest.fail("it trained"))
    arguments = [str(likes), "--model", str(tmp_path / "m.html"), "--report", str(tmp_path / report)]
    assert main(["train", *arguments, *FAST]) == 3
    assert text in capsys.readouterr().err
    assert "u1," in likes.read_text()


def test_the_model_is_there_if_the_report_cannot_be_written(likes, tmp_path, capsys, monkeypatch):
    def full(path, *_):
        if str(path).endswith(".html"):
            raise OSError(28, "No space left on device", str(path))
        return replacement(path)

    replacement = tensor_file.replacement
    monkeypatch.setattr("cmlfast.data.table_file.replacement", full)
    report = tmp_path / "r.html"
    assert main(["train", str(likes), "--model", str(tmp_path / "m"), "--report", str(report), *FAST]) == 3
    assert "No space left" in capsys.readouterr().err
    assert len(CML.load(tmp_path / "m").history_) == 4
    assert not report.exists()


@pytest.mark.usefixtures("interruptible")
def test_what_was_broken_off_leaves_a_report(likes, tmp_path, capsys, monkeypatch):
    fit = CML.fit

    def interrupted(self, *given, **named):
        def callback(record):
            if record["epoch"] == 2:
                os.kill(os.getpid(), signal.SIGINT)

        return fit(self, *given, **{**named, "callback": callback})

    report = tmp_path / "r.html"
    arguments = ["train", str(likes), "--model", str(tmp_path / "m"), "--report", str(report), *FAST]
    arguments += ["--checkpoint", str(tmp_path / "c")]
    with monkeypatch.context() as patch:
        patch.setattr(CML, "fit", interrupted)
        assert main(arguments) == 130
    assert f"{report} shows what there was of the training" in capsys.readouterr().err
    assert "The training was interrupted.</p><p>2 of 4 epochs were finished." in text_of(report)
    assert not (tmp_path / "m").exists()
    assert main(arguments) == 0
    assert "<b>4</b>epochs" in text_of(report)  # the whole of it, the first two epochs too
    assert "interrupted" not in text_of(report)


def test_a_training_that_diverges_leaves_a_report(likes, tmp_path, capsys, monkeypatch):
    def diverges(record, settings, *_):
        if record["epoch"] == 3:
            raise DivergedError("training diverged in epoch 3")

    monkeypatch.setattr("cmlfast.training.loop.check_finite", diverges)
    report = tmp_path / "r.html"
    assert main(["train", str(likes), "--model", str(tmp_path / "m"), "--report", str(report), *FAST]) == 1
    told = capsys.readouterr().err
    assert f"{report} shows what there was" in told
    assert "error: training diverged in epoch 3" in told
    assert "training diverged in epoch 3.</p><p>2 of 4 epochs" in text_of(report)
