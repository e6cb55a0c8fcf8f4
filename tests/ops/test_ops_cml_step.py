"""cml_step_ and cml_steps_ on every backend: the reference's tables, accumulators and counts, of one step and many."""

from functools import lru_cache
from typing import Any

import pytest
import torch
from backends import REFERENCE, Backend
from batches import (
    DIMENSIONS,
    ID_TYPES,
    LIKES_ALL,
    N_NEGATIVES,
    Batch,
    assert_same,
    make_batch,
    pairs_for_threads,
)

MARGIN, SEED, N_STEPS = 0.4, 21, 50
TABLES = ("user_w", "item_w", "user_state", "item_state")
RETURNS = ("loss", "impostors", "active")
RETURN_TYPES = (torch.float64, torch.int64, torch.int64)
HEAVY = {
    "one user": {"one_user": True},
    "one item": {"one_item": True},
    "one pair": {"one_user": True, "one_item": True},
}


def step(
    backend: Backend,
    batch: Batch,
    n_negatives: int,
    margin: float = MARGIN,
    optimizer: tuple[float, float, float] = (0.1, 1e-10, 1.0),
    rank_weight: bool = True,
    offset: int = 0,
) -> Any:
    """Take a step on the batch's own tables."""
    arguments = (*batch.tables, *batch.sampling, n_negatives, margin, *optimizer, rank_weight, SEED, offset)
    return backend.run("cml_step_", *arguments)


@lru_cache
def case(r: int, n_negatives: int, dtype: torch.dtype, kind: str = "") -> Batch:
    n_pairs = 331 if kind else pairs_for_threads(r, n_negatives)
    return make_batch(r, n_pairs, dtype, **HEAVY.get(kind, {}))


@lru_cache
def wanted(r: int, n_negatives: int, dtype: torch.dtype, kind: str = "", **options: Any) -> Any:
    batch = case(r, n_negatives, dtype, kind).clone()
    return step(REFERENCE, batch, n_negatives, **options), batch


def assert_step(got: Any, batch: Batch, want: Any, want_batch: Batch, what: str = "") -> None:
    for name, mine, theirs in zip(RETURNS, got, want, strict=True):
        assert_same(mine, theirs, f"{name} {what}")
    for name, mine, theirs in zip(TABLES, batch.tables, want_batch.tables, strict=True):
        assert_same(mine, theirs, f"{name} {what}")


@pytest.mark.parametrize("r", DIMENSIONS)
@pytest.mark.parametrize("n_negatives", N_NEGATIVES)
def test_equals_reference(kernel: Backend, r: int, n_negatives: int) -> None:
    for dtype in ID_TYPES:
        options = {"rank_weight": dtype == torch.int64}
        batch = case(r, n_negatives, dtype).clone()
        got = step(kernel, batch, n_negatives, **options)
        want = wanted(r, n_negatives, dtype, **options)
        assert_step(got, batch, *want, f"{dtype} {options}")
        assert [part.dtype for part in got] == [*RETURN_TYPES]
        assert 0 < got[2] < len(batch.users)


@pytest.mark.parametrize("r", DIMENSIONS)
@pytest.mark.parametrize("n_negatives", N_NEGATIVES)
def test_one_accumulator_for_a_row_equals_reference(kernel: Backend, r: int, n_negatives: int) -> None:
    """Of both tables, and of either."""
    for names in (TABLES[2:], TABLES[2:3], TABLES[3:]) if n_negatives == 5 else (TABLES[2:],):
        batch, want_batch = (case(r, n_negatives, torch.int64).rowwise(names) for _ in range(2))
        want = step(REFERENCE, want_batch, n_negatives, optimizer=(0.3, 1e-8, 0.8))
        assert_step(step(kernel, batch, n_negatives, optimizer=(0.3, 1e-8, 0.8)), batch, want, want_batch, str(names))
        assert 0 < want[2] < len(batch.users)


@pytest.mark.parametrize("r", [33, 100])
def test_fifty_steps_with_one_accumulator_for_a_row(kernel: Backend, r: int) -> None:
    got, batch = train(kernel, r, (0.1, 1e-10, 1.0), rowwise=True)
    want, want_batch = trained(r, (0.1, 1e-10, 1.0), rowwise=True)
    assert_step(got[-1], batch, want[-1], want_batch)
    assert want[-1][0] < want[0][0]


