"""The search for a setting: what it finds, how it goes on after an interruption, what it refuses, what it prints."""

import csv
import math
import shlex
import signal
import subprocess
import sys
import textwrap

import numpy as np
import optuna
import pytest
from scipy import sparse

import cmlfast_cli
from cmlfast import CML, datasets, split_per_user, tuning
from cmlfast.training.loop import DivergedError
from cmlfast.tuning import search, tune
from cmlfast_cli import commands
from cmlfast_cli.options import SEARCHED, parse

FEW_EPOCHS = {"loss": "warp", "n_components": 8, "n_epochs": 10}


def draw(seed: int = 1):
    return datasets.synthetic(n_users=200, n_items=300, n_pairs=3000, n_groups=4, seed=seed).interactions


@pytest.fixture(scope="module")
def likes():
    return draw()


def planted(params) -> float:
    """Stand in for a fit: a recall that is best, 1, at a setting far from the default."""
    if isinstance(params["margin"], tuple):  # of the hinge, which tags bring
        return 1 - sum((one - 0.7) ** 2 for one in params["margin"]) / 9
    # What "auto" comes to: 60% of the likes are 1,826, of all 200 users and 282 items; 3.3 * 9.13^-0.2 / log(30.9).
    default = {"learning_rate": 0.3, "temperature": 0.618, "n_negatives": 282}
    rate, temperature, n_negatives = (
        value if params[name] == "auto" else params[name] for name, value in default.items()
    )
    away = (math.log10(rate / 1.5), math.log10(temperature / 0.15), 0.5 * math.log10(n_negatives / 2000))
    return 1 - sum(one * one for one in away)


@pytest.fixture
def calls(monkeypatch):
    """Put `planted` in place of fits, and return the list of what it is called with."""
    made = []

    def recall(params, train, features, held_out, exclude):
        made.append((params, train, held_out, exclude))
        return planted(params)

    monkeypatch.setattr(search, "_recall", recall)
    return made


def settings(study) -> list:
    return [(trial.params, trial.value) for trial in study.trials]


def test_it_finds_a_setting_that_is_better_on_likes_it_has_not_seen(likes) -> None:
    found = tune(likes, 8, **FEW_EPOCHS)
    assert found.validation > found.default_validation + 0.1
    assert found.test > found.default_test + 0.1
    train, validation, test = split_per_user(likes, seed=0)
    for params, on_validation, on_test in (
        (found.params, found.validation, found.test),
        (FEW_EPOCHS | {"random_state": 0}, found.default_validation, found.default_test),
    ):
        model = CML(**params).fit(train)
        assert model.evaluate(validation)["recall@50"] == on_validation
        assert model.evaluate(test, exclude=validation)["recall@50"] == on_test


def test_it_comes_near_a_planted_optimum_that_chance_does_not_find(likes, calls) -> None:
    found = tune(likes, 60)
    assert found.default_validation == planted(CML().get_params())
    by_chance = [value for _, value in settings(found.study)[1:11]]
    assert found.validation == planted(found.params) > 0.98 > max(by_chance)


def test_the_first_trial_is_the_default_and_test_likes_are_seen_at_the_end_only(likes, calls) -> None:
    found = tune(likes, 5)
    _, validation, test = split_per_user(likes, seed=0)
    seen = [(held_out.matrix != test.matrix).nnz == 0 for _, _, held_out, _ in calls]
    assert seen == [False] * 5 + [True] * 2
    assert [exclude is None for *_, exclude in calls] == [True] * 5 + [False] * 2
    assert (calls[-1][-1].matrix != validation.matrix).nnz == 0
    assert all((held_out.matrix != validation.matrix).nnz == 0 for _, _, held_out, _ in calls[:5])
    default = CML(random_state=0).get_params()
    assert calls[0][0] == default | {"n_negatives": 282, "learning_rate": 0.3, "temperature": 0.618}
    assert [params for params, *_ in calls[5:]] == [default, found.params]


def test_where_nothing_is_better_the_default_is_what_comes_back(likes, monkeypatch) -> None:
    monkeypatch.setattr(search, "_recall", lambda params, *_, **__: 0.5)
    assert tune(likes, 3).params == CML(random_state=0).get_params()


@pytest.mark.parametrize("at", [1, 4])
def test_an_interrupted_search_goes_on_to_the_same_trials(likes, calls, tmp_path, monkeypatch, at) -> None:
    whole = settings(tune(likes, 12).study)
    assert len({tuple(params.values()) for params, _ in whole}) == 12
    calls.clear()
    uninterrupted = search._recall

    def interrupted(*arguments, **more):
        if len(calls) == at - 1:
            raise KeyboardInterrupt
        return uninterrupted(*arguments, **more)

    monkeypatch.setattr(search, "_recall", interrupted)
    with pytest.raises(KeyboardInterrupt):
        tune(likes, 12, study=tmp_path / "study.db")
    monkeypatch.setattr(search, "_recall", uninterrupted)
    assert len(calls) == at - 1
    assert settings(tune(likes, 6, study=tmp_path / "study.db").study) == whole[:6]  # and 2 fits for the test
    assert settings(tune(likes, 12, study=tmp_path / "study.db").study) == whole
    assert len(calls) == 12 + 2 * 2
    assert settings(tune(likes, 3, study=tmp_path / "study.db").study) == whole


