"""partial_fit with features: new rows where the networks place them, items that stay frozen, accumulators kept."""

from pathlib import Path

import numpy as np
import pytest
import torch
from featured import N_ITEMS, N_USERS, likes_and_tags
from scipy import sparse
from torch import Tensor

from cmlfast import CML, Interactions
from cmlfast.model import NotFittedError
from cmlfast.serving.queries import placed_by_features

LIKES, TAGS = likes_and_tags()
ABOUT = sparse.random(N_USERS, 9, 0.4, format="csr", rng=np.random.default_rng(1))
OLD_USERS, OLD_ITEMS = 140, 110
SMALL = {"n_components": 7, "n_epochs": 3, "random_state": 0}
OLD = LIKES[:OLD_USERS, :OLD_ITEMS]
# A few likes of those that the model knows, in a matrix that has room for the new.
FEW = sparse.csr_matrix(([1.0] * 4, ([1, 1, 5, 9], [90, 91, 92, 93])), shape=LIKES.shape)
NO_LIKES = sparse.csr_matrix(LIKES.shape)
BOTH = {"item_features": TAGS, "user_features": ABOUT}


def fitted(**params: object) -> CML:
    return CML(**SMALL, **params).fit(OLD, TAGS[:OLD_ITEMS], ABOUT[:OLD_USERS])


def copies(model: CML) -> list[Tensor]:
    return [table.clone() for table in model._fitted.tables.all()]


def names(kind: str, n: int) -> list[str]:
    return [f"{kind}{number}" for number in range(n)]


@pytest.mark.parametrize(("dtype", "rowwise"), [("float32", False), ("bfloat16", False), ("float32", True)])
def test_a_matrix_without_likes_places_the_new_and_changes_nothing_else(dtype: str, rowwise: bool) -> None:
    model = fitted(dtype=dtype, rowwise_adagrad=rowwise)
    users, items = (
        placed_by_features(model._fitted, ABOUT[OLD_USERS:], "user"),
        placed_by_features(model._fitted, TAGS[OLD_ITEMS:], "item"),
    )
    before, history = copies(model), model.history_
    model.partial_fit(NO_LIKES, **BOTH)
    user, item, user_state, item_state = model._fitted.tables.all()
    assert (user.shape, item.shape, item.dtype) == ((N_USERS, 7), (N_ITEMS, 7), getattr(torch, dtype))
    assert torch.equal(user[OLD_USERS:], users)
    assert torch.equal(item[OLD_ITEMS:], items)
    assert not user_state[OLD_USERS:].any()
    assert not item_state[OLD_ITEMS:].any()
    for after, old in zip(model._fitted.tables.all(), before, strict=True):
        assert torch.equal(after[: len(old)], old)
    assert model.history_ == history
    assert model.user_items_.nnz == OLD.nnz
    assert model.user_items_.shape == LIKES.shape
    # They are served as any others.
    assert set(model.recommend(N_USERS - 1, N=N_ITEMS)[0].tolist()) == set(range(N_ITEMS))


def test_one_kind_alone_may_grow() -> None:
    model = fitted().partial_fit(sparse.csr_matrix((OLD_USERS, N_ITEMS)), TAGS)
    assert (len(model.user_embedding_), len(model.item_embedding_)) == (OLD_USERS, N_ITEMS)
    again = fitted().partial_fit(sparse.csr_matrix((N_USERS, OLD_ITEMS)), user_features=ABOUT)
    assert (len(again.user_embedding_), len(again.item_embedding_)) == (N_USERS, OLD_ITEMS)
    same = fitted()
    before = copies(same)
    same.partial_fit(sparse.csr_matrix(OLD.shape), TAGS[:OLD_ITEMS])  # nothing new at all
    for one, other in zip(same._fitted.tables.all(), before, strict=True):
        assert torch.equal(one, other)


