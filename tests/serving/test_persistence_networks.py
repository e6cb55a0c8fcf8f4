"""Saving and loading models with networks: the same bits on new items; networks of one's own; older files; damage."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from featured import N_USERS, likes_and_tags
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from cmlfast import CML
from cmlfast.features.network import FeatureMLP

LIKES, TAGS = likes_and_tags()
DENSE, N_TAGS = TAGS.toarray(), TAGS.shape[1]
NEW = TAGS[::-7]
SMALL = {"n_components": 6, "n_epochs": 2, "random_state": 0}


class Tied(nn.Module):
    """A network of one's own with a layer that stands in it twice, and a buffer."""

    def __init__(self, width: int = N_TAGS) -> None:
        super().__init__()
        self.first = nn.Linear(width, width)
        self.again = self.first
        self.norm = nn.BatchNorm1d(width)
        self.last = nn.Linear(width, 6)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.norm(self.again(self.first(x).relu())))


class Squared(FeatureMLP):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).square()


def same(one: CML, other: CML, features: Any) -> bool:
    everyone = np.arange(N_USERS)
    return np.array_equal(
        one.predict(everyone, item_features=features), other.predict(everyone, item_features=features)
    )


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the file of a model with both networks."""
    path = tmp_path_factory.mktemp("models") / "m"
    CML(**SMALL).fit(LIKES, TAGS, LIKES).save(path)
    return path


@pytest.mark.parametrize("network", [None, FeatureMLP(N_TAGS, 6, hidden=9, dropout=0.4, seed=3)])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_packages_own_network_comes_back_by_itself(network, dtype: str, tmp_path: Path) -> None:
    model = CML(**SMALL, item_network=network, dtype=dtype).fit(LIKES, TAGS, LIKES)
    model.save(tmp_path / "m")
    again = CML.load(tmp_path / "m")
    assert not again.item_network_.training
    assert again.item_network_.options == model.item_network_.options
    assert again.item_network is None
    assert same(again, model, NEW)
    for one, other in zip(
        again.recommend(user_features=LIKES[:9]), model.recommend(user_features=LIKES[:9]), strict=True
    ):
        assert np.array_equal(one, other)
    for one in (again, model):
        one.partial_fit(LIKES, TAGS)
    assert torch.equal(again.item_embedding_, model.item_embedding_)
    again.save(tmp_path / "n")
    assert same(CML.load(tmp_path / "n"), model, NEW)


def test_a_network_of_ones_own_is_given_to_load_again(tmp_path: Path) -> None:
    model = CML(**SMALL, item_network=Tied()).fit(LIKES, DENSE)
    model.save(tmp_path / "m")
    fresh = Tied()
    again = CML.load(tmp_path / "m", item_network=fresh)
    assert same(again, model, DENSE)
    assert again.item_network_ is not fresh
    assert not torch.equal(fresh.last.weight, again.item_network_.last.weight)
    assert again.item_network is fresh
    assert again.item_network_.again is again.item_network_.first
    with pytest.raises(
        ValueError, match=r"item_network does not fit the weights that the file holds: [\s\S]*size mismatch"
    ):
        CML.load(tmp_path / "m", item_network=Tied(N_TAGS + 1))
    with pytest.raises(
        ValueError, match=r"item_network does not fit the weights that the file holds: [\s\S]*Missing key"
    ):
        CML.load(tmp_path / "m", item_network=FeatureMLP(N_TAGS, 6))
    with pytest.raises(
        ValueError, match=r"user_network does not fit the weights that the file holds: [\s\S]*Missing key"
    ):
        CML.load(tmp_path / "m", item_network=Tied(), user_network=Tied())


def test_without_it_the_model_serves_and_explains(tmp_path: Path) -> None:
    some = LIKES.copy()
    some.data[np.isin(some.indices, np.arange(0, LIKES.shape[1], 7))] = 0
    some.eliminate_zeros()  # some items are placed by their features
    model = CML(**SMALL, item_network=Tied()).fit(some, DENSE)
    model.save(tmp_path / "m")
    again = CML.load(tmp_path / "m")
    assert again.item_network_ is None
    with pytest.raises(ValueError, match="loaded without its own item_network, which would be missing"):
        again.save(tmp_path / "m")
    assert CML.load(tmp_path / "m", item_network=Tied()).item_network_ is not None
    for one, other in zip(again.recommend([3, 4]), model.recommend([3, 4]), strict=True):
        assert np.array_equal(one, other)
    for table in ("user_embedding_", "item_embedding_"):
        assert torch.equal(getattr(again.partial_fit(some), table), getattr(model.partial_fit(some), table))
    with pytest.raises(
        ValueError, match=r"no network for them: .* loaded without its own network; .* pass the network"
    ):
        again.predict(3, item_features=DENSE)


def test_a_subclass_is_ones_own(tmp_path: Path) -> None:
    """Its weights fit the package's network, which would place items elsewhere."""
    model = CML(**SMALL, item_network=Squared(N_TAGS, 6)).fit(LIKES, TAGS)
    model.save(tmp_path / "m")
    assert CML.load(tmp_path / "m").item_network_ is None
    assert same(CML.load(tmp_path / "m", item_network=Squared(N_TAGS, 6)), model, NEW)


