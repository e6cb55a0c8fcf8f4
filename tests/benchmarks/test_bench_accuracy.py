"""The command that compares recalls: what it prints are the model's own figures."""

import importlib

import pytest

from cmlfast import CML, datasets, split_per_user

accuracy = importlib.import_module("benchmarks.accuracy.__main__")
SMALL = {"n_epochs": 2, "n_components": 8}
DATA = datasets.load("synthetic", n_users=100, n_items=300, n_pairs=2500, n_groups=5, seed=1)


def mean_recall(seeds: tuple[int, ...], **params: object) -> float:
    found = []
    for seed in seeds:
        train, validation, test = split_per_user(DATA.interactions, seed)
        model = CML(random_state=seed, **params).fit(train, show_progress=False)
        found.append(model.evaluate(test, exclude=validation)["recall@50"])
    return sum(found) / len(found)


@pytest.fixture(autouse=True)
def made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(name: str) -> datasets.Dataset:
        if name == "citeulike-t":
            raise datasets.DatasetUnavailableError("no such file")
        return DATA

    monkeypatch.setattr(accuracy.datasets, "load", load)


def test_parameters_are_compared_split_by_split(capsys: pytest.CaptureFixture[str]) -> None:
    assert accuracy.main(["--params", '{"n_epochs": 2, "n_components": 8}', "--seeds", "3", "4"]) == 0
    lines = capsys.readouterr().out.splitlines()
    default, other = mean_recall((3, 4)), mean_recall((3, 4), **SMALL)
    assert lines[2].startswith(f"| movielens-100k | CML | {default:.4f} ± ")
    assert lines[3].startswith(f"| movielens-100k | CML({SMALL}) | {other:.4f} ± ")
    assert any(f"CML, Recall@50: {other - default:+.4f} ± " in line for line in lines)
    assert "Not measured: citeulike-t. no such file" in lines


def test_parameters_are_compared_on_validation_parts_with_the_default_of_their_loss(
    capsys: pytest.CaptureFixture[str],
) -> None:
    params = '{"loss": "warp", "n_epochs": 2}'
    assert accuracy.main(["--params", params, "--seeds", "3", "--validation", "--data", "lastfm"]) == 0
    lines, found = capsys.readouterr().out.splitlines(), []
    for given in ({}, {"n_epochs": 2}):
        train, validation, _ = split_per_user(DATA.interactions, 3)
        model = CML(loss="warp", random_state=3, **given).fit(train, show_progress=False)
        found.append(model.evaluate(validation)["recall@50"])
    assert lines[2].startswith(f"| lastfm | CML({{'loss': 'warp'}}) | {found[0]:.4f} | ")
    assert lines[3].startswith(f"| lastfm | CML({{'loss': 'warp', 'n_epochs': 2}}) | {found[1]:.4f} | ")


def test_all_methods_are_measured(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("implicit")
    monkeypatch.setattr(accuracy, "choose", lambda name, splits: ({"epochs": 3, "factors": 8}, 0.5))
    assert accuracy.main(["--fast", "--seeds", "3"]) == 0
    names = [line.split(" | ")[1] for line in capsys.readouterr().out.splitlines() if line.startswith("| movielens")]
    assert names == ["popularity", "implicit ALS (factors 8)", "CML", "CML, warp", "CML, fast"]
