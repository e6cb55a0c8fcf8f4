"""The pinned arithmetic against scalar loops and exact numbers, the sampler's uniformity, gradients against others'."""

import math

import numpy as np
import pytest
import torch
from batches import DIMENSIONS, assert_same, csr, make_batch
from scipy import stats
from torch import Tensor

from cmlfast import reference
from cmlfast.ops import arithmetic


def lane_sum(values: np.ndarray) -> np.floating:
    """Add in the pinned order, one rounding at a time."""
    lanes = [values.dtype.type(0)] * 32
    for e, value in enumerate(values):
        lanes[e % 32] = lanes[e % 32] + value
    for half in (16, 8, 4, 2, 1):
        lanes = [lanes[at] + lanes[at + half] for at in range(half)]
    return lanes[0]


@pytest.mark.parametrize("r", [*DIMENSIONS, 2, 16, 17, 63, 64, 65])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_lane_sum_adds_in_the_pinned_order(r: int, dtype: type) -> None:
    generator = np.random.default_rng(r)
    values = (generator.standard_normal((20, r)) * 10.0 ** generator.integers(-3, 4, (20, r))).astype(dtype)
    want = torch.tensor(np.array([lane_sum(row) for row in values]))
    assert_same(arithmetic.lane_sum(torch.tensor(values)), want)
    left, right = torch.tensor(values[:10]), torch.tensor(values[10:])
    terms = (values[:10] - values[10:]) ** 2
    squared = torch.tensor(np.array([lane_sum(row) for row in terms]))
    assert_same(arithmetic.distances(left, right, "sqeuclidean"), squared)
    dots = torch.tensor(np.array([-lane_sum(row) for row in values[:10] * values[10:]]))
    assert_same(arithmetic.distances(left, right, "dot"), dots)


def test_rows_add_up_in_runs_of_64() -> None:
    generator = np.random.default_rng(0)
    rows = np.concatenate([[3] * 64, [5] * 65, [9] * 128, [0] * 129, [7] * 400, [2]])
    generator.shuffle(rows)
    values = generator.standard_normal((len(rows), 3)).astype(np.float32)
    distinct, totals = arithmetic.sum_by_row(torch.tensor(rows), torch.tensor(values))
    assert distinct.tolist() == [0, 2, 3, 5, 7, 9]
    for row, total in zip(distinct.tolist(), totals, strict=True):
        own = values[rows == row]
        want = np.zeros(3, np.float32)
        for first in range(0, len(own), 64):
            part = np.zeros(3, np.float32)
            for value in own[first : first + 64]:
                part = part + value
            want = want + part
        assert_same(total, torch.tensor(want), f"row {row}")


def test_sqrt_is_correctly_rounded() -> None:
    """Squares of the midpoints to both neighbours have 50 bits, so float64 decides exactly."""
    bits = np.random.default_rng(1).integers(0, 0x7F800000, 400_000, dtype=np.int32)
    edges = np.array([1, 2, 0x7FFFFF, 0x800000, 0x3F7FFFFF, 0x3F800000, 0x3F800001, 0x7F7FFFFF], np.int32)
    values = np.concatenate([bits, edges]).view(np.float32)
    roots = arithmetic.sqrt(torch.tensor(values)).numpy()
    assert roots.dtype == np.float32
    below = np.nextafter(roots, np.float32(0)).astype(np.float64)
    above = np.nextafter(roots, np.float32(np.inf)).astype(np.float64)
    assert (((below + roots) / 2) ** 2 <= values).all()
    assert (((above + roots) / 2) ** 2 >= values).all()
    special = arithmetic.sqrt(torch.tensor([0.0, math.inf, -1.0, math.nan]))
    assert special[:2].tolist() == [0.0, math.inf]
    assert special[2:].isnan().all()


@pytest.mark.parametrize("max_norm", [1.0, 0.7, 3.3, 1e-3])
def test_update_rounds_each_operation_once(max_norm: float) -> None:
    """Numpy's float32 operations are correctly rounded one by one."""
    generator = np.random.default_rng(2)
    weight, state, grad = generator.standard_normal((3, 300, 33)).astype(np.float32)
    state = np.abs(state)
    f = np.float32
    want_state = state + grad * grad
    want = weight - (f(0.1) * grad) / (np.sqrt(want_state) + f(1e-10))
    norms = np.sqrt(np.array([lane_sum(row * row) for row in want]))
    for row, norm in zip(want, norms, strict=True):
        if norm > f(max_norm):
            row *= f(max_norm) / norm
    sums = torch.tensor(state)
    got = arithmetic.update_rows(torch.tensor(weight), sums, torch.tensor(grad), 0.1, 1e-10, max_norm)
    assert_same(sums, torch.tensor(want_state))
    assert_same(got, torch.tensor(want))


