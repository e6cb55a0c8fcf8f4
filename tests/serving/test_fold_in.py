"""Users placed by what they like: each a function of their own likes, near where training would have put them."""

from typing import Any

import numpy as np
import oracle
import pytest
import torch
from featured import N_ITEMS, N_USERS, likes_and_tags
from scipy import sparse
from torch import Tensor

from cmlfast import CML, Interactions, build_info, ops, reference, split_per_user
from cmlfast.evaluation.measures import recall_at_k
from cmlfast.serving import fold_in

LIKES, _ = likes_and_tags()
NEW = np.arange(0, N_USERS, 5)  # users whom a model does not know
OLD = np.setdiff1d(np.arange(N_USERS), NEW)
needs_extension = pytest.mark.skipif(not build_info()["extension"], reason=str(build_info()["reason"]))


@pytest.fixture(scope="module")
def split() -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
    """Return what is known, and what is held out, of every user."""
    shown, some, others = split_per_user(Interactions(LIKES), seed=0)
    return shown.matrix, some.matrix + others.matrix


@pytest.fixture(scope="module")
def model(split) -> CML:
    return CML(n_components=12, loss="warp", n_epochs=60, random_state=0).fit(split[0][OLD])


def placed(model: CML, liked: sparse.csr_matrix, kernels: Any = reference) -> Tensor:
    fitted = model._fitted
    length = fitted.typical_lengths.user
    return fold_in.fold_in(kernels, model.item_embedding_, fitted.candidates, liked, length, fitted.settings)


