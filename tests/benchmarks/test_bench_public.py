"""What is compared on public data: EASE^R against its definition, the choice of settings, no fit made twice."""

import json

import numpy as np
import pytest
from scipy import sparse

from benchmarks.kit.fits import Fits
from benchmarks.peers.ease import fit_ease, rank_by_ease
from benchmarks.public import __main__ as public
from benchmarks.public import methods
from cmlfast import datasets, split_per_user


@pytest.fixture(scope="module")
def likes() -> sparse.csr_matrix:
    return datasets.synthetic(n_users=80, n_items=50, n_pairs=900, n_groups=4, seed=2).interactions.matrix


def test_ease_is_what_its_definition_says(likes) -> None:
    weights = fit_ease(likes, 20.0)
    x = likes.toarray().astype(np.float64)
    inverse = np.linalg.inv(x.T @ x + 20 * np.eye(50))
    expected = np.eye(50) - inverse / np.diag(inverse)[None]
    np.testing.assert_allclose(weights, expected, atol=2e-5)
    # Equation 4's constraint, and that no other weights of an item explain its likes better (least squares, alone).
    others = np.delete(np.arange(50), 7)
    gram = x[:, others].T @ x[:, others] + 20 * np.eye(49)
    np.testing.assert_allclose(weights[others, 7], np.linalg.solve(gram, x[:, others].T @ x[:, 7]), atol=2e-5)


def test_ease_ranks_what_was_not_seen(likes) -> None:
    weights = fit_ease(likes, 20.0)
    ranked = rank_by_ease(weights, likes, likes, 10)
    scores = likes.toarray() @ weights
    scores[likes.toarray() > 0] = -np.inf
    np.testing.assert_array_equal(np.sort(np.take_along_axis(scores, ranked, 1)), np.sort(scores, 1)[:, -10:])
    assert (np.diff(np.take_along_axis(scores, ranked, 1)) <= 0).all()


def test_results_are_kept_and_settings_chosen_by_validation(likes, monkeypatch, tmp_path, capsys) -> None:
    small = datasets.synthetic(n_users=80, n_items=150, n_pairs=1500, n_groups=4, seed=2)
    monkeypatch.setattr(public.datasets, "load", lambda name: small)
    monkeypatch.setitem(methods.METHODS, "EASE^R", methods.Method(methods.ease, {"regularization": (1e6, 10.0, 1e5)}))
    fitted = []
    real = methods.fit_ease
    monkeypatch.setattr(methods, "fit_ease", lambda train, value: fitted.append(value) or real(train, value))
    arguments = ["--json", str(tmp_path / "fits.json"), "--data", "citeulike-t", "--methods", "popularity", "EASE^R"]
    assert public.main(arguments) == 0
    out = capsys.readouterr().out
    train, validation, _ = split_per_user(small.interactions, 0)
    by_value = {
        value: methods.measure(
            methods.METHODS["EASE^R"], {"regularization": value}, train.matrix, validation.matrix, None, 0
        )["recall@50"]
        for value in (1e6, 10.0, 1e5)
    }
    best = max(by_value, key=by_value.get)
    fits = json.loads((tmp_path / "fits.json").read_text())["fits"]
    assert next(fit for fit in fits if fit["of"].get("tuned"))["setting"] == {"regularization": best}
    fitted.clear()
    assert public.main(arguments) == 0
    assert capsys.readouterr().out == out
    assert fitted == []


def test_popularity_is_measured_as_the_package_does(likes) -> None:
    train, validation, test = split_per_user(datasets.synthetic(n_users=200, n_items=300, n_pairs=4000).interactions, 0)
    found = methods.measure(methods.METHODS["popularity"], {}, train.matrix, test.matrix, validation.matrix, 0)
    from cmlfast.evaluation.popularity import popularity_recall

    expected = popularity_recall(train, test, methods.KS, exclude=validation)
    assert {name: found[name] for name in found if name != "seconds"} == {
        name: expected[name] for name in found if name != "seconds"
    }


def test_the_published_protocol_trains_on_both_parts(monkeypatch) -> None:
    seen = []
    parts = split_per_user(datasets.synthetic(n_users=60, n_items=90, n_pairs=900).interactions, 0)
    monkeypatch.setattr(public, "splits_of", lambda name: [parts])
    monkeypatch.setattr(
        public,
        "measure",
        lambda method, setting, train, held_out, exclude, seed: (
            seen.append((train.nnz, held_out.nnz, exclude))
            or {"recall@20": 0.1, "recall@50": 0.2, "ndcg@20": 0.3, "seconds": 4.0}
        ),
    )
    rows = public.published(Fits())
    assert seen == [(parts[0].nnz + parts[1].nnz, parts[2].nnz, None)] * 2
    assert rows[-1] == ["**CML, softmax**", "0.1000", "0.2000", "0.3000", "4"]
