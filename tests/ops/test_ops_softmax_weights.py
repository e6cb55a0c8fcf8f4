"""softmax_weights_ on every backend: the reference's bits, and the reference against float64.

Tolerances are the largest errors measured over the tests' own cases, with a factor beside them.
"""

import math
from functools import lru_cache

import oracle
import pytest
import torch
from backends import REFERENCE, Backend
from batches import ID_TYPES, assert_same, strided
from torch import Tensor

from cmlfast.ops.arithmetic import exp_not_positive

SIZES = (1, 3, 31, 32, 33, 100, 256, 257, 1000, 1025, 4096)  # 256 and 1024: what a warp holds in registers
NAMES = ("products", "largest", "total", "share")
SCALE = 1.5
INF, NAN = math.inf, math.nan
Case = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]


@lru_cache
def _case(n: int, s: int) -> Case:
    generator = torch.Generator().manual_seed(1000 * n + s)
    products, offsets, logits, weights = (
        torch.randn(shape, generator=generator) * 3 for shape in ((n, s), (s,), (n,), (n,))
    )
    negatives = torch.randint(max(2, s // 2), (s,), generator=generator)  # so that some repeat
    positives = torch.randint(max(2, s // 2), (n,), generator=generator)
    return products, offsets, negatives, positives, logits, weights


def case(n: int, s: int, dtype: torch.dtype = torch.int64) -> Case:
    """Return arguments; most positives are among the negatives, and several times."""
    products, offsets, negatives, positives, logits, weights = (tensor.clone() for tensor in _case(n, s))
    return products, offsets, negatives.to(dtype), positives.to(dtype), logits, weights


def run(backend: Backend, arguments: Case, decoupled: bool, scale: float = SCALE) -> tuple[Tensor, ...]:
    """Return the new products, then the results; the arguments stay."""
    products = arguments[0].clone(memory_format=torch.preserve_format)
    return products, *backend.run("softmax_weights_", products, *arguments[1:], scale, decoupled)


def assert_equals_reference(
    backend: Backend, arguments: Case, scale: float = SCALE, decoupled: tuple[bool, ...] = (False, True)
) -> None:
    for each in decoupled:
        got, want = run(backend, arguments, each, scale), run(REFERENCE, arguments, each, scale)
        for name, mine, theirs in zip(NAMES, got, want, strict=True):
            assert_same(mine, theirs, f"{name}, decoupled {each}")


@pytest.mark.parametrize("s", SIZES)
def test_equals_reference(kernel: Backend, s: int) -> None:
    n = 7 if kernel.schedule else max(7, 20000 // s)  # enough for three threads
    for dtype in ID_TYPES:
        assert_equals_reference(kernel, case(n, s, dtype))


@pytest.mark.parametrize(("n", "s"), [(0, 0), (0, 5), (4, 0), (1, 1), (1, 300), (1001, 3)])
def test_any_number_of_pairs(kernel: Backend, n: int, s: int) -> None:
    assert_equals_reference(kernel, case(n, s))


def test_takes_gaps_between_elements(backend: Backend) -> None:
    plain = case(5, 67)
    gaps = tuple(strided(tensor) for tensor in plain)
    turned = (plain[0].t().contiguous().t(), *plain[1:])
    for decoupled in (False, True):
        want = run(REFERENCE, plain, decoupled)
        for arguments in (gaps, turned):
            products = arguments[0]
            got = (products, *backend.run("softmax_weights_", *arguments, SCALE, decoupled))
            for name, mine, theirs in zip(NAMES, got, want, strict=True):
                assert_same(mine, theirs, name)
        assert gaps[0].untyped_storage().nbytes() == 2 * plain[0].untyped_storage().nbytes()
        gaps, turned = (strided(plain[0]), *gaps[1:]), (plain[0].t().contiguous().t(), *plain[1:])


def test_a_positive_is_no_negative_of_its_own_pair(backend: Backend) -> None:
    """However often it was drawn; for other pairs it is one."""
    products, offsets, _, _, logits, weights = case(3, 40)
    negatives = torch.arange(40) % 4
    arguments = (products, offsets, negatives, torch.tensor([0, 3, 77]), logits, weights)
    for decoupled in (False, True):
        got = run(backend, arguments, decoupled)[0]
        assert ((got == 0) == (negatives == arguments[3][:, None])).all()


@pytest.mark.parametrize("decoupled", [False, True])
def test_pairs_without_negatives(backend: Backend, decoupled: bool) -> None:
    """What they weigh is 0 whatever their logits: there is nothing to learn."""
    products, offsets, negatives, positives, logits, weights = case(4, 50)
    negatives[:], positives[:] = 8, torch.tensor([8, 7, 8, 8])
    logits[2], weights[3] = -INF, INF
    arguments = (products, offsets, negatives, positives, logits, weights)
    got, largest, total, share = run(backend, arguments, decoupled)
    alone = [0, 2, 3] if decoupled else [0, 2]  # where there is a sum, inf * 0 is NaN
    assert (got[alone] == 0).all()
    assert (share[alone] == 0).all()
    assert (got[1] != 0).any()
    if decoupled:
        assert total.tolist()[:1] + total.tolist()[2:] == [0.0] * 3
        assert largest.tolist()[:1] + largest.tolist()[2:] == [-INF] * 3
    else:
        assert total.tolist()[::2] == [1.0, 0.0]
        assert_same(largest[::2], logits[::2])
    if backend is not REFERENCE:
        assert_equals_reference(backend, arguments)


@pytest.mark.parametrize("size", [1e-30, 1e10, 1e37])
def test_huge_and_tiny_logits(backend: Backend, size: float) -> None:
    products, offsets, negatives, positives, logits, weights = case(8, 70)
    arguments = (products * size, offsets * size, negatives, positives, logits * size, weights)
    assert_equals_reference(backend, arguments)
    for decoupled in (False, True):
        assert all(each.isfinite().all() for each in run(backend, arguments, decoupled))


@pytest.mark.parametrize("s", [5, 1100])
def test_not_numbers_stay_in_their_row(backend: Backend, s: int) -> None:
    """NaN and infinity show in the sum and so in the whole row, and in no other; -inf is a negative of no weight."""
    products, _, negatives, positives, logits, weights = case(9, s)
    positives[:] = 2**30  # all negatives count
    products[0, 1], products[0, 65 % s], products[1, s - 1], products[2] = 40.0, NAN, INF, NAN  # 40 in NaN's lane
    products[3, 1], products[4] = -INF, -INF
    logits[5:8] = torch.tensor([NAN, INF, -INF])
    products[8, :] = -0.0
    arguments = (products, torch.zeros(s), negatives, positives, logits, weights)
    assert_equals_reference(backend, arguments)
    for decoupled in (False, True):
        got, largest, total, share = run(backend, arguments, decoupled)
        spoilt = torch.tensor([True] * 3 + [False] * 2 + [not decoupled] * 2 + [False] * 2)
        for each in (got.isnan().all(1), got.isnan().any(1), total.isnan(), share.isnan()):
            assert each.tolist() == spoilt.tolist()
        assert not largest.isnan().any()  # NaN is passed over
        assert largest[0] == 40 * SCALE
        assert got[3, 1] == 0
        assert (got[4] == 0).all()


def test_zeros_of_two_signs_are_one_largest_logit(backend: Backend) -> None:
    products = torch.tensor([[-0.0, 0.0, -0.0], [-0.0, -0.0, -0.0], [0.0, 0.0, 0.0]])
    ids = torch.arange(3)
    arguments = (products, torch.full((3,), -0.0), ids, ids + 9, torch.tensor([-0.0, -0.0, -0.0]), torch.ones(3))
    for decoupled in (False, True):
        assert_same(run(backend, arguments, decoupled)[1], torch.zeros(3))


# Largest errors measured, times 4, in units of float32's rounding: of the total, and of what pairs of weight 1 weigh.
TOTAL, WEIGHT = 4 * 3.1, 4 * 2.4


@pytest.mark.parametrize("s", SIZES)
@pytest.mark.parametrize("decoupled", [False, True])
def test_against_float64(s: int, decoupled: bool) -> None:
    products, offsets, negatives, positives, logits, weights = arguments = case(11, s)
    got, largest, total, share = run(REFERENCE, arguments, decoupled)
    errors = {"total": 0.0, "weight": 0.0}
    for n in range(11):
        row = (SCALE * products[n] + offsets).tolist()  # the logits as float32 rounds them
        row = [-INF if k == positives[n] else logit for k, logit in zip(negatives, row, strict=True)]
        want = oracle.softmax(float(logits[n]), row, decoupled)
        assert float(largest[n]) == want.largest
        weight = float(weights[n])
        mine = [*got[n].tolist(), float(share[n])]
        theirs = [weight * each for each in (*want.weights, want.pull)]
        errors["total"] = max(errors["total"], abs(float(total[n]) - want.total) / max(want.total, 1))
        differences = [abs(a - b) / abs(weight) for a, b in zip(mine, theirs, strict=True)]
        errors["weight"] = max(errors["weight"], *differences)
    unit = torch.finfo(torch.float32).eps
    assert errors["total"] <= TOTAL * unit
    assert errors["weight"] <= WEIGHT * unit


def every(stride: int) -> Tensor:
    """Return every so-manieth float32 of -87 to -0."""
    bits = torch.arange(0x80000000, 0xC2AE0000 + 1, stride) - 2**32
    return bits.to(torch.int32).view(torch.float32)


def test_exp_is_within_a_unit_in_the_last_place() -> None:
    """0.977 of them at most in 11.5 million numbers, of all that there are every 97th."""
    x = every(97)
    assert len(x) > 11_000_000
    want = x.double().exp()
    unit = torch.exp2(torch.log2(want).floor() - 23)
    assert ((exp_not_positive(x) - want).abs() / unit).max() <= 1.0


def test_exp_at_its_ends() -> None:
    x = torch.tensor([0.0, -0.0, -1e-38, -87.0, math.nextafter(-87.0, -88.0) - 1e-5, -100.0, -3e38, -INF, NAN])
    got = exp_not_positive(x)
    assert got[:3].tolist() == [1.0] * 3
    assert 0 < float(got[3]) == pytest.approx(math.exp(-87), rel=1e-6)
    assert got[4:8].tolist() == [0.0] * 4
    assert got[8].isnan()


def test_exp_is_the_same_everywhere(kernel: Backend) -> None:
    """Of many numbers: a pair for each, whose only negative weighs exp(x) / (exp(x) + 1)."""
    x = every(300_007 if kernel.schedule else 30_011)
    ids = torch.zeros(len(x), dtype=torch.int64)
    arguments = (x[:, None], torch.zeros(1), ids[:1] + 1, ids, torch.zeros(len(x)), torch.ones(len(x)))
    assert_equals_reference(kernel, arguments, 1.0, (False,))
