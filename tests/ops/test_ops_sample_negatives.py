"""sample_negatives on every backend: the reference's ids for every shape, id type and layout; its promises."""

from functools import lru_cache

import pytest
import torch
from backends import REFERENCE, Backend
from batches import (
    ID_TYPES,
    LIKES_ALL,
    LIKES_ALL_BUT_ONE,
    LIKES_NOTHING,
    N_NEGATIVES,
    Batch,
    assert_same,
    csr,
    make_batch,
    strided,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

N_PAIRS = {1: 3001, 5: 601, 20: 150, 64: 60}  # by number of negatives; shared by three threads
N_ITEMS = 90


@lru_cache
def sampled(n_negatives: int, dtype: torch.dtype) -> tuple[Batch, torch.Tensor]:
    batch = make_batch(1, N_PAIRS[n_negatives], dtype)
    return batch, REFERENCE.run("sample_negatives", *batch.sampling, N_ITEMS, n_negatives, 12345, 6)


@pytest.mark.parametrize("n_negatives", N_NEGATIVES)
@pytest.mark.parametrize("dtype", ID_TYPES, ids=str)
def test_equals_reference(kernel: Backend, n_negatives: int, dtype: torch.dtype) -> None:
    batch, want = sampled(n_negatives, dtype)
    got = kernel.run("sample_negatives", *batch.sampling, N_ITEMS, n_negatives, 12345, 6)
    assert_same(got, want)
    assert got.dtype == dtype
    assert got.shape == (len(batch.users), n_negatives)


@pytest.mark.parametrize("dtype", ID_TYPES, ids=str)
def test_takes_gaps_between_elements(backend: Backend, dtype: torch.dtype) -> None:
    batch, want = sampled(20, dtype)
    assert_same(backend.run("sample_negatives", *batch.strided().sampling, N_ITEMS, 20, 12345, 6), want)


@pytest.mark.parametrize("dtype", ID_TYPES, ids=str)
def test_a_part_of_the_users_draws_what_all_would(backend: Backend, dtype: torch.dtype) -> None:
    batch, want = sampled(20, dtype)
    first = len(batch.indptr) // 3
    begin = int(batch.indptr[first])
    here = batch.users >= first
    part = (batch.indptr[first:] - begin, batch.indices[begin:], batch.users[here] - first, batch.positives[here])
    assert_same(backend.run("sample_negatives", *part, N_ITEMS, 20, 12345, 6, first), want[here])
    drawn = backend.run("sample_negatives", *part, N_ITEMS, 20, 12345, 6, 2**32 + first)  # the low 32 bits count
    assert_same(drawn, want[here])


@pytest.mark.parametrize("dtype", ID_TYPES, ids=str)
def test_an_empty_batch_gives_no_row(backend: Backend, dtype: torch.dtype) -> None:
    batch = make_batch(1, 0, dtype)
    got = backend.run("sample_negatives", *batch.sampling, N_ITEMS, 7, 1, 1)
    assert got.shape == (0, 7)
    assert got.dtype == dtype


def test_draws_only_what_the_user_has_not_liked(backend: Backend) -> None:
    batch, _ = sampled(64, torch.int64)
    got = backend.run("sample_negatives", *batch.sampling, N_ITEMS, 64, 99, 3)
    seen = {LIKES_ALL: 0, LIKES_ALL_BUT_ONE: 0, LIKES_NOTHING: 0}
    for user, row in zip(batch.users.tolist(), got.tolist(), strict=True):
        liked = set(batch.indices[batch.indptr[user] : batch.indptr[user + 1]].tolist())
        if user in seen:
            seen[user] += 1
        if user == LIKES_ALL:
            assert set(row) == {-1}
            continue
        assert not liked & set(row)
        assert set(row) <= set(range(N_ITEMS))
        if user == LIKES_ALL_BUT_ONE:
            assert set(row) == {N_ITEMS // 3}
    assert all(seen.values())  # the edges were in the batch


def test_negatives_depend_on_the_pair_alone(backend: Backend) -> None:
    batch, want = sampled(20, torch.int64)
    order = torch.randperm(len(batch.users), generator=torch.Generator().manual_seed(1))
    pairs = (batch.users[order], batch.positives[order])
    got = backend.run("sample_negatives", batch.indptr, batch.indices, *pairs, N_ITEMS, 20, 12345, 6)
    assert_same(got, want[order])
    # and fewer negatives are the first of more
    got = backend.run("sample_negatives", *batch.sampling, N_ITEMS, 6, 12345, 6)
    assert_same(got, want[:, :6].contiguous())


@pytest.mark.parametrize("seed", [0, -1, 2**32, 2**63 - 1, -(2**63)])
@pytest.mark.parametrize("offset", [0, -1, 2**31, 2**32 - 1, 2**32 + 6])
def test_any_seed_and_offset(backend: Backend, seed: int, offset: int) -> None:
    batch, usual = sampled(20, torch.int64)
    got = backend.run("sample_negatives", *batch.sampling, N_ITEMS, 20, seed, offset)
    assert_same(got, REFERENCE.run("sample_negatives", *batch.sampling, N_ITEMS, 20, seed, offset))
    low = backend.run("sample_negatives", *batch.sampling, N_ITEMS, 20, seed, offset & 0xFFFFFFFF)
    assert_same(got, low, "only the low 32 bits of the offset count")
    assert not torch.equal(got, usual)


@pytest.mark.parametrize("dtype", ID_TYPES, ids=str)
def test_the_largest_catalogue(backend: Backend, dtype: torch.dtype) -> None:
    n_items = 2**31 - 1
    indptr, indices = csr([[0, 5, n_items - 2, n_items - 1], []], dtype)
    users, positives = (
        torch.tensor([0, 1] * 20, dtype=dtype),
        torch.tensor([n_items - 1, 5] * 20, dtype=dtype),
    )
    arguments = (indptr, indices, users, positives, n_items, 9, 7, 8)
    got = backend.run("sample_negatives", *arguments)
    assert_same(got, REFERENCE.run("sample_negatives", *arguments))
    assert got.min() >= 0
    assert got.max() > n_items * 3 // 4


def test_one_item(backend: Backend) -> None:
    indptr, indices = csr([[0], []])
    users, positives = torch.tensor([0, 1]), torch.tensor([0, 0])
    got = backend.run("sample_negatives", indptr, indices, users, positives, 1, 3, 0, 0)
    assert got.tolist() == [[-1] * 3, [0] * 3]


def test_users_may_share_no_order_with_the_rows_of_the_matrix(backend: Backend) -> None:
    """Rows outside the batch may be anything, and the last row may end before the last index."""
    indptr = torch.tensor([9, 3, 5, 5])  # row 0 is broken, and no pair names it
    indices = torch.tensor([0, 0, 0, 1, 4, 9, 9])
    users = torch.tensor([2, 1])
    got = backend.run("sample_negatives", indptr, indices, users, torch.tensor([0, 1]), 6, 50, 5, 5)
    assert set(got[0].tolist()) == set(range(6))
    assert set(got[1].tolist()) == {0, 2, 3, 5}


@pytest.mark.parametrize("dtype", ID_TYPES, ids=str)
@pytest.mark.parametrize("n_liked", [1, 63, 64, 65, 66, 127, 128, 129, 130, 255, 500, 1023, 4097])
def test_long_lists(backend: Backend, n_liked: int, dtype: torch.dtype) -> None:
    """Every item that a user with many likes has left is drawn, from the first to the last."""
    n_items = n_liked + 40
    liked = torch.randperm(n_items, generator=torch.Generator().manual_seed(n_liked))[:n_liked]
    indptr, indices = csr([liked.sort().values.tolist()], dtype)
    users, positives = torch.zeros(50, dtype=dtype), torch.arange(50, dtype=dtype) % n_items
    arguments = (indptr, indices, users, positives, n_items, 21, 3, 4)
    got = backend.run("sample_negatives", *arguments)
    assert_same(got, REFERENCE.run("sample_negatives", *arguments))
    # 1,050 draws miss one of 40 items with a probability of 40 (39/40)^1050 < 2e-10
    assert set(got.flatten().tolist()) == set(range(n_items)) - set(liked.tolist())


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_matrix(kernel: Backend, data: st.DataObject) -> None:
    n_items = data.draw(st.integers(1, 300))
    rows = data.draw(st.lists(st.sets(st.integers(0, n_items - 1)), min_size=1, max_size=6))
    dtype = data.draw(st.sampled_from(ID_TYPES))
    indptr, indices = csr([list(row) for row in rows], dtype)
    pair = st.tuples(st.integers(0, len(rows) - 1), st.integers(0, n_items - 1))
    pairs = torch.tensor(data.draw(st.lists(pair, max_size=9)), dtype=dtype).reshape(-1, 2)
    n_negatives = data.draw(st.integers(1, 9))
    seed, offset = data.draw(st.integers(-(2**63), 2**63 - 1)), data.draw(st.integers(0, 2**33))
    arguments = (indptr, indices, pairs[:, 0], strided(pairs[:, 1]), n_items, n_negatives, seed, offset)
    assert_same(kernel.run("sample_negatives", *arguments), REFERENCE.run("sample_negatives", *arguments))
