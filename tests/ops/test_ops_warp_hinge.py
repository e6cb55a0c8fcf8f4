"""warp_hinge and warp_hinge_sampled on every backend: the reference's loss, hardest and impostors."""

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

MARGIN, SEED, OFFSET, N_ITEMS = 0.4, 3, 1, 90
METRICS = ("sqeuclidean", "dot")
OUTPUTS = ("loss", "hardest", "impostors")


@lru_cache
def case(r: int, n_negatives: int, dtype: torch.dtype) -> tuple[Batch, torch.Tensor]:
    batch = make_batch(r, pairs_for_threads(r, n_negatives), dtype, n_items=N_ITEMS)
    arguments = (*batch.sampling, N_ITEMS, n_negatives, SEED, OFFSET)
    return batch, REFERENCE.run("sample_negatives", *arguments)


@lru_cache
def wanted(r: int, n_negatives: int, dtype: torch.dtype, rank_weight: bool, metric: str) -> Any:
    batch, negatives = case(r, n_negatives, dtype)
    pairs = (batch.users, batch.positives, negatives)
    return REFERENCE.run("warp_hinge", *batch.tables[:2], *pairs, MARGIN, N_ITEMS, rank_weight, metric)


def assert_outputs(got: tuple[torch.Tensor, ...], want: tuple[torch.Tensor, ...], what: str = "") -> None:
    for name, mine, theirs in zip(OUTPUTS, got, want, strict=True):
        assert_same(mine, theirs, f"{name} {what}")


@pytest.mark.parametrize("r", DIMENSIONS)
@pytest.mark.parametrize("n_negatives", N_NEGATIVES)
def test_equals_reference(kernel: Backend, r: int, n_negatives: int) -> None:
    for metric in METRICS:
        # each id type and weight with each metric over the parameters; all four with r = 33
        for dtype in ID_TYPES:
            for rank_weight in (True, False) if r == 33 else (dtype == torch.int64,):
                batch, negatives = case(r, n_negatives, dtype)
                want = wanted(r, n_negatives, dtype, rank_weight, metric)
                pairs = (batch.users, batch.positives, negatives)
                tail = (rank_weight, metric)
                got = kernel.run("warp_hinge", *batch.tables[:2], *pairs, MARGIN, N_ITEMS, *tail)
                assert_outputs(got, want, f"of given negatives, {dtype}, {tail}")
                head = (*batch.tables[:2], *batch.sampling)
                got = kernel.run("warp_hinge_sampled", *head, n_negatives, MARGIN, SEED, OFFSET, *tail)
                assert_outputs(got, want, f"of drawn negatives, {dtype}, {tail}")
                assert (want[0] > 0).any()
                assert (want[0] == 0).any()


def test_defaults_are_rank_weight_and_squared_distance(backend: Backend) -> None:
    batch, negatives = case(100, 20, torch.int64)
    want = wanted(100, 20, torch.int64, True, "sqeuclidean")
    pairs = (batch.users, batch.positives, negatives)
    assert_outputs(backend.run("warp_hinge", *batch.tables[:2], *pairs, MARGIN, N_ITEMS), want)
    head = (*batch.tables[:2], *batch.sampling)
    assert_outputs(backend.run("warp_hinge_sampled", *head, 20, MARGIN, SEED, OFFSET), want)


@pytest.mark.parametrize("metric", METRICS)
def test_takes_gaps_between_elements(backend: Backend, metric: str) -> None:
    batch, negatives = case(33, 5, torch.int32)
    want = wanted(33, 5, torch.int32, True, metric)
    gaps = batch.strided()
    turned = negatives.t().contiguous().t()
    pairs = (gaps.users, gaps.positives, turned)
    got = backend.run("warp_hinge", *gaps.tables[:2], *pairs, MARGIN, N_ITEMS, True, metric)
    assert_outputs(got, want)
    turned_tables = [table.t().contiguous().t() for table in batch.tables[:2]]
    got = backend.run("warp_hinge_sampled", *turned_tables, *gaps.sampling, 5, MARGIN, SEED, OFFSET, True, metric)
    assert_outputs(got, want)


@pytest.mark.parametrize("dtype", ID_TYPES, ids=str)
def test_an_empty_batch_has_no_loss(backend: Backend, dtype: torch.dtype) -> None:
    batch = make_batch(5, 0, dtype)
    negatives = torch.zeros((0, 4), dtype=dtype)
    head = (*batch.tables[:2], batch.users, batch.positives, negatives)
    results = [
        backend.run("warp_hinge", *head, MARGIN, N_ITEMS),
        backend.run("warp_hinge_sampled", *batch.tables[:2], *batch.sampling, 4, MARGIN, SEED, OFFSET),
    ]
    for loss, hardest, impostors in results:
        assert (loss.shape, hardest.shape, impostors.shape) == ((0,),) * 3
        assert (loss.dtype, hardest.dtype, impostors.dtype) == (torch.float32, dtype, dtype)


