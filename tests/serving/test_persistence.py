"""Saving and loading: to the bit, atomically, without running code; partial_fit goes on from a loaded model."""

import json

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from scipy import sparse

from cmlfast import CML, Interactions
from cmlfast.data import tensor_file

LIKES = sparse.random(30, 20, 0.2, format="csr", rng=np.random.default_rng(0))
IDS = {
    "numbers": (None, None),
    "integers": (list(range(100, 130)), list(range(-20, 0))),
    "strings": ([f"u-{n}" for n in range(29)] + [""], [f"Käse {n} 🧀" for n in range(20)]),
}


@pytest.fixture(params=IDS)
def model(request) -> CML:
    return CML(n_components=6, n_epochs=4, random_state=1).fit(Interactions(LIKES, *IDS[request.param]))


def test_round_trip(model: CML, tmp_path) -> None:
    model.save(tmp_path / "m.cml")
    again = CML.load(tmp_path / "m.cml")
    for name in ("user_embedding_", "item_embedding_"):
        assert torch.equal(getattr(model, name), getattr(again, name))
    assert again.user_ids_.tolist() == model.user_ids_.tolist()
    assert again.item_ids_.tolist() == model.item_ids_.tolist()
    assert again.history_ == model.history_
    assert (again.seed_, again.n_negatives_, again.batch_size_, again.skipped_) == (
        model.seed_, model.n_negatives_, model.batch_size_, model.skipped_,
    )  # fmt: skip
    assert again.get_params() == {**model.get_params(), "device": "cpu"}
    for one, other in zip(again.recommend(model.user_ids_, N=3), model.recommend(model.user_ids_, N=3), strict=True):
        assert one.tolist() == other.tolist()


def test_partial_fit_of_a_loaded_model_is_that_of_the_saved_one(model: CML, tmp_path) -> None:
    model.save(tmp_path / "m.cml")
    again = CML.load(tmp_path / "m.cml")
    for one in (model, again):
        one.partial_fit(LIKES)
    assert torch.equal(model.item_embedding_, again.item_embedding_)
    assert [record["epoch"] for record in again.history_] == [1, 2, 3, 4, 5]


def test_random_generators_and_kept_matrix(tmp_path) -> None:
    model = CML(n_components=4, n_epochs=1, random_state=np.random.default_rng(5), keep_user_items=False).fit(LIKES)
    model.save(tmp_path / "m.cml")
    again = CML.load(tmp_path / "m.cml")
    assert again.random_state == model.seed_
    assert again.user_items_ is None


def test_a_failed_save_leaves_the_old_file_and_nothing_else(model: CML, tmp_path, monkeypatch) -> None:
    path = tmp_path / "m.cml"
    model.save(path)
    before = path.read_bytes()

    def full_disk(tensors, name, metadata):
        with open(name, "wb") as file:
            file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tensor_file, "save_file", full_disk)
    with pytest.raises(OSError, match="No space left"):
        model.save(path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["m.cml"]


def test_paths_that_cannot_be_written(model: CML, tmp_path) -> None:
    with pytest.raises(IsADirectoryError, match="a folder"):
        model.save(tmp_path)
    with pytest.raises(FileNotFoundError, match="does not exist; create it"):
        model.save(tmp_path / "no" / "m.cml")


def test_files_that_are_no_models(model: CML, tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match="no such file"):
        CML.load(tmp_path / "none")
    (tmp_path / "text").write_text("hello, this is no model at all")
    with pytest.raises(ValueError, match="which is text and no model file"):
        CML.load(tmp_path / "text")
    save_file({"x": torch.zeros(1)}, tmp_path / "other")
    with pytest.raises(ValueError, match="did not write"):
        CML.load(tmp_path / "other")
    path = tmp_path / "m.cml"
    model.save(path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match="damaged"):
        CML.load(path)
    save_file({"x": torch.zeros(1)}, tmp_path / "new", metadata={"cmlfast": json.dumps({"format": 99})})
    with pytest.raises(ValueError, match="newer cmlfast"):
        CML.load(tmp_path / "new")


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("user", lambda t: t.double()),
        ("user", lambda t: t[:, :2]),
        ("item_state", lambda t: t[:3]),
        ("user_items.indptr", lambda t: t.index_fill(0, torch.tensor([5]), 10**8)),
        ("user_items.indptr", lambda t: t.index_fill(0, torch.tensor([5]), -(10**8))),
        ("user_items.indices", lambda t: t + 19),
        ("user_ids.numbers", lambda t: t[1:]),
        ("item", None),
    ],
)
def test_damaged_tensors_are_refused_before_use(tmp_path, name, change) -> None:
    path = tmp_path / "m.cml"
    CML(n_components=6, n_epochs=1).fit(LIKES).save(path)
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    tensors = {key: value for key, value in tensors.items() if key != name or change}
    if change:
        tensors[name] = change(tensors[name]).contiguous()
    save_file(tensors, path, metadata=metadata)
    with pytest.raises(ValueError, match="which is damaged"):
        CML.load(path)


