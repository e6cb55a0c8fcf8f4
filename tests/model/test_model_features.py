"""CML with features: what it learns of items that nobody likes yet, where they stand, what it is given."""

import numpy as np
import pytest
import torch
from featured import N_ITEMS, N_TAGS, N_USERS, WITHHELD, likes_and_tags, of_length, without
from scipy import sparse

from cmlfast import CML, Interactions, build_info
from cmlfast.features.rows import Features

LIKES, TAGS = likes_and_tags()
SEEN = without(LIKES, WITHHELD)
SMALL = {"n_components": 12, "n_epochs": 3, "random_state": 0}
CPU = torch.device("cpu")
TABLES = ("user_embedding_", "item_embedding_")


def found(held_out: np.ndarray, ids: np.ndarray) -> float:
    """Return the mean over users of the share of their withheld items that is in the rows of ``ids``."""
    shares = [held_out[user, ids[user]].sum() / held_out[user].sum() for user in np.flatnonzero(held_out.sum(1))]
    return float(np.mean(shares))


@pytest.fixture(scope="module")
def model() -> CML:
    return CML(n_components=12, n_epochs=20, random_state=0).fit(SEEN, TAGS)


def test_items_without_likes_are_found_by_their_features(model: CML) -> None:
    held_out = LIKES.toarray()
    held_out[:, np.setdiff1d(np.arange(N_ITEMS), WITHHELD)] = 0
    everyone = np.arange(N_USERS)
    recall = found(held_out, model.recommend(everyone, N=4, items=WITHHELD)[0])
    most_liked = np.tile(np.argsort(-held_out.sum(0))[:4], (N_USERS, 1))
    # 4 of 24 by chance is .17; the most liked of the withheld, which no training knows, give .25. Measured: .74, and
    # .64 at least over five seeds.
    assert recall > 0.55
    assert found(held_out, most_liked) < 0.3
    blind = CML(n_components=12, n_epochs=20, random_state=0).fit(SEEN)
    assert found(held_out, blind.recommend(everyone, N=4, items=WITHHELD)[0]) < 0.3  # measured: .06


def test_items_without_likes_stand_where_the_network_places_them(model: CML) -> None:
    with torch.no_grad():
        placed = model.item_network_(Features.of(TAGS, N_ITEMS, "f", CPU).rows)
    assert not model.item_network_.training
    others = np.setdiff1d(np.arange(N_ITEMS), WITHHELD)
    trained = model.item_embedding_[others]
    placed = of_length(placed, trained)
    torch.testing.assert_close(model.item_embedding_[WITHHELD], placed[WITHHELD], atol=1e-6, rtol=0)
    assert (trained - placed[others]).norm(dim=1).min() > 1e-3
    assert not model._fitted.tables.item_state[WITHHELD].any()
    assert model._fitted.tables.item_state[others].any(1).all()
    assert model.user_network_ is None


def test_items_without_likes_change_nothing_for_the_others() -> None:
    """They are no negatives, and no part of the loss: a training without them is the same, to the bit."""
    kept = np.setdiff1d(np.arange(N_ITEMS), WITHHELD)
    settings = {**SMALL, "n_negatives": 5}
    whole, part = CML(**settings).fit(SEEN, TAGS), CML(**settings).fit(SEEN[:, kept], TAGS[kept])
    assert torch.equal(whole.item_embedding_[kept], part.item_embedding_)
    assert torch.equal(whole.user_embedding_, part.user_embedding_)


def test_users_without_likes_find_what_they_like_by_their_features() -> None:
    """Items as users, and so users as items."""
    likes = LIKES.T.toarray()[WITHHELD]
    model = CML(n_components=12, n_epochs=20, random_state=0).fit(SEEN.T.tocsr(), user_features=TAGS)
    ids, _ = model.recommend(WITHHELD, N=20)
    most_liked = np.tile(np.argsort(-likes.sum(0))[:20], (len(WITHHELD), 1))
    # 20 of 150 by chance is .13; what most of these users like, which no training knows, gives .30. Measured: .64, and
    # .56 at least over five seeds.
    assert found(likes, ids) > 0.5
    assert found(likes, most_liked) < 0.35


def test_users_without_likes_are_placed_too() -> None:
    likes = LIKES.T.tocsr()
    model = CML(**SMALL).fit(SEEN.T.tocsr(), user_features=TAGS)
    with torch.no_grad():
        placed = model.user_network_(Features.of(TAGS, N_ITEMS, "f", CPU).rows)[WITHHELD]
    trained = model.user_embedding_[np.setdiff1d(np.arange(N_ITEMS), WITHHELD)]
    torch.testing.assert_close(model.user_embedding_[WITHHELD], of_length(placed, trained), atol=1e-6, rtol=0)
    ids, scores = model.recommend(user_features=TAGS[WITHHELD], N=5)
    for user, row, score in zip(WITHHELD, ids, scores, strict=True):
        one_ids, one_scores = model.recommend(user, N=5)
        assert row.tolist() == one_ids.tolist()
        np.testing.assert_allclose(score, one_scores, atol=1e-5)
    assert ids.shape == (len(WITHHELD), 5)
    # What they like is left out if it is told, unless it may come.
    again, _ = model.recommend(user_features=TAGS[WITHHELD], user_items=likes[WITHHELD], N=5)
    allowed, _ = model.recommend(
        user_features=TAGS[WITHHELD], user_items=likes[WITHHELD], N=5, filter_already_liked_items=False
    )
    assert not likes[WITHHELD].toarray()[np.arange(len(WITHHELD))[:, None], again].any()
    assert np.array_equal(allowed, ids)


