"""`CML(rare_item_distance=...)`: every answer against float64 sums over the tables; who keeps the counts of likes."""

import numpy as np
import pytest
import torch
from scipy import sparse

from cmlfast import CML, Interactions, build_info, datasets, split_per_user
from cmlfast.data.tensor_file import read, write

SMALL = {"n_components": 16, "n_epochs": 15, "random_state": 0}
ADDED = 0.7
needs_extension = pytest.mark.skipif(not build_info()["extension"], reason=str(build_info()["reason"]))
# Scores are float32 sums of 17 squares below 4, and the 17th is the square of a rounded root: 2e-6 at most.
CLOSE = {"rtol": 0, "atol": 5e-6}


@pytest.fixture(scope="module")
def split() -> tuple[Interactions, Interactions, Interactions]:
    likes = datasets.synthetic(n_users=200, n_items=400, n_pairs=4000, n_groups=8, seed=5).interactions
    return split_per_user(likes, seed=0)


@pytest.fixture(scope="module")
def model(split) -> CML:
    return CML(rare_item_distance=ADDED, **SMALL).fit(split[0])


def far(model: CML, likes: np.ndarray) -> np.ndarray:
    """Return all squared distances, [I, J], by the definition."""
    u, v = model.user_embedding_.double().numpy(), model.item_embedding_.double().numpy()
    return np.square(u[:, None] - v).sum(2) + ADDED / (1 + likes)


def likes_of(matrix: sparse.csr_matrix) -> np.ndarray:
    return (matrix.toarray() != 0).sum(0)


def test_recommend_and_predict_equal_brute_force(split, model: CML) -> None:
    train = split[0].matrix
    distance = far(model, likes_of(train))
    np.testing.assert_allclose(-model.predict(np.arange(200), np.arange(400)), distance, **CLOSE)
    plain = np.argsort(far(model, np.full(400, np.inf)), axis=1)[:, :5]
    distance[train.nonzero()] = np.inf
    ids, scores = model.recommend(np.arange(200), N=5)
    nearest = np.sort(distance, axis=1)[:, :5]
    np.testing.assert_allclose(-scores, nearest, **CLOSE)
    np.testing.assert_allclose(np.take_along_axis(distance, ids.astype(np.int64), 1), nearest, **CLOSE)
    assert (ids != plain).any()
    ids, scores = model.recommend(7, N=3, items=[5, 6, 7, 8, 9], filter_items=[6], filter_already_liked_items=False)
    among = far(model, likes_of(train))[7, [5, 7, 8, 9]]
    np.testing.assert_allclose(-scores, np.sort(among)[:3], **CLOSE)


def test_evaluate_equals_brute_force(split, model: CML) -> None:
    train, validation, test = (part.matrix for part in split)
    distance = far(model, likes_of(train))
    distance[(train + validation).nonzero()] = np.inf
    first = np.argsort(distance, axis=1, kind="stable")[:, :20]
    hits = np.take_along_axis(test.toarray() != 0, first, 1).sum(1)
    held = np.diff(test.indptr)
    expected = (hits[held > 0] / held[held > 0]).mean()
    found = model.evaluate(split[2], k=20, exclude=split[1])["recall@20"]
    assert found == pytest.approx(expected, abs=1e-12)
    assert found != CML(**SMALL).fit(split[0]).evaluate(split[2], k=20, exclude=split[1])["recall@20"]


def test_training_and_similarity_stay_as_they_are(split, model: CML) -> None:
    plain = CML(**SMALL).fit(split[0])
    assert torch.equal(plain.user_embedding_, model.user_embedding_)
    assert torch.equal(plain.item_embedding_, model.item_embedding_)
    for answer in ("similar_items", "similar_users"):
        for one, other in zip(getattr(plain, answer)(3, N=9), getattr(model, answer)(3, N=9), strict=True):
            assert np.array_equal(one, other)


def test_validation_is_looked_at_as_evaluate_would(split) -> None:
    model = CML(rare_item_distance=ADDED, **SMALL).fit(split[0], validation=split[1])
    best = max(record["recall@50"] for record in model.history_)
    assert model.evaluate(split[1], k=50)["recall@50"] == best


