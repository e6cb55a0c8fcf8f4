"""CML: what it learns, what it answers, that it is reproducible. Answers are checked against brute force."""

import numpy as np
import pytest
import torch
from scipy import sparse

from cmlfast import CML, Interactions, build_info, datasets, ops, split_per_user
from cmlfast.evaluation.popularity import popularity_recall
from cmlfast.training.pairs import Pairs

SMALL = {"n_components": 16, "n_epochs": 30, "random_state": 0}
needs_extension = pytest.mark.skipif(not build_info()["extension"], reason=str(build_info()["reason"]))


def checkerboard(n: int) -> sparse.csr_matrix:
    """Even users like even items, odd ones odd items; nobody's own diagonal item is shown."""
    ones = (np.add.outer(np.arange(n), np.arange(n)) % 2 == 0).astype(np.float32)
    np.fill_diagonal(ones, 0)
    return sparse.csr_matrix(ones)


@pytest.fixture(scope="module")
def board() -> CML:
    return CML(n_components=8, n_epochs=150, random_state=3).fit(checkerboard(40))


@pytest.fixture(scope="module")
def split() -> tuple[Interactions, Interactions, Interactions]:
    likes = datasets.synthetic(n_users=300, n_items=500, n_pairs=9000, n_groups=8, seed=5).interactions
    return split_per_user(likes, seed=0)


def test_checkerboard_diagonal_is_recommended_first(board: CML) -> None:
    ids, _ = board.recommend(np.arange(40), N=1)
    assert ids[:, 0].tolist() == list(range(40))
    assert (np.diff(board.recommend(7, N=20)[1]) <= 0).all()


def test_checkerboard_neighbours_have_the_same_parity(board: CML) -> None:
    for answer in (board.similar_items, board.similar_users):
        ids, scores = answer(np.arange(40), N=20)
        assert (ids % 2 == np.arange(40)[:, None] % 2).all()
        assert (scores[:, 0] == 0).all()


def test_recommend_equals_brute_force(split) -> None:
    train, _, _ = split
    model = CML(**SMALL).fit(train)
    users = np.array([3, 50, 299])
    ids, scores = model.recommend(users, N=7, filter_items=[1, 2], items=np.arange(0, 500, 2))
    u, v = model.user_embedding_.double(), model.item_embedding_.double()
    rare = 0.5 / (1 + np.asarray(train.matrix.sum(0))[0])  # rare_item_distance="auto"
    for row, user in enumerate(users):
        distance = (u[user] - v).square().sum(1).numpy() + rare
        distance[train.matrix[user].indices] = np.inf
        distance[1::2] = np.inf
        distance[[1, 2]] = np.inf
        expected = np.argsort(distance, kind="stable")[:7]
        # Scores are float32 sums of 16 squares below 4: 16 roundings of 2^-24 times 4 at most, 4e-6.
        np.testing.assert_allclose(-scores[row], distance[expected], atol=4e-6)
        np.testing.assert_allclose(distance[ids[row]], distance[expected], atol=4e-6)
        one_ids, one_scores = model.recommend(user, N=7, filter_items=[1, 2], items=np.arange(0, 500, 2))
        assert np.array_equal(one_ids, ids[row])
        assert np.array_equal(one_scores, scores[row])


def test_evaluate_equals_brute_force(split) -> None:
    train, validation, test = split
    model = CML(**SMALL).fit(train)
    u, v = model.user_embedding_.double().numpy(), model.item_embedding_.double().numpy()
    recalls, rare = [], 0.5 / (1 + np.asarray(train.matrix.sum(0))[0])  # rare_item_distance="auto"
    for user in range(300):
        held = set(test.matrix[user].indices)
        if not held:
            continue
        distance = np.square(u[user] - v).sum(1) + rare
        distance[train.matrix[user].indices] = np.inf
        distance[validation.matrix[user].indices] = np.inf
        recalls.append(len(held & set(np.argsort(distance)[:20])) / len(held))
    found = model.evaluate(test, k=20, exclude=validation)
    # One swap of two items that float32 cannot tell apart would move the mean by at most 1 / n_users.
    assert found["recall@20"] == pytest.approx(np.mean(recalls), abs=1 / len(recalls))


def test_learns_more_than_popularity(split) -> None:
    train, validation, test = split
    model = CML(n_components=32, random_state=0).fit(train)
    found = model.evaluate(test, k=20, exclude=validation)["recall@20"]
    popular = popularity_recall(train, test, k=[20], exclude=validation)["recall@20"]
    assert found > 1.3 * popular  # measured: 1.7 times


@needs_extension
def test_extension_equals_reference_to_the_bit(split) -> None:
    train, validation, _ = split
    fits = [
        CML(**{**SMALL, "n_epochs": 5}, backend=backend).fit(train, validation=validation)
        for backend in ("extension", "reference")
    ]
    for name in ("user_embedding_", "item_embedding_"):
        assert torch.equal(*(getattr(model, name) for model in fits))
    histories = [[{**record, "seconds": 0} for record in model.history_] for model in fits]
    assert histories[0] == histories[1]


def test_random_state_reproduces_to_the_bit_on_any_number_of_threads(split) -> None:
    train, _, _ = split
    threads = torch.get_num_threads()
    try:
        fits = []
        for n in (1, 2, 3):
            torch.set_num_threads(n)
            fits.append(CML(**SMALL).fit(train).item_embedding_)
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(fits[0], fits[1])
    assert torch.equal(fits[0], fits[2])
    other = CML(**{**SMALL, "random_state": 1}).fit(train).item_embedding_
    assert not torch.equal(fits[0], other)