def test_interactions_need_the_new_ones_rows_alone() -> None:
    """And find them by their ids, whatever stands beside them."""
    users, items = names("u", OLD_USERS), names("i", OLD_ITEMS + 3)
    old = Interactions(OLD, users, items[:-3])
    tags = (TAGS > 0).astype(np.float32)
    model = CML(**SMALL).fit(old, tags[:OLD_ITEMS])
    placed = placed_by_features(model._fitted, tags[OLD_ITEMS : OLD_ITEMS + 3], "item")
    before = copies(model)
    shown = Interactions(tags[[5, OLD_ITEMS + 2, OLD_ITEMS, OLD_ITEMS + 1]], ["i0", items[-1], *items[-3:-1]])
    model.partial_fit(Interactions(sparse.csr_matrix((1, 3)), ["u3"], items[-3:]), shown)
    assert model.item_ids_.tolist() == items
    assert torch.equal(model.item_embedding_[OLD_ITEMS:], placed)
    assert torch.equal(model.item_embedding_[:OLD_ITEMS], before[1])
    with pytest.raises(
        ValueError, match="item_features has no row for any: they are called 'i200' where they are liked"
    ):
        model.partial_fit(Interactions(sparse.csr_matrix((1, 1)), ["u3"], ["i200"]), Interactions(tags[:9], items[:9]))


@pytest.mark.parametrize("saved", [False, True])
def test_tags_are_found_by_their_names(saved: bool, tmp_path: Path) -> None:
    """A table of new items has other tags in another order: known ones go to their columns, others are left out."""
    users, items = names("u", OLD_USERS), names("i", OLD_ITEMS)
    tags, tag_names = (TAGS > 0).astype(np.float32), names("t", TAGS.shape[1])
    model = CML(**SMALL).fit(Interactions(OLD, users, items), Interactions(tags[:OLD_ITEMS], items, tag_names))
    assert model.item_feature_ids_.tolist() == tag_names
    assert model.user_feature_ids_ is None
    if saved:
        model.save(tmp_path / "m")
        model = CML.load(tmp_path / "m")
    placed = placed_by_features(model._fitted, tags[OLD_ITEMS:], "item")
    order = np.random.default_rng(0).permutation(TAGS.shape[1])
    strange = sparse.hstack((np.ones((N_ITEMS - OLD_ITEMS, 1)), tags[OLD_ITEMS:][:, order]), "csr")
    new = [f"new{n}" for n in range(N_ITEMS - OLD_ITEMS)]
    shown = Interactions(strange, new, ["a tag of tomorrow", *(tag_names[tag] for tag in order)])
    assert torch.equal(placed_by_features(model._fitted, shown, "item"), placed)
    assert np.array_equal(model.predict("u3", item_features=shown), model.predict("u3", item_features=tags[OLD_ITEMS:]))
    model.partial_fit(item_features=shown)  # items that features alone name
    assert model.item_ids_.tolist() == [*items, *new]
    assert torch.equal(model.item_embedding_[OLD_ITEMS:], placed)
    assert model.recommend("u3", N=N_ITEMS)[0].shape == (N_ITEMS - OLD[3].nnz,)
    with pytest.raises(ValueError, match="item_features has none of the 30 tags that the model knows, such as 't0'"):
        model.predict("u3", item_features=Interactions(tags[:2], new[:2]))


@pytest.mark.parametrize("covariance_weight", [0.0, 5.0])
def test_frozen_items_and_their_accumulators_stay(covariance_weight: float) -> None:
    frozen, free = (fitted(loss="warp", covariance_weight=covariance_weight) for _ in range(2))
    user, item, user_state, item_state = copies(frozen)
    frozen.partial_fit(FEW, **BOTH, freeze_items=True)
    free.partial_fit(FEW, **BOTH)
    assert torch.equal(frozen.item_embedding_[:OLD_ITEMS], item)
    assert torch.equal(frozen._fitted.tables.item_state[:OLD_ITEMS], item_state)
    at = (free.item_embedding_[:OLD_ITEMS] != item).any(1)
    assert 0 < at.sum() < OLD_ITEMS
    # AdaGrad goes on from what it had, and so do its sums.
    assert torch.equal((free._fitted.tables.item_state[:OLD_ITEMS] > item_state).any(1), at)
    assert (free._fitted.tables.item_state[:OLD_ITEMS] >= item_state).all()
    moved = (frozen.user_embedding_[:OLD_USERS] != user).any(1).nonzero()[:, 0].tolist()
    assert moved
    assert set(moved) <= {1, 5, 9}
    # One batch: users see items where they were, frozen or not.
    assert torch.equal(frozen.user_embedding_, free.user_embedding_)
    assert (frozen._fitted.tables.user_state[moved] >= user_state[moved]).all()
    assert (user_state[moved] > 0).any()
    assert len(frozen.history_) == SMALL["n_epochs"] + 1
    assert (frozen.history_[-1]["margin"], frozen.history_[-1]["learning_rate"]) == (1.0, 0.1)