@pytest.mark.parametrize("kind", HEAVY)
@pytest.mark.parametrize("r", [1, 33, 128])
def test_many_occurrences_of_a_row(kernel: Backend, r: int, kind: str) -> None:
    batch = case(r, 5, torch.int64, kind).clone()
    got = step(kernel, batch, 5, margin=2.0)
    assert_step(got, batch, *wanted(r, 5, torch.int64, kind, margin=2.0), kind)
    assert got[2] > 128


@lru_cache
def trained(r: int, optimizer: tuple[float, float, float], rowwise: bool = False) -> tuple[list[Any], Batch]:
    return train(REFERENCE, r, optimizer, rowwise)


def train(
    backend: Backend, r: int, optimizer: tuple[float, float, float], rowwise: bool = False
) -> tuple[list[Any], Batch]:
    """Take fifty steps on changing batches; return what each returned, and the batch with the last tables."""
    all_pairs = make_batch(r, 64 * N_STEPS)
    batch = all_pairs.rowwise() if rowwise else all_pairs.clone()
    returned = []
    for offset in range(N_STEPS):
        now = slice(64 * offset, 64 * (offset + 1))
        batch.users, batch.positives = all_pairs.users[now], all_pairs.positives[now]
        returned.append(step(backend, batch, 20, optimizer=optimizer, offset=offset))
    return returned, batch


@pytest.mark.parametrize("r", [33, 100])
@pytest.mark.parametrize("optimizer", [(0.1, 1e-10, 1.0), (0.3, 1e-6, 0.7)], ids=str)
def test_fifty_steps(kernel: Backend, r: int, optimizer: tuple[float, float, float]) -> None:
    got, batch = train(kernel, r, optimizer)
    want, want_batch = trained(r, optimizer)
    for at, (mine, theirs) in enumerate(zip(got, want, strict=True)):
        for name, one, other in zip(RETURNS, mine, theirs, strict=True):
            assert_same(one, other, f"{name} of step {at}")
    assert_step(got[-1], batch, want[-1], want_batch)
    assert want[-1][0] < want[0][0]


def test_takes_gaps_between_elements(backend: Backend) -> None:
    want = wanted(33, 5, torch.int32)
    batch = case(33, 5, torch.int32).strided()
    assert_step(step(backend, batch, 5), batch, *want, "with gaps")
    batch = case(33, 5, torch.int32).clone()
    for name in TABLES[1:3]:  # two of the four, column by column
        setattr(batch, name, getattr(batch, name).t().contiguous().t())
    assert_step(step(backend, batch, 5), batch, *want, "column by column")
    want_batch = case(33, 5, torch.int32).rowwise()
    batch = want_batch.strided()
    assert_step(step(backend, batch, 5), batch, step(REFERENCE, want_batch, 5), want_batch, "row-wise, with gaps")


@lru_cache
def large(n_pairs: int) -> tuple[Batch, Any, Batch]:
    before = make_batch(1, n_pairs, n_users=300, n_items=200)
    after = before.clone()
    return before, step(REFERENCE, after, 1), after


@pytest.mark.parametrize("n_pairs", [4095, 4096, 4097, 9001])
def test_batches_of_several_thousand_pairs(kernel: Backend, n_pairs: int) -> None:
    """Many rows stand beside each other that all have more occurrences than a run; the loss has more than one tile."""
    before, want, want_batch = large(n_pairs)
    batch = before.clone()
    assert_step(step(kernel, batch, 1), batch, want, want_batch)


@pytest.mark.parametrize("dtype", ID_TYPES, ids=str)
def test_an_empty_batch_changes_nothing(backend: Backend, dtype: torch.dtype) -> None:
    before = make_batch(5, 0, dtype)
    batch = before.clone()
    got = step(backend, batch, 4)
    assert_step(got, batch, (torch.zeros((), dtype=torch.float64), *torch.zeros(2, dtype=torch.int64)), before)


