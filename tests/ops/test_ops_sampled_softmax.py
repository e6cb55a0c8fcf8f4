"""sampled_softmax on every backend: values and gradients against float64, by differences and torch's own autograd.

Products go through BLAS, so that bits are compared between two calls alone; else a tolerance is the largest error
measured over the test's own cases times 8, for another BLAS sums in another order.
"""

from functools import lru_cache
from typing import Any

import pytest
import torch
from backends import REFERENCE, Backend
from batches import ID_TYPES, NARROW, assert_same, strided
from torch import Tensor

from cmlfast import reference
from cmlfast.ops import shared_softmax

METRICS = ("sqeuclidean", "dot")
TEMPERATURE = 0.3
# Largest errors measured, times 8, in units of float32's rounding: of losses, and of gradients.
LOSS, GRADIENT = 8 * 1.2, 8 * 6.1
# In units of a narrow type's rounding: a number is rounded once.
ROUNDED_ONCE = 0.51


class Case:
    """Tables, and ids with duplicates: among users, positives and negatives, and positives that are negatives."""

    def __init__(self, r: int, n: int, s: int, dtype: torch.dtype = torch.int64, seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(seed)

        def below(high: int, size: int) -> Tensor:
            return torch.randint(high, (size,), generator=generator).to(dtype)

        self.users, self.items = (torch.randn((rows, r), generator=generator) * r**-0.5 for rows in (13, 29))
        self.ids = below(13, n), below(29, n), below(20, s)
        self.log_q = torch.randn(s, generator=generator)
        self.above = torch.randn(n, generator=generator)  # the gradient that arrives at each pair's loss

    def leaves(self, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
        return tuple(table.clone().to(dtype).requires_grad_() for table in (self.users, self.items))


def brute(case: Case, tables: tuple[Tensor, Tensor], log_q: Tensor | None, metric: str, decoupled: bool) -> Tensor:
    """Return the losses in float64, from all differences."""
    users, positives, negatives = (ids.long() for ids in case.ids)
    u, v = tables[0].double()[users][:, None], tables[1].double()  # [N, 1, r], [J, r]

    def logits(items: Tensor) -> Tensor:
        near = (u * items).sum(-1) if metric == "dot" else -(u - items).square().sum(-1)
        return near / TEMPERATURE

    positive = logits(v[positives][:, None]).squeeze(1)  # [N]
    others = logits(v[negatives][None]) - (0 if log_q is None else log_q.double())  # [N, S]
    counts = negatives != positives[:, None]
    total = (others.exp() * counts).sum(1) + (0 if decoupled else positive.exp())
    return torch.where(counts.any(1), total.log() - positive, 0 * positive) if len(negatives) else 0 * positive


@lru_cache
def wanted(
    r: int, n: int, s: int, weighted: bool, metric: str, decoupled: bool, stored_as: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor, Tensor]:
    case = Case(r, n, s)
    tables = case.leaves(stored_as)
    wide = tuple(table.detach().double().requires_grad_() for table in tables)
    loss = brute(case, wide, case.log_q if weighted else None, metric, decoupled)
    return loss.detach(), *torch.autograd.grad(loss, wide, case.above.double())


def evaluated(
    backend: Backend, case: Case, metric: str, decoupled: bool, weighted: bool, **options: Any
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the loss and both tables' gradients."""
    tables = case.leaves(options.pop("stored_as", torch.float32))
    log_q = case.log_q if weighted else None
    loss = backend.run("sampled_softmax", *tables, *case.ids, TEMPERATURE, log_q, metric, decoupled, **options)
    loss.backward(case.above.to(loss.dtype))
    return loss.detach(), *(table.grad for table in tables)


def close(got: Tensor, want: Tensor, units: float, what: str) -> None:
    """Assert |got - want| <= units x float32's rounding x the largest |want|, or 1."""
    assert got.shape == want.shape
    error = (got.double() - want).abs().max() / want.abs().max().clamp(min=1) / torch.finfo(torch.float32).eps
    assert error <= units, f"{what} off by {float(error):.1f} units of rounding, {units} are allowed"


SIZES = ((1, 3, 1), (3, 7, 5), (33, 40, 33), (100, 64, 300))  # r, N, S


@pytest.mark.parametrize(("r", "n", "s"), SIZES)
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("decoupled", [False, True])
def test_values_and_gradients(backend: Backend, r: int, n: int, s: int, metric: str, decoupled: bool) -> None:
    for weighted, dtype in zip((False, True), ID_TYPES, strict=True):
        got = evaluated(backend, Case(r, n, s, dtype), metric, decoupled, weighted)
        want = wanted(r, n, s, weighted, metric, decoupled)
        close(got[0], want[0], LOSS, "loss")
        for mine, theirs in zip(got[1:], want[1:], strict=True):
            assert mine.dtype == torch.float32
            close(mine, theirs, GRADIENT, "gradient")
        assert got[1].abs().max() > 0


@pytest.mark.parametrize("metric", METRICS)
def test_rows_for_loops_without_autograd(backend: Backend, metric: str) -> None:
    case = Case(33, 40, 33)
    arguments = (case.users, case.items, *case.ids, case.above, TEMPERATURE, case.log_q, metric, True)
    loss, by_user, by_positive, by_negative = backend.run("sampled_softmax_gradients", *arguments)
    want = wanted(33, 40, 33, True, metric, True)
    close(loss, want[0], LOSS, "loss")
    users, positives, negatives = case.ids
    close(torch.zeros(13, 33).index_add(0, users, by_user), want[1], GRADIENT, "gradient")
    by_item = torch.zeros(29, 33).index_add(0, positives, by_positive).index_add(0, negatives, by_negative)
    close(by_item, want[2], GRADIENT, "gradient")
    for decoupled in (False, True):  # one loss, to the bit, whichever way it is asked for
        tail = (TEMPERATURE, case.log_q, metric, decoupled)
        given = backend.run("sampled_softmax_gradients", case.users, case.items, *case.ids, case.above, *tail)
        assert_same(backend.run("sampled_softmax", case.users, case.items, *case.ids, *tail), given[0])


@pytest.mark.parametrize("decoupled", [False, True])
def test_pairs_are_cut_into_tiles(backend: Backend, monkeypatch: pytest.MonkeyPatch, decoupled: bool) -> None:
    for products in (1, 33 * 3, 33 * 39, 33 * 40):  # a pair in a tile, some, all but one, all
        monkeypatch.setattr(shared_softmax, "TILE_PER_THREAD", max(1, products // torch.get_num_threads()))
        monkeypatch.setattr(shared_softmax, "TILE_ON_GPU", products)
        got = evaluated(backend, Case(33, 40, 33), "sqeuclidean", decoupled, True)
        for mine, theirs, units in zip(
            got, wanted(33, 40, 33, True, "sqeuclidean", decoupled), (LOSS, GRADIENT, GRADIENT), strict=True
        ):
            close(mine, theirs, units, "gradient" if units == GRADIENT else "loss")


@pytest.mark.parametrize("stored_as", NARROW, ids=str)
@pytest.mark.parametrize("metric", METRICS)
def test_tables_of_16_bits(backend: Backend, stored_as: torch.dtype, metric: str) -> None:
    """Gradients are float32's, rounded once."""
    got = evaluated(backend, Case(33, 40, 33), metric, False, True, stored_as=stored_as)
    want = wanted(33, 40, 33, True, metric, False, stored_as)
    assert got[0].dtype == torch.float32
    close(got[0], want[0], LOSS, "loss")
    for mine, theirs in zip(got[1:], want[1:], strict=True):
        assert mine.dtype == stored_as
        of_rounding = ROUNDED_ONCE * torch.finfo(stored_as).eps * theirs.abs()
        of_float32 = GRADIENT * torch.finfo(torch.float32).eps * theirs.abs().max().clamp(min=1)
        assert ((mine.double() - theirs).abs() <= of_rounding + of_float32).all()


@pytest.mark.parametrize("stored_as", [torch.float32, *NARROW], ids=str)
def test_sparse_gradients(backend: Backend, stored_as: torch.dtype) -> None:
    case = Case(33, 40, 33)
    dense = evaluated(backend, case, "sqeuclidean", False, True, stored_as=stored_as)
    sparse = evaluated(backend, case, "sqeuclidean", False, True, stored_as=stored_as, sparse_grad=True)
    assert_same(sparse[0], dense[0])
    users, positives, negatives = case.ids
    for mine, theirs, rows in zip(sparse[1:], dense[1:], (users, torch.cat((positives, negatives))), strict=True):
        assert mine.is_sparse
        assert mine.dtype == stored_as
        assert mine._indices().tolist() == [rows.tolist()]
        # In 16 bits each entry is rounded before the sum.
        tolerance = GRADIENT * torch.finfo(torch.float32).eps if stored_as == torch.float32 else 0.0
        tolerance += 0.0 if stored_as == torch.float32 else torch.finfo(stored_as).eps
        bound = torch.zeros(theirs.shape).index_add(0, rows, mine._values().float().abs()) + 1
        summed = torch.zeros(theirs.shape).index_add(0, rows, mine._values().float())
        assert ((summed - theirs.float()).abs() <= tolerance * bound).all()


def test_takes_gaps_between_elements(backend: Backend) -> None:
    case = Case(33, 40, 33)
    for metric in METRICS:
        tail = (TEMPERATURE, strided(case.log_q), metric)
        tables = strided(case.users), strided(case.items)
        got = backend.run("sampled_softmax", *tables, *(strided(ids) for ids in case.ids), *tail)
        close(got, wanted(33, 40, 33, True, metric, False)[0], LOSS, "loss")


@pytest.mark.parametrize("dtype", ID_TYPES, ids=str)
@pytest.mark.parametrize("decoupled", [False, True])
def test_nothing_to_learn(backend: Backend, dtype: torch.dtype, decoupled: bool) -> None:
    """Without pairs, without negatives, or with the positive alone among them."""
    for n, s in ((0, 5), (0, 0), (6, 0)):
        got = evaluated(backend, Case(4, n, s, dtype), "sqeuclidean", decoupled, True)
        assert_same(got[0], torch.zeros(n))
        assert got[1].abs().max() == got[2].abs().max() == 0
    case = Case(4, 6, 5, dtype)
    for ids in case.ids[1:]:
        ids[:] = 3
    got = evaluated(backend, case, "sqeuclidean", decoupled, True)
    assert_same(got[0], torch.zeros(6))
    assert got[1].abs().max() == got[2].abs().max() == 0


def test_two_calls_give_the_same_bits(backend: Backend) -> None:
    for metric in METRICS:
        first, second = (evaluated(backend, Case(100, 64, 300), metric, False, True) for _ in range(2))
        for one, other in zip(first, second, strict=True):
            assert_same(one, other)


def test_equals_reference_where_products_do(kernel: Backend) -> None:
    """With the same BLAS and number of threads, the reference's products are the kernel's, and so is all else."""
    if kernel.device != "cpu":
        pytest.skip("products of another device are made by another library")
    for case in (Case(33, 40, 33), Case(100, 64, 300)):
        for metric in METRICS:
            want = evaluated(REFERENCE, case, metric, False, True)  # with the threads that are set for the kernel
            for mine, theirs in zip(evaluated(kernel, case, metric, False, True), want, strict=True):
                assert_same(mine, theirs)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("decoupled", [False, True])
def test_gradcheck(metric: str, decoupled: bool) -> None:
    case = Case(3, 6, 5)
    tables = case.leaves(torch.float64)

    def loss(*leaves: Tensor) -> Tensor:
        return reference.sampled_softmax(*leaves, *case.ids, TEMPERATURE, case.log_q.double(), metric, decoupled)

    assert torch.autograd.gradcheck(loss, tables)
    assert_close_in_float64(loss(*tables), brute(case, tables, case.log_q, metric, decoupled))


def assert_close_in_float64(got: Tensor, want: Tensor) -> None:
    torch.testing.assert_close(got, want, rtol=1e-12, atol=1e-12)


def test_the_whole_catalogue_as_negatives_is_the_full_softmax(backend: Backend) -> None:
    """Each item once: the sum over the others and the positive is that over all."""
    case = Case(8, 40, 1)
    case.ids = (*case.ids[:2], torch.arange(29))
    got = evaluated(backend, case, "dot", False, False)
    tables = tuple(table.double().requires_grad_() for table in (case.users, case.items))
    logits = tables[0][case.ids[0]] @ tables[1].T / TEMPERATURE
    loss = torch.nn.functional.cross_entropy(logits, case.ids[1], reduction="none")
    close(got[0], loss.detach(), LOSS, "loss")
    for mine, theirs in zip(got[1:], torch.autograd.grad(loss, tables, case.above.double()), strict=True):
        close(mine, theirs, GRADIENT, "gradient")


def test_log_q_makes_the_mean_of_many_draws_the_full_softmax(implementation: Backend) -> None:
    """Negatives drawn by popularity, as in a batch's own positives, with the logarithm of their expected numbers.

    The mean of 200 gradients of draws of 1,024 lies within 4 of its standard errors of the gradient over the whole
    catalogue: 0.8 of them. The test has the power to see a wrong correction: without any, the mean is off by 283; by
    192 if the positive is corrected too; and by 108 where the pair's own positive stays among its negatives.
    """
    case, n_draws, s = Case(4, 1, s=1, seed=5), 200, 1024
    case.ids = (torch.tensor([0]), torch.tensor([2]), torch.arange(29))
    case.items[2] = 0.8 * case.users[0]  # near, so that its own weight is large
    tail = torch.ones(1), TEMPERATURE
    full = REFERENCE.run("sampled_softmax_gradients", case.users, case.items, *case.ids, *tail)[1]
    q = 1 / torch.arange(1.0, 30.0)
    q /= q.sum()
    generator = torch.Generator().manual_seed(0)

    def off(correction: Any, positive: int = 2) -> float:
        """Return the largest distance of the mean from the full gradient, in standard errors."""
        draws = torch.multinomial(q, n_draws * s, replacement=True, generator=generator).view(n_draws, s)
        gradients = []
        for negatives in draws:
            log_q = correction(negatives)
            ids = torch.tensor([0]), torch.tensor([positive]), negatives
            gradients.append(implementation.run("sampled_softmax_gradients", case.users, items, *ids, *tail, log_q)[1])
        table = torch.cat(gradients).double()
        return float(((table.mean(0) - full) / table.std(0) * n_draws**0.5).abs().max())

    items = case.items
    expected = (s * q).log()
    assert off(lambda negatives: expected[negatives]) < 4
    assert off(lambda negatives: torch.full((s,), s / 29).log()) > 100
    assert off(lambda negatives: expected[negatives] - expected[2]) > 100
    items = torch.cat((case.items, case.items[2:3]))  # the positive under an id that no draw has
    assert off(lambda negatives: expected[negatives], positive=29) > 50
