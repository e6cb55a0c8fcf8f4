"""Networks of one's own in a fit: copies are trained, repeatably, and come back from the best epoch; errors."""

import copy

import numpy as np
import pytest
import torch
from featured import N_ITEMS, N_TAGS, WITHHELD, likes_and_tags, of_length, without
from sklearn.base import clone
from torch import Tensor, nn

from cmlfast import CML
from cmlfast.features.network import FeatureMLP
from cmlfast.features.rows import Features

LIKES, TAGS = likes_and_tags()
SEEN = without(LIKES, WITHHELD)
SMALL = {"n_components": 12, "n_epochs": 3, "random_state": 0}
CPU = torch.device("cpu")
TABLES = ("user_embedding_", "item_embedding_")


class OneLayer(nn.Module):
    """A network of one's own, with dropout."""

    def __init__(self, n_components: int = 12) -> None:
        super().__init__()
        self.linear = nn.Linear(N_TAGS, n_components)
        self.dropout = nn.Dropout(0.3)
        with torch.no_grad():
            for parameter in self.linear.parameters():
                parameter.copy_(torch.linspace(-0.2, 0.2, parameter.numel()).view(parameter.shape))

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.dropout(x))


def test_a_network_is_trained_in_training_mode() -> None:
    """Where dropout acts; a fit with it is another one."""
    fits = [CML(**SMALL, item_network=FeatureMLP(N_TAGS, 12, dropout=p)).fit(SEEN, TAGS) for p in (0.0, 0.5)]
    assert not torch.equal(*(model.item_embedding_ for model in fits))


@pytest.mark.parametrize("threads", [1, 2])
def test_fits_repeat_and_leave_torchs_generator_alone(threads: int) -> None:
    def fit() -> CML:
        return CML(**SMALL, item_network=FeatureMLP(N_TAGS, 12, dropout=0.5)).fit(SEEN, TAGS)

    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        state = torch.random.get_rng_state()
        one = fit()
        assert torch.equal(torch.random.get_rng_state(), state)
        torch.manual_seed(77)
        other = fit()
    finally:
        torch.set_num_threads(before)
    for name in TABLES:
        assert torch.equal(getattr(one, name), getattr(other, name))


def trained_items(model: CML) -> Tensor:
    return model.item_embedding_[np.setdiff1d(np.arange(N_ITEMS), WITHHELD)]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_network_of_ones_own(dtype: str) -> None:
    network = OneLayer()
    before = copy.deepcopy(network.state_dict())
    model = CML(**SMALL, item_network=network, dtype=dtype).fit(SEEN, TAGS.toarray())
    assert model.item_network is network
    assert model.item_network_ is not network
    assert isinstance(model.item_network_, OneLayer)
    for name, weights in network.state_dict().items():
        assert torch.equal(weights, before[name])
        assert not torch.equal(model.item_network_.state_dict()[name], weights)
    assert model.item_embedding_.dtype == getattr(torch, dtype)
    with torch.no_grad():
        placed = model.item_network_(torch.from_numpy(TAGS.toarray()))[WITHHELD]
    placed = of_length(placed, trained_items(model))
    tolerance = 1e-6 if dtype == "float32" else 2**-8  # half a unit in the last place of a number below 1
    torch.testing.assert_close(model.item_embedding_[WITHHELD].float(), placed, atol=tolerance, rtol=0)
    assert network.training


def test_scikit_learns_rules_hold_with_a_network() -> None:
    network = OneLayer()
    model = CML(**SMALL, item_network=network)
    assert model.get_params()["item_network"] is network
    assert model.clone().item_network is network
    assert isinstance(clone(model).item_network, OneLayer)
    assert clone(model).set_params(item_network=None).item_network is None
    fits = [one.fit(SEEN, TAGS.toarray()).item_embedding_ for one in (clone(model), model)]
    assert torch.equal(*fits)


def test_the_best_epochs_network_comes_back_with_its_tables() -> None:
    """A rate at which recall falls again; rows without likes tell which epoch's network the model has."""
    validation = LIKES - SEEN
    setting = {"loss": "warp", "n_epochs": 40, "learning_rate": 0.3, "feature_weight": 200.0, "patience": 3}
    model = CML(n_components=12, **setting, random_state=1)
    model.fit(SEEN, TAGS, validation=validation)
    recalls = [one["recall@50"] for one in model.history_ if "recall@50" in one]
    assert max(recalls) > recalls[-1], "no epoch after the best one: another case is needed"
    assert model.evaluate(validation, k=50)["recall@50"] == max(recalls)
    with torch.no_grad():
        placed = model.item_network_(Features.of(TAGS, N_ITEMS, "f", CPU).rows)[WITHHELD]
    placed = of_length(placed, trained_items(model))
    torch.testing.assert_close(model.item_embedding_[WITHHELD], placed, atol=1e-6, rtol=0)


class Wide(OneLayer):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).double()


@pytest.mark.parametrize(
    ("network", "error", "message"),
    [
        (OneLayer(5), ValueError, r"item_network returns shape \(1, 5\) of torch.float32 .* must be \(1, 12\)"),
        (Wide(), ValueError, r"item_network returns shape \(1, 12\) of torch.float64 .* of torch.float32"),
        (nn.Linear(3, 12), ValueError, f"item_network does not take float32 rows of {N_TAGS} features"),
        (FeatureMLP(3, 12), ValueError, f"item_network does not take float32 rows of {N_TAGS} features"),
        (nn.Identity(), ValueError, "item_network has no parameter to train"),
        (OneLayer().requires_grad_(False), ValueError, "item_network has no parameter to train"),
        (len, TypeError, "item_network is a builtin_function_or_method; it must be a torch.nn.Module"),
    ],
)
def test_networks_that_do_not_fit(network, error, message) -> None:
    with pytest.raises(error, match=message):
        CML(**SMALL, item_network=network).fit(SEEN, TAGS.toarray())
