"""The baselines of the benchmarks: both ways of their losses compute what the definition says, and the models learn."""

import math

import numpy as np
import pytest
import torch
from batches import Batch, make_batch
from oracle import draw, pair
from scipy import sparse
from torch import Tensor

from benchmarks.peers.baselines import losses, torch_losses
from benchmarks.peers.baselines.features import Features, half_dropped
from benchmarks.peers.baselines.training import BASELINES, fit, make_model
from benchmarks.peers.recall import mean_recalls
from cmlfast import build_info, datasets, ops, split_per_user
from cmlfast.evaluation.popularity import popularity_recall
from cmlfast.training.pairs import Pairs

pytestmark = pytest.mark.skipif(not build_info()["extension"], reason="the operators are not compiled")

N_NEGATIVES, MARGIN, SEED, STEP = 6, 0.7, 5, 3


def with_negatives(batch: Batch) -> Batch:
    """Leave out the users who like every item, whom plain torch does not know."""
    kept = batch.indptr.diff()[batch.users] < len(batch.item_w)
    return Batch(*batch.tables, batch.indptr, batch.indices, batch.users[kept], batch.positives[kept])


def losses_of(name: str, batch: Batch) -> dict[str, losses.Loss]:
    """Return a loss by the operators and in plain torch, of the same draws."""
    n_items = len(batch.item_w)
    pairs = Pairs(n_items, None, None, batch.users, batch.positives, *batch.sampling[:2], ops)

    def same_draws(users: Tensor, positives: Tensor, n_negatives: int, step: int) -> Tensor:
        return ops.sample_negatives(*batch.sampling[:2], users, positives, n_items, n_negatives, SEED, step)

    if name == "bpr":
        return {"operators": losses.bpr(pairs, SEED), "torch": torch_losses.bpr(same_draws)}
    return {
        "operators": losses.warp(pairs, N_NEGATIVES, MARGIN, SEED),
        "torch": torch_losses.warp(n_items, N_NEGATIVES, MARGIN, same_draws),
    }


def expected(name: str, batch: Batch) -> tuple[float, np.ndarray, np.ndarray]:
    """Return the loss and its gradients by brute force, in float64."""
    users, items = (table.double().numpy() for table in (batch.user_w, batch.item_w))
    by_user, by_item, total = np.zeros_like(users), np.zeros_like(items), 0.0
    for i, j in zip(batch.users.tolist(), batch.positives.tolist(), strict=True):
        liked = set(batch.indices[batch.indptr[i] : batch.indptr[i + 1]].tolist())
        n = 1 if name == "bpr" else N_NEGATIVES
        negatives = draw(liked, i, j, len(items), n, SEED, STEP)
        if name == "bpr":
            k = negatives[0]
            ahead = float(users[i] @ (items[j] - items[k]))
            total += math.log1p(math.exp(-ahead))
            factor = 1 / (1 + math.exp(ahead))
        else:
            found = pair(users[i], items, j, negatives, MARGIN, len(items), True, "dot")
            assert found.safety > 1e-6, "rounding might decide this case"
            total += found.loss
            k, factor = found.hardest, found.weight if found.impostors else 0.0
        by_user[i] += factor * (items[k] - items[j])
        by_item[j] -= factor * users[i]
        by_item[k] += factor * users[i]
    return total, by_user, by_item


@pytest.mark.parametrize("way", ["operators", "torch"])
@pytest.mark.parametrize("name", ["bpr", "warp"])
def test_a_loss_and_its_gradients_are_the_definitions(name: str, way: str) -> None:
    batch = with_negatives(make_batch(11, 200))
    tables = [table.clone().requires_grad_() for table in (batch.user_w, batch.item_w)]
    total = losses_of(name, batch)[way](*tables, batch.users, batch.positives, STEP)
    gradients = torch.autograd.grad(total, tables)
    want, *want_gradients = expected(name, batch)
    assert total.item() == pytest.approx(want, rel=2e-6)
    for got, by_hand in zip(gradients, want_gradients, strict=True):
        np.testing.assert_allclose(got.double().numpy(), by_hand, rtol=1e-4, atol=1e-4)


