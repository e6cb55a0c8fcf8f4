"""Gradients of warp_hinge on every backend: the reference's bits, dense and sparse, of either operator."""

from functools import lru_cache
from typing import Any

import pytest
import torch
from backends import REFERENCE, Backend
from batches import DIMENSIONS, ID_TYPES, Batch, assert_same, make_batch, pairs_for_threads
from torch import Tensor

MARGIN, SEED, OFFSET, N_ITEMS, U = 0.6, 8, 2, 90, 5
METRICS = ("sqeuclidean", "dot")
HEAVY = {"mixed": {}, "one user": {"one_user": True}, "one item": {"one_item": True}}


@lru_cache
def case(r: int, dtype: torch.dtype, kind: str) -> tuple[Batch, Tensor, Tensor]:
    """Return a batch, its negatives, and what comes from above."""
    # More than 2 x 64 active occurrences of a row, and enough that three threads share the sums.
    n_pairs = max(pairs_for_threads(r, 3), 200 if kind == "mixed" else 331)
    batch = make_batch(r, n_pairs, dtype, n_items=N_ITEMS, **HEAVY[kind])
    negatives = REFERENCE.run("sample_negatives", *batch.sampling, N_ITEMS, U, SEED, OFFSET)
    above = torch.randn(n_pairs, generator=torch.Generator().manual_seed(1))
    return batch, negatives, above


def gradients(backend: Backend, operator: str, *arguments: Any, above: Tensor, sparse: bool) -> list[Tensor]:
    """Return the two tables' gradients; of sparse ones, ids and values in their order."""
    tables = [table.detach().requires_grad_() for table in arguments[:2]]
    loss, hardest, impostors = backend.run(operator, *tables, *arguments[2:], sparse_grad=sparse)
    assert not hardest.requires_grad
    assert not impostors.requires_grad
    loss.backward(above)
    grads = [table.grad for table in tables]
    assert all(grad.is_sparse == sparse for grad in grads)
    if not sparse:
        return grads
    return [part for grad in grads for part in (grad._indices(), grad._values())]


@lru_cache
def wanted(r: int, dtype: torch.dtype, kind: str, metric: str, rank_weight: bool, sparse: bool) -> Any:
    batch, negatives, above = case(r, dtype, kind)
    arguments = (*batch.tables[:2], batch.users, batch.positives, negatives, MARGIN, N_ITEMS)
    return gradients(REFERENCE, "warp_hinge", *arguments, rank_weight, metric, above=above, sparse=sparse)


def assert_all(got: list[Tensor], want: list[Tensor], what: str) -> None:
    for at, (mine, theirs) in enumerate(zip(got, want, strict=True)):
        assert_same(mine, theirs, f"part {at} of the gradient, {what}")


@pytest.mark.parametrize("r", DIMENSIONS)
@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
def test_equals_reference(kernel: Backend, r: int, sparse: bool) -> None:
    for metric in METRICS:
        for dtype in ID_TYPES:
            rank_weight = (dtype == torch.int64) == (metric == "dot")
            batch, negatives, above = case(r, dtype, "mixed")
            want = wanted(r, dtype, "mixed", metric, rank_weight, sparse)
            options = {"above": above, "sparse": sparse}
            arguments = (*batch.tables[:2], batch.users, batch.positives, negatives, MARGIN, N_ITEMS)
            got = gradients(kernel, "warp_hinge", *arguments, rank_weight, metric, **options)
            assert_all(got, want, f"given negatives, {metric}, {dtype}")
            arguments = (*batch.tables[:2], *batch.sampling, U, MARGIN, SEED, OFFSET)
            got = gradients(kernel, "warp_hinge_sampled", *arguments, rank_weight, metric, **options)
            assert_all(got, want, f"drawn negatives, {metric}, {dtype}")


@pytest.mark.parametrize("kind", ["one user", "one item"])
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("r", [1, 33, 128])
def test_many_occurrences_of_a_row(kernel: Backend, r: int, metric: str, kind: str) -> None:
    batch, negatives, above = case(r, torch.int64, kind)
    arguments = (*batch.tables[:2], batch.users, batch.positives, negatives, MARGIN, N_ITEMS, True, metric)
    active = REFERENCE.run("warp_hinge", *arguments)[2] > 0
    assert active.sum() > 128
    got = gradients(kernel, "warp_hinge", *arguments, above=above, sparse=False)
    assert_all(got, wanted(r, torch.int64, kind, metric, True, False), kind)


