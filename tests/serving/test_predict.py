"""predict: the scores of recommend to the bit, of users and items known and new; shapes and errors."""

import numpy as np
import pytest
import torch
from featured import N_ITEMS, N_USERS, likes_and_tags
from scipy import sparse

from cmlfast import CML, Interactions
from cmlfast.model import NotFittedError
from cmlfast.serving import nearest
from cmlfast.serving.queries import placed_by_features

LIKES, TAGS = likes_and_tags()
ABOUT = sparse.random(N_USERS, 9, 0.4, format="csr", rng=np.random.default_rng(1))
EVERYTHING = {"N": N_ITEMS, "filter_already_liked_items": False}


@pytest.fixture(scope="module", params=["float32", "bfloat16"])
def model(request: pytest.FixtureRequest) -> CML:
    settings = {"n_components": 37, "n_epochs": 3, "rare_item_distance": 0, "random_state": 0, "dtype": request.param}
    return CML(**settings).fit(LIKES, TAGS, ABOUT)


def by_item(ids: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Bring recommend's answers, [Q, J], to the order of the items."""
    result = np.empty_like(scores)
    np.put_along_axis(result, ids, scores, 1)
    return result


def same_bits(left: np.ndarray, right: np.ndarray) -> bool:
    return left.dtype == right.dtype == np.float32 and np.array_equal(left.view(np.int32), right.view(np.int32))


def test_scores_are_those_of_recommend_to_the_bit(model: CML) -> None:
    everyone, everything = np.arange(N_USERS), np.arange(N_ITEMS)
    scores = model.predict(everyone, everything)
    assert same_bits(scores, by_item(*model.recommend(everyone, **EVERYTHING)))
    assert same_bits(model.predict([5, 3, 3], [7, 0]), scores[[5, 3, 3]][:, [7, 0]])
    assert same_bits(
        model.predict(user_features=ABOUT[:4], itemid=everything),
        by_item(*model.recommend(user_features=ABOUT[:4], **EVERYTHING)),
    )


def test_a_distance_of_nothing_is_a_score_of_0(model: CML) -> None:
    """Not of -0, as a plain minus would make of it; of an item to itself as `similar_items` has it."""
    table = model.item_embedding_
    assert same_bits(nearest.pair_scores(table[3:4], table[3:4]).numpy()[0], model.similar_items(3, N=1)[1])


def test_more_pairs_than_fit_at_once(model: CML, monkeypatch: pytest.MonkeyPatch) -> None:
    users, items = np.arange(9), np.arange(20)
    whole = model.predict(users, items)
    for at_once in (1, 7, 45):
        monkeypatch.setattr(nearest, "PAIRS_AT_ONCE", at_once)
        assert same_bits(model.predict(users, items), whole)


def test_shapes(model: CML) -> None:
    whole = model.predict(np.arange(N_USERS), np.arange(N_ITEMS))
    assert model.predict([4], [2]).shape == (1, 1)
    for user in (4, np.int64(4), np.array(4)):
        assert model.predict(user, 2).shape == ()
        assert model.predict(user, 2) == whole[4, 2]
        assert same_bits(model.predict(user, [2, 1]), whole[4, [2, 1]])
        assert same_bits(model.predict([4, 5], 2), whole[[4, 5], 2])
    assert model.predict(4, [2]).shape == (1,)
    assert model.predict(4, item_features=TAGS[:1]).shape == (1,)
    assert model.predict(user_features=ABOUT[:1], item_features=TAGS[:1]).shape == (1, 1)
    assert model.predict([], [1, 2]).shape == (0, 2)
    assert model.predict([1, 2], []).shape == (2, 0)


def test_new_users_and_items_are_scored_where_they_are_placed(model: CML) -> None:
    scores = model.predict(user_features=ABOUT[[8]], item_features=TAGS[10:13])
    users, items = (
        placed_by_features(model._fitted, ABOUT[[8]], "user"),
        placed_by_features(model._fitted, TAGS[10:13], "item"),
    )
    assert users.dtype == model.user_embedding_.dtype
    distances = (users.double()[:, None] - items.double()).square().sum(2)
    torch.testing.assert_close(torch.from_numpy(-scores).double(), distances, atol=4e-6, rtol=0)
    assert same_bits(scores[0, 1:], model.predict(user_features=ABOUT[8], item_features=TAGS[11:13])[0])


def test_own_ids() -> None:
    likes = Interactions(LIKES, [f"u{n}" for n in range(N_USERS)], [f"i{n}" for n in range(N_ITEMS)])
    named, plain = (CML(n_components=5, n_epochs=2, random_state=0).fit(one) for one in (likes, LIKES))
    assert same_bits(named.predict(["u9", "u1"], ["i0", "i7", "i3"]), plain.predict([9, 1], [0, 7, 3]))
    assert named.predict("u9", "i7") == plain.predict(9, 7)
    with pytest.raises(KeyError, match="item id 'i120' is not in the data"):
        named.predict("u9", ["i120"])


def test_errors(model: CML) -> None:
    for given in ({}, {"itemid": 3}, {"userid": 1, "user_features": ABOUT, "itemid": 3}):
        with pytest.raises(ValueError, match="give either userid, of users the model knows, or user_features, of new"):
            model.predict(**given)
    for given in ({"userid": 1, "itemid": 3, "item_features": TAGS},):
        with pytest.raises(ValueError, match="give either itemid, of items the model knows, or item_features"):
            model.predict(**given)
    with pytest.raises(IndexError, match="userid holds 150, but the model knows users 0 to 149"):
        model.predict(150, 3)
    with pytest.raises(IndexError, match="itemid holds -1, but the model knows items 0 to 119"):
        model.predict(3, [0, -1])
    with pytest.raises(ValueError, match=r"itemid has 2 dimensions; give one id or a list"):
        model.predict(3, [[0]])
    with pytest.raises(ValueError, match="user_features has 8 columns, and the model's network does not take them"):
        model.predict(itemid=3, user_features=ABOUT[:, :8])
    with pytest.raises(ValueError, match="item_features contains nan"):
        model.predict(3, item_features=np.full((1, 30), np.nan))
    with pytest.raises(ValueError, match="item_features were given, but the model has no network for them"):
        CML(n_components=3, n_epochs=1).fit(LIKES).predict(3, item_features=TAGS)
    with pytest.raises(NotFittedError, match="call fit first"):
        CML().predict(0, 0)
