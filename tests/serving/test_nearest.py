"""Serving by implicit's rules: own ids, filters, short rows, and implicit's own evaluator on our model."""

import numpy as np
import pytest
from scipy import sparse

from cmlfast import CML, Interactions

LIKES = {"ann": ["tea", "milk", "rye"], "bob": ["tea", "oat"], "eve": ["rye", "oat", "tea", "milk"], "dan": ["fig"]}


def interactions() -> Interactions:
    rows = [(user, item) for user, items in LIKES.items() for item in items]
    import pyarrow as pa

    return Interactions.from_frame(pa.table({"user": [r[0] for r in rows], "item": [r[1] for r in rows]}))


@pytest.fixture(scope="module")
def model() -> CML:
    return CML(n_components=4, n_epochs=20, random_state=0).fit(interactions())


def test_own_ids_come_in_and_go_out(model: CML) -> None:
    for user, liked in LIKES.items():
        ids, scores = model.recommend(user)
        assert set(ids) == {"tea", "milk", "rye", "oat", "fig"} - set(liked)
        assert len(ids) == len(scores)
    assert model.similar_items("tea", N=1)[0].tolist() == ["tea"]
    assert model.similar_users(["bob", "ann"], N=1)[0].tolist() == [["bob"], ["ann"]]


def test_short_rows_end_in_none_and_minus_infinity(model: CML) -> None:
    ids, scores = model.recommend(["dan", "eve"], N=10)
    assert ids.shape == scores.shape == (2, 5)
    assert [sum(one is not None for one in row) for row in ids] == [4, 1]
    assert np.isneginf(scores).sum() == 1 + 4


def test_n_beyond_the_catalogue_gives_all(model: CML) -> None:
    ids, _ = model.recommend("ann", N=100, filter_already_liked_items=False)
    assert sorted(ids) == ["fig", "milk", "oat", "rye", "tea"]


def test_filters_and_choices(model: CML) -> None:
    ids, _ = model.recommend("bob", filter_items=["fig"])
    assert sorted(ids) == ["milk", "rye"]
    ids, _ = model.recommend("bob", items=["fig", "tea"], filter_already_liked_items=False)
    assert sorted(ids) == ["fig", "tea"]
    ids, _ = model.recommend("bob", items=["tea"])
    assert len(ids) == 0


def test_user_items_given_replace_those_of_training(model: CML) -> None:
    nothing = sparse.csr_matrix((1, 5))
    assert len(model.recommend("ann", nothing)[0]) == 5
    with pytest.raises(ValueError, match=r"user_items has shape \(1, 5\).*\(2, 5\)"):
        model.recommend(["ann", "bob"], nothing)
    everyone = interactions()
    assert sorted(model.recommend("ann", everyone)[0]) == ["fig", "oat"]


def test_unknown_ids_are_named(model: CML) -> None:
    with pytest.raises(KeyError, match="zoe"):
        model.recommend("zoe")
    with pytest.raises(KeyError, match="gin"):
        model.similar_items("gin")
    with pytest.raises(KeyError, match="gin"):
        model.recommend("ann", filter_items=["gin"])


def test_positions_out_of_range_are_named() -> None:
    model = CML(n_components=4, n_epochs=2).fit(interactions().matrix)
    with pytest.raises(IndexError, match="userid holds 4, but the model knows users 0 to 3"):
        model.recommend([0, 4])
    with pytest.raises(IndexError, match="itemid holds -1"):
        model.similar_items(-1)
    with pytest.raises(ValueError, match="knows users by position"):
        model.recommend("ann")
    with pytest.raises(ValueError, match="N is 0"):
        model.recommend(0, N=0)


def test_matrix_model_gives_numbers_padded_with_minus_one() -> None:
    model = CML(n_components=4, n_epochs=2).fit(interactions().matrix)
    ids, _ = model.recommend([0, 1, 2, 3], N=5)
    assert ids.dtype == np.int32  # as implicit's evaluators need it
    assert (ids[2] == -1).sum() + (ids[1] == -1).sum() + (ids[0] == -1).sum() + (ids[3] == -1).sum() == 10


def test_without_the_training_matrix_it_must_be_given() -> None:
    likes = interactions()
    model = CML(n_components=4, n_epochs=2, keep_user_items=False).fit(likes)
    assert model.user_items_ is None
    with pytest.raises(ValueError, match="user_items is None"):
        model.recommend("ann")
    assert len(model.recommend("ann", filter_already_liked_items=False)[0]) == 5
    assert len(model.recommend("ann", likes)[0]) == 2
    with pytest.raises(ValueError, match="exclude is None"):
        model.evaluate(likes, k=1)
    assert model.evaluate(likes, k=1, exclude=sparse.csr_matrix(likes.shape))["recall@1"] > 0


def test_held_out_ids_may_come_in_another_order(model: CML) -> None:
    held = interactions()
    shuffled = Interactions(held.matrix[::-1][:, ::-1], held.user_ids[::-1], held.item_ids[::-1])
    nothing = sparse.csr_matrix(held.shape)
    free = CML(n_components=4, n_epochs=5, random_state=0, keep_user_items=False).fit(held)
    assert free.evaluate(shuffled, k=2, exclude=nothing) == free.evaluate(held, k=2, exclude=nothing)
    strange = Interactions(held.matrix, ["ann", "bob", "eve", "zoe"], held.item_ids)
    with pytest.raises(ValueError, match=r"held_out does not fit the model.*zoe"):
        model.evaluate(strange)


def test_implicit_evaluates_our_model_unchanged() -> None:
    evaluation = pytest.importorskip("implicit.evaluation", reason="implicit is not installed")
    rng = np.random.default_rng(0)
    likes = sparse.csr_matrix((rng.random((60, 40)) < 0.3).astype(np.float32))
    test = likes.multiply(rng.random((60, 40)) < 0.3).tocsr()
    train = (likes - test).tocsr()
    train.eliminate_zeros()
    model = CML(n_components=8, n_epochs=20, rare_item_distance=0.0, random_state=0).fit(train)
    found = evaluation.ranking_metrics_at_k(model, train, test, K=10, show_progress=False)

    # implicit's precision: hits over min(K, held-out items), pooled over the users
    distance = (model.user_embedding_[:, None] - model.item_embedding_).double().square().sum(2).numpy()
    distance[train.toarray() > 0] = np.inf
    top = np.argsort(distance, axis=1)[:, :10]
    hits = sum(len(set(top[user]) & set(test[user].indices)) for user in range(60))
    possible = sum(min(10, test[user].nnz) for user in range(60))
    assert found["precision"] == pytest.approx(hits / possible)
