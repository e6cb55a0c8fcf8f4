"""scikit-learn's rules: the constructor only stores, parameters come and go by name; "auto" follows its rules."""

import numpy as np
import pytest

from cmlfast import CML
from cmlfast.training.auto import Shape, batch_size, own_negatives
from cmlfast.training.settings import resolve_seed


def test_parameters_by_name() -> None:
    model = CML(margin=2.0)
    assert model.get_params()["margin"] == 2.0
    assert model.set_params(margin=1.0, n_epochs=3) is model
    assert (model.margin, model.n_epochs) == (1.0, 3)
    with pytest.raises(ValueError, match="depth is no parameter of CML"):
        model.set_params(margin=5.0, depth=3)
    assert model.margin == 1.0
    assert repr(model) == "CML(margin=1.0, n_epochs=3)"


def test_clone_and_scikit_learns_clone() -> None:
    model = CML(n_components=7, random_state=3)
    assert model.clone().get_params() == model.get_params()
    base = pytest.importorskip("sklearn.base", reason="scikit-learn is not installed")
    copy = base.clone(model)
    assert copy is not model
    assert copy.get_params() == model.get_params()


def test_constructor_only_stores() -> None:
    odd = object()
    assert CML(margin=odd).margin is odd


@pytest.mark.parametrize(
    ("n_pairs", "n_users", "n_items", "expected"),
    [
        (33_225, 943, 1_682, 5),  # MovieLens-100K, training part: 2.1% of all pairs
        (84_904, 7_947, 25_975, 20),  # citeulike-t: 0.04%
        (4_000, 1_000, 1_000, 20),  # 0.4%: 25, at most 20
        (5_000, 100, 100, 1),  # half of all pairs
    ],
)
def test_auto_n_negatives(n_pairs, n_users, n_items, expected) -> None:
    assert own_negatives(Shape(n_pairs, n_users, n_items)) == expected


def test_auto_batch_size() -> None:
    assert [batch_size(Shape(n, 10**4, 10**4)) for n in (1, 33_225, 84_904, 10**7)] == [256, 3_322, 8_490, 10_000]


def test_seeds() -> None:
    assert resolve_seed(7) == 7
    assert resolve_seed(np.int32(7)) == 7
    assert resolve_seed(np.random.default_rng(1)) == resolve_seed(np.random.default_rng(1))
    assert resolve_seed(np.random.RandomState(1)) == resolve_seed(np.random.RandomState(1))
    assert resolve_seed(None) != resolve_seed(None)
