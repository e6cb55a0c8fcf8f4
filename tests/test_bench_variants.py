"""`benchmarks.variants`: paired figures, by the split that was asked for."""

import numpy as np
import pytest

from benchmarks import variants
from cmlfast import CML, datasets, split_per_user

SMALL = {"n_epochs": 2, "n_components": 8}


@pytest.mark.parametrize("on_validation", [False, True])
def test_recalls_are_those_of_the_model(monkeypatch, on_validation: bool) -> None:
    data = datasets.synthetic(n_users=100, n_items=300, n_pairs=2500, n_groups=5, seed=1)
    monkeypatch.setattr(variants.datasets, "load", lambda name: data)
    found = variants.recalls("synthetic", SMALL, (3, 4), on_validation)
    train, validation, test = split_per_user(data.interactions, 4)
    model = CML(random_state=4, **SMALL).fit(train)
    expected = model.evaluate(validation) if on_validation else model.evaluate(test, exclude=validation)
    assert found.shape == (2, 2)
    assert found[1].tolist() == list(expected.values())


def test_a_row_has_means_and_paired_differences() -> None:
    default = np.array([[0.1, 0.3], [0.3, 0.5]])
    found = default + np.array([[0.01, 0.0], [0.03, -0.02]])
    assert variants.line("d", "default", default) == "| d | default | 0.2000 | 0.4000 |  |  |"
    # Differences of 0.01 and 0.03: mean 0.02, deviation sqrt(2) * 0.01; of 0 and -0.02: the same, -0.01.
    expected = "| d | v | 0.2200 | 0.3900 | +0.0200 ± 0.0141 | -0.0100 ± 0.0141 |"
    assert variants.line("d", "v", found, default) == expected


def test_the_command_names_missing_data_and_prints_every_variant(monkeypatch, capsys) -> None:
    def recalls(name, params, seeds, on_validation):
        if name == "citeulike-t":
            raise variants.datasets.DatasetUnavailableError("no such file")
        return np.full((len(seeds), 2), 0.5 + 0.1 * bool(params))

    monkeypatch.setattr(variants, "recalls", recalls)
    assert variants.main(["--validation"]) == 0
    printed = capsys.readouterr().out
    assert "| movielens-100k | default | 0.5000 | 0.5000 |  |  |" in printed
    for name in variants.VARIANTS:
        assert f"| movielens-100k | {name} | 0.6000 | 0.6000 | +0.1000 ± 0.0000 | +0.1000 ± 0.0000 |" in printed
    assert "Not measured: citeulike-t. no such file" in printed
    assert "On the validation parts" in printed