@pytest.mark.slow
def test_a_killed_search_goes_on_to_the_same_trials(likes, tmp_path, calls) -> None:
    study = tmp_path / "study.db"
    code = f"""
        import os, signal, test_tune
        from cmlfast.tuning import search
        values = []
        def recall(params, *_, **__):
            if len(values) == 3:
                os.kill(os.getpid(), signal.SIGKILL)
            values.append(test_tune.planted(params))
            return values[-1]
        search._recall = recall
        search.tune(test_tune.draw(), 8, study={str(study)!r})
    """
    here = __file__.rsplit("/", 1)[0]
    killed = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], cwd=here, capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    resumed = settings(tune(likes, 8, study=study).study)
    assert len(calls) == 5 + 2
    assert resumed == settings(tune(likes, 8).study)


def test_another_seed_is_another_search(likes, calls) -> None:
    assert settings(tune(likes, 3, seed=1).study) != settings(tune(likes, 3).study)


def test_trials_that_diverge_are_passed_over_but_not_the_default(likes, calls, monkeypatch) -> None:
    def diverging(params, *_, **__):
        if params["learning_rate"] not in (diverging.fine, "auto"):  # what the default comes to, and the default
            raise DivergedError
        return 0.5

    monkeypatch.setattr(search, "_recall", diverging)
    diverging.fine = 0.3
    found = tune(likes, 4)
    assert [trial.state.name for trial in found.study.trials] == ["COMPLETE", "PRUNED", "PRUNED", "PRUNED"]
    assert found.params["learning_rate"] == "auto"
    diverging.fine = 0.2
    with pytest.raises(DivergedError):
        tune(likes, 4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"user_items": draw(seed=2)}, "a search on other user_items"),
        ({"n_epochs": 20}, "a search with n_epochs='auto', not 20; give the same n_epochs again"),
        ({"balance": None}, "a search with balance='auto', not None"),
        ({"seed": 1}, "a search with seed=0, not 1"),
        ({"dtype": "bfloat16"}, "a search with dtype='float32', not 'bfloat16'"),
        ({"item_features": np.eye(300)}, "a search on other item_features"),
    ],
)
def test_a_study_of_something_else_is_refused_and_unchanged(likes, calls, tmp_path, change, message) -> None:
    study = tmp_path / "study.db"
    before = settings(tune(likes, 2, study=study).study)
    with pytest.raises(ValueError, match=message):
        tune(**{"user_items": likes, "n_trials": 3, "study": study, **change})
    assert settings(tune(likes, 2, study=study, device="cpu").study) == before


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_matrix])
@pytest.mark.parametrize("name", ["item_features", "user_features"])
def test_features_bring_their_weight_into_the_search_and_are_part_of_the_data(likes, tmp_path, name, kind) -> None:
    n = likes.n_items if name == "item_features" else likes.n_users
    tags = np.arange(n)[:, None] % 4 == np.arange(4)  # as the likes were drawn
    arguments = {
        name: kind(tags.astype(float)),
        "study": tmp_path / "study.db",
        "n_components": 8,
        "n_epochs": 3,
    }
    found = tune(likes, 3, **arguments)
    assert found.study.trials[0].params["feature_weight"] == 4  # of four groups: see auto.pull
    assert len({trial.params["feature_weight"] for trial in found.study.trials}) == 3
    train, validation, test = split_per_user(likes, seed=0)
    model = CML(**found.params).fit(train, **{name: arguments[name]})
    assert model.evaluate(test, exclude=validation)["recall@50"] == found.test
    assert settings(tune(likes, 3, **arguments).study) == settings(found.study)
    with pytest.raises(ValueError, match=f"other {name}"):
        tune(likes, 3, **{**arguments, name: kind(tags[:, ::-1].astype(float))})


def test_wrong_arguments_are_named(likes, tmp_path, calls) -> None:
    (tmp_path / "likes.csv").write_text("user,item\n")
    for arguments, message in (
        ({"study": tmp_path / "likes.csv"}, "no SQLite file"),
        ({"n_trials": 0}, "n_trials is 0"),
        ({"margin": 1.0}, "margin is 1.0, but the search is for it"),
        ({"random_state": 1}, "random_state is 1; it is called seed here"),
        ({"item_features": np.eye(4)}, r"item_features has shape \(4, 4\)"),
        ({"user_features": np.eye(4)}, r"user_features has shape \(4, 4\)"),
        ({"max_norm": -1}, "max_norm is -1"),
        ({"user_items": likes.matrix[:, :4]}, "no user of user_items has 5 likes or more"),
    ):
        with pytest.raises(ValueError, match=message):
            tune(**{"user_items": likes, **arguments})
    assert (tmp_path / "likes.csv").read_text() == "user,item\n"
    assert calls == []