def direct(batch: Batch, negatives: Tensor, above: Tensor, metric: str) -> tuple[Any, ...]:
    """Arguments of warp_hinge_backward."""
    pairs = (batch.users, batch.positives)
    head = (*batch.tables[:2], *pairs)
    _, hardest, impostors = REFERENCE.run("warp_hinge", *head, negatives, MARGIN, N_ITEMS, True, metric)
    return (above, *head, hardest, impostors, U, N_ITEMS, True, metric)


@pytest.mark.parametrize("metric", METRICS)
def test_backward_takes_gaps_between_elements(backend: Backend, metric: str) -> None:
    batch, negatives, above = case(33, torch.int32, "mixed")
    arguments = direct(batch, negatives, above, metric)
    want = REFERENCE.run("warp_hinge_backward", *arguments)
    assert_all(backend.run("warp_hinge_backward", *arguments), want, "contiguous")
    strided = batch.strided()
    gaps = (above.repeat_interleave(2)[::2], *strided.tables[:2], strided.users, strided.positives)
    assert not any(tensor.is_contiguous() for tensor in gaps)
    assert_all(backend.run("warp_hinge_backward", *gaps, *arguments[5:]), want, "with gaps")
    turned = [table.t().contiguous().t() for table in arguments[1:3]]
    got = backend.run("warp_hinge_backward", above, *turned, *arguments[3:])
    assert_all(got, want, "column by column")


def test_one_gradient_for_all_pairs(kernel: Backend) -> None:
    """sum() hands a scalar that is expanded over the pairs."""
    batch, negatives, _ = case(33, torch.int64, "mixed")
    arguments = (*batch.tables[:2], batch.users, batch.positives, negatives, MARGIN, N_ITEMS)
    above = torch.ones(()).expand(len(batch.users))
    for sparse in (False, True):
        want = gradients(REFERENCE, "warp_hinge", *arguments, above=torch.ones(len(batch.users)), sparse=sparse)
        got = gradients(kernel, "warp_hinge", *arguments, above=above, sparse=sparse)
        assert_all(got, want, "sum")


@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
def test_rows_without_active_pairs_have_no_gradient(backend: Backend, sparse: bool) -> None:
    batch, negatives, above = case(33, torch.int64, "mixed")
    head = (*batch.tables[:2], batch.users, batch.positives)
    tail = (negatives, -0.8, N_ITEMS)  # so that few pairs are active
    _, hardest, impostors = backend.run("warp_hinge", *head, *tail)
    tables = [table.detach().requires_grad_() for table in batch.tables[:2]]
    loss, *_ = backend.run("warp_hinge", *tables, *head[2:], *tail, sparse_grad=sparse)
    loss.backward(above)
    active = impostors > 0
    named = (batch.users[active], torch.cat((batch.positives[active], hardest[active])))
    for table, rows in zip(tables, named, strict=True):
        touched = torch.zeros(len(table), dtype=torch.bool)
        touched[rows] = True
        grad = table.grad.to_dense()
        assert (grad[~touched] == 0).all()
        assert (grad[touched] != 0).any(1).all()
        assert touched.any()
        assert not touched.all()


@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
@pytest.mark.parametrize("n_pairs", [0, 24])
def test_nothing_active(backend: Backend, n_pairs: int, sparse: bool) -> None:
    batch = make_batch(5, n_pairs, n_items=N_ITEMS)
    arguments = (*batch.tables[:2], *batch.sampling, U, -1e9, SEED, OFFSET)
    above = torch.ones(n_pairs)
    got = gradients(backend, "warp_hinge_sampled", *arguments, above=above, sparse=sparse)
    if sparse:
        assert [tuple(part.shape) for part in got] == [(1, 0), (0, 5), (1, 0), (0, 5)]
    else:
        assert_all(got, [torch.zeros_like(table) for table in batch.tables[:2]], "nothing")


def test_gradients_of_one_table_alone(backend: Backend) -> None:
    batch, negatives, above = case(33, torch.int64, "mixed")
    want = REFERENCE.run("warp_hinge_backward", *direct(batch, negatives, above, "sqeuclidean"))
    for which in (0, 1):
        tables = [table.clone().requires_grad_(at == which) for at, table in enumerate(batch.tables[:2])]
        pairs = (batch.users, batch.positives, negatives)
        backend.run("warp_hinge", *tables, *pairs, MARGIN, N_ITEMS)[0].backward(above)
        assert tables[1 - which].grad is None
        assert_same(tables[which].grad, want[which])