def test_order_of_an_epoch_visits_every_pair_once(split, monkeypatch) -> None:
    train, _, _ = split
    seen = []
    model = CML(**{**SMALL, "n_epochs": 2, "batch_size": 333}, loss="warp", balance=None, backend="reference")
    from cmlfast import reference

    original = reference.cml_step_

    def spy(*arguments, **numbers):
        seen.append((arguments[6], arguments[7]))
        return original(*arguments, **numbers)

    monkeypatch.setattr(reference, "cml_step_", spy)
    model.fit(train)
    users, items = (torch.cat(column).numpy() for column in zip(*seen, strict=True))
    n = train.nnz
    for epoch in (slice(0, n), slice(n, 2 * n)):
        visited = sparse.coo_matrix((np.ones(n), (users[epoch], items[epoch])), shape=train.shape).tocsr()
        assert (visited != train.matrix).nnz == 0
    assert not np.array_equal(users[:n], users[n:])


def test_balance_draws_a_pair_by_its_users_number_of_likes(split) -> None:
    train, _, _ = split
    pairs = Pairs.of(train.matrix, train.matrix, torch.device("cpu"), ops)
    n = np.diff(train.matrix.indptr)[pairs.users.numpy()]
    expected = 1 / (n + 4.0)
    expected *= train.nnz / expected.sum()
    drawn = [torch.bincount(pairs.order(seed, 7, 4.0, 3)[0], minlength=train.nnz).numpy() for seed in range(40)]
    for times in drawn:
        assert times.sum() == train.nnz
        # floor or ceil, with a little room for the rounding of a running sum
        assert ((times >= np.floor(expected - 1e-6)) & (times <= np.ceil(expected + 1e-6))).all()
    # Of 40 draws with a variance of at most 1/4 each, the mean lies within 6 standard errors with odds of 10^-9.
    assert (np.abs(np.mean(drawn, axis=0) - expected) < 6 * 0.5 / np.sqrt(40)).all()
    assert torch.equal(pairs.order(3, 7, 4.0, 3)[0], pairs.order(3, 7, 4.0, 3)[0])
    assert not torch.equal(pairs.order(3, 7, 4.0, 3)[0], pairs.order(3, 8, 4.0, 3)[0])


def test_best_epoch_is_restored_and_training_stops_early(split) -> None:
    train, validation, _ = split
    model = CML(n_components=64, loss="warp", n_epochs=400, patience=2, random_state=1).fit(
        train, validation=validation
    )
    seen = [record["recall@50"] for record in model.history_ if "recall@50" in record]
    assert len(model.history_) < 400
    # Where nothing was gained, the rate falls to its end within the last tenth of the epochs: it does not just stop.
    rates = [record["learning_rate"] for record in model.history_]
    falls = -np.diff(rates)
    assert np.allclose(falls[:-40], 0.1 / 400, rtol=1e-6, atol=0)
    assert falls[-1] > 1.5 * 0.1 / 400
    assert rates[-1] == pytest.approx(falls[-1])
    assert max(seen) > seen[-1]
    assert model.evaluate(validation, k=50)["recall@50"] == max(seen)


def test_callback_sees_every_epoch_and_can_stop(split) -> None:
    train, _, _ = split
    seen = []

    def callback(record):
        seen.append(record["epoch"])
        return record["epoch"] == 4

    model = CML(**SMALL).fit(train, callback=callback)
    assert seen == [1, 2, 3, 4]
    assert len(model.history_) == 4


def test_progress_bar_only_on_a_terminal_or_when_asked(split, capsys) -> None:
    train, _, _ = split
    CML(**{**SMALL, "n_epochs": 2}).fit(train)
    assert capsys.readouterr() == ("", "")
    CML(**{**SMALL, "n_epochs": 2}).fit(train, show_progress=True)
    assert "2/2 |" in capsys.readouterr().err


@pytest.mark.parametrize("form", ["csc", "coo", "lil"])
def test_any_sparse_format_gives_the_same_model(split, form) -> None:
    train, _, _ = split
    expected = CML(**SMALL).fit(train.matrix)
    model = CML(**SMALL).fit(train.matrix.asformat(form))
    assert torch.equal(model.item_embedding_, expected.item_embedding_)


def test_user_who_likes_everything_is_skipped_and_counted() -> None:
    matrix = checkerboard(12).tolil()
    matrix[3] = 1
    model = CML(**SMALL).fit(matrix)
    assert model.skipped_ == {"duplicate_pairs": 0, "dropped_values": 0, "pairs_without_negatives": 12}
    assert model.user_embedding_.isfinite().all()
    assert model.recommend(3)[0].size == 0


def test_duplicates_and_zeros_are_counted() -> None:
    rows, columns, values = [0, 0, 1, 1, 2], [0, 0, 1, 2, 2], [1, 1, 1, 0, 1]
    model = CML(**SMALL).fit(sparse.coo_matrix((values, (rows, columns)), shape=(3, 4)))
    assert model.skipped_ == {"duplicate_pairs": 1, "dropped_values": 1, "pairs_without_negatives": 0}


def test_values_do_not_matter(split) -> None:
    train, _, _ = split
    assert torch.equal(CML(**SMALL).fit(train.matrix * 7.5).item_embedding_, CML(**SMALL).fit(train).item_embedding_)


@pytest.mark.slow
def test_quality_on_citeulike(shared_data) -> None:
    """Ten epochs, so that it stays quick; measured .306 with them, .313 with all, popularity .06."""
    train, validation, test = split_per_user(datasets.load("citeulike-t").interactions, seed=0)
    model = CML(n_epochs=10, random_state=0).fit(train)
    assert model.n_negatives_ == 1024
    assert model.evaluate(test, k=50, exclude=validation)["recall@50"] > 0.2
