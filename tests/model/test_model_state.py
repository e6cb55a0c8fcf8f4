"""A fitted model whose parameters are changed, or that learns more: one state, whoever asks."""

from pathlib import Path

import numpy as np
import pytest
import torch
from featured import N_ITEMS, WITHHELD, likes_and_tags, without
from scipy import sparse

from cmlfast import CML, Interactions
from cmlfast.serving.fold_in import fold_in

LIKES, TAGS = likes_and_tags()
SMALL = {"n_components": 6, "n_epochs": 3, "random_state": 0}
MORE = sparse.csr_matrix(([1.0, 1.0], ([0, 1], [N_ITEMS - 1, N_ITEMS - 2])), shape=LIKES.shape)


def test_rare_item_distance_may_be_changed_and_all_answers_follow(tmp_path: Path) -> None:
    changed = CML(**SMALL).fit(LIKES, TAGS).set_params(rare_item_distance=3.0)
    fitted = CML(**SMALL, rare_item_distance=3.0).fit(LIKES, TAGS)
    changed.save(tmp_path / "m")
    for model in (changed, CML.load(tmp_path / "m")):
        for one, other in zip(model.recommend([2, 3], N=9), fitted.recommend([2, 3], N=9), strict=True):
            assert np.array_equal(one, other)
        assert np.array_equal(model.predict(2, 4), fitted.predict(2, 4))
        new = model.predict(2, item_features=TAGS[:3])
        assert np.array_equal(new, fitted.predict(2, item_features=TAGS[:3]))
    np.testing.assert_allclose(changed.set_params(rare_item_distance=0.0).predict(2, item_features=TAGS[:3]) - new, 3.0)


def test_what_cannot_be_loaded_is_not_saved(tmp_path: Path) -> None:
    model = CML(**SMALL).fit(LIKES)
    model.save(tmp_path / "m")
    before = (tmp_path / "m").read_bytes()
    with pytest.raises(ValueError, match=r"rare_item_distance is -1\.0"):
        model.set_params(rare_item_distance=-1.0).save(tmp_path / "m")
    with pytest.raises(ValueError, match="n_components is 50, but the model has 6"):
        model.set_params(rare_item_distance=0.0, n_components=50).save(tmp_path / "m")
    assert (tmp_path / "m").read_bytes() == before


def test_partial_fit_takes_the_numbers_that_were_set_and_keeps_those_that_were_found() -> None:
    model = CML(**SMALL).fit(LIKES)
    found = model.n_negatives_, model.batch_size_
    assert found[0] != 7
    model.set_params(n_negatives=7).partial_fit(LIKES)
    assert (model.n_negatives_, model.batch_size_) == (7, found[1])


def test_likes_are_counted_once() -> None:
    model = CML(**SMALL).fit(LIKES)
    frozen = model.item_likes_.copy()
    model.partial_fit(MORE, freeze_items=True)
    assert np.array_equal(model.item_likes_, frozen)
    model.partial_fit(LIKES)
    assert np.array_equal(model.item_likes_, np.bincount(model.user_items_.matrix.indices, minlength=N_ITEMS))
    assert model.item_likes_.sum() > frozen.sum()


def test_a_part_of_the_likes_is_not_taken_for_all_of_them() -> None:
    model = CML(**SMALL, keep_user_items=False).fit(LIKES).set_params(keep_user_items=True).partial_fit(MORE)
    assert model.user_items_ is None
    with pytest.raises(ValueError, match="the training matrix was not kept"):
        model.recommend(0)
    kept = CML(**SMALL).fit(LIKES).set_params(keep_user_items=False).partial_fit(MORE)
    assert kept.user_items_ is None


def test_new_users_have_no_ids() -> None:
    model = CML(**SMALL).fit(LIKES.T.tocsr(), user_features=TAGS)
    liked = Interactions(LIKES.T.tocsr()[:2], ["a", "b"])
    with pytest.raises(ValueError, match="user_items is Interactions, but new users have no id to be found by"):
        model.recommend(user_features=TAGS[:2], user_items=liked)


def test_fold_in_draws_what_training_drew() -> None:
    """Items that features alone place are no negatives: they may be anywhere."""
    model = CML(**SMALL).fit(without(LIKES, WITHHELD), TAGS)
    kernels, settings, candidates = model._kernels(model._fitted), model._fitted.settings, model._fitted.candidates
    assert candidates.tolist() == np.setdiff1d(np.arange(N_ITEMS), WITHHELD).tolist()
    liked = without(LIKES, WITHHELD)[:9]
    length = model._fitted.typical_lengths.user
    users = fold_in(kernels, model.item_embedding_, candidates, liked, length, settings)
    moved = model.item_embedding_.clone()
    moved[WITHHELD] = -moved[WITHHELD]
    assert torch.equal(fold_in(kernels, moved, candidates, liked, length, settings), users)
    assert not torch.equal(fold_in(kernels, moved, torch.arange(N_ITEMS), liked, length, settings), users)
    # Liked ones are positives all the same.
    with_new = LIKES[:9]
    assert with_new[:, WITHHELD].nnz
    assert not torch.equal(fold_in(kernels, moved, candidates, with_new, length, settings), users)


def test_nothing_but_the_named_rows_is_new_where_nothing_grows() -> None:
    model = CML(**SMALL).fit(LIKES)
    before = model.user_embedding_.clone()
    same = model.user_embedding_
    model.partial_fit(MORE)
    assert torch.equal(same, before)  # the old tables are not written to
    assert set((model.user_embedding_ != before).any(1).nonzero()[:, 0].tolist()) <= {0, 1}


def test_a_network_is_trained_where_no_gradients_are_wanted() -> None:
    with torch.no_grad():
        model = CML(**SMALL).fit(LIKES, TAGS)
    assert torch.equal(model.item_embedding_, CML(**SMALL).fit(LIKES, TAGS).item_embedding_)
