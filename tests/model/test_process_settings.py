"""Settings of the whole process change nothing: fits and answers of every kind, the same bits under each of them."""

import contextlib
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from scipy import sparse

from cmlfast import CML, Interactions, split_per_user
from cmlfast.evaluation.popularity import popularity_recall

rng = np.random.default_rng(0)
LIKES = Interactions(
    sparse.random(60, 40, 0.2, random_state=1, format="csr"), user_ids=[f"u{u}" for u in range(60)], item_ids=range(40)
)
TRAIN, VALIDATION, TEST = split_per_user(LIKES, seed=0)
TAGS = sparse.random(40, 15, 0.3, random_state=2, format="csr", dtype=np.float32)
NEW = sparse.random(3, 40, 0.3, random_state=3, format="csr")


@contextlib.contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@contextlib.contextmanager
def default_device(name: str) -> Iterator[None]:
    torch.set_default_device(name)
    try:
        yield
    finally:
        torch.set_default_device(None)


@contextlib.contextmanager
def deterministic() -> Iterator[None]:
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


SETTINGS = {
    "float64 by default": lambda: default_dtype(torch.float64),
    "bfloat16 by default": lambda: default_dtype(torch.bfloat16),
    "another device by default": lambda: default_device("meta"),
    "inference mode": torch.inference_mode,
    "no gradients": torch.no_grad,
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "deterministic": deterministic,
    "anomaly detection": torch.autograd.detect_anomaly,
}
MODELS = {
    "softmax": ({}, {}),
    "hinge": ({"loss": "warp"}, {}),
    "bfloat16": ({"dtype": "bfloat16"}, {}),
    "covariance": ({"loss": "warp", "covariance_weight": 1e6}, {}),
    "reference": ({"backend": "reference", "loss": "warp"}, {}),
    "item features": ({}, {"item_features": TAGS}),
    "dense features of both": (
        {"loss": "softmax"}, {"item_features": TAGS.toarray(), "user_features": torch.ones(60, 2, dtype=torch.float32)},
    ),
}  # fmt: skip


def everything(params: dict, features: dict, path: str) -> dict[str, np.ndarray]:
    """Fit, ask, save, load, go on: every number that comes of it."""
    model = CML(n_components=8, n_epochs=3, batch_size=50, random_state=0, **params)
    model.fit(TRAIN, **features, validation=VALIDATION)
    found = {"user": model.user_embedding_.float().numpy().copy(), "item": model.item_embedding_.float().numpy().copy()}
    model.save(path)
    for name, one in (("fitted", model), ("loaded", CML.load(path))):
        found[f"{name} known"] = one.recommend(["u1", "u2"], N=5)[1]
        found[f"{name} folded in"] = one.recommend(range(3), NEW, recalculate_user=True, N=5)[1]
        found[f"{name} similar"] = one.similar_items(3)[1]
        found[f"{name} pairs"] = one.predict(["u1"], [1, 2, 3])
        if "item_features" in features:
            found[f"{name} placed"] = one.predict(["u1"], item_features=features["item_features"][:2])
    found["measures"] = np.array(list(model.evaluate(TEST, 5, exclude=VALIDATION).values()))
    found["popular"] = np.array(list(popularity_recall(TRAIN, TEST, (5,)).values()))
    model.partial_fit(VALIDATION)
    found["grown"] = model.user_embedding_.float().numpy().copy()
    return found


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    path = tmp_path_factory.mktemp("plain") / "m"
    return {name: everything(*given, path) for name, given in MODELS.items()}


@pytest.mark.filterwarnings("ignore:Anomaly Detection")
@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("name", MODELS)
def test_the_same_bits(name, setting, plain, tmp_path):
    with SETTINGS[setting]():
        found = everything(*MODELS[name], tmp_path / "m")
    assert found.keys() == plain[name].keys()
    for what, expected in plain[name].items():
        np.testing.assert_array_equal(found[what], expected, err_msg=what)


def test_features_made_in_inference_mode():
    with torch.inference_mode():
        tags = torch.from_numpy(TAGS.toarray())
    model = CML(n_components=8, n_epochs=1, random_state=0)
    found = model.fit(TRAIN, tags).item_embedding_.clone()
    assert torch.equal(found, model.fit(TRAIN, tags.clone()).item_embedding_)


def test_tables_can_be_trained_on_after_a_fit_in_inference_mode():
    with torch.inference_mode():
        table = CML(n_components=8, n_epochs=1).fit(TRAIN).item_embedding_
    (table.clone().requires_grad_() ** 2).sum().backward()
    assert not table.is_inference()
