"""Every operator on tables of 16 bits: the reference's bits on every backend, computed in float32 throughout."""

from functools import lru_cache
from typing import Any

import pytest
import torch
from backends import REFERENCE, Backend
from batches import NARROW, Batch, assert_same, make_batch, pairs_for_threads, strided
from torch import Tensor

DIMENSIONS = (1, 3, 31, 32, 33, 100, 128, 300)
METRICS = ("sqeuclidean", "dot")
U, MARGIN, SEED, OFFSET, N_ITEMS = 5, 0.4, 2**33 + 1, 4, 90
TABLES = ("user_w", "item_w", "user_state", "item_state")


@lru_cache
def case(r: int, dtype: torch.dtype, kind: str = "") -> Batch:
    """Return a batch of 16-bit tables; "tiny" ones hold numbers below the type's normal ones, "broken" ones any."""
    batch = make_batch(r, min(pairs_for_threads(r, U), 331))  # rows of 31 and more are shared by threads
    if kind == "tiny":
        batch.user_w *= 1e-6 if dtype == torch.float16 else 1e-38
        batch.item_w *= 1e-6 if dtype == torch.float16 else 1e-38
    if kind == "broken":
        batch.item_w[3, -1], batch.item_w[8, 0], batch.user_w[9, -1] = float("nan"), float("inf"), float("-inf")
        batch.item_w[20], batch.user_w[11] = torch.finfo(dtype).max, torch.finfo(dtype).smallest_normal / 3
        batch.user_state[12], batch.item_state[21] = float("inf"), 0.0
    return batch.stored_as(dtype)


def assert_all(got: Any, want: Any, what: str = "") -> None:
    for at, (mine, theirs) in enumerate(zip(got, want, strict=True)):
        assert_same(mine, theirs, f"part {at}, {what}")


def step(backend: Backend, batch: Batch, stochastic: bool, offset: int = OFFSET, **sizes: float) -> list[Tensor]:
    """Take a step on the batch's own tables; return what it returns and changes."""
    sizes = {"lr": 0.1, "eps": 1e-10, "max_norm": 1.0, **sizes}
    given = (*batch.tables, *batch.sampling, U, MARGIN)
    returned = backend.run("cml_step_", *given, *sizes.values(), True, SEED, offset, stochastic)
    return [*returned, *batch.tables]


@lru_cache
def wanted_step(r: int, dtype: torch.dtype, stochastic: bool, kind: str, rowwise: bool = False) -> list[Tensor]:
    batch = case(r, dtype, kind)
    return step(REFERENCE, batch.rowwise() if rowwise else batch.clone(), stochastic)


def hinge(backend: Backend, batch: Batch, metric: str) -> list[Tensor]:
    """Return the losses of either operator and their gradients, dense and sparse."""
    negatives = REFERENCE.run("sample_negatives", *batch.sampling, N_ITEMS, U, SEED, OFFSET)
    above = torch.linspace(-1, 2, len(batch.users))
    results = []
    for sparse in (False, True):
        tables = [table.clone().requires_grad_() for table in batch.tables[:2]]
        tail = (True, metric, sparse)
        if sparse:
            outputs = backend.run("warp_hinge_sampled", *tables, *batch.sampling, U, MARGIN, SEED, OFFSET, *tail)
        else:
            pairs = (batch.users, batch.positives, negatives)
            outputs = backend.run("warp_hinge", *tables, *pairs, MARGIN, N_ITEMS, *tail)
        outputs[0].backward(above)
        grads = [table.grad for table in tables]
        assert outputs[0].dtype == torch.float32
        for grad, table in zip(grads, tables, strict=True):
            assert (grad.dtype, grad.is_sparse) == (table.dtype, sparse)
        results += [output.detach() for output in outputs]
        results += [part for grad in grads for part in ((grad._indices(), grad._values()) if sparse else (grad,))]
    return results


@lru_cache
def wanted_hinge(r: int, dtype: torch.dtype, metric: str, kind: str) -> list[Tensor]:
    return hinge(REFERENCE, case(r, dtype, kind), metric)


@pytest.mark.parametrize("r", DIMENSIONS)
@pytest.mark.parametrize("dtype", NARROW, ids=str)
@pytest.mark.parametrize("stochastic", [False, True], ids=["nearest", "stochastic"])
def test_step_equals_reference(kernel: Backend, r: int, dtype: torch.dtype, stochastic: bool) -> None:
    before = case(r, dtype)
    got = step(kernel, before.clone(), stochastic)
    want = wanted_step(r, dtype, stochastic, "")
    assert_all(got, want)
    assert want[3].dtype == dtype
    assert (want[3] != before.user_w).any()


