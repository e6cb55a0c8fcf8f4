"""A model that an earlier version saved (90b3c8a, format 4) loads, and says to the bit what it said there.

That version wrote ``model_of_90b3c8a.cml``, of 12 users, 15 items with likes and 2 with tags alone, and beside it what
it then answered.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import sparse
from torch import Tensor

from cmlfast import CML, Interactions
from cmlfast.training.pairs import Pairs, _seed, sizes_of

FILE = Path(__file__).with_name("model_of_90b3c8a.cml")
SAID = json.loads(FILE.with_suffix(".json").read_text())
USER = "user 0 ü"


@pytest.fixture
def model() -> CML:
    return CML.load(FILE)


def assert_said(answer: tuple[np.ndarray, np.ndarray], said: list) -> None:
    ids, scores = answer
    assert ids.tolist() == said[0]
    assert np.array_equal(scores, np.array(said[1], dtype=np.float32))


def test_it_says_what_it_said(model: CML) -> None:
    assert_said(model.recommend([USER, "user 5 ü"], N=4), SAID["recommend"])
    assert_said(model.similar_items("item-3", N=3), SAID["similar"])
    # Where new users are placed is no part of a file, and is another place since.


def test_its_network_places_new_items_where_it_did(model: CML) -> None:
    tags = Interactions(sparse.csr_matrix([[1, 0, 1, 0, 0, 0]]), ["fresh"], [f"tag {n}" for n in range(6)])
    # Through BLAS, whose sums of 256 products differ between machines: 256 roundings of 2^-24, on squares below 4.
    np.testing.assert_allclose(model.predict(USER, item_features=tags), SAID["new_item"], rtol=0, atol=6e-5)


def test_parameters_and_history_are_there(model: CML) -> None:
    # What there was not yet has the value at which everything stays as it was.
    expected = {
        "loss": "warp",
        "validation_measure": "recall@50",
        "rowwise_adagrad": False,
        "temperature": "auto",
        **SAID["params"],
        "margin": tuple(SAID["params"]["margin"]),
        "random_state": 3,
        "device": "cpu",
    }
    assert {name: value for name, value in model.get_params().items() if not name.endswith("_network")} == expected
    assert model.history_ == SAID["history"]


def order_of_then(pairs: Pairs, seed: int, epoch: int, balance: float, n_batches: int) -> tuple[Tensor, list[int]]:
    """Return an epoch's order as it was drawn at the time: shuffled, drawn again by weight, dealt like cards."""
    n = len(pairs)
    generator = torch.Generator().manual_seed(_seed(seed, epoch))
    order = torch.randperm(n, generator=generator).numpy()
    first = torch.rand((), dtype=torch.float64, generator=generator).item()
    ends = np.cumsum((1 / (pairs.n_liked[pairs.users.numpy()] + balance))[order])
    passed = np.minimum((ends * (n / ends[-1]) - first + 1).astype(np.int64), n)
    passed[-1] = n
    order = order.repeat(np.diff(passed, prepend=0))
    return torch.from_numpy(np.concatenate([order[batch::n_batches] for batch in range(n_batches)])), sizes_of(
        n, n_batches
    )


def test_it_learns_on_as_it_did(model: CML, monkeypatch: pytest.MonkeyPatch) -> None:
    """But for the order in which it visits pairs, which is another one since."""
    monkeypatch.setattr(Pairs, "order", order_of_then)
    assert_said(model.partial_fit(model.user_items_).recommend(USER, N=4), SAID["after_partial_fit"])