def test_nothing_active_changes_nothing(backend: Backend) -> None:
    """Not even a row outside the ball is clipped."""
    before = case(33, 5, torch.int64).clone()
    before.user_w[7] *= 100
    batch = before.clone()
    got = step(backend, batch, 5, margin=-1e9)
    assert_step(got, batch, (torch.zeros((), dtype=torch.float64), *torch.zeros(2, dtype=torch.int64)), before)


def test_users_without_negatives_are_skipped(backend: Backend) -> None:
    before = case(33, 5, torch.int64)
    batch = before.clone()
    batch.users[:] = LIKES_ALL
    assert [float(part) for part in step(backend, batch, 5, margin=9.0)] == [0.0, 0.0, 0.0]
    assert_same(batch.item_w, before.item_w)
    batch.users[5] = 11  # one pair of another user between them
    _, impostors, active = step(backend, batch, 5, margin=9.0)
    assert (int(impostors), int(active)) == (5, 1)
    changed = (batch.item_w != before.item_w).any(1).nonzero()[:, 0].tolist()
    assert len(changed) in (1, 2)
    assert int(batch.positives[5]) in changed


def test_only_rows_of_active_pairs_change(backend: Backend) -> None:
    before = case(33, 5, torch.int64)
    head = (*before.tables[:2], *before.sampling)
    loss, hardest, impostors = REFERENCE.run("warp_hinge_sampled", *head, 5, -0.8, SEED, 0)
    batch = before.clone()
    got = step(backend, batch, 5, margin=-0.8)
    active = loss > 0
    assert int(got[2]) == int(active.sum())
    assert int(got[1]) == int(impostors.sum())
    assert float(got[0]) == pytest.approx(float(loss.double().sum()), rel=1e-12)
    items = torch.cat((before.positives[active], hardest[active]))
    for name, rows in (("user_w", before.users[active]), ("item_w", items)):
        changed = (getattr(batch, name) != getattr(before, name)).any(1)
        assert set(changed.nonzero()[:, 0].tolist()) == set(rows.tolist())
        assert not changed.all()


def test_broken_tables_give_the_reference_results(kernel: Backend) -> None:
    want_batch = case(33, 5, torch.int64).clone()
    want_batch.item_w[3, 4], want_batch.item_w[8, 0] = float("nan"), float("inf")
    want_batch.user_w[9, 32], want_batch.user_state[11, 1] = float("nan"), float("inf")
    want_batch.item_w[20], want_batch.item_state[21] = 1e30, 0.0
    batch = want_batch.clone()
    want = step(REFERENCE, want_batch, 5)
    assert_step(step(kernel, batch, 5), batch, want, want_batch)
    assert want[0].isnan()
    assert want_batch.user_w.isfinite().all(1).any()


@pytest.mark.parametrize("r", [33, 100])
@pytest.mark.parametrize("rank_weight", [True, False])
@pytest.mark.parametrize("kind", ["", "one user", "one item"])
def test_is_the_sum_of_its_parts(backend: Backend, r: int, rank_weight: bool, kind: str) -> None:
    """Sparse gradients of warp_hinge_sampled, handed to adagrad_clip_ entry by entry, give the same bits."""
    whole, parts = case(r, 5, torch.int64, kind).clone(), case(r, 5, torch.int64, kind).clone()
    loss_of_step, *_ = step(backend, whole, 5, rank_weight=rank_weight, optimizer=(0.2, 1e-8, 0.9))
    tables = [table.clone().requires_grad_() for table in parts.tables[:2]]
    tail = (5, MARGIN, SEED, 0, rank_weight, "sqeuclidean", True)
    loss, *_ = backend.run("warp_hinge_sampled", *tables, *parts.sampling, *tail)
    loss.sum().backward()
    for table, weight, state in zip(tables, parts.tables[:2], parts.tables[2:], strict=True):
        rows, grads = table.grad._indices()[0], table.grad._values()
        backend.run("adagrad_clip_", weight, state, rows, grads, 0.2, 1e-8, 0.9)
    for name, mine, theirs in zip(TABLES, parts.tables, whole.tables, strict=True):
        assert_same(mine, theirs, name)
    assert float(loss_of_step) == pytest.approx(float(loss.detach().double().sum()), rel=1e-12)


