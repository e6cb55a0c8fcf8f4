"""Tables of 16 bits on every backend: what a stored number is worth, and to which number a new one is rounded."""

import math
from functools import lru_cache
from typing import Any

import numpy as np
import oracle_storage
import pytest
import torch
from backends import REFERENCE, Backend
from batches import NARROW, assert_same, make_batch
from torch import Tensor

R = 45  # full vectors and a rest, for every instruction set
SEED = 2**40 + 5
AS_GIVEN = 2.0**64  # lr and eps with which an AdaGrad step from 0 is minus the gradient, exactly


def name_of(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def patterns(dtype: torch.dtype) -> Tensor:
    """Return every number of a type, in the order of their bits."""
    return torch.arange(-(2**15), 2**15).to(torch.int16).roll(2**15).view(dtype)


def rounded(
    backend: Backend, values: Tensor, dtype: torch.dtype, stochastic: bool = True, seed: int = SEED, offset: int = 0
) -> Tensor:
    """Round float32 [n, r] of magnitudes below 2^37: a step that arrives exactly there."""
    weight, state = torch.zeros(values.shape, dtype=dtype), torch.zeros(values.shape)
    rows = torch.arange(len(values))
    numbers = (AS_GIVEN, AS_GIVEN, math.inf, stochastic, seed, offset)
    backend.run("adagrad_clip_", weight, state, rows, -values, *numbers)
    return weight


@pytest.mark.parametrize("dtype", NARROW, ids=str)
def test_oracle_and_torch_agree_on_every_number(dtype: torch.dtype) -> None:
    form = oracle_storage.FORMATS[name_of(dtype)]
    assert patterns(dtype).float()[: form.infinity].tolist() == form.ladder[:-1]
    assert patterns(dtype)[form.infinity].item() == math.inf


@pytest.mark.parametrize("dtype", NARROW, ids=str)
def test_every_number_is_read_exactly(backend: Backend, dtype: torch.dtype) -> None:
    """One number a row, in any column; its loss is the magnitude, for a user of the other sign."""
    numbers = patterns(dtype)
    at = torch.arange(2**16)
    items = torch.zeros((2**16 + 1, R), dtype=dtype)
    items[at, at % R] = numbers
    users = torch.tensor([[-1.0] * R, [1.0] * R]).to(dtype)
    pairs = ((numbers.view(torch.int16) < 0).long(), at, torch.full((2**16, 1), 2**16))
    loss, *_ = backend.run("warp_hinge", users, items, *pairs, 0.0, 1, False, "dot")
    assert_same(loss, numbers.float().abs())


@pytest.mark.parametrize("dtype", NARROW, ids=str)
@pytest.mark.parametrize("stochastic", [False, True], ids=["nearest", "stochastic"])
def test_every_number_stays_itself(backend: Backend, dtype: torch.dtype, stochastic: bool) -> None:
    """A step of length 0, with and without chance; r beside and at the vectors' width."""
    for r in (R, 64):
        weight = torch.nn.functional.pad(patterns(dtype), (0, -(2**16) % r)).view(-1, r)
        before = weight.clone()
        rows = torch.arange(len(weight))
        grads = torch.ones(weight.shape)
        backend.run("adagrad_clip_", weight, grads.clone(), rows, grads, 0.0, 1.0, math.inf, stochastic, SEED, 3)
        assert_same(weight, before)


@lru_cache
def hard(dtype: torch.dtype) -> Tensor:
    """Return float32 numbers on and beside every tie and every number of a type, far out, tiny, and of any bits."""
    numbers = patterns(dtype).double()
    numbers = numbers[numbers.isfinite()]
    ties = ((numbers[1:] + numbers[:-1]) / 2).float()
    exact = torch.cat((numbers.float(), ties))
    beside = [torch.nextafter(exact, torch.tensor(end)) for end in (math.inf, -math.inf)]
    bits = torch.randint(-(2**31), 2**31, (50_000,), generator=torch.Generator().manual_seed(0))
    special = [65503.99, 65504.0, 65519.99, 65520.0, 65535.99, 65536.0, 1e10, 3.4e38, math.inf, math.nan]
    special += [0.0, 1e-45, 1e-40, 1.1754944e-38, 2.0**-24, 2.0**-25, 2.0**-26, 6.1e-5, 2.0**-14, 2.0**-133, 2.0**-134]
    special = torch.tensor([sign * value for value in special for sign in (1, -1)])
    nans = torch.tensor([0x7FFFFFFF, -1, 0x7F800001]).to(torch.int32).view(torch.float32)  # all bits set, and few
    return torch.cat((exact, *beside, bits.to(torch.int32).view(torch.float32), special, nans))


def some(values: Tensor, n: int) -> Tensor:
    """Return about n of the numbers, and the last ones."""
    return torch.cat((values[:: len(values) // n], values[-50:]))


@pytest.mark.parametrize("dtype", NARROW, ids=str)
@pytest.mark.parametrize("r", [1, 35])
def test_gradients_are_rounded_to_nearest(backend: Backend, dtype: torch.dtype, r: int) -> None:
    """Pair n's gradient in its user's row is what comes from above, in every column."""
    values = some(hard(dtype), 8000)
    n = torch.arange(len(values))
    users, items = torch.zeros((len(n), r), dtype=dtype), torch.zeros((2, r), dtype=dtype)
    items[1] = 1
    ones = torch.ones_like(n)
    pairs = (n, 0 * n, ones, ones, 1, 1, False, "dot")
    got, _ = backend.run("warp_hinge_backward", values, users, items, *pairs)
    want = (values + 0.0).to(dtype)  # a sum starts at +0
    assert_same(got, want[:, None].repeat(1, r))


@pytest.mark.parametrize("dtype", NARROW, ids=str)
def test_new_rows_are_rounded_to_nearest(backend: Backend, dtype: torch.dtype) -> None:
    values = hard(dtype)
    values = values[values.abs() < 2.0**37]
    values = values[: len(values) // R * R].view(-1, R)
    assert_same(rounded(backend, values, dtype, stochastic=False), (values + 0.0).to(dtype))


@pytest.mark.parametrize("dtype", NARROW, ids=str)
def test_rounds_as_the_oracle(implementation: Backend, dtype: torch.dtype) -> None:
    form = oracle_storage.FORMATS[name_of(dtype)]
    values = hard(dtype)
    values = values[(values.abs() < 2.0**37) & (values != 0)]
    values = some(values, 600)
    values = values[: len(values) // 7 * 7].view(-1, 7)
    for stochastic, offset in ((False, 0), (True, 0), (True, -1)):
        got = rounded(implementation, values, dtype, stochastic, offset=offset)
        for row, numbers in enumerate(values.tolist()):
            for e, value in enumerate(numbers):
                word = oracle_storage.word(SEED, row, 0, offset, e)
                want = form.stochastic(value, word) if stochastic else form.nearest(value)
                assert int(got[row, e].view(torch.int16)) & 0xFFFF == want, (value, hex(word))


@pytest.mark.parametrize("dtype", NARROW, ids=str)
def test_chance_equals_reference(kernel: Backend, dtype: torch.dtype) -> None:
    """On every hard number, and on rows of any length."""
    values = hard(dtype)
    values = values[~(values.abs() >= 2.0**37)]
    for r in (1, 2, 3, 4, 5, R):
        few = values[: len(values) // r * r].view(-1, r)[:: 20 if r < R else 1]
        want = rounded(REFERENCE, few, dtype)
        assert_same(rounded(kernel, few, dtype), want, f"r = {r}")
        assert (want != few.to(dtype)).any()


def parts(dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return 64 numbers, their neighbours in the type, and where between those they lie."""
    generator = torch.Generator().manual_seed(1)
    values = torch.randn(64, generator=generator) * 10.0 ** torch.linspace(-7, 4, 64)
    ladder = np.array(oracle_storage.FORMATS[name_of(dtype)].ladder)
    ladder = np.concatenate((-ladder[:0:-1], ladder))
    at = np.searchsorted(ladder, values.double().numpy(), side="right")
    low, high = torch.tensor(ladder[at - 1]), torch.tensor(ladder[at])
    return values, low, high, (values.double() - low) / (high - low)


@pytest.mark.parametrize("dtype", NARROW, ids=str)
def test_chance_is_fair(backend: Backend, dtype: torch.dtype) -> None:
    """Each of 64 numbers is rounded 20,000 times, only to its neighbours, and as often up as it lies above the lower.

    Five standard deviations are allowed, which 64 fair numbers exceed with a probability of 4e-5; a chance that is off
    by 0.03 is 8.5 of them away and would be seen with a probability of 0.9997.
    """
    values, low, high, chance = parts(dtype)
    n = 20_000
    draws = [rounded(backend, values.repeat(n // 2, 1), dtype, offset=offset).double() for offset in (0, 1)]
    got = torch.cat(draws)
    assert ((got == low) | (got == high)).all()
    up = (got == high).double().mean(0)
    deviation = (chance * (1 - chance) / n).sqrt()
    assert ((up - chance).abs() <= 5 * deviation).all()
    assert ((chance > 0.05) & (chance < 0.95)).sum() > 40


@pytest.mark.parametrize("dtype", NARROW, ids=str)
def test_every_row_column_seed_and_offset_has_its_own_chance(backend: Backend, dtype: torch.dtype) -> None:
    """Two draws from halves agree as often as not: 5,600 of them within five standard deviations."""
    half = torch.full((100, 57), 1 + 2.0 ** -(8 if dtype == torch.bfloat16 else 11))

    def ups(**options: Any) -> Tensor:
        return rounded(backend, half, dtype, **options) > 1

    first = ups()
    assert torch.equal(first, ups())
    others = [ups(offset=1), ups(offset=-1), ups(seed=SEED + 1), ups(seed=SEED + 2**32)]
    pairs = [(first, other) for other in others]
    pairs += [(first[1:], first[:-1]), *((first[:, step:], first[:, :-step]) for step in (1, 2, 3, 4))]
    for one, other in pairs:
        n = one.numel()
        assert abs(int((one == other).sum()) - n / 2) <= 5 * math.sqrt(n) / 2


@pytest.mark.parametrize("dtype", NARROW, ids=str)
def test_the_order_of_a_batch_does_not_matter(backend: Backend, dtype: torch.dtype) -> None:
    """Nor which other rows it names: a row's chance is its own."""
    generator = torch.Generator().manual_seed(2)
    weight = torch.randn((40, 9), generator=generator).to(dtype)
    rows = torch.randint(40, (90,), generator=generator)
    grads = torch.randint(-3, 4, (90, 9), generator=generator).float()  # their sums are exact in any order
    order = torch.randperm(90, generator=generator)
    outcomes = []
    for named in (slice(None), order, rows < 20):
        table, state = weight.clone(), torch.ones((40, 9))
        backend.run("adagrad_clip_", table, state, rows[named], grads[named], 0.1, 1e-10, 1.0, True, SEED, 5)
        outcomes.append(table)
    assert_same(outcomes[1], outcomes[0])
    assert_same(outcomes[2][:20], outcomes[0][:20])
    assert_same(outcomes[2][20:], weight[20:])


@pytest.mark.parametrize("dtype", NARROW, ids=str)
@pytest.mark.parametrize("stochastic", [False, True], ids=["nearest", "stochastic"])
def test_a_step_is_one_in_float32_that_the_oracle_rounds(
    implementation: Backend, dtype: torch.dtype, stochastic: bool
) -> None:
    """Once, with a chance of its own for each table; only rows of active pairs change."""
    narrow = make_batch(5, 60).stored_as(dtype)
    wide = narrow.stored_as(torch.float32)
    numbers = (4, 0.4, 0.1, 1e-10, 0.9, True, SEED, 7)
    returned = [
        implementation.run("cml_step_", *batch.tables, *batch.sampling, *numbers, stochastic)
        for batch in (narrow, wide)
    ]
    for mine, theirs in zip(*returned, strict=True):
        assert_same(mine, theirs)
    form = oracle_storage.FORMATS[name_of(dtype)]
    for table, (mine, theirs) in enumerate(zip(narrow.tables[:2], wide.tables[:2], strict=True)):
        for row, values in enumerate(theirs.tolist()):
            words = [oracle_storage.word(SEED, row, table, 7, e) for e in range(5)]
            each = zip(values, words, strict=True)
            want = [form.stochastic(value, word) if stochastic else form.nearest(value) for value, word in each]
            assert (mine[row].view(torch.int16).int() & 0xFFFF).tolist() == want
    for mine, theirs in zip(narrow.tables[2:], wide.tables[2:], strict=True):
        assert_same(mine, theirs)


def test_small_steps_add_up_by_chance_alone(backend: Backend) -> None:
    """From 1 down by less than half the gap of 2^-8: to nearest nothing moves, by chance the mean does.

    It moves as far as in float32, up to five standard deviations of 50 roundings, averaged over 4,000 numbers.
    """
    steps, shape = 50, (40, 100)
    rows = torch.arange(40)
    tables = {kind: torch.ones(shape, dtype=torch.bfloat16) for kind in ("nearest", "stochastic")}
    tables["float32"] = torch.ones(shape)
    for kind, table in tables.items():
        state = torch.zeros(shape)
        for offset in range(steps):
            numbers = (1e-3, 1e-10, math.inf, kind == "stochastic", SEED, offset)
            backend.run("adagrad_clip_", table, state, rows, torch.ones(shape), *numbers)
    assert (tables["nearest"] == 1).all()
    moved, want = (float(1 - tables[kind].double().mean()) for kind in ("stochastic", "float32"))
    deviation = 2.0**-8 / 2 * math.sqrt(steps / 4000)
    assert want > 20 * deviation
    assert abs(moved - want) < 5 * deviation