@pytest.mark.parametrize("r", DIMENSIONS)
@pytest.mark.parametrize("dtype", NARROW, ids=str)
def test_one_accumulator_for_a_row_equals_reference(kernel: Backend, r: int, dtype: torch.dtype) -> None:
    for stochastic in (False, True):
        want = wanted_step(r, dtype, stochastic, "", True)
        assert_all(step(kernel, case(r, dtype).rowwise(), stochastic), want, str(stochastic))
        assert want[5].shape == (len(want[3]), 1)


@pytest.mark.parametrize("r", DIMENSIONS)
@pytest.mark.parametrize("dtype", NARROW, ids=str)
@pytest.mark.parametrize("metric", METRICS)
def test_hinge_and_gradients_equal_reference(kernel: Backend, r: int, dtype: torch.dtype, metric: str) -> None:
    want = wanted_hinge(r, dtype, metric, "")
    assert_all(hinge(kernel, case(r, dtype), metric), want)
    assert (want[0] > 0).any()


def update(backend: Backend, batch: Batch, stochastic: bool, max_norm: float = 1.0) -> list[Tensor]:
    """Update the item table by gradients of a generator; rows repeat."""
    generator = torch.Generator().manual_seed(3)
    grads = torch.randn((len(batch.positives), batch.item_w.shape[1]), generator=generator)
    weight, state = batch.item_w.clone(), batch.item_state.clone()
    numbers = (0.3, 1e-10, max_norm, stochastic, SEED, OFFSET)
    assert backend.run("adagrad_clip_", weight, state, batch.positives, grads, *numbers) is None
    return [weight, state]


@lru_cache
def wanted_update(r: int, dtype: torch.dtype, stochastic: bool) -> list[Tensor]:
    return update(REFERENCE, case(r, dtype), stochastic)


@pytest.mark.parametrize("r", DIMENSIONS)
@pytest.mark.parametrize("dtype", NARROW, ids=str)
def test_update_equals_reference(kernel: Backend, r: int, dtype: torch.dtype) -> None:
    for stochastic in (False, True):
        assert_all(update(kernel, case(r, dtype), stochastic), wanted_update(r, dtype, stochastic))


def search(backend: Backend, batch: Batch, metric: str) -> Any:
    return backend.run("topk", *batch.tables[:2], 12, batch.indptr, batch.indices, metric)


@lru_cache
def wanted_search(r: int, dtype: torch.dtype, metric: str, kind: str) -> Any:
    return search(REFERENCE, case(r, dtype, kind), metric)


@pytest.mark.parametrize("r", DIMENSIONS)
@pytest.mark.parametrize("dtype", NARROW, ids=str)
def test_topk_equals_reference(kernel: Backend, r: int, dtype: torch.dtype) -> None:
    for metric in METRICS:
        got = search(kernel, case(r, dtype), metric)
        assert_all(got, wanted_search(r, dtype, metric, ""), metric)
        assert got[1].dtype == torch.float32


@pytest.mark.parametrize("kind", ["tiny", "broken"])
@pytest.mark.parametrize("dtype", NARROW, ids=str)
def test_numbers_at_the_types_ends_give_the_reference_results(kernel: Backend, dtype: torch.dtype, kind: str) -> None:
    """Below the normal ones, infinite, NaN; and new ones beyond the largest, where the ball is that large."""
    for r in (1, 33):
        batch = case(r, dtype, kind)
        for stochastic in (False, True):
            assert_all(step(kernel, batch.clone(), stochastic), wanted_step(r, dtype, stochastic, kind), "step")
        for metric in METRICS:
            assert_all(hinge(kernel, batch, metric), wanted_hinge(r, dtype, metric, kind), metric)
            assert_all(search(kernel, batch, metric), wanted_search(r, dtype, metric, kind), metric)
    far = case(33, dtype).clone()
    far.item_w[:] = torch.finfo(dtype).max
    got, want = (update(each, far, True, max_norm=float("inf")) for each in (kernel, REFERENCE))
    assert_all(got, want, "overflow")


@lru_cache
def trained(dtype: torch.dtype, stochastic: bool) -> list[Tensor]:
    return train(REFERENCE, dtype, stochastic)


