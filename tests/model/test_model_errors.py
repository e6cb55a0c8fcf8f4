"""What goes wrong in fitting is told by name, value and remedy, and loses nothing."""

import re

import numpy as np
import pytest
import torch
from scipy import sparse

from cmlfast import CML, Interactions
from cmlfast.model import NotFittedError
from cmlfast.training.loop import DivergedError

LIKES = sparse.random(30, 20, 0.2, format="csr", rng=np.random.default_rng(0))


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("n_components", 0, ValueError),
        ("n_components", 2.5, TypeError),
        ("margin", -1, ValueError),
        ("margin", (1.0, 2.0, 3.0), ValueError),
        ("learning_rate", 1e39, ValueError),
        ("margin", "wide", TypeError),
        ("n_negatives", 0, ValueError),
        ("n_negatives", "many", TypeError),
        ("learning_rate", float("nan"), ValueError),
        ("learning_rate", float("inf"), ValueError),
        ("batch_size", 0, ValueError),
        ("n_epochs", 0, ValueError),
        ("max_norm", 0, ValueError),
        ("rank_weight", "yes", TypeError),
        ("balance", -1, ValueError),
        ("balance", "all", TypeError),
        ("patience", 0, ValueError),
        ("dtype", "float16", ValueError),
        ("dtype", 16, ValueError),
        ("rowwise_adagrad", "yes", TypeError),
        ("rowwise_adagrad", 1, TypeError),
        ("random_state", -1, ValueError),
        ("random_state", "seed", TypeError),
        ("backend", "gpu", ValueError),
        ("device", "toaster", ValueError),
    ],
)
def test_parameters_are_checked_by_name_and_value(name, value, error) -> None:
    with pytest.raises(error, match=rf"^{name} is .*{re.escape(format(value))}"):
        CML(**{"loss": "warp", name: value}).fit(LIKES)


@pytest.mark.parametrize(
    ("loss", "name", "value", "rest"),
    [
        ("softmax", "margin", 2.0, "leave it 'auto', or pass loss='warp'"),
        ("softmax", "rank_weight", False, "leave it True, or pass loss='warp'"),
        ("warp", "temperature", 0.3, "leave it 'auto', or pass loss='softmax'"),
    ],
)
def test_what_a_loss_would_not_look_at_is_refused(loss, name, value, rest) -> None:
    with pytest.raises(ValueError, match=f"^{name} is {value}, but loss is '{loss}', which has none: {rest}"):
        CML(loss=loss, **{name: value}).fit(LIKES)


def with_values(value: float) -> sparse.csr_matrix:
    matrix = LIKES.copy()
    matrix.data[3] = value
    return matrix


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (sparse.csr_matrix((5, 4)), "user_items has no interactions"),
        (sparse.csr_matrix(np.ones((5, 4))), "every user of user_items likes every item"),
        (with_values(-2), "contains -2"),
        (with_values(np.nan), "contains nan"),
        (with_values(np.inf), "contains inf"),
    ],
)
def test_matrices_that_cannot_be_learned_from(matrix, message) -> None:
    with pytest.raises(ValueError, match=message):
        CML(n_epochs=1).fit(matrix)


def test_dense_arrays_and_frames_are_refused_with_the_remedy() -> None:
    with pytest.raises(TypeError, match="csr_matrix"):
        CML(n_epochs=1).fit(np.ones((3, 3)))


def test_validation_must_fit() -> None:
    with pytest.raises(ValueError, match=r"validation has shape \(30, 19\).*30 users and 20 items"):
        CML(n_epochs=1).fit(LIKES, validation=LIKES[:, :19])
    with pytest.raises(ValueError, match="validation has no interactions"):
        CML(n_epochs=1).fit(LIKES, validation=sparse.csr_matrix(LIKES.shape))


def test_divergence_is_told_and_the_old_model_stays() -> None:
    model = CML(n_components=4, n_epochs=3, random_state=0).fit(LIKES)
    before = model.user_embedding_.clone()
    model.set_params(learning_rate=1e30, max_norm=float("inf"))
    with pytest.raises(DivergedError, match=r"diverged in epoch \d.*learning_rate is 1e\+30"):
        model.fit(LIKES)
    assert torch.equal(model.user_embedding_, before)
    assert len(model.history_) == 3


def test_what_the_last_step_broke_is_told() -> None:
    """The loss of the only step is that before it, and finite; the tables are not, after it."""
    settings = {"n_components": 4, "batch_size": 1000, "random_state": 0, "max_norm": float("inf")}
    with pytest.raises(DivergedError, match=r"diverged in epoch 1, with a loss of \d"):
        CML(n_epochs=1, learning_rate=3e38, **settings).fit(LIKES)
    model = CML(n_epochs=1, **settings).fit(LIKES).set_params(learning_rate=3e38)
    with pytest.raises(DivergedError, match=r"diverged in epoch 2, with a loss of \d"):
        model.partial_fit(LIKES)
    assert model.user_embedding_.isfinite().all()


def test_not_fitted_yet(tmp_path) -> None:
    model = CML()
    for use in (
        lambda: model.recommend(0),
        lambda: model.similar_items(0),
        lambda: model.similar_users(0),
        lambda: model.evaluate(LIKES),
        lambda: model.save(tmp_path / "model"),
    ):
        with pytest.raises(NotFittedError, match="CML is not fitted yet; call fit first"):
            use()


def test_evaluate_checks_its_arguments() -> None:
    model = CML(n_components=4, n_epochs=1).fit(LIKES)
    with pytest.raises(ValueError, match="k is 0"):
        model.evaluate(LIKES, k=0)
    with pytest.raises(TypeError, match=r"k is 2\.5"):
        model.evaluate(LIKES, k=[2.5])
    with pytest.raises(ValueError, match=f"held_out has {LIKES.nnz} of its {LIKES.nnz} pairs in common"):
        model.evaluate(LIKES)
    with pytest.raises(ValueError, match="held_out has no interactions"):
        model.evaluate(sparse.csr_matrix(LIKES.shape))
    with pytest.raises(ValueError, match="exclude has shape"):
        model.evaluate(LIKES, exclude=LIKES[:4])


def test_cuda_that_is_not_there_is_told() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(RuntimeError, match="torch finds no CUDA device"):
        CML(device="cuda").fit(LIKES)


def test_partial_fit_refuses_what_does_not_continue() -> None:
    model = CML(n_components=4, n_epochs=1).fit(LIKES)
    with pytest.raises(ValueError, match=r"user_items has shape \(30, 19\)"):
        model.partial_fit(LIKES[:, :19])
    with pytest.raises(ValueError, match="n_components is 5, but the model has 4"):
        model.set_params(n_components=5).partial_fit(LIKES)
    with pytest.raises(ValueError, match="dtype is 'bfloat16', but the model has tables of 'float32'"):
        model.set_params(n_components=4, dtype="bfloat16").partial_fit(LIKES)
    with pytest.raises(ValueError, match="rowwise_adagrad is True, but the model was trained with False"):
        model.set_params(dtype="float32", rowwise_adagrad=True).partial_fit(LIKES)
    own = CML(n_components=4, n_epochs=1).fit(Interactions(LIKES, user_ids=[f"u{n}" for n in range(30)]))
    with pytest.raises(ValueError, match="as Interactions"):
        own.partial_fit(sparse.vstack([LIKES, LIKES]))
