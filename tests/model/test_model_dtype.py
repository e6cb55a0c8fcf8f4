"""Tables of 16 bits: the same bits from both backends, in the file, after partial_fit; answers as from float32."""

import json

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from scipy import sparse

from cmlfast import CML, build_info, datasets, reference, split_per_user

SETTING = {"n_components": 16, "n_epochs": 5, "rare_item_distance": 0.0, "random_state": 0, "dtype": "bfloat16"}
LIKES = sparse.random(30, 20, 0.2, format="csr", rng=np.random.default_rng(0))
needs_extension = pytest.mark.skipif(not build_info()["extension"], reason=str(build_info()["reason"]))


@pytest.fixture(scope="module")
def model() -> CML:
    return CML(**SETTING).fit(LIKES)


@needs_extension
@pytest.mark.parametrize("balance", [None, 30.0])
def test_extension_equals_reference_to_the_bit(balance) -> None:
    likes = datasets.synthetic(n_users=100, n_items=200, n_pairs=3000, n_groups=8, seed=5).interactions
    train, validation, _ = split_per_user(likes, seed=0)
    fits = [
        CML(**SETTING, balance=balance, backend=backend).fit(train, validation=validation)
        for backend in ("extension", "reference")
    ]
    for fit in fits:
        fit.partial_fit(validation)
    for one, other in zip(*(fit._fitted.tables.all() for fit in fits), strict=True):
        assert torch.equal(one, other)
    histories = [[{**record, "seconds": 0} for record in fit.history_] for fit in fits]
    assert histories[0] == histories[1]
    assert "recall@50" in histories[0][-2]


def test_types_of_tables_and_accumulators(model: CML) -> None:
    assert [table.dtype for table in model._fitted.tables.all()] == [torch.bfloat16] * 2 + [torch.float32] * 2


def test_untouched_rows_are_those_of_float32_rounded_once() -> None:
    """The last user has no likes, so that no step moves their row."""
    likes = sparse.vstack([LIKES, sparse.csr_matrix((1, 20))], format="csr")
    narrow, wide = (CML(**{**SETTING, "dtype": dtype}).fit(likes).user_embedding_ for dtype in ("bfloat16", "float32"))
    assert torch.equal(narrow[-1], wide[-1].bfloat16())
    assert not torch.equal(narrow[0], wide[0].bfloat16())


@pytest.mark.parametrize("balance", [None, 30.0])
def test_steps_below_half_a_unit_in_the_last_place_add_up(balance) -> None:
    """Learning at a rate so small that rounding to nearest would leave the tables as they were drawn."""
    rate = {**SETTING, "learning_rate": 1e-4, "n_epochs": 400, "balance": balance, "batch_size": 16}
    start = CML(**{**rate, "n_epochs": 1, "learning_rate": 1e-30}).fit(LIKES).item_embedding_.float()
    wide = CML(**{**rate, "dtype": "float32"}).fit(LIKES).item_embedding_
    moved = CML(**rate).fit(LIKES).item_embedding_.float() - start
    expected = wide - start
    # The regression of one displacement on the other; 0 if small steps were lost, 1 if none were.
    assert (moved * expected).sum() / expected.square().sum() > 0.8


@pytest.mark.parametrize("balance", [None, 30.0])
def test_every_step_draws_its_own_rounding(balance, monkeypatch) -> None:
    offsets = []
    original = reference.cml_step_

    def spy(*arguments, **numbers):
        offsets.append(numbers["offset"])
        return original(*arguments, **numbers)

    monkeypatch.setattr(reference, "cml_step_", spy)
    CML(**SETTING, loss="warp", balance=balance, batch_size=16, backend="reference").fit(LIKES)
    assert len(offsets) == len(set(offsets)) == 5 * -(-LIKES.nnz // 16)


def test_answers_are_those_of_the_same_numbers_in_float32(model: CML) -> None:
    u, v = model.user_embedding_.double(), model.item_embedding_.double()
    ids, scores = model.recommend(np.arange(30), N=5, filter_already_liked_items=False, filter_items=[3])
    distance = (u[:, None] - v).square().sum(2).numpy()
    distance[:, 3] = np.inf
    assert scores.dtype == np.float32
    # Scores are float32 sums of 16 squares below 4: 16 roundings of 2^-24 times 4 at most, 4e-6.
    np.testing.assert_allclose(-scores, np.sort(distance, axis=1)[:, :5], atol=4e-6)
    np.testing.assert_allclose(np.take_along_axis(distance, ids, 1), np.sort(distance, axis=1)[:, :5], atol=4e-6)
    assert model.similar_items(7, N=1)[0].tolist() == [7]
    assert model.similar_users([4, 9], N=1)[1].tolist() == [[0.0], [0.0]]


def test_a_file_keeps_the_type_and_a_loaded_model_goes_on(tmp_path) -> None:
    model = CML(**SETTING).fit(LIKES).set_params(dtype="float32")  # what counts is the type of the tables
    model.save(tmp_path / "m")
    again = CML.load(tmp_path / "m")
    assert again.dtype == "bfloat16"
    model.set_params(dtype="bfloat16")
    for _ in range(2):
        for one, other in zip(model._fitted.tables.all(), again._fitted.tables.all(), strict=True):
            assert torch.equal(one, other)
        model.partial_fit(LIKES)
        again.partial_fit(LIKES)


def rewritten(path, tensors, **params) -> None:
    """Write a model's file again, with other tensors and parameters; None leaves one out."""
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["cmlfast"])
        tensors = {key: tensors.get(key, lambda t: t)(file.get_tensor(key)) for key in file.keys()}  # noqa: SIM118
    header["params"] = {key: value for key, value in (header["params"] | params).items() if value is not None}
    save_file(tensors, path, metadata={"cmlfast": json.dumps(header | {"format": 1})})


def test_a_file_from_before_there_was_dtype_loads(tmp_path) -> None:
    model = CML(**{**SETTING, "dtype": "float32"}).fit(LIKES)
    model.save(tmp_path / "m")
    rewritten(tmp_path / "m", {}, dtype=None)
    again = CML.load(tmp_path / "m")
    assert again.dtype == "float32"
    assert torch.equal(again.item_embedding_, model.item_embedding_)


@pytest.mark.parametrize(
    ("tensors", "params"),
    [
        ({"user": lambda t: t.float()}, {}),
        ({"item": lambda t: t.half()}, {}),
        ({"item_state": lambda t: t.bfloat16()}, {}),
        ({}, {"dtype": "float32"}),
        ({}, {"dtype": "float16"}),
        ({}, {"dtype": ["bfloat16"]}),
    ],
)
def test_types_that_do_not_fit_are_refused(model: CML, tmp_path, tensors, params) -> None:
    model.save(tmp_path / "m")
    rewritten(tmp_path / "m", tensors, **params)
    with pytest.raises(ValueError, match="which is damaged"):
        CML.load(tmp_path / "m")


def test_implicit_evaluates_it_unchanged(model: CML) -> None:
    evaluation = pytest.importorskip("implicit.evaluation", reason="implicit is not installed")
    wide = CML(**{**SETTING, "dtype": "float32"}).fit(LIKES)
    wide._fitted.tables.user[:], wide._fitted.tables.item[:] = model.user_embedding_, model.item_embedding_
    held = sparse.csr_matrix((LIKES.toarray() == 0).astype(np.float32))
    found, expected = (
        evaluation.ranking_metrics_at_k(one, LIKES, held, K=5, show_progress=False) for one in (model, wide)
    )
    assert found == expected
