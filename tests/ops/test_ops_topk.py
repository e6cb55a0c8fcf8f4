"""topk on every backend: the reference's ids and values, tile edges, masks, ties and broken tables."""

import math
from functools import lru_cache

import pytest
import torch
from backends import REFERENCE, Backend
from batches import DIMENSIONS, ID_TYPES, assert_same, csr, strided
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

METRICS = ("sqeuclidean", "dot")
NOTHING = {"sqeuclidean": math.inf, "dot": -math.inf}


@lru_cache
def case(r: int, n_queries: int, n_items: int, dtype: torch.dtype = torch.int64) -> tuple[Tensor, ...]:
    """Return queries, items, seen_indptr and seen_indices: everything, the edges, nothing, or any items seen."""
    generator = torch.Generator().manual_seed(r + n_items)
    queries, items = (torch.randn((n, r), generator=generator) * r**-0.5 for n in (n_queries, n_items))
    everything = list(range(n_items))
    rows = [everything, everything[:1] + everything[-1:], []]
    for _ in range(n_queries - 3):
        n = int(torch.randint(n_items, (1,), generator=generator)) // 2
        rows.append(torch.randperm(n_items, generator=generator)[:n].tolist())
    return queries, items, *csr(rows[:n_queries], dtype)


@lru_cache
def wanted(r: int, n_queries: int, n_items: int, k: int, seen: bool, metric: str) -> tuple[Tensor, Tensor]:
    queries, items, *mask = case(r, n_queries, n_items)
    return REFERENCE.run("topk", queries, items, k, *(mask if seen else (None, None)), metric)


def assert_both(got: tuple[Tensor, Tensor], want: tuple[Tensor, Tensor], what: str = "") -> None:
    assert_same(got[0], want[0], f"ids {what}")
    assert_same(got[1], want[1], f"values {what}")


@pytest.mark.parametrize("r", DIMENSIONS)
@pytest.mark.parametrize("metric", METRICS)
def test_equals_reference(kernel: Backend, r: int, metric: str) -> None:
    # Several tiles of queries, two of items; fewer queries where each takes long.
    n_queries, n_items = 37 if r > 300 or kernel.schedule else 101, 300
    for dtype in ID_TYPES:
        queries, items, *mask = case(r, n_queries, n_items, dtype)
        for seen, k in ((True, 10), (False, 10), (True, 310), (True, 1030)):
            got = kernel.run("topk", queries, items, k, *(mask if seen else (None, None)), metric)
            assert_both(got, wanted(r, n_queries, n_items, k, seen, metric), f"{dtype} {seen} {k}")
            assert got[0].dtype == torch.int64


@pytest.mark.parametrize("n_items", [1, 2, 3, 4, 5, 7, 255, 256, 257, 259, 511, 512, 513, 1025])
def test_any_number_of_items(backend: Backend, n_items: int) -> None:
    """The first and last item of each tile count, and can be masked."""
    queries, items, *mask = case(3, 5, n_items)
    for k in (1, n_items, n_items + 1):
        got = backend.run("topk", queries, items, k, *mask)
        assert_both(got, wanted(3, 5, n_items, k, True, "sqeuclidean"), f"k = {k}")
    ids, values = backend.run("topk", queries, items, n_items)
    assert all(sorted(row) == list(range(n_items)) for row in ids.tolist())
    assert (values.diff(dim=1) >= 0).all()


@pytest.mark.parametrize("n_queries", [1, 2, 31, 32, 33, 64, 65, 96, 97, 129])
def test_any_number_of_queries(backend: Backend, n_queries: int) -> None:
    queries, items, *mask = case(3, n_queries, 20)
    got = backend.run("topk", queries, items, 7, *mask)
    assert_both(got, wanted(3, n_queries, 20, 7, True, "sqeuclidean"))


@pytest.mark.parametrize("metric", METRICS)
def test_masked_before_the_selection(backend: Backend, metric: str) -> None:
    """Seen items leave no gap; a row that runs short is padded."""
    queries, items, indptr, indices = case(33, 101, 300)
    ids, values = backend.run("topk", queries, items, 200, indptr, indices, metric)
    for query in range(101):
        seen = set(indices[indptr[query] : indptr[query + 1]].tolist())
        row = [item for item in ids[query].tolist() if item >= 0]
        assert not seen & set(row)
        assert len(set(row)) == len(row) == min(200, 300 - len(seen))
        assert ids[query, len(row) :].tolist() == [-1] * (200 - len(row))
        assert values[query, len(row) :].tolist() == [NOTHING[metric]] * (200 - len(row))
    assert (ids[0] == -1).all()  # everything seen