def rewritten(file: Path, target: Path, change: Any) -> Path:
    """Write a file again after ``change(metadata, tensors)``."""
    with safe_open(file, framework="pt") as opened:
        metadata = json.loads(opened.metadata()["cmlfast"])
        tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    change(metadata, tensors)
    save_file(tensors, target, metadata={"cmlfast": json.dumps(metadata)})
    return target


def test_a_file_of_the_second_format(tmp_path: Path) -> None:
    model = CML(**SMALL).fit(LIKES)
    model.save(tmp_path / "m")

    def as_it_was(metadata: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        assert metadata["format"] == 4
        metadata["format"] = 2
        assert metadata.pop("networks") == {}
        for new in ("covariance_weight", "feature_weight", "rare_item_distance"):
            del metadata["params"][new]
        del tensors["item_likes"]
        assert not any(name.split(".")[0].endswith("network") for name in tensors)

    again = CML.load(rewritten(tmp_path / "m", tmp_path / "old", as_it_was))
    assert again.get_params() == {**model.get_params(), "device": "cpu"}
    assert again.item_network_ is again.user_network_ is None
    for one, other in zip(again.recommend([3, 4]), model.recommend([3, 4]), strict=True):
        assert np.array_equal(one, other)
    assert torch.equal(again.partial_fit(LIKES).user_embedding_, model.partial_fit(LIKES).user_embedding_)
    again.save(tmp_path / "new")
    assert np.array_equal(CML.load(tmp_path / "new").recommend(3)[1], model.recommend(3)[1])


DAMAGES = {
    "a weight is missing": lambda metadata, tensors: tensors.pop("item_network.bias"),
    "a weight too many": lambda metadata, tensors: tensors.update({"user_network.more": torch.zeros(1)}),
    "another shape": lambda metadata, tensors: tensors.update({"item_network.weight": torch.zeros(3, 256)}),
    "other options": lambda metadata, tensors: metadata["networks"]["item_network"].update(hidden=9),
    "no number": lambda metadata, tensors: metadata["networks"]["item_network"].update(hidden="9"),
    "a number below 0": lambda metadata, tensors: metadata["networks"]["item_network"].update(hidden=-9),
    "unknown options": lambda metadata, tensors: metadata["networks"]["user_network"].update(more=9),
    "options missing": lambda metadata, tensors: metadata["networks"]["user_network"].pop("n_components"),
    "no options": lambda metadata, tensors: metadata["networks"].update(item_network=[1]),
    "no networks": lambda metadata, tensors: metadata.update(networks=[1]),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_networks_are_refused(damage: str, file: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"which is damaged|does not fit the weights that the file holds"):
        CML.load(rewritten(file, tmp_path / "damaged", DAMAGES[damage]))


def test_a_network_of_another_dimension_is_refused(file: Path, tmp_path: Path) -> None:
    def narrow(metadata: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        metadata["networks"]["item_network"]["n_components"] = 5
        for name in ("item_network.output.weight", "item_network.output.bias"):
            tensors[name] = tensors[name][:5].clone()

    with pytest.raises(ValueError, match="which is damaged: a network does not fit the tables"):
        CML.load(rewritten(file, tmp_path / "narrow", narrow))