@needs_extension
def test_the_reference_gives_the_same_bits(split) -> None:
    answers = []
    for backend in ("extension", "reference"):
        model = CML(rare_item_distance=ADDED, backend=backend, **{**SMALL, "n_epochs": 2}).fit(split[0])
        answers.append(model.recommend(np.arange(200), N=20))
    for one, other in zip(*answers, strict=True):
        assert np.array_equal(one, other)


def test_tables_of_16_bits(split) -> None:
    model = CML(rare_item_distance=ADDED, dtype="bfloat16", **SMALL).fit(split[0])
    expected = far(model, likes_of(split[0].matrix))
    # The coordinate, of at most sqrt(0.7), is rounded to 8 bits: by 2^-9 of it, its square by 2^-8.
    np.testing.assert_allclose(-model.predict(np.arange(200), np.arange(400)), expected, rtol=0, atol=ADDED / 2**8)


@pytest.mark.parametrize("keep", [True, False])
def test_saved_counts_and_counts_after_more_likes(split, keep: bool, tmp_path) -> None:
    train, validation = split[0].matrix, split[1].matrix
    model = CML(rare_item_distance=ADDED, keep_user_items=keep, **SMALL).fit(train)
    model.save(tmp_path / "m.cml")
    again = CML.load(tmp_path / "m.cml")
    for one, other in zip(again.recommend(3, train[3], N=9), model.recommend(3, train[3], N=9), strict=True):
        assert np.array_equal(one, other)
    again.partial_fit(validation)  # disjoint from train
    both = likes_of(train + validation)
    assert np.array_equal(again.item_likes_, both)
    np.testing.assert_allclose(-again.predict(np.arange(200), np.arange(400)), far(again, both), **CLOSE)


def test_likes_that_are_known_count_once_and_new_items_begin_at_0(split) -> None:
    train = split[0].matrix
    wider = sparse.csr_matrix((train.data, train.indices, train.indptr), shape=(200, 402)).tolil()
    wider[:3, 400] = 1
    model = CML(rare_item_distance=ADDED, **SMALL).fit(train).partial_fit(wider.tocsr())
    assert np.array_equal(model.item_likes_, [*likes_of(train), 3, 0])


def test_frozen_items_keep_the_points_at_which_they_are_searched(split) -> None:
    model = CML(rare_item_distance=ADDED, **SMALL).fit(split[0])
    before = model.item_likes_.copy(), far(model, model.item_likes_)
    model.partial_fit(split[1], freeze_items=True)
    assert np.array_equal(model.item_likes_, before[0])
    assert not np.array_equal(far(model, model.item_likes_), before[1])  # the users did move


def test_new_items_placed_by_features_have_no_likes(split) -> None:
    features = np.eye(400, dtype=np.float32)[:, :40] + 0.1
    settings = {**SMALL, "n_epochs": 2}
    plain, model = (CML(rare_item_distance=d, **settings).fit(split[0], features) for d in (0.0, ADDED))
    near, distant = (one.predict(np.arange(200), item_features=features[:3]) for one in (plain, model))
    np.testing.assert_allclose(near - distant, ADDED, **CLOSE)


def test_a_file_without_counts_counts_its_matrix(split, model: CML, tmp_path) -> None:
    model.save(tmp_path / "m.cml")
    tensors, metadata = read(tmp_path / "m.cml")
    likes = tensors.pop("item_likes")
    write(tmp_path / "old.cml", tensors, metadata)
    assert np.array_equal(CML.load(tmp_path / "old.cml").item_likes_, likes.numpy())
    for damaged, message in (
        (likes[1:], r"item_likes is int64 \[399\]; it must be int64 \[400\]"),
        (likes - 10**6, "negative counts"),
    ):
        write(tmp_path / "bad.cml", {**tensors, "item_likes": damaged}, metadata)
        with pytest.raises(ValueError, match=message):
            CML.load(tmp_path / "bad.cml")


@pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf")])
def test_a_distance_out_of_range_is_refused(split, value: float) -> None:
    with pytest.raises(ValueError, match="rare_item_distance is"):
        CML(rare_item_distance=value).fit(split[0])