def typical(model: CML) -> float:
    """Return the lower median of the lengths of users."""
    lengths = np.sort(np.linalg.norm(model.user_embedding_.double().numpy(), axis=1))
    return lengths[(len(lengths) - 1) // 2]


def test_a_batch_is_one_by_one_and_any_order_to_the_bit(model: CML) -> None:
    liked = LIKES[:12]
    together = placed(model, liked)
    assert together.shape == (12, 12)
    assert torch.equal(together, torch.cat([placed(model, one) for one in liked]))
    order = np.random.default_rng(0).permutation(12)
    assert torch.equal(together[order], placed(model, liked[order]))
    assert torch.equal(placed(model, sparse.vstack([liked[3]] * 3).tocsr()), together[[3, 3, 3]])


@pytest.mark.parametrize("user", range(6))
def test_a_user_against_the_definition_in_float64(model: CML, user: int) -> None:
    """From the direction of what they like, 20 steps of AdaGrad on all of it, with fresh negatives in each."""
    items, u = model.item_embedding_.double().numpy(), model.n_negatives_
    liked = LIKES[user].indices.tolist()
    drawn = {item: oracle.draw(set(liked), 0, item, N_ITEMS, 20 * u, model.seed_, 0) for item in liked}
    vector, state = items[liked].mean(0, keepdims=True), np.zeros((1, 12))
    vector *= typical(model) / np.linalg.norm(vector)
    for step in range(20):
        pairs = []
        for item in liked:
            negatives = drawn[item][step * u : (step + 1) * u]
            found = oracle.pair(vector[0], items, item, negatives, 1.0, N_ITEMS, True, "sqeuclidean")
            assert found.safety > 1e-6, "rounding may decide: another user is needed"
            pairs.append((0, item, found))
        by_user, _ = oracle.gradients(vector, items, pairs, "sqeuclidean", [1.0] * len(pairs))
        oracle.adagrad_clip(vector, state, by_user, 0.01 * (1 - step / 20), 1e-10, 1.0)
    # 1.3e-7 measured over all 150 users, times 4.
    torch.testing.assert_close(placed(model, LIKES[user]).double(), torch.from_numpy(vector), atol=5.4e-7, rtol=0)


@needs_extension
def test_the_kernels_and_the_reference_agree_to_the_bit(model: CML) -> None:
    assert torch.equal(placed(model, LIKES, ops), placed(model, LIKES))


@pytest.mark.parametrize("at_once", [1, 300, 4000])
def test_chunks_change_nothing(model: CML, at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    likes = sparse.vstack([sparse.csr_matrix((2, N_ITEMS)), LIKES[:25], sparse.csr_matrix((3, N_ITEMS))]).tocsr()
    whole = placed(model, likes)
    monkeypatch.setattr(fold_in, "IDS_AT_ONCE", at_once)
    called = []
    once = fold_in._fold_in
    monkeypatch.setattr(fold_in, "_fold_in", lambda *some: called.append(some) or once(*some))
    assert torch.equal(placed(model, likes), whole)
    assert len(called) > 1


def test_who_likes_nothing_or_everything(model: CML) -> None:
    likes = sparse.csr_matrix(np.stack((np.zeros(N_ITEMS), np.ones(N_ITEMS))))
    nothing, everything = placed(model, likes)
    assert nothing.tolist() == [0.0] * 12
    # Nothing pushes them, so they stay in the direction of all: sums of 120 float32 below 1.
    middle = model.item_embedding_.double().mean(0)
    middle *= typical(model) / middle.norm()
    torch.testing.assert_close(everything.double(), middle, atol=1e-6, rtol=0)


def test_nobody_and_only_users_who_like_nothing(model: CML) -> None:
    assert placed(model, LIKES[:0]).shape == (0, 12)
    assert placed(model, sparse.csr_matrix((4, N_ITEMS))).tolist() == [[0.0] * 12] * 4


def test_folded_in_users_find_what_they_like(split, model: CML) -> None:
    """Beside the same users trained, their own mean of liked items, and items drawn by chance."""
    shown, held_out = (matrix[NEW] for matrix in split)

    def recall(ids: np.ndarray) -> float:
        return recall_at_k(ids, held_out, 10)

    found = recall(model.recommend(NEW, shown, N=10, recalculate_user=True)[0])
    everyone = CML(n_components=12, loss="warp", n_epochs=60, random_state=0).fit(split[0])
    trained = recall(everyone.recommend(NEW, N=10)[0])
    chance = 10 / (N_ITEMS - shown.sum(1).mean())
    # Measured here: .51, .58 and .09; over five seeds of the data .58, .55 and .09.
    assert found > 0.8 * trained
    assert found > 4 * chance


def test_steps_lower_the_loss_from_where_they_start(model: CML) -> None:
    """What is trained is the paper's loss on a user's own pairs, from the direction of what they like."""
    liked = LIKES[NEW]
    vectors = placed(model, liked)
    means = torch.stack([model.item_embedding_[one.indices.astype(np.int64)].mean(0) for one in liked])
    means *= typical(model) / means.norm(dim=1, keepdim=True)

    def loss(table: Tensor) -> float:
        users = torch.from_numpy(np.repeat(np.arange(len(NEW)), np.diff(liked.indptr)))
        ends, items = (torch.from_numpy(part.astype(np.int64)) for part in (liked.indptr, liked.indices))
        margin = model._fitted.settings.loss.margin.last
        draws = (
            reference.warp_hinge_sampled(table, model.item_embedding_, ends, items, users, items, 5, margin, 99, n)[0]
            for n in range(8)
        )
        return float(sum(one.sum() for one in draws))

    assert loss(vectors) < 0.98 * loss(means)  # measured: .970


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_recommend_places_users_of_a_matrix_and_of_interactions(dtype: str) -> None:
    plain = CML(n_components=6, n_epochs=5, rare_item_distance=0, random_state=0, dtype=dtype).fit(LIKES)
    vectors = placed(plain, LIKES[:4])
    assert vectors.dtype == getattr(torch, dtype)
    # Numbers of users that the model does not know are fine, for it does not look at them.
    ids, scores = plain.recommend([7, 10**6, -3, 0], LIKES[:4], N=6, recalculate_user=True)
    for row, vector in enumerate(vectors):
        distance = (vector.double() - plain.item_embedding_.double()).square().sum(1).numpy()
        distance[LIKES[row].indices] = np.inf
        np.testing.assert_allclose(-scores[row], np.sort(distance)[:6], atol=4e-6)
        np.testing.assert_allclose(distance[ids[row]], np.sort(distance)[:6], atol=4e-6)
    allowed = plain.recommend(7, LIKES[0], N=N_ITEMS, recalculate_user=True, filter_already_liked_items=False)[0]
    assert set(allowed.tolist()) == set(range(N_ITEMS))
    assert np.array_equal(plain.recommend(7, LIKES[0], N=6, recalculate_user=True)[0], ids[0])

    items = [f"i{n}" for n in range(N_ITEMS)]
    named = CML(n_components=6, n_epochs=5, rare_item_distance=0, random_state=0, dtype=dtype).fit(
        Interactions(LIKES, [f"u{n}" for n in range(N_USERS)], items)
    )
    # Some of the items, backwards, and users in another order than they are asked for.
    columns = np.flatnonzero(LIKES[:4].sum(0).A1)[::-1]
    known = Interactions(LIKES[:4, columns], ["zoe", "yan", "u3", "new"], [items[column] for column in columns])
    answer, same = named.recommend(["new", "zoe", "u3"], known, N=6, recalculate_user=True)
    assert answer.tolist() == [[items[item] for item in ids[row]] for row in (3, 0, 2)]
    assert np.array_equal(same, scores[[3, 0, 2]])


def test_recommend_for_nobody(model: CML) -> None:
    ids, scores = model.recommend([], LIKES[:0], N=6, recalculate_user=True)
    assert ids.shape == scores.shape == (0, 6)
    with pytest.raises(ValueError, match=r"user_items has shape \(0, 119\)"):
        model.recommend([], LIKES[:0, 1:], recalculate_user=True)


def test_errors_of_recommend(model: CML) -> None:
    def recommend(*arguments: Any, **options: Any) -> None:
        model.recommend(*arguments, **options, recalculate_user=True)

    with pytest.raises(ValueError, match="recalculate_user is True, but user_items is None; give what"):
        recommend(3)
    with pytest.raises(
        ValueError,
        match=r"user_items has shape \(3, 120\), .* \(2, 120\), or a row for each user whom the model knows, \(120",
    ):
        recommend([3, 4], LIKES[:3])
    with pytest.raises(ValueError, match=r"user_items has shape \(1, 119\), .* \(1, 120\)"):
        recommend(3, LIKES[0, :-1])
    for wrong in (LIKES[:1].toarray(), [[1, 2]]):
        with pytest.raises(TypeError, match=r"user_items is a .*csr_matrix"):
            recommend(3, wrong)
    with pytest.raises(ValueError, match="userid is missing; give the id of a user, or user_features"):
        recommend(None, LIKES[:1])
    with pytest.raises(KeyError, match="user id 'x' is not in the data"):
        recommend("x", Interactions(LIKES[:1], ["y"], [f"{n}" for n in range(N_ITEMS)]))
    with pytest.raises(ValueError, match="user_items does not fit the model: item id 'strange' is not in the data"):
        recommend("y", Interactions(LIKES[:1, :1], ["y"], ["strange"]))
    with pytest.raises(ValueError, match="user_features are given together with userid or recalculate_user"):
        recommend(user_features=LIKES)
    with pytest.raises(ValueError, match="user_features are given together with userid or recalculate_user"):
        model.recommend(3, user_features=LIKES)
    with pytest.raises(ValueError, match="user_features were given, but the model has no network for them"):
        model.recommend(user_features=LIKES)