def test_a_row_wise_update_rounds_each_operation_once() -> None:
    generator = np.random.default_rng(3)
    weight, grad = generator.standard_normal((2, 300, 33)).astype(np.float32)
    state = np.abs(generator.standard_normal((300, 1))).astype(np.float32)
    f = np.float32
    want_state = state + np.array([[lane_sum(row * row) / f(33)] for row in grad])
    want = weight - (f(0.1) * grad) / (np.sqrt(want_state) + f(1e-10))
    sums = torch.tensor(state)
    got = arithmetic.update_rows(torch.tensor(weight), sums, torch.tensor(grad), 0.1, 1e-10, 1e9)
    assert want_state.dtype == want.dtype == np.float32
    assert_same(sums, torch.tensor(want_state))
    assert_same(got, torch.tensor(want))


@pytest.mark.parametrize(("n_items", "n_negatives"), [(90, 20), (1, 64), (5, 3), (2**31 - 1, 7)])
def test_rank_weights_are_logarithms_of_whole_ranks(n_items: int, n_negatives: int) -> None:
    want = [math.log(1 + (n_items * m) // n_negatives) for m in range(n_negatives + 1)]
    assert arithmetic.rank_weights(n_items, n_negatives, True) == want
    assert arithmetic.rank_weights(n_items, n_negatives, False) == [1.0] * (n_negatives + 1)


def test_draws_are_uniform() -> None:
    """Chi-square at a level of 0.1 %; a tilt of 2 % between two halves of the items would show with 99 % power."""
    n_items, liked = 97, [0, 1, 5, *range(40, 56), 96]
    n_others = n_items - len(liked)
    indptr, indices = csr([[], liked])
    positives = torch.arange(n_items)
    counts = np.zeros(n_items)
    for offset in range(50):
        pairs = (torch.ones_like(positives), positives)
        drawn = reference.sample_negatives(indptr, indices, *pairs, n_items, 64, 7, offset)
        counts += np.bincount(drawn.flatten().numpy(), minlength=n_items)
    n = counts.sum()
    critical = stats.chi2.isf(1e-3, n_others - 1)
    assert stats.ncx2.sf(critical, n_others - 1, n * 0.02**2) > 0.99
    others = np.delete(counts, liked)
    assert len(others) == n_others
    assert counts[liked].sum() == 0
    assert ((others - n / n_others) ** 2 / (n / n_others)).sum() < critical


def plain_loss(tables: list[Tensor], pairs: tuple[Tensor, ...], margin: float, metric: str) -> Tensor:
    """Return the loss in the operations that torch differentiates itself."""
    users, positives, negatives = pairs
    u, v = tables[0][users], tables[1]
    if metric == "dot":
        to_positive, to_negative = -(u * v[positives]).sum(-1), -(u[:, None] * v[negatives]).sum(-1)
    else:
        to_positive = (u - v[positives]).square().sum(-1)
        to_negative = (u[:, None] - v[negatives]).square().sum(-1)
    impostors = (margin + to_positive[:, None] > to_negative).sum(1)
    weight = (90 * impostors // negatives.shape[1] + 1).double().log()
    return weight * (margin + to_positive - to_negative.min(1).values).relu()


@pytest.mark.parametrize("metric", ["sqeuclidean", "dot"])
def test_gradients_against_autograd_and_differences(metric: str) -> None:
    batch = make_batch(5, 64)
    batch.users[::8] = 4  # no user without negatives: a minimum over none is no number
    negatives = reference.sample_negatives(*batch.sampling, 90, 6, 1, 1)
    pairs = (batch.users, batch.positives, negatives)
    tables = [table.double().requires_grad_() for table in batch.tables[:2]]
    above = torch.linspace(-1, 2, 64, dtype=torch.float64)
    want = torch.autograd.grad((plain_loss(tables, pairs, 0.4, metric) * above).sum(), tables)
    for sparse in (False, True):
        loss, *_ = reference.warp_hinge(*tables, *pairs, 0.4, 90, True, metric, sparse)
        got = torch.autograd.grad(loss, tables, above)
        for mine, theirs in zip(got, want, strict=True):
            # measured: 3.6e-15 of gradients up to 24; four times that is allowed
            assert (mine.to_dense() - theirs).abs().max() < 4 * 3.6e-15
    few = tuple(ids[:6] for ids in pairs)
    assert torch.autograd.gradcheck(lambda *t: reference.warp_hinge(*t, *few, 0.4, 90, True, metric)[0], tables)