def train(backend: Backend, dtype: torch.dtype, stochastic: bool) -> list[Tensor]:
    """Take twenty steps on changing batches; return the tables and every step's counts."""
    everything = make_batch(33, 64 * 20).stored_as(dtype)
    batch = everything.clone()
    counts = []
    for offset in range(20):
        now = slice(64 * offset, 64 * (offset + 1))
        batch.users, batch.positives = everything.users[now], everything.positives[now]
        counts += step(backend, batch, stochastic, offset, lr=0.05, max_norm=0.8)[:3]
    return [*counts, *batch.tables]


@pytest.mark.parametrize("dtype", NARROW, ids=str)
def test_twenty_steps(kernel: Backend, dtype: torch.dtype) -> None:
    for stochastic in (False, True):
        want = trained(dtype, stochastic)
        assert_all(train(kernel, dtype, stochastic), want, str(stochastic))
        assert want[-7] < want[0]  # the last step's loss and the first's
    assert (trained(dtype, False)[-4] != trained(dtype, True)[-4]).any()


@pytest.mark.parametrize("dtype", NARROW, ids=str)
def test_takes_gaps_between_elements(backend: Backend, dtype: torch.dtype) -> None:
    for r in (3, 33):
        batch = case(r, dtype)
        for stochastic in (False, True):
            spread = batch.strided()
            assert not spread.item_w.is_contiguous()
            assert_all(step(backend, spread, stochastic), wanted_step(r, dtype, stochastic, ""), "step")
        assert_all(search(backend, batch.strided(), "dot"), wanted_search(r, dtype, "dot", ""), "search")
        pairs = (strided(batch.users), batch.positives, torch.zeros((len(batch.users), U), dtype=torch.int64))
        results = []
        for tables in (batch.tables[:2], [strided(table) for table in batch.tables[:2]]):
            loss, hardest, impostors = backend.run("warp_hinge", *tables, *pairs, MARGIN, N_ITEMS)
            counts = (hardest, impostors, U, N_ITEMS)
            grads = backend.run("warp_hinge_backward", torch.ones_like(loss), *tables, *pairs[:2], *counts)
            results.append([loss, hardest, impostors, *grads])
        assert_all(results[1], results[0], "hinge")


def test_float32_ignores_chance(backend: Backend) -> None:
    batch = make_batch(33, 60)
    assert_all(step(backend, batch.clone(), True), step(backend, batch.clone(), False))
    assert_all(update(backend, batch, True), update(backend, batch, False))


@pytest.mark.parametrize("dtype", NARROW, ids=str)
@pytest.mark.parametrize("metric", METRICS)
def test_losses_are_those_of_the_widened_tables(backend: Backend, dtype: torch.dtype, metric: str) -> None:
    """And their gradients are float32's, rounded once."""
    narrow = case(33, dtype)
    wide = narrow.stored_as(torch.float32)
    assert_all(
        [part.to(dtype) if part.dtype == torch.float32 else part for part in hinge(backend, wide, metric)],
        [part.to(dtype) if part.dtype == torch.float32 else part for part in hinge(backend, narrow, metric)],
        metric,
    )
    assert_same(hinge(backend, narrow, metric)[0], hinge(backend, wide, metric)[0])
    assert_all(search(backend, narrow, metric), search(backend, wide, metric), metric)


@pytest.mark.parametrize("dtype", NARROW, ids=str)
def test_every_entry_of_a_sparse_gradient_is_rounded_to_nearest(implementation: Backend, dtype: torch.dtype) -> None:
    batch = case(33, dtype)
    u, v = (table.clone().requires_grad_() for table in batch.tables[:2])
    tail = (U, MARGIN, SEED, OFFSET, False, "dot", True)  # weights are 1
    loss, hardest, _ = implementation.run("warp_hinge_sampled", u, v, *batch.sampling, *tail)
    above = torch.linspace(-1, 2, len(loss))
    loss.backward(above)
    active = loss > 0
    factor, user = above[active, None], u.detach()[batch.users[active]].float()
    positive, negative = (v.detach()[ids[active]].float() for ids in (batch.positives, hardest))
    assert_same(u.grad._values(), (factor * (negative - positive)).to(dtype))
    assert_same(v.grad._values(), torch.stack((-factor * user, factor * user), 1).flatten(0, 1).to(dtype))
    assert active.sum() > 20
