"""The step with features and covariances: an oracle by autograd in float64, and cml_step_ where there are neither."""

import copy
from dataclasses import replace
from types import ModuleType, SimpleNamespace
from typing import NamedTuple

import oracle
import pytest
import torch
from batches import assert_same, csr, make_batch
from scipy import sparse
from torch import Tensor

from cmlfast import CML, build_info, ops, reference
from cmlfast.features.encoder import LEARNING_RATE, Encoder
from cmlfast.features.network import FeatureMLP
from cmlfast.features.rows import Features
from cmlfast.training.covariance import covariance_gradient
from cmlfast.training.loss import EPSILON
from cmlfast.training.pairs import Batch, Batches, Pairs
from cmlfast.training.settings import Settings, resolve
from cmlfast.training.side_information import JointTables, Side
from cmlfast.training.step import JointStep, choose_step, fused_step

R, U, N_USERS, N_ITEMS = 6, 4, 9, 14
RATE, MARGIN, OFFSET = 0.07, 0.6, 3
# What float32 was off from float64 after a step at most, over 40 seeds, times 4: rows 1.1e-7, accumulators s
# 6e-7 (1 + s), weights of the networks 2.7e-8.
ROWS, SUMS, WEIGHTS = 4.4e-7, 2.4e-6, 1.1e-7

needs_extension = pytest.mark.skipif(not build_info()["extension"], reason=str(build_info()["reason"]))
KERNELS = [pytest.param(ops, marks=needs_extension, id="extension"), pytest.param(reference, id="reference")]


class Case(NamedTuple):
    tables: JointTables
    pairs: Pairs
    batch: Batch
    settings: Settings
    likes: list[list[int]]


def make_case(seed: int, dtype: torch.dtype = torch.float32, **params: float) -> Case:
    """Draw small tables, whose last user likes everything, and a batch in which users and items repeat."""
    rng = torch.Generator().manual_seed(seed)
    likes = [torch.randperm(N_ITEMS, generator=rng)[: 2 + user % 3].tolist() for user in range(N_USERS - 1)]
    likes.append(list(range(N_ITEMS)))
    tables = [torch.randn((n, R), generator=rng) * R**-0.5 for n in (N_USERS, N_ITEMS)]
    states = [torch.rand((n, R), generator=rng) + 0.1 for n in (N_USERS, N_ITEMS)]
    users = torch.randint(N_USERS, (20,), generator=rng, dtype=torch.int32)
    items = torch.tensor([likes[user][-1] for user in users], dtype=torch.int32)
    model = CML(n_components=R, loss="warp", margin=MARGIN, n_negatives=U, random_state=seed, **params)
    settings = resolve(model.get_params(), 9, 9, 9)
    pairs = Pairs(N_ITEMS, None, None, users, items, *csr(likes, torch.int32), ops)
    joint = JointTables(*(table.to(dtype) for table in tables), *states)
    return Case(joint, pairs, Batch(users, items, RATE, 0.0, OFFSET, OFFSET), settings, likes)


def side(n: int, seed: int, settings: Settings) -> Side:
    """Draw sparse features of all rows of a table, and a network."""
    features = Features.of(sparse.random(n, 5, 0.5, rng=seed), n, "features", torch.device("cpu"))
    return side_of(FeatureMLP(5, R, hidden=8, seed=seed), features, settings)


def side_of(network: FeatureMLP, features: Features, settings: Settings) -> Side:
    encoder = Encoder(network, features, settings.feature_weight.item, R, "network")
    return Side(features, torch.arange(len(features)), torch.arange(0), encoder)


def with_features(case: Case, seed: int = 1) -> Case:
    sides = (side(n, seed + n, case.settings) for n in (N_USERS, N_ITEMS))
    return case._replace(tables=JointTables(*case.tables.all(), *sides))