def test_save_keeps_links_and_modes(tmp_path) -> None:
    model = CML(n_components=6, n_epochs=1).fit(LIKES)
    target, link = tmp_path / "target", tmp_path / "link"
    model.save(target)
    target.chmod(0o600)
    link.symlink_to(target)
    before = target.read_bytes()
    model.partial_fit(LIKES).save(link)
    assert link.is_symlink()
    assert target.read_bytes() != before
    assert target.stat().st_mode & 0o777 == 0o600
    with pytest.raises(OSError, match="no regular file"):
        model.save("/dev/null")


def test_numpy_parameters_are_saved(tmp_path) -> None:
    model = CML(np.int64(4), "warp", margin=np.float32(1.5), rank_weight=np.bool_(True), n_epochs=1).fit(LIKES)
    model.save(tmp_path / "m")
    assert CML.load(tmp_path / "m").n_components == 4


def test_a_matrix_that_was_not_kept_stays_unknown(tmp_path) -> None:
    model = CML(n_components=4, n_epochs=1, keep_user_items=False).fit(LIKES).set_params(keep_user_items=True)
    model.save(tmp_path / "m")
    with pytest.raises(ValueError, match="user_items is None"):
        CML.load(tmp_path / "m").recommend(0)


def test_partial_fit_learns_new_pairs_and_makes_room() -> None:
    model = CML(n_components=6, n_epochs=4, random_state=1).fit(LIKES)
    old = model.user_embedding_.clone()
    more = sparse.lil_matrix((31, 22))
    more[30, 21] = more[2, 20] = 1
    model.partial_fit(more)
    assert model.user_embedding_.shape == (31, 6)
    assert model.item_embedding_.shape == (22, 6)
    assert model.user_items_.nnz == LIKES.nnz + 2
    untouched = [row for row in range(30) if row != 2]
    assert torch.equal(model.user_embedding_[untouched], old[untouched])
    assert not torch.equal(model.user_embedding_[2], old[2])
    assert 21 not in model.recommend(30, N=50)[0]


def test_partial_fit_with_own_ids_appends_the_new_ones() -> None:
    model = CML(n_components=4, n_epochs=2, random_state=0).fit(
        Interactions(LIKES, [f"u{n}" for n in range(30)], [f"i{n}" for n in range(20)])
    )
    model.partial_fit(Interactions(sparse.csr_matrix([[1, 1], [1, 0]]), ["new", "u3"], ["i5", "fresh"]))
    assert model.user_ids_.tolist()[-1] == "new"
    assert model.item_ids_.tolist()[-1] == "fresh"
    assert {"i5", "fresh"}.isdisjoint(model.recommend("new", N=50)[0])


def test_pairs_that_a_file_should_not_have_are_not_kept(tmp_path) -> None:
    CML(n_components=4, n_epochs=2, random_state=0).fit(LIKES).save(tmp_path / "m.cml")
    tensors, metadata = tensor_file.read(tmp_path / "m.cml")
    metadata["params"]["keep_user_items"] = False
    tensor_file.write(tmp_path / "odd.cml", tensors, metadata)
    model = CML.load(tmp_path / "odd.cml")
    assert model.user_items_ is None
    assert model._fitted.known.nnz == 0
    assert model.item_likes_.sum() == LIKES.nnz
