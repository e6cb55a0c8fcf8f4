"""The training report: what is drawn, said and written, also of trainings that diverge or are interrupted."""

import os
import re
import signal
import sys
from base64 import b64encode
from hashlib import sha256

import numpy as np
import pytest
import torch

from cmlfast import CML, Interactions, datasets, split_per_user
from cmlfast.model import NotFittedError
from cmlfast.pictures.panels import log_ticks, panels
from cmlfast.pictures.training_page import curves as figure_of
from cmlfast.pictures.training_report import check_report
from cmlfast.training import DivergedError

pytest.importorskip("plotly")
pytest.importorskip("matplotlib")

SMALL = {"n_components": 8, "random_state": 0}


@pytest.fixture(scope="module")
def split() -> tuple[Interactions, Interactions, Interactions]:
    likes = datasets.synthetic(n_users=200, n_items=300, n_pairs=4000, n_groups=5, seed=1).interactions
    return split_per_user(likes, seed=0)


@pytest.fixture(scope="module")
def model(split) -> CML:
    return CML(loss="warp", n_epochs=20, **SMALL).fit(split[0], validation=split[1], show_progress=False)


def drawn(figure) -> dict[str, tuple[list[float], list[float]]]:
    """Return the curves of a figure by their names."""
    return {one.name: (list(one.x), list(one.y)) for one in figure.data if one.name}


def test_every_curve_is_what_the_history_says(model):
    curves = drawn(model.plot_history())
    history = model.history_
    every = [record["epoch"] for record in history]
    expected = {
        "loss": "loss", "impostors": "impostors", "pairs with a loss": "active", "users": "clipped_users",
        "items": "clipped_items", "learning rate": "learning_rate",
    }  # fmt: skip
    for name, key in expected.items():
        assert curves.pop(name) == (every, [record[key] for record in history])
    looks = [record for record in history if "recall@50" in record]
    assert curves.pop("recall@50") == ([one["epoch"] for one in looks], [one["recall@50"] for one in looks])
    assert curves.pop("speed") == (every, [one["pairs"] / one["seconds"] for one in history])
    assert curves == {}
    (held_out,) = [panel for panel in panels(history, "recall@50") if panel.best]
    best = max(looks, key=lambda one: one["recall@50"])
    assert held_out.best == (best["epoch"], best["recall@50"])


def test_the_softmax_has_no_impostors_and_old_histories_lack_more(split):
    model = CML(loss="softmax", n_epochs=2, **SMALL).fit(split[0], show_progress=False)
    assert set(drawn(model.plot_history())) == {"loss", "users", "items", "speed", "learning rate"}
    old = [{"epoch": 1, "loss": 100.0, "seconds": 1.0}, {"epoch": 2, "loss": 1.0, "seconds": 0.0}]
    (loss,) = panels(old, None)
    assert (loss.title, loss.log, loss.curves[0].values) == ("Loss", True, [100.0, 1.0])


def test_the_page_says_it_all_and_needs_no_network(model, split, tmp_path):
    assert model.plot_history(tmp_path / "report.html") == tmp_path / "report.html"
    page = (tmp_path / "report.html").read_text()
    scripts = re.findall("<script>(.*?)</script>", page, flags=re.DOTALL)
    digests = [f"'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'" for script in scripts]
    (policy,) = re.findall('<meta http-equiv="Content-Security-Policy" content="([^"]*)">', page)
    assert policy.split("; ")[:2] == ["default-src 'none'", f"script-src {' '.join(digests)}"]
    assert len(digests) == 2
    assert not re.search(r"<(script|link|img)[^>]+(src|href)\s*=", page)
    text = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    cells = re.findall(r"<th>([^<]*)</th><td>([^<]*)</td>(?:<td>([^<]*)</td>)?", text)
    told = {name: (one, other) for name, one, other in cells}
    assert told["users"][0] == "200"
    assert told["items"][0] == "300"
    assert told["likes"][0] == f"{split[0].nnz:,}"
    assert told["validation"][0] == "recall@50, 10 looks"
    assert told["margin"] == ("auto", "(3.0, 1.0)")
    assert told["temperature"] == ("auto", "not used")
    assert told["n_negatives"] == ("auto", str(model.n_negatives_))
    assert told["device"] == ("auto", str(model.user_embedding_.device))
    assert told["torch"][0] == torch.__version__
    assert set(model.get_params()) <= set(told)
    assert f"<b>{max(one.get('recall@50', 0) for one in model.history_):.4f}</b>" in text
    assert "class='notes'" not in text
    assert os.listdir(tmp_path) == ["report.html"]