def stepped(case: Case, step: object) -> tuple[JointTables, tuple[Tensor, ...]]:
    """Return tables after a step on a copy, and what the step returned."""
    # Not by the sides' own clone, which keeps the optimizer of the old network.
    sides = (one and side_of(one.encoder.network, one.features, case.settings) for one in case.tables.sides())
    tables = JointTables(*(table.clone() for table in case.tables.all()), *sides)
    users, items, *numbers = case.batch
    batches = Batches(users, items, [len(users)], *([each] for each in numbers))
    return tables, step(tables, case.pairs, batches, case.settings)


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("seed", range(6))
def test_the_metric_alone_is_the_fused_step_to_the_bit(kernels: ModuleType, seed: int) -> None:
    for rank_weight in (True, False):
        case = make_case(seed, rank_weight=rank_weight)
        fused, plain = stepped(case, fused_step(kernels)), stepped(case, JointStep(kernels))
        for got, want in zip(plain[0].all(), fused[0].all(), strict=True):
            assert_same(got, want)
        for got, want in zip(plain[1], fused[1], strict=True):
            assert_same(got, want)
        assert 0 < plain[1][2] < len(case.batch.users)


@needs_extension
@pytest.mark.parametrize("r", [31, 100])
def test_the_metric_alone_on_a_large_batch(r: int) -> None:
    """Thousands of pairs, rows with hundreds of occurrences: the sums of losses and of gradients have an order."""
    drawn = make_batch(r, 4000, torch.int32)
    settings = resolve(CML(n_components=r, loss="warp", n_negatives=5, random_state=1).get_params(), 9, 9, 9)
    pairs = Pairs(90, None, None, drawn.users, drawn.positives, drawn.indptr, drawn.indices, ops)
    batch = Batch(drawn.users, drawn.positives, 0.4, 0.1, 2, 2)
    case = Case(JointTables(*drawn.tables), pairs, batch, settings, [])
    fused, plain = stepped(case, fused_step(ops)), stepped(case, JointStep(ops))
    for got, want in zip((*plain[0].all(), *plain[1]), (*fused[0].all(), *fused[1]), strict=True):
        assert_same(got, want)


def total_loss(case: Case, user: Tensor, item: Tensor, networks: list[FeatureMLP]) -> Tensor:
    """Return the loss that a step descends, in float64, from the definitions: metric, features, covariances."""
    settings, loss = case.settings, torch.zeros((), dtype=torch.float64)
    users, items = set(), set()
    for i, j in zip(case.batch.users.tolist(), case.batch.items.tolist(), strict=True):
        drawn = oracle.draw(set(case.likes[i]), i, j, N_ITEMS, U, settings.seed, OFFSET)
        pair = oracle.pair(
            user[i].detach().numpy(), item.detach().numpy(), j, drawn, MARGIN, N_ITEMS, True, "sqeuclidean"
        )
        assert pair.safety > 1e-5, "rounding may decide: draw another case"
        users |= {i}
        items |= {j} | ({pair.hardest} - {-1})
        if pair.hardest >= 0:
            hinge = MARGIN + (user[i] - item[j]).square().sum() - (user[i] - item[pair.hardest]).square().sum()
            loss = loss + pair.weight * hinge.clamp_min(0)
    rows = [sorted(users), sorted(items)]
    for network, some, table, one in zip(networks, rows, (user, item), case.tables.sides(), strict=True):
        x = one.features.rows.to_dense().double()[some]
        has = x.any(1)  # those without features are drawn nowhere
        loss = loss + settings.feature_weight.item * (network(x) - table[some])[has].square().sum()
    y = torch.cat((user[rows[0]], item[rows[1]]))  # [N, r]
    covariance = (y - y.mean(0)).T @ (y - y.mean(0)) / len(y)
    off_diagonal = covariance - covariance.diag().diag()
    return loss + settings.covariance_weight * off_diagonal.square().sum() / len(y)


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("seed", range(4))
def test_the_whole_step_against_autograd_in_float64(kernels: ModuleType, seed: int) -> None:
    # The covariances' weight moves rows by 2e-3.
    case = with_features(make_case(seed, covariance_weight=50.0, feature_weight=0.3))
    got, _ = stepped(case, JointStep(kernels))

    user, item = (table.double().requires_grad_() for table in (case.tables.user, case.tables.item))
    networks = [copy.deepcopy(one.encoder.network).double() for one in case.tables.sides()]
    total_loss(case, user, item, networks).backward()
    states = (case.tables.user_state, case.tables.item_state)
    for table, state, mine, my_state in zip(
        (user, item), states, (got.user, got.item), (got.user_state, got.item_state), strict=True
    ):
        wanted, sums = table.detach().numpy().copy(), state.double().numpy()
        named = table.grad.any(1).nonzero()[:, 0].tolist()
        assert len(named) > 0
        oracle.adagrad_clip(wanted, sums, {row: table.grad[row].numpy() for row in named}, RATE, EPSILON, 1.0)
        torch.testing.assert_close(mine.double(), torch.from_numpy(wanted), atol=ROWS, rtol=0)
        torch.testing.assert_close(my_state.double(), torch.from_numpy(sums), atol=SUMS, rtol=SUMS)

    for network, one in zip(networks, got.sides(), strict=True):
        # Adam's step does not depend on the scale of the loss, but for its epsilon: so undo the weight.
        for parameter in network.parameters():
            parameter.grad /= case.settings.feature_weight.item
        rate = LEARNING_RATE * RATE / case.settings.learning_rate
        torch.optim.Adam(network.parameters(), lr=rate).step()
        for mine, wanted in zip(one.encoder.network.parameters(), network.parameters(), strict=True):
            torch.testing.assert_close(mine.double(), wanted, atol=WEIGHTS, rtol=0)