@pytest.mark.parametrize("metric", METRICS)
def test_ties_go_by_id(backend: Backend, metric: str) -> None:
    items = torch.tensor([[1.0], [2.0], [1.0], [2.0], [1.0], [0.5]]).repeat(100, 3)  # over tile edges
    queries = torch.ones((2, 3))
    for k in (1, 2, 5, 99, 100, 101, 250, 301, 600):
        ids, _ = backend.run("topk", queries, items, k, None, None, metric)
        first = [0, 2, 4] if metric == "sqeuclidean" else [1, 3]
        best = [6 * copy + at for copy in range(100) for at in first]
        n = min(k, len(best))
        assert ids[0, :n].tolist() == best[:n]
        assert_same(ids[0], ids[1])
        want = REFERENCE.run("topk", queries, items, k, None, None, metric)
        assert_same(ids, want[0], f"k = {k}")


def test_mask_rows_need_no_order_and_may_repeat(backend: Backend) -> None:
    queries, items, *_ = case(3, 5, 300)
    indptr = torch.tensor([0, 6, 6, 9, 9, 10])
    indices = torch.tensor([299, 0, 256, 0, 255, 299, 7, 7, 3, 299])
    got = backend.run("topk", queries, items, 300, indptr, indices)
    assert_both(got, REFERENCE.run("topk", queries, items, 300, indptr, indices))
    assert [int((row >= 0).sum()) for row in got[0]] == [296, 300, 298, 300, 299]


@pytest.mark.parametrize("metric", METRICS)
def test_broken_tables(backend: Backend, metric: str) -> None:
    """An item at distance NaN is never listed; one at infinity is, before the padding."""
    queries, items, *mask = (tensor.clone() for tensor in case(33, 101, 300))
    items[5, 3], items[255, 32], items[299, 0] = (float("nan"),) * 3
    items[6, 0], items[256, 1] = float("inf"), float("-inf")
    items[[9, 10]] = 1e30
    queries[3, 0], queries[4, 0] = float("nan"), float("inf")
    got = backend.run("topk", queries, items, 300, *mask, metric)
    assert_both(got, REFERENCE.run("topk", queries, items, 300, *mask, metric))
    assert (got[0][3] == -1).all()
    assert not got[1].isnan().any()
    assert not torch.isin(got[0], torch.tensor([5, 255, 299])).any()
    assert (got[0][2] == 6).any()  # the query that has seen nothing


@pytest.mark.parametrize("metric", METRICS)
def test_takes_gaps_between_elements(backend: Backend, metric: str) -> None:
    queries, items, indptr, indices = case(33, 101, 300)
    want = wanted(33, 101, 300, 10, True, metric)
    mask = strided(indptr), strided(indices)
    got = backend.run("topk", strided(queries), strided(items), 10, *mask, metric)
    assert_both(got, want)
    turned = items.t().contiguous().t()
    assert_both(backend.run("topk", queries, turned, 10, indptr, indices, metric), want)


@pytest.mark.parametrize("metric", METRICS)
def test_empty_tables(backend: Backend, metric: str) -> None:
    queries, items = torch.ones((2, 5)), torch.ones((3, 5))
    ids, values = backend.run("topk", queries[:0], items, 4, None, None, metric)
    assert ids.shape == values.shape == (0, 4)
    assert (ids.dtype, values.dtype) == (torch.int64, torch.float32)
    ids, values = backend.run("topk", queries, items[:0], 4, None, None, metric)
    assert ids.tolist() == [[-1] * 4] * 2
    assert values.tolist() == [[NOTHING[metric]] * 4] * 2
    empty = torch.zeros(1, dtype=torch.int32), torch.zeros(0, dtype=torch.int32)
    assert backend.run("topk", queries[:0], items, 4, *empty, metric)[0].shape == (0, 4)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_few_values_many_ties(kernel: Backend, data: st.DataObject) -> None:
    n_items, r = data.draw(st.integers(1, 600)), data.draw(st.integers(1, 3))
    items = torch.randint(-2, 3, (n_items, r), generator=torch.Generator().manual_seed(n_items)).float()
    queries = torch.tensor(data.draw(st.lists(st.integers(-3, 3), min_size=1, max_size=4)))[:, None].float()
    seen = [data.draw(st.lists(st.integers(0, n_items - 1), max_size=9)) for _ in queries]
    k, metric = data.draw(st.integers(1, n_items + 2)), data.draw(st.sampled_from(METRICS))
    arguments = (queries.repeat(1, r), items, k, *csr(seen), metric)
    assert_both(kernel.run("topk", *arguments), REFERENCE.run("topk", *arguments))
