"""The softmax loss in training: its draws, its gradients against float64, what it finds and refuses."""

import re

import numpy as np
import pytest
import torch
from scipy import sparse

from cmlfast import CML, datasets, ops, reference
from cmlfast.training import auto
from cmlfast.training.auto import Shape, temperature
from cmlfast.training.pairs import Batch, Pairs
from cmlfast.training.settings import resolve
from cmlfast.training.softmax import shared_negatives
from cmlfast.training.tables import new_tables

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def likes():
    return datasets.synthetic(n_users=60, n_items=90, n_pairs=900, n_groups=3, seed=1).interactions


def settings_of(likes, **params):
    params = {"loss": "softmax", "n_components": 12, "random_state": 0, "n_negatives": 40, **params}
    return resolve(CML(**params).get_params(), likes.nnz, *likes.shape)


@pytest.mark.parametrize(("n_items", "n"), [(1, 1), (7, 3), (100, 99), (1682, 1024), (25_975, 4096)])
def test_shared_negatives_are_distinct_items_and_the_same_on_both_backends(n_items, n) -> None:
    for step in range(5):
        drawn = shared_negatives(ops, n_items, n, 3, step)
        assert len(drawn.unique()) == n == len(drawn)
        assert drawn.min() >= 0
        assert drawn.max() < n_items
        assert torch.equal(drawn, shared_negatives(reference, n_items, n, 3, step))


def test_all_items_are_shared_where_no_more_are_asked_for() -> None:
    assert shared_negatives(ops, 5, 9, 0, 0).tolist() == [0, 1, 2, 3, 4]


def test_every_item_is_shared_equally_often() -> None:
    """Chi-squared over items: draws of a step exclude each other, so that the sum is below that of free draws."""
    n_items, n, steps = 50, 33, 3000
    counts = torch.zeros(n_items)
    for step in range(steps):
        counts[shared_negatives(ops, n_items, n, 11, step)] += 1
    expected = steps * n / n_items
    deviations = (counts - expected) / (expected * (1 - n / n_items)) ** 0.5
    # The largest of 50 standard normal deviations is above 4 in 0.3% of cases; an item that came 5% more often, or one
    # that the first stretch left out, would be 5.5 or more away.
    assert deviations.abs().max() < 4


def test_gradients_are_those_of_float64_autograd(likes) -> None:
    settings = settings_of(likes)
    pairs = Pairs.of(likes.matrix, likes.matrix, CPU, ops)
    tables = new_tables(*likes.shape, settings, CPU)
    batch = Batch(pairs.users[:200], pairs.items[:200], 0.3, 0.0, 7, 7)
    (total,), asked = settings.loss.gradients(ops, tables, pairs, batch, settings)

    user, item = (table.double().requires_grad_() for table in (tables.user, tables.item))
    shared = shared_negatives(ops, likes.n_items, 40, settings.seed, 7)
    u, v = user[batch.users.long()], item[batch.items.long()]
    logits = -(u[:, None] - item[shared]).square().sum(-1) / settings.loss.temperature  # [N, S]
    logits = logits.masked_fill(shared == batch.items[:, None], -torch.inf)
    loss = ((u - v).square().sum(1) / settings.loss.temperature + logits.logsumexp(1)).sum()
    loss.backward()
    assert total.item() == pytest.approx(loss.item(), rel=1e-6)
    for table, rows, gradients in ((user, asked.users, asked.by_user), (item, asked.items, asked.by_item)):
        found = torch.zeros_like(table.data).index_add_(0, rows.long(), gradients.double())
        unit = table.data / table.data.norm(dim=1, keepdim=True)
        table.grad -= 0.7 * (table.grad * unit).sum(1, keepdim=True) * unit  # 0.3 of what is along the row stays
        # Measured: 1e-6 of the largest; float32's rounding is 6e-8, and a row sums some 20 terms.
        assert (found - table.grad).abs().max() < 1e-5 * table.grad.abs().max()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_it_finds_groups_and_repeats_to_the_bit(likes, dtype) -> None:
    model = CML(loss="softmax", n_components=12, random_state=0, dtype=dtype)
    first = model.fit(likes)
    items, users = first.item_embedding_.clone(), first.user_embedding_.clone()
    assert torch.equal(model.clone().fit(likes).item_embedding_, items)
    assert torch.equal(model.clone().fit(likes).user_embedding_, users)
    nearest, _ = first.recommend(np.arange(60), N=10, filter_already_liked_items=False)
    liked = np.take_along_axis(likes.matrix.toarray(), nearest, 1)
    assert liked.mean() > 0.5  # by chance 0.17
    assert set(first.history_[0]) == {
        "epoch", "loss", "clipped_users", "clipped_items", "learning_rate", "pairs", "seconds",
    }  # fmt: skip
    assert first.auto_["n_negatives"] == likes.n_items == first.n_negatives_
    assert items.float().norm(dim=1).max() <= 1 + 2**-7


