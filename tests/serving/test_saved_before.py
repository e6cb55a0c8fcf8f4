"""A model that an earlier version saved (90b3c8a, format 4) loads, and says to the bit what it said there.

That version wrote ``model_of_90b3c8a.cml``, of 12 users, 15 items with likes and 2 with tags alone, and beside it what
it then answered.
"""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from cmlfast import CML, Interactions

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


def test_it_learns_on_as_it_did(model: CML) -> None:
    assert_said(model.partial_fit(model.user_items_).recommend(USER, N=4), SAID["after_partial_fit"])