def test_the_picture_is_one(model, tmp_path):
    assert model.plot_history(str(tmp_path / "report.PNG")) == tmp_path / "report.PNG"
    import matplotlib.image

    pixels = matplotlib.image.imread(tmp_path / "report.PNG", format="png")
    assert pixels.shape[1] == 1500
    # Curves in both colours, and the best point in the third.
    for colour in ((0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00), (0x00, 0x9E, 0x73)):
        assert (np.abs(pixels[..., :3] * 255 - colour).max(-1) < 2).sum() > 50


def test_a_model_that_was_loaded_or_grown_has_the_same_report(model, split, tmp_path):
    model.save(tmp_path / "m")
    again = CML.load(tmp_path / "m")
    assert drawn(again.plot_history()) == drawn(model.plot_history())
    again.partial_fit(split[1])
    last = drawn(again.plot_history())["speed"]
    assert last[0][-1] == 21
    assert last[1][-1] == split[1].nnz / again.history_[-1]["seconds"]


def test_a_fit_that_diverges_shows_what_there_was(split, tmp_path):
    features = np.random.default_rng(0).standard_normal((300, 4)).astype(np.float32)
    bad = CML(n_epochs=6, **SMALL, item_network=BreaksLater())
    with pytest.raises(NotFittedError):
        bad.plot_history()
    with pytest.raises(DivergedError) as raised:
        bad.fit(split[0], features, show_progress=False)
    assert [record["epoch"] for record in raised.value.history] == [1, 2, 3, 4]
    assert drawn(bad.plot_history())["loss"][0] == [1, 2, 3, 4]
    bad.plot_history(tmp_path / "r.html")
    page = (tmp_path / "r.html").read_text()
    assert "training diverged in epoch 5" in page
    assert "4 of 6 epochs were finished" in page
    with pytest.raises(NotFittedError):
        bad.recommend(0)