def test_auto_is_fewer_epochs_with_features() -> None:
    for loss, features, n in (
        ("auto", None, 30),
        ("auto", TAGS[:20], 200),  # that tell little, see test_telling
        ("softmax", TAGS[:20], 10),
        ("warp", None, 200),
    ):
        epochs: list[float] = []
        CML(n_components=2, loss=loss).fit(
            LIKES[:, :20], features, callback=lambda one, epochs=epochs: epochs.append(one["epoch"])
        )
        assert epochs == list(range(1, n + 1))


@pytest.mark.skipif(not build_info()["extension"], reason=str(build_info()["reason"]))
def test_both_backends_give_the_same_bits() -> None:
    settings = {**SMALL, "n_epochs": 2, "covariance_weight": 2.0}
    mine, theirs = (CML(**settings, backend=one).fit(SEEN, TAGS, TAGS[[0] * N_USERS]) for one in ("auto", "reference"))
    for name in TABLES:
        assert torch.equal(getattr(mine, name), getattr(theirs, name))


def test_covariance_weight_takes_correlations_out() -> None:
    def off_diagonal(model: CML) -> float:
        matrix = torch.cat([getattr(model, name) for name in TABLES]).T.cov()
        return float((matrix - matrix.diag().diag()).square().sum() / matrix.square().sum())

    plain, spread = (CML(n_components=8, n_epochs=10, random_state=0, covariance_weight=w).fit(LIKES) for w in (0, 3e6))
    assert off_diagonal(spread) < 0.3 * off_diagonal(plain)  # measured: a tenth


def test_interactions_with_own_ids() -> None:
    """Features' rows are found by id, in whatever order they stand."""
    users, items = [f"u{n}" for n in range(N_USERS)], [f"i{n}" for n in range(N_ITEMS)]
    tag_names = [f"t{n}" for n in range(N_TAGS)]
    backwards = Interactions(TAGS[::-1], items[::-1], tag_names)
    model = CML(**SMALL).fit(Interactions(SEEN, users, items), backwards)
    binary = (TAGS > 0).astype(np.float32)  # as Interactions are
    assert torch.equal(model.item_embedding_, CML(**SMALL).fit(SEEN, binary).item_embedding_)
    # An item without a row has no tags; an item without likes is placed, wherever it is named.
    untagged = sparse.vstack((TAGS[:1] * 0, binary[1:]), "csr")
    named = CML(**SMALL).fit(Interactions(SEEN, users, items), Interactions(TAGS[1:], items[1:], tag_names))
    assert torch.equal(named.item_embedding_, CML(**SMALL).fit(SEEN, untagged).item_embedding_)
    liked = np.setdiff1d(np.arange(N_ITEMS), WITHHELD)
    likes = Interactions(SEEN[:, liked], users, [items[item] for item in liked])
    named = CML(**SMALL).fit(likes, Interactions(TAGS, items, tag_names))
    assert set(named.item_ids_) == set(items)
    order = [items.index(one) for one in named.item_ids_]
    assert order[len(liked) :] == WITHHELD.tolist()
    assert torch.equal(named.item_embedding_, CML(**SMALL).fit(SEEN[:, order], binary[order]).item_embedding_)


@pytest.mark.parametrize(
    "features", [TAGS[:, :1], np.zeros((N_ITEMS, 2)), sparse.csr_matrix((N_ITEMS, 3)), sparse.eye(N_ITEMS)]
)
def test_features_that_say_little(features) -> None:
    model = CML(**SMALL).fit(SEEN, features)
    assert model.item_embedding_.isfinite().all()
    assert np.isfinite(model.recommend(0, N=N_ITEMS)[1]).all()


@pytest.mark.parametrize("item_features", [TAGS, None])
def test_a_matrix_without_likes_is_told_the_same_way(item_features) -> None:
    with pytest.raises(ValueError, match="user_items has no interactions"):
        CML(**SMALL).fit(sparse.csr_matrix(LIKES.shape), item_features)


@pytest.mark.parametrize("name", ["covariance_weight", "feature_weight"])
@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf"), True, False, "much"])
def test_weights_are_numbers_of_at_least_0(name, value) -> None:
    with pytest.raises(TypeError if isinstance(value, bool | str) else ValueError, match=f"^{name} is {value!r}; it"):
        CML(**SMALL, **{name: value}).fit(SEEN, TAGS)


def test_another_number_of_rows_is_told() -> None:
    with pytest.raises(ValueError, match=rf"item_features has shape \(7, {N_TAGS}\); it must have {N_ITEMS} rows"):
        CML(**SMALL).fit(SEEN, TAGS[:7])
    with pytest.raises(ValueError, match=rf"user_features has shape .* it must have {N_USERS} rows"):
        CML(**SMALL).fit(SEEN, user_features=TAGS)
