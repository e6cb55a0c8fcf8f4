"""The command that fills the paper's Table 2: recalls of users, the test, what is kept, the table, by hand."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from benchmarks.kit.fits import Fits
from benchmarks.paper import table2
from benchmarks.paper.methods import HYBRID, METHODS, PURE, Method
from benchmarks.paper.table2 import p_value, stars
from benchmarks.peers.libraries import Factors
from benchmarks.peers.recall import recalls_of_users
from cmlfast import datasets, recall_at_k, split_per_user


def of_popularity(sign: int) -> Method:
    """Return a method that ranks by popularity, or by its opposite."""

    def fit(train: sparse.csr_matrix, features: sparse.csr_matrix | None, setting: dict) -> Factors:
        likes = np.asarray(train.sum(axis=0), np.float32).reshape(-1, 1)
        return Factors(np.full((train.shape[0], 1), sign * setting["scale"], np.float32), likes, "dot")

    return Method("CML" if sign > 0 else "WRMF", "cmlfast", fit, ({"scale": -1.0}, {"scale": 1.0}))


def made_up(seeds: Sequence[int]) -> table2.Data:
    data = datasets.load("synthetic", n_users=200, n_items=300, n_pairs=4000, n_groups=5, seed=0)
    return [split_per_user(data.interactions, seed) for seed in seeds], None


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table2, "DATA", {"made up": made_up})
    monkeypatch.setitem(METHODS, "CML", of_popularity(1))
    monkeypatch.setitem(METHODS, "WRMF (implicit)", of_popularity(-1))


def test_recall_of_users_is_counted_by_hand() -> None:
    items = np.arange(4, dtype=np.float32).reshape(-1, 1)
    factors = Factors(np.array([[1], [1], [-1]], np.float32), items, "dot")  # ranks 3 2 1 0; nobody; ranks 0 1 2 3
    held_out = sparse.csr_matrix([[1, 0, 1, 0], [0, 0, 0, 0], [0, 1, 0, 0]])
    seen = sparse.csr_matrix([[0, 0, 0, 1], [0, 0, 0, 0], [0, 0, 0, 0]])
    found = recalls_of_users(factors, held_out, seen, (1, 2))
    assert found[1].tolist() == [0.5, 0.0]
    assert found[2].tolist() == [0.5, 1.0]


def test_p_is_that_of_the_signed_ranks() -> None:
    # All of six differences have one sign: of 2**6 equally likely signs two are as extreme.
    zeros, better = np.zeros(6), np.arange(1, 7) / 10
    assert p_value(better, zeros) == pytest.approx(2 / 2**6)
    assert p_value(zeros, zeros) == 1.0
    assert [stars(p) for p in (0.0005, 0.001, 0.005, 0.05, 0.06)] == ["***", "***", "**", "*", ""]


@pytest.mark.usefixtures("command")
def test_settings_are_chosen_and_the_better_gets_the_stars(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "fits.json"
    table2.main(["--data", "made up", "--methods", "CML", "WRMF (implicit)", "--json", str(path)])
    lines = capsys.readouterr().out.splitlines()
    (splits, _), want = made_up((0, 1, 2)), []
    for train, validation, test in splits:
        likes = np.asarray(train.matrix.sum(axis=0)).ravel()
        seen = (train.matrix + validation.matrix).toarray() > 0
        rows = np.flatnonzero(np.diff(test.matrix.indptr))
        ranked = np.argsort(np.where(seen, -1, likes)[rows] * -1.0, axis=1, kind="stable")
        want.append(recall_at_k(ranked, test.matrix[rows], 50))
    # Both are popularity with the right sign, which the second and the first setting have.
    assert lines[2].startswith(f"| CML | {np.mean(want):.4f} ± {np.std(want, ddof=1):.4f} |")
    assert lines[3].startswith(f"| WRMF (implicit) | {np.mean(want):.4f} ± {np.std(want, ddof=1):.4f} |")
    assert lines[2].endswith("| scale 1.0 |")
    assert lines[3].endswith("| scale -1.0 |")
    assert "Recall@50: CML +0.00% against WRMF (implicit), p = 1" in lines
    # Two settings of two methods on the first seed, one on each of the others
    assert len(json.loads(path.read_text())["fits"]) == 2 * (2 + 1 + 1)


@pytest.mark.usefixtures("command")
def test_what_is_kept_is_not_fitted_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    arguments = ["--data", "made up", "--methods", "CML", "--quick", "--json", str(tmp_path / "fits.json")]
    table2.main(arguments)

    def never(*_: object) -> Factors:
        raise AssertionError("fitted again")

    monkeypatch.setitem(METHODS, "CML", METHODS["CML"]._replace(fit=never))
    table2.main(arguments)
    with pytest.raises(AssertionError, match="again"):
        table2.main([*arguments, "--seeds", "1"])


def test_an_interrupted_run_keeps_what_was_finished(tmp_path: Path) -> None:
    def interrupted() -> dict[str, float]:
        raise KeyboardInterrupt

    fits = Fits(tmp_path / "fits.json")
    fits.get({"a": 1, "b": 2}, lambda: {"x": 0.5})
    with pytest.raises(KeyboardInterrupt):
        fits.get({"a": 2, "b": 2}, interrupted)
    again = Fits(tmp_path / "fits.json")
    assert list(again.fits.values()) == [{"of": {"a": 1, "b": 2}, "x": 0.5}]
    assert again.get({"b": 2, "a": 1}, interrupted)["x"] == 0.5


@pytest.mark.usefixtures("command")
def test_stars_stand_at_the_better_of_ours_and_the_best_other() -> None:
    def runs(value: float) -> list[dict]:
        return [{"users": {"50": (np.arange(1, 41) / 100 + value).tolist()}}]

    marks, lines = table2.comparison({"BPR (torch)": runs(0.1), "WRMF (implicit)": runs(0.3), "CML": runs(0.2)}, 50)
    assert marks == {"WRMF (implicit)": "***"}
    assert lines[0].startswith(f"Recall@50: CML {0.405 / 0.505 - 1:+.2%} against WRMF (implicit)")


def test_every_column_of_the_paper_has_a_method() -> None:
    assert {method.column for method in METHODS.values()} == {*PURE, *HYBRID} == set(table2.PAPER)