def test_bpr_vanishes_where_the_positive_is_far_ahead() -> None:
    batch = with_negatives(make_batch(11, 200))
    batch.user_w[:], batch.item_w[:] = 1.0, 0.0
    batch.item_w[batch.positives] = 9.0  # products of 99 for these, and of 0 for all others
    for loss in losses_of("bpr", batch).values():
        user_w = batch.user_w.clone().requires_grad_()
        total = loss(user_w, batch.item_w, batch.users, batch.positives, STEP)
        ties = total.item() / math.log(2)  # pairs whose negative is also somebody's positive
        assert ties == pytest.approx(round(ties), abs=1e-3)
        assert torch.autograd.grad(total, user_w)[0].abs().max() < 1e-3


def made_up() -> tuple[tuple[sparse.csr_matrix, sparse.csr_matrix], sparse.csr_matrix]:
    """Return training and validation likes, and features that say who likes an item."""
    likes = datasets.load("synthetic", n_users=300, n_items=200, n_pairs=6000, n_groups=5, seed=0).interactions
    train, validation, _ = split_per_user(likes, 0)
    features = sparse.csr_matrix(train.matrix.T @ sparse.random(300, 40, 0.1, "csr", random_state=0))
    return (train.matrix, validation.matrix), features


@pytest.mark.parametrize("by_operators", [True, False], ids=["operators", "torch"])
@pytest.mark.parametrize("name", BASELINES)
def test_a_baseline_learns(name: str, by_operators: bool) -> None:
    (train, validation), features = made_up()
    setting = {"n_components": 16, "batch_size": 500, "n_negatives": 5, "weight_decay": 0.01, "epochs": 10}
    factors = fit(name, train, setting, Features(features), by_operators)
    # 0.12 to 0.18 above, in ten cases
    assert (
        mean_recalls(factors, validation, train)["recall@50"] > popularity_recall(train, validation)["recall@50"] + 0.08
    )


def test_features_are_multiplied_as_a_dense_matrix_of_rows_of_length_1() -> None:
    dense = torch.from_numpy(sparse.random(7, 5, 0.4, "csr", np.float32, random_state=0).toarray())
    dense[3] = 0
    matrix = sparse.csr_matrix(dense.numpy())
    dense /= dense.norm(dim=1, keepdim=True).clamp(min=1e-12)
    table = torch.randn(5, 3, dtype=torch.float32).requires_grad_()
    above = torch.randn(7, 3)
    products = [operand @ table for operand in (Features(matrix), dense)]
    gradients = [torch.autograd.grad(product, table, above)[0] for product in products]
    torch.testing.assert_close(*products)
    torch.testing.assert_close(*gradients)


def test_dropout_keeps_each_number_half_of_the_time_and_doubles_it() -> None:
    torch.manual_seed(0)
    hidden = torch.arange(1.0, 17).expand(20_000, 16)
    dropped = half_dropped(hidden)
    assert ((dropped == 0) | (dropped == 2 * hidden)).all()
    assert not torch.equal(dropped[0], dropped[1])
    assert ((dropped > 0).float().mean(0) - 0.5).abs().max() < 5 * 0.5 / 20_000**0.5  # five deviations


def test_scores_are_as_the_models_are_defined() -> None:
    """FM: sums over the features; CDL: the perceptron's place plus an offset; VBPR: both halves."""
    _, matrix = made_up()
    features = Features(matrix)
    length_1 = matrix.toarray() / np.sqrt((matrix.toarray() ** 2).sum(1, keepdims=True)).clip(1e-12)
    for name in ("FM", "CDL", "VBPR"):
        model = make_model(name, 300, 200, 4, features).eval()
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter)
        users, items = (vectors.detach().numpy() for vectors in model())
        weights = {key: value.numpy() for key, value in model.state_dict().items()}
        if name == "FM":
            own = weights["items"] + length_1 @ weights["parts"]
            scores = weights["users"] @ own[:, :-1].T + own[:, -1]
        else:
            hidden = np.maximum(length_1 @ weights["perceptron.first"] + weights["perceptron.bias"], 0)
            place = hidden @ weights["perceptron.last.weight"].T + weights["perceptron.last.bias"]
            own = weights["offsets" if name == "CDL" else "items"]
            vectors = place + own[:, :-1] if name == "CDL" else np.hstack((place, own[:, :-1]))
            scores = weights["users"] @ vectors.T + own[:, -1]
        np.testing.assert_allclose(users @ items.T, scores, rtol=1e-3, atol=1e-2, err_msg=name)