def test_a_user_who_likes_every_item_has_no_loss(backend: Backend) -> None:
    batch, negatives = case(33, 5, torch.int64)
    of_all = batch.users == LIKES_ALL
    assert of_all.any()
    assert (negatives[of_all] == -1).all()
    pairs = (batch.users, batch.positives, negatives)
    loss, hardest, impostors = backend.run("warp_hinge", *batch.tables[:2], *pairs, 9.0, N_ITEMS)
    assert_same(loss[of_all], torch.zeros(int(of_all.sum())))
    assert set(hardest[of_all].tolist()) == {-1}
    assert set(impostors[of_all].tolist()) == {0}
    assert (loss[~of_all] > 0).all()


def test_a_tie_goes_to_the_first_drawn(backend: Backend) -> None:
    generator = torch.Generator().manual_seed(0)
    users = torch.randn((4, 33), generator=generator)
    items = torch.randn((1, 33), generator=generator).repeat(9, 1)  # every item in one place
    negatives = torch.tensor([[5, 4, 3, 2, 1, 8], [1, 5, 1, 5, 1, 5], [8, 8, 2, 1, 0, 3]])
    pairs = (torch.tensor([0, 1, 2]), torch.tensor([0, 0, 7]), negatives)
    loss, hardest, impostors = backend.run("warp_hinge", users, items, *pairs, 0.25, 9, False)
    assert hardest.tolist() == [5, 1, 8]
    assert impostors.tolist() == [6, 6, 6]
    assert torch.allclose(loss, torch.full((3,), 0.25), rtol=0, atol=1e-5)  # (m + d) - d
    # exactly at the margin is no impostor
    loss, hardest, impostors = backend.run("warp_hinge", users, items, *pairs, 0.0, 9)
    assert (hardest.tolist(), impostors.tolist(), loss.tolist()) == ([5, 1, 8], [0, 0, 0], [0.0, 0.0, 0.0])


def test_nearest_negative_wins_wherever_it_stands(backend: Backend) -> None:
    """Also where two or three negatives are equally near, and in the tail of a group of four rows."""
    users = torch.zeros((1, 3))
    items = torch.arange(1, 13.0)[:, None].repeat(1, 3)  # distance 3 (id + 1)^2
    for n_negatives in (1, 2, 3, 4, 5, 7, 8, 11):
        for at in range(n_negatives):
            negatives = torch.full((1, n_negatives), 9)
            negatives[0, at:] = 4  # nearer, from here on
            pairs = (torch.tensor([0]), torch.tensor([11]), negatives)
            got = backend.run("warp_hinge", users, items, *pairs, 0.5, 12)
            count = torch.tensor([n_negatives])
            weight = torch.tensor([12.0 + 1]).log()
            assert_outputs(got, (weight * ((0.5 + 3 * 144.0) - 3 * 25), torch.tensor([4]), count), f"at {at}")


@pytest.mark.parametrize("metric", METRICS)
def test_broken_tables_give_the_reference_results(kernel: Backend, metric: str) -> None:
    """NaN in a user, a positive, the first, middle and last negative; infinities; overflow."""
    for r in (3, 32, 100):
        batch, negatives = case(r, 5, torch.int64)
        negatives = negatives.clamp(min=0)[:37]
        users, positives = batch.users[:37], batch.positives[:37]
        user_w, item_w = batch.user_w.clone(), batch.item_w.clone()
        item_w[negatives[5, 0], r // 2] = float("nan")
        item_w[negatives[9, 4], r - 1] = float("nan")
        item_w[positives[12], 0] = float("nan")
        item_w[negatives[15, 2], 0] = float("inf")
        item_w[positives[17]] = float("-inf")
        item_w[negatives[20, 1]] = 3e38
        user_w[users[22]] = float("nan")
        user_w[users[25], 0] = float("inf")
        pairs = (users, positives, negatives)
        tail = (MARGIN, N_ITEMS, True, metric)
        want = REFERENCE.run("warp_hinge", user_w, item_w, *pairs, *tail)
        assert want[0].isnan().any()
        assert want[0].isfinite().any()
        assert_outputs(kernel.run("warp_hinge", user_w, item_w, *pairs, *tail), want, f"r = {r}")


def test_a_nan_shows_in_the_loss(backend: Backend) -> None:
    items = torch.tensor([[0.0], [1.0], [float("nan")], [0.5]])
    pairs = (torch.tensor([0, 0]), torch.tensor([0, 0]), torch.tensor([[3, 2, 1], [1, 3, 1]]))
    loss, hardest, impostors = backend.run("warp_hinge", torch.zeros((1, 1)), items, *pairs, 0.5, 4, False)
    assert loss.isnan().tolist() == [True, False]
    assert hardest.tolist() == [2, 3]
    assert impostors.tolist() == [1, 1]


def test_n_items_counts_in_the_weight_alone(kernel: Backend) -> None:
    """Large catalogues, and small ones where J M / U rounds down to 0 and the weight is log(1) = 0."""
    batch, negatives = case(33, 64, torch.int64)
    pairs = (batch.users, batch.positives, negatives)
    for n_items in (1, 2, 63, 65, 10**6, 2**31 - 1):
        tail = (MARGIN, n_items)
        want = REFERENCE.run("warp_hinge", *batch.tables[:2], *pairs, *tail)
        assert_outputs(kernel.run("warp_hinge", *batch.tables[:2], *pairs, *tail), want, f"J = {n_items}")
