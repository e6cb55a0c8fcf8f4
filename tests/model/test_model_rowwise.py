"""One accumulator for each row: the same bits from both backends, in the file, after partial_fit and drop_inactive."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from scipy import sparse

from cmlfast import CML, Interactions, build_info, datasets, split_per_user

SETTING = {"n_components": 16, "n_epochs": 5, "random_state": 0, "rowwise_adagrad": True}
LIKES = sparse.random(30, 20, 0.2, format="csr", rng=np.random.default_rng(0))
TAGS = sparse.random(20, 12, 0.4, format="csr", rng=np.random.default_rng(1))
needs_extension = pytest.mark.skipif(not build_info()["extension"], reason=str(build_info()["reason"]))


def tables(model: CML) -> tuple[torch.Tensor, ...]:
    return model._fitted.tables.all()


def assert_equal(one: CML, other: CML) -> None:
    for mine, theirs in zip(tables(one), tables(other), strict=True):
        assert torch.equal(mine, theirs)


@needs_extension
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_extension_equals_reference_to_the_bit(dtype) -> None:
    likes = datasets.synthetic(n_users=100, n_items=200, n_pairs=3000, n_groups=8, seed=5).interactions
    train, validation, _ = split_per_user(likes, seed=0)
    fits = [
        CML(**SETTING, dtype=dtype, loss="warp", backend=backend).fit(train, validation=validation)
        for backend in ("extension", "reference")
    ]
    for fit in fits:
        assert fit.history_[-1]["loss"] < fit.history_[0]["loss"]
        fit.partial_fit(validation)
    assert_equal(*fits)


@pytest.mark.parametrize("loss", ["softmax", "warp"])
@pytest.mark.parametrize("tags", [None, TAGS], ids=["", "tags"])
def test_the_state_is_a_number_for_each_row_and_the_tables_are_others(loss, tags) -> None:
    model, whole = (CML(**{**SETTING, "rowwise_adagrad": one}, loss=loss).fit(LIKES, tags) for one in (True, False))
    assert [table.shape for table in tables(model)] == [(30, 16), (20, 16), (30, 1), (20, 1)]
    for state, likes in zip(tables(model)[2:], (LIKES.sum(1), LIKES.sum(0).T), strict=True):
        assert state.dtype == torch.float32
        assert (state[np.asarray(likes) > 0] > 0).all()
    assert not torch.equal(model.item_embedding_, whole.item_embedding_)


def test_of_one_component_both_are_the_same() -> None:
    row, element = (
        CML(**{**SETTING, "n_components": 1, "rowwise_adagrad": one}, loss="warp").fit(LIKES) for one in (True, False)
    )
    assert_equal(row, element)


def test_a_loaded_model_goes_on_and_grows(tmp_path) -> None:
    model = CML(**SETTING).fit(LIKES).set_params(rowwise_adagrad=False)  # what counts is what it was trained with
    with pytest.raises(ValueError, match="rowwise_adagrad is False, but the model was trained with True"):
        model.partial_fit(LIKES)
    model.save(tmp_path / "m")
    again = CML.load(tmp_path / "m")
    assert again.rowwise_adagrad is True
    model.set_params(rowwise_adagrad=True)
    more = sparse.csr_matrix(([1.0] * 3, ([0, 1, 33], [1, 21, 2])), shape=(35, 22))
    for likes in (LIKES, more):
        assert_equal(model, again)
        model.partial_fit(likes)
        again.partial_fit(likes)
    assert_equal(model, again)
    user_state, item_state = tables(model)[2:]
    assert (user_state.shape, item_state.shape) == ((35, 1), (22, 1))
    assert user_state[:, 0].nonzero()[-1] == 33
    ids, _ = model.recommend(0, sparse.csr_matrix(([1.0], ([0], [3])), shape=(1, 22)), N=4, recalculate_user=True)
    assert len(ids) == 4


def test_who_is_dropped_takes_the_accumulator_along() -> None:
    rows, columns = LIKES.nonzero()
    frame = pd.DataFrame({"user": rows, "item": columns, "time": 1_700_000_000 + np.where(rows < 10, 0, 100) * 86_400})
    model = CML(**SETTING).fit(Interactions.from_frame(frame, time="time"))
    before, users = tables(model)[2].clone(), model.user_ids_
    model.drop_inactive(user_days=50)
    assert 0 < len(model.user_ids_) < len(users)
    assert torch.equal(tables(model)[2], before[torch.from_numpy(users >= 10)])


def rewritten(path, tensors, **params) -> None:
    """Write a model's file again, with other tensors and parameters; None leaves one out."""
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["cmlfast"])
        tensors = {key: tensors.get(key, lambda t: t)(file.get_tensor(key)) for key in file.keys()}  # noqa: SIM118
    header["params"] = {key: value for key, value in (header["params"] | params).items() if value is not None}
    save_file(tensors, path, metadata={"cmlfast": json.dumps(header | {"format": 1})})


def test_a_file_from_before_there_was_a_choice_loads(tmp_path) -> None:
    model = CML(**{**SETTING, "rowwise_adagrad": False}).fit(LIKES)
    model.save(tmp_path / "m")
    rewritten(tmp_path / "m", {}, rowwise_adagrad=None)
    again = CML.load(tmp_path / "m")
    assert again.rowwise_adagrad is False
    assert_equal(model, again)


@pytest.mark.parametrize(
    ("tensors", "params"),
    [
        ({"user_state": lambda t: t.repeat(1, 16)}, {}),
        ({"item_state": lambda t: t[:-1]}, {}),
        ({"item_state": lambda t: t[:, 0]}, {}),
        ({}, {"rowwise_adagrad": False}),
        ({}, {"rowwise_adagrad": "yes"}),
    ],
)
def test_states_that_do_not_fit_are_refused(tmp_path, tensors, params) -> None:
    CML(**SETTING).fit(LIKES).save(tmp_path / "m")
    rewritten(tmp_path / "m", tensors, **params)
    with pytest.raises(ValueError, match="which is damaged"):
        CML.load(tmp_path / "m")
