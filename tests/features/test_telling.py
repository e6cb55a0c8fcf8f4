"""How much features tell, against all pairs counted one by one, and the rules that look at it."""

import numpy as np
import pytest
import torch
from featured import N_ITEMS, likes_and_tags
from scipy import sparse

from cmlfast import CML
from cmlfast.data.sides import Sides
from cmlfast.features.rows import Features
from cmlfast.features.telling import lift
from cmlfast.training.auto import Shape, epochs_with_features, pull, pulls

LIKES, TAGS = likes_and_tags()


def of(matrix) -> Features:
    return Features.of(matrix, None, "features", torch.device("cpu"))


def counted(features: np.ndarray, likes: np.ndarray) -> float:
    """Return the lift of all pairs, each user counting alike."""
    lengths = np.linalg.norm(features, axis=1)
    unit = features / np.where(lengths > 0, lengths, 1)[:, None]
    cosine = unit @ unit.T
    own = [np.flatnonzero(row * (lengths > 0)) for row in likes]
    own = [some for some in own if len(some) >= 2]
    same = np.mean([np.mean([cosine[a, b] for a in some for b in some if a != b]) for some in own])
    chance = np.mean([np.bincount(some, minlength=len(features)) / len(some) for some in own], axis=0)  # of each item
    weight = np.outer(chance, chance) * (1 - np.eye(len(features)))
    return same / ((np.abs(cosine) * weight).sum() / weight.sum())


@pytest.mark.parametrize("kind", ["tags", "dense", "half without", "shuffled"])
def test_lift_is_that_of_all_pairs(kind):
    rng = np.random.default_rng(0)
    features = TAGS.toarray()
    if kind == "dense":
        features = features @ rng.standard_normal((features.shape[1], 8))
    elif kind == "half without":
        features[rng.permutation(N_ITEMS)[: N_ITEMS // 2]] = 0
    elif kind == "shuffled":
        features = features[rng.permutation(N_ITEMS)]
    expected = counted(features, LIKES.toarray())
    # 50,000 draws of each kind of pair, with cosines that deviate by up to three times their mean: 2% each.
    for given in (features, sparse.csr_matrix(features)):
        assert lift(of(given), LIKES) == pytest.approx(expected, rel=0.05)
    # Of few dense numbers any two rows are alike by chance: they tell less than the tags that they are made of.
    assert (expected > 1.5) == (kind in ("tags", "half without"))


def test_where_there_is_nothing_to_compare_it_is_1():
    assert lift(of(TAGS), sparse.csr_matrix(LIKES.shape)) == 1
    assert lift(of(np.zeros((N_ITEMS, 2))), LIKES) == 1
    assert lift(of(np.eye(N_ITEMS)), LIKES) == 1  # of no two alike


def test_the_more_features_tell_the_stronger_they_pull_and_the_sooner_all_is_learned():
    assert [pull(one) for one in (0.5, 1, 6, 12, 1000)] == [4, 4, 4, 40, 40]
    assert pull(8) == pytest.approx(4 * (4 / 3) ** 5)
    for lifts, weight, epochs in [
        ((None, 1.0), 4.0, 200),
        ((1.0, None), 4.0, 200),
        ((None, 20.0), 40.0, 40),
        ((1.0, 20.0), (4.0, 40.0), 40),
        ((2.0, 6 * 2**0.2), (4.0, pytest.approx(8.0)), round(40 * 5 ** np.log10(5))),
    ]:
        shape = Shape(100, 10, 10, Sides(*lifts))
        assert pulls(shape) == weight
        assert epochs_with_features(shape) == epochs


def test_a_fit_looks_at_what_its_features_tell():
    seen = []

    def once(record):
        seen.append(record)
        return True

    strong = sparse.csr_matrix(LIKES.T)  # who likes an item, as its features
    likes = LIKES[:, :60]
    for features in (TAGS[:60], strong[:60]):
        model = CML(n_components=4, random_state=0).fit(likes, features, callback=once)
        found = lift(of(features), likes)
        assert model.auto_["feature_weight"] == pull(found)
        assert model.auto_["n_epochs"] == epochs_with_features(Shape(1, 1, 1, Sides(None, found)))
    both = CML(n_components=4, random_state=0).fit(likes, TAGS[:60], np.ones((len(LIKES.toarray()), 1)), callback=once)
    assert both.auto_["feature_weight"] == (4.0, pull(lift(of(TAGS[:60]), likes)))


def test_two_weights_are_those_of_users_and_of_items(tmp_path):
    likes, people = LIKES[:, :60], sparse.random(LIKES.shape[0], 6, 0.5, random_state=0, format="csr")
    setting = {"n_components": 4, "n_epochs": 2, "loss": "warp", "random_state": 0}

    def fitted(weight) -> CML:
        return CML(**setting, feature_weight=weight).fit(likes, TAGS[:60], people)

    one, same, other = (fitted(weight) for weight in (3.0, (3.0, 3.0), (3.0, 9.0)))
    assert torch.equal(one.item_embedding_, same.item_embedding_)
    assert not torch.equal(one.item_embedding_, other.item_embedding_)
    other.save(tmp_path / "m")
    assert CML.load(tmp_path / "m").feature_weight == (3.0, 9.0)
    with pytest.raises(ValueError, match=r"feature_weight is \(1, 2, 3\)"):
        fitted((1, 2, 3))
    with pytest.raises(TypeError, match="feature_weight is 'much'"):
        fitted("much")


def test_items_without_features_are_drawn_nowhere():
    """With a weight that nothing withstands, those with features end where the network puts them, others do not."""
    features = TAGS[:60].tolil()
    features[30:] = 0
    model = CML(n_components=4, n_epochs=30, loss="warp", feature_weight=1e4, random_state=0)
    model.fit(LIKES[:, :60], features.tocsr())
    with torch.no_grad():
        placed = model.item_network_(torch.from_numpy(features.toarray()))
    away = (model.item_embedding_ - placed).norm(dim=1)
    # Measured: .11 and .76, in the median.
    assert away[:30].median() < 0.3
    assert away[30:].median() > 0.5