def test_placed_items_are_no_negatives_until_somebody_likes_them() -> None:
    model = fitted().partial_fit(NO_LIKES, **BOTH)
    placed = model.item_embedding_[OLD_ITEMS:].clone()
    model.set_params(n_negatives=5).partial_fit(LIKES[:, :OLD_ITEMS] @ sparse.eye(OLD_ITEMS, N_ITEMS, format="csr"))
    assert torch.equal(model.item_embedding_[OLD_ITEMS:], placed)
    likes = LIKES.tolil()
    likes[:, OLD_ITEMS + 1 :] = 0
    model.partial_fit(likes.tocsr())
    moved = (model.item_embedding_[OLD_ITEMS:] != placed).any(1).nonzero()[:, 0].tolist()
    assert moved == [0]


def test_without_the_old_likes_what_was_liked_once_is_a_negative_still() -> None:
    model = fitted(keep_user_items=False)
    before = model.item_embedding_.clone()
    one = sparse.csr_matrix(([1.0] * 60, (range(60), [3] * 60)), shape=OLD.shape)
    model.partial_fit(one)  # of one item alone: no other could be a negative if those with new likes were all
    moved = (model.item_embedding_ != before).any(1)
    assert moved[3]
    assert moved.sum() > 10


def test_a_partial_fit_is_reproducible_and_starts_as_fit_where_nothing_is_fitted() -> None:
    one, other = (fitted().partial_fit(LIKES, **BOTH) for _ in range(2))
    assert torch.equal(one.item_embedding_, other.item_embedding_)
    fresh = CML(**SMALL).partial_fit(OLD, TAGS[:OLD_ITEMS], ABOUT[:OLD_USERS])
    assert torch.equal(fresh.item_embedding_, fitted().item_embedding_)


def test_swapped_columns_are_noticed() -> None:
    model = CML(**SMALL).fit(Interactions(OLD, names("u", OLD_USERS), names("i", OLD_ITEMS)))
    before = copies(model)
    swapped = Interactions(OLD.T.tocsr(), names("i", OLD_ITEMS), names("u", OLD_USERS))
    with pytest.raises(
        ValueError, match=r"no user and no item that the model knows, .* item 'u0'; are its columns swapped"
    ):
        model.partial_fit(swapped)
    for after, old in zip(model._fitted.tables.all(), before, strict=True):
        assert torch.equal(after, old)


def test_nothing_at_all_is_an_error() -> None:
    with pytest.raises(ValueError, match="user_items has no interactions"):
        fitted().partial_fit()


def test_no_items_to_freeze() -> None:
    model = CML(**SMALL)
    with pytest.raises(NotFittedError, match="freeze_items is True, but this CML is not fitted yet"):
        model.partial_fit(OLD, freeze_items=True)
    assert not hasattr(model, "item_embedding_")


def test_errors_leave_the_model_as_it_was() -> None:
    model = fitted()
    before = copies(model)
    wrong = [
        (NO_LIKES, {"item_features": TAGS[:7]}, rf"item_features has shape \(7, 30\); it must have {N_ITEMS} rows"),
        (NO_LIKES, {"item_features": TAGS[OLD_ITEMS:]}, rf"item_features has shape \(10, 30\).* {N_ITEMS} rows"),
        (NO_LIKES, {"item_features": TAGS[:, :29]}, "item_features has 29 columns, and the model's network does not"),
        (NO_LIKES, {"user_features": TAGS}, rf"user_features has shape .* it must have {N_USERS} rows"),
        (NO_LIKES, {}, "user_items has no interactions"),
        (NO_LIKES, {"freeze_items": True}, "freeze_items is True, but user_items has 10 new items, .* give item_fea"),
        (FEW, {"freeze_items": True, "user_features": ABOUT}, "freeze_items is True, but user_items has 10 new items"),
        (OLD[:, :9], {"item_features": TAGS}, r"user_items has shape \(140, 9\), but the model knows"),
    ]
    for likes, options, message in wrong:
        with pytest.raises(ValueError, match=message):
            model.partial_fit(likes, **options)
    plain = CML(**SMALL).fit(OLD)
    for name, features in BOTH.items():
        with pytest.raises(ValueError, match=f"{name} were given, but the model has no network for them.*fit it with"):
            plain.partial_fit(NO_LIKES, **{name: features})
    for after, old in zip(model._fitted.tables.all(), before, strict=True):
        assert torch.equal(after, old)
    assert len(model.history_) == SMALL["n_epochs"]