def steps(backend: Backend, batch: Batch, n_negatives: int, *numbers: torch.Tensor, **options: Any) -> Any:
    """Take steps on the batch's own tables, of margins, learning rates and offsets."""
    margins, lrs, offsets = numbers
    arguments = (*batch.tables, *batch.sampling, n_negatives, margins, lrs, 1e-10, 1.0, True, SEED, offsets)
    return backend.run("cml_steps_", *arguments, **options)


def numbers_of(n_steps: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return numbers that no two steps share; offsets of which the low 32 bits count."""
    at = torch.arange(n_steps)
    return 0.8 - at / 37, 0.3 / (1 + at), 2**33 - 2 + 5 * at


@lru_cache
def one_by_one(r: int, n_pairs: int, n_steps: int, dtype: torch.dtype, stored: torch.dtype) -> tuple[Any, Batch]:
    """Return what the reference's single steps come to, on the parts of a batch."""
    batch = steps_case(r, n_pairs, dtype, stored)
    pairs = zip(batch.users.tensor_split(n_steps), batch.positives.tensor_split(n_steps), strict=True)
    returned = []
    for (users, positives), *numbers in zip(pairs, *(each.tolist() for each in numbers_of(n_steps)), strict=True):
        margin, lr, offset = numbers
        arguments = (
            *batch.tables,
            *batch.sampling[:2],
            users,
            positives,
            7,
            margin,
            lr,
            1e-10,
            1.0,
            True,
            SEED,
            offset,
        )
        returned.append(REFERENCE.run("cml_step_", *arguments, stochastic_rounding=True))
    return [torch.stack(column) for column in zip(*returned, strict=True)], batch


def steps_case(r: int, n_pairs: int, dtype: torch.dtype, stored: torch.dtype = torch.float32) -> Batch:
    """Return a batch; with one accumulator a row of users where rows are of 64 numbers."""
    batch = make_batch(r, n_pairs, dtype).stored_as(stored)
    return batch.rowwise(("user_state",)) if r == 64 else batch


@pytest.mark.parametrize(("r", "stored"), [(33, torch.float32), (64, torch.float32), (100, torch.bfloat16)], ids=str)
@pytest.mark.parametrize(("n_pairs", "n_steps"), [(331, 1), (331, 3), (64, 64), (2101, 2), (3, 5)], ids=str)
def test_steps_are_steps_one_by_one(kernel: Backend, r: int, stored: torch.dtype, n_pairs: int, n_steps: int) -> None:
    """Of batches that differ by a pair, of one pair, of none, and of one with a run more than the other."""
    for dtype in ID_TYPES:
        batch = steps_case(r, n_pairs, dtype, stored)
        got = steps(kernel, batch, 7, *numbers_of(n_steps), stochastic_rounding=True)
        assert_step(got, batch, *one_by_one(r, n_pairs, n_steps, dtype, stored), str(dtype))
        assert [(part.dtype, len(part)) for part in got] == [(each, n_steps) for each in RETURN_TYPES]


def test_the_reference_takes_steps_one_by_one() -> None:
    batch = steps_case(33, 331, torch.int64)
    got = steps(REFERENCE, batch, 7, *numbers_of(3), stochastic_rounding=True)
    assert_step(got, batch, *one_by_one(33, 331, 3, torch.int64, torch.float32))


def test_numbers_of_steps_may_lie_anywhere(backend: Backend) -> None:
    batch, spread = steps_case(33, 331, torch.int64), steps_case(33, 331, torch.int64).strided()
    numbers = numbers_of(3)
    want = steps(backend, batch, 7, *numbers)
    got = steps(backend, spread, 7, *(torch.stack((each, each - 1), 1)[:, 0] for each in numbers))
    assert_step(got, spread, want, batch)


def test_more_negatives_than_weights_in_a_launch(kernel: Backend) -> None:
    """Rank weights reach a GPU 512 at a time, with what begins the steps."""
    batch, want_batch = steps_case(4, 40, torch.int64), steps_case(4, 40, torch.int64)
    want = steps(REFERENCE, want_batch, 1030, *numbers_of(2))
    assert_step(steps(kernel, batch, 1030, *numbers_of(2)), batch, want, want_batch)