def test_what_auto_came_to_is_in_the_file(likes, tmp_path) -> None:
    for loss in ("softmax", "warp"):
        model = CML(loss=loss, n_components=3, n_epochs=1, random_state=0).fit(likes)
        model.save(tmp_path / "model")
        assert CML.load(tmp_path / "model").auto_ == model.auto_


def test_it_serves_grows_and_comes_back_from_a_file(likes, tmp_path) -> None:
    model = CML(loss="softmax", n_components=12, random_state=0).fit(likes)
    model.save(tmp_path / "model")
    loaded = CML.load(tmp_path / "model")
    assert loaded.auto_ == model.auto_
    assert loaded.recommend(3)[0].tolist() == model.recommend(3)[0].tolist()
    new = sparse.csr_matrix(likes.matrix[:10])
    folded, _ = loaded.recommend(np.arange(10), new, recalculate_user=True, N=20)
    known, _ = loaded.recommend(np.arange(10), new, N=20)
    shared = np.mean([len(set(one) & set(two)) for one, two in zip(folded, known, strict=True)])
    assert shared > 12  # of 20; at random, below 6
    found = model.auto_
    loaded.partial_fit(likes), model.partial_fit(likes)
    assert torch.equal(loaded.item_embedding_, model.item_embedding_)
    assert model.auto_ == loaded.auto_ == found


def test_the_temperature_falls_with_sparsity_and_with_likes_a_user() -> None:
    citeulike, films = Shape(84_904, 7_947, 25_975), Shape(33_225, 943, 1_682)
    # 3.3 * 10.68^-0.2 / log(2431) and 3.3 * 35.23^-0.2 / log(47.74), by hand.
    assert temperature(citeulike) == pytest.approx(0.2636, abs=1e-4)
    assert temperature(films) == pytest.approx(0.4187, abs=1e-4)
    assert temperature(Shape(849_040, 79_470, 25_975)) > temperature(Shape(8_490_400, 79_470, 259_750))
    for extreme in (Shape(1, 1, 1), Shape(1, 10**6, 10**6), Shape(10**10, 10**5, 10**5)):
        assert 0.1 <= temperature(extreme) <= 1


@pytest.mark.parametrize(
    ("n_pairs", "n_items", "expected"),
    [(33_000, 900, 900), (84_904, 25_975, 1_024), (150_000, 30_000, 1_500), (810_128, 40_981, 4_096)],
)
def test_a_batch_shares_as_many_negatives_as_it_has_pairs(n_pairs, n_items, expected) -> None:
    assert auto.shared_negatives(Shape(n_pairs, 30_000, n_items)) == expected


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"loss": "hinge"}, "loss is 'hinge'; it must be 'softmax', 'warp' or 'auto'"),
        ({"temperature": 0.0}, "temperature is 0.0; it must be a positive number, or 'auto'"),
        ({"n_negatives": 0}, "n_negatives is 0; it must be an integer of at least 1 or 'auto'"),
    ],
)
def test_wrong_parameters_are_named(likes, params, message) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        settings_of(likes, **params)