def test_optuna_is_quiet_here_and_as_talkative_as_before_elsewhere(likes, calls, capfd, tmp_path) -> None:
    before = optuna.logging.get_verbosity()
    tune(likes, 2, study=tmp_path / "study.db", show_progress=False)
    assert capfd.readouterr() == ("", "")
    assert optuna.logging.get_verbosity() == before
    tune(likes, 2, show_progress=True)
    assert "2/2" in capfd.readouterr().err


@pytest.fixture
def file(likes, tmp_path):
    path = tmp_path / "my likes.csv"
    for kind, n in (("item", likes.n_items), ("user", likes.n_users)):
        tags = "".join(f"{kind[0]}{one},t{one % 4}\n" for one in range(n))
        (tmp_path / f"{kind}s.csv").write_text(f"{kind},tag\n{tags}")
    pairs = likes.matrix.tocoo()
    with open(path, "w", newline="") as written:
        writer = csv.writer(written)
        writer.writerow(("rating", "item", "user"))
        writer.writerows((5, f"i{item}", f"u{user}") for user, item in zip(pairs.row, pairs.col, strict=True))
    return path


COLUMNS = ["--user", "user", "--item", "item", "--value", "rating", "--min-value", "4"]


@pytest.mark.parametrize(
    "options", [[], ["--n-epochs", "7", "--balance", "none", "--batch-size", "300", "--seed", "3"]]
)
@pytest.mark.parametrize("tags", [[], ["--item-features", "items.csv"], ["--user-features", "users.csv"]])
@pytest.mark.parametrize("trials", [1, 4])
def test_the_printed_command_trains_with_what_was_found(file, calls, capsys, options, tags, trials) -> None:
    options = options + [str(file.with_name(one)) if one.endswith(".csv") else one for one in tags]
    assert cmlfast_cli.main(["tune", str(file), *COLUMNS, "--trials", str(trials), *options]) == 0
    out = capsys.readouterr().out.splitlines()
    found, default = calls[-1][0], calls[0][0]
    assert out[-3].split() == ["best", f"{max(planted(p) for p, *_ in calls[:trials]):.4f}", f"{planted(found):.4f}"]
    assert out[-4].split()[:2] == ["default", f"{planted(default):.4f}"]
    command, *arguments = shlex.split(out[-1])
    assert command == "cmlfast"
    parsed, parser = parse(arguments)
    assert (parsed.command, parsed.data, parsed.model) == ("train", [str(file)], "my likes.model")
    assert (parsed.user, parsed.item, parsed.value, parsed.min_value) == ("user", "item", "rating", 4.0)
    assert commands._model(parsed, parser).get_params() == found
    assert parsed.item_features == (options[-1] if "--item-features" in options else None)
    assert parsed.user_features == (options[-1] if "--user-features" in options else None)
    assert (found["learning_rate"] == "auto") == (trials == 1)
    assert (found["feature_weight"] == "auto") == (trials == 1 or not tags)


def test_the_command_with_real_fits_goes_on_after_an_interruption(file, tmp_path, capsys, monkeypatch) -> None:
    study = str(tmp_path / "study.db")
    arguments = ["tune", str(file), *COLUMNS, "--trials", "3", "--study", study, "--n-epochs", "3"]
    real = search._recall

    def second_is_interrupted(params, *more, **others):
        if params["learning_rate"] not in (0.1, "auto"):
            raise KeyboardInterrupt
        return real(params, *more, **others)

    monkeypatch.setattr(search, "_recall", second_is_interrupted)
    assert cmlfast_cli.main(arguments) == 130
    assert f"{study} keeps the finished trials" in capsys.readouterr().err
    monkeypatch.setattr(search, "_recall", real)
    assert cmlfast_cli.main(arguments) == 0
    assert "best of 3 trials" in capsys.readouterr().out
    monkeypatch.chdir(tmp_path)
    assert cmlfast_cli.main(arguments) == 0
    printed = shlex.split(capsys.readouterr().out.splitlines()[-1])
    assert cmlfast_cli.main(printed[1:]) == 0
    assert CML.load("my likes.model").n_epochs == 3


@pytest.mark.slow
def test_without_optuna_the_command_says_what_to_install(file) -> None:
    code = "import sys; sys.modules['optuna'] = None; from cmlfast_cli import main; sys.exit(main())"
    found = subprocess.run([sys.executable, "-c", code, "tune", str(file)], capture_output=True, text=True)
    assert found.returncode == cmlfast_cli.FAILED
    assert found.stderr.startswith("cmlfast: error: ")
    assert 'pip install "optuna>=4"' in found.stderr
    assert found.stdout == ""


def test_the_command_leaves_out_what_is_searched_and_nothing_else() -> None:
    assert SEARCHED == tuning.SEARCHED
    spaces = [{**space, **tuning.FEATURE_SPACE} for space in (tuning.SPACE, tuning.SOFTMAX_SPACE)]
    assert set().union(*(search._as_params(dict.fromkeys(space, 1)) for space in spaces)) == set(tuning.SEARCHED)