@needs_extension
def test_both_backends_take_the_same_step_to_the_bit() -> None:
    """What goes through BLAS is the same torch operation for both, in one process."""
    for dtype in (torch.float32, torch.bfloat16):
        case = with_features(make_case(2, dtype, covariance_weight=3.0))
        mine, theirs = (stepped(case, JointStep(kernels)) for kernels in (ops, reference))
        for got, want in zip((*mine[0].all(), *mine[1]), (*theirs[0].all(), *theirs[1]), strict=True):
            assert_same(got, want)


def test_frozen_items_stay_and_users_move_as_without() -> None:
    case = make_case(0)
    frozen, free = stepped(case, JointStep(reference, True))[0], stepped(case, JointStep(reference))[0]
    assert_same(frozen.item, case.tables.item)
    assert_same(frozen.item_state, case.tables.item_state)
    assert_same(frozen.user, free.user)
    assert not torch.equal(frozen.user, case.tables.user)


def test_the_two_tables_are_rounded_by_draws_of_their_own() -> None:
    seeds = []
    kernels = SimpleNamespace(
        warp_hinge_sampled=reference.warp_hinge_sampled,
        adagrad_clip_=lambda *_, seed, **__: seeds.append(seed),
    )
    stepped(make_case(0, torch.bfloat16), JointStep(kernels))
    assert len(set(seeds)) == 2


def test_the_fused_step_is_chosen_only_where_it_suffices() -> None:
    settings = make_case(0).settings
    assert not isinstance(choose_step(reference, settings, False), JointStep)
    assert isinstance(choose_step(reference, settings, True), JointStep)
    assert choose_step(reference, settings, False, freeze_items=True) == JointStep(reference, True)
    assert isinstance(choose_step(reference, replace(settings, covariance_weight=1.0), False), JointStep)


@pytest.mark.parametrize(("n", "r"), [(1, 3), (2, 1), (2, 5), (40, 8), (300, 33)])
def test_covariance_gradient_against_autograd(n: int, r: int) -> None:
    vectors = torch.randn((n, r), generator=torch.Generator().manual_seed(n + r)) * r**-0.5
    y = vectors.double().requires_grad_()
    centred = y - y.mean(0)
    covariance = centred.T @ centred / n
    penalty = (covariance.square().sum() - covariance.diag().square().sum()) / n
    penalty.backward()
    got = covariance_gradient(vectors)
    assert got.dtype == torch.float32
    # 4.5e-7 of the largest entry measured over 200 seeds, times 4.
    torch.testing.assert_close(got.double(), y.grad, atol=1.8e-6 * max(float(y.grad.abs().max()), 1e-6), rtol=0)


def test_covariance_gradient_of_nothing() -> None:
    assert covariance_gradient(torch.empty((0, 4))).shape == (0, 4)
    assert covariance_gradient(torch.ones((3, 4), dtype=torch.bfloat16)).tolist() == [[0.0] * 4] * 3