class BreaksLater(torch.nn.Module):
    """A network whose output is not finite from some step on."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(4, 8)
        self.calls = 0

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        self.calls += self.training
        return self.layer(rows) * (float("nan") if self.calls > 40 else 1.0)


def interrupt_after(epoch: int):
    def callback(record: dict[str, float]) -> None:
        if record["epoch"] == epoch:
            signal.raise_signal(signal.SIGINT)

    return callback


@pytest.mark.usefixtures("interruptible")
def test_a_fit_that_is_interrupted_shows_what_there_was(split, tmp_path):
    model = CML(n_epochs=6, **SMALL)
    with pytest.raises(KeyboardInterrupt):
        model.fit(split[0], callback=interrupt_after(2), show_progress=False)
    model.plot_history(tmp_path / "r.html")
    page = (tmp_path / "r.html").read_text()
    assert "<p>The training was interrupted.</p><p>2 of 6 epochs were finished.</p>" in page
    assert drawn(model.plot_history())["loss"][0] == [1, 2]
    model.fit(split[0], show_progress=False)
    model.plot_history(tmp_path / "r.html")
    assert "interrupted" not in re.sub(r"<script.*?</script>", "", (tmp_path / "r.html").read_text(), flags=re.DOTALL)


@pytest.mark.usefixtures("interruptible")
def test_a_resumed_training_has_its_whole_history(split, tmp_path):
    how = {"checkpoint_dir": tmp_path / "c", "show_progress": False}
    with pytest.raises(KeyboardInterrupt):
        CML(n_epochs=5, **SMALL).fit(split[0], callback=interrupt_after(2), **how)
    model = CML(n_epochs=5, **SMALL).fit(split[0], **how)
    curves = drawn(model.plot_history())
    whole = drawn(CML(n_epochs=5, **SMALL).fit(split[0], show_progress=False).plot_history())
    for name in ("loss", "users", "items", "learning rate"):
        assert curves[name] == whole[name]
    assert curves["speed"][0] == [1, 2, 3, 4, 5]


def test_an_early_end_is_told_with_its_reason(split, tmp_path):
    model = CML(n_epochs=100, patience=1, learning_rate=3.0, **SMALL)
    model.fit(split[0], validation=split[1], show_progress=False)
    n = len(model.history_)
    assert n < 100
    model.plot_history(tmp_path / "r.html")
    assert (
        f"recall@50 no longer rose: the training was cut short to {n} of 100 epochs."
        in (tmp_path / "r.html").read_text()
    )
    model.fit(split[0], callback=lambda record: record["epoch"] == 3, show_progress=False)
    model.plot_history(tmp_path / "r.html")
    assert "<p>3 of 100 epochs were finished.</p>" in (tmp_path / "r.html").read_text()


def test_names_cannot_inject(split, tmp_path):
    class Hostile(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(4, 8)

        def forward(self, rows: torch.Tensor) -> torch.Tensor:
            return self.layer(rows)

        def __repr__(self) -> str:
            return "</td><script>alert(1)</script>"

    features = np.ones((300, 4), np.float32)
    model = CML(n_epochs=1, item_network=Hostile(), **SMALL).fit(split[0], features, show_progress=False)
    model.history_[0]["</script><script>alert(2)//"] = "</script><script>alert(3)//"
    model.plot_history(tmp_path / "r.html")
    page = (tmp_path / "r.html").read_text()
    assert "alert(1)" in page
    for number in (1, 2, 3):
        assert f"<script>alert({number})" not in page


def test_what_is_refused_before_anything_is_written(model, tmp_path, monkeypatch):
    for name in ("r.pdf", "r"):
        with pytest.raises(ValueError, match=r"its name must end in \.html or \.png"):
            model.plot_history(tmp_path / name)
    with pytest.raises(FileNotFoundError, match="folder does not exist"):
        model.plot_history(tmp_path / "no" / "r.html")
    with pytest.raises(NotFittedError):
        CML().plot_history(tmp_path / "r.html")
    (tmp_path / "r.html").write_text("old")
    monkeypatch.setitem(sys.modules, "plotly", None)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for path in ("r.html", "r.png"):
        with pytest.raises(ImportError, match=r"pip install 'cmlfast\[report\]'"):
            check_report(tmp_path / path)
    with pytest.raises(ImportError, match=r"pip install 'cmlfast\[report\]'"):
        model.plot_history()
    assert (tmp_path / "r.html").read_text() == "old"


def test_a_report_that_cannot_be_written_leaves_the_old_one(model, tmp_path, monkeypatch):
    (tmp_path / "r.html").write_text("old")
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space left"):
        model.plot_history(tmp_path / "r.html")
    assert os.listdir(tmp_path) == ["r.html"]
    assert (tmp_path / "r.html").read_text() == "old"


def test_a_logarithmic_axis_is_written_in_plain_numbers():
    history = [{"epoch": n, "loss": loss, "seconds": 1} for n, loss in enumerate((24.4, 9.0, 2.2), 1)]
    (loss,) = panels(history, None)
    assert loss.log
    assert log_ticks(loss) == [5.0, 10.0, 20.0]
    axis = figure_of([loss]).layout.yaxis
    assert (axis.type, list(axis.ticktext)) == ("log", ["5", "10", "20"])
