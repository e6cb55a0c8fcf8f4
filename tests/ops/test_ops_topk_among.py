"""topk_among on every backend: the reference's ids and values, for candidates in any order and number."""

import math

import pytest
import torch
from backends import REFERENCE, Backend
from batches import DIMENSIONS, ID_TYPES, assert_same, csr
from torch import Tensor

METRICS = ("sqeuclidean", "dot")


def case(r: int, n_queries: int, n_items: int, m: int, dtype: torch.dtype = torch.int64) -> tuple[Tensor, ...]:
    """Return queries, items, candidates of which some are none or repeated, seen_indptr and seen_indices."""
    generator = torch.Generator().manual_seed(r + n_items + m)
    queries, items = (torch.randn((n, r), generator=generator) * r**-0.5 for n in (n_queries, n_items))
    candidates = torch.randint(-1, n_items, (n_queries, m), generator=generator).to(dtype)
    rows = [torch.randint(n_items, (query % 7 * 3,), generator=generator).tolist() for query in range(n_queries)]
    rows[0] = candidates[0][candidates[0] >= 0].tolist()  # all it could get
    return queries, items, candidates, *csr(rows, dtype)


def assert_equal(backend: Backend, k: int, arguments: tuple[Tensor, ...], metric: str, what: str = "") -> None:
    queries, items, candidates, *seen = arguments
    got = backend.run("topk_among", queries, items, k, candidates, *seen, metric)
    want = REFERENCE.run("topk_among", queries, items, k, candidates, *seen, metric)
    assert_same(got[0], want[0], f"ids {what}")
    assert_same(got[1], want[1], f"values {what}")


@pytest.mark.parametrize("r", DIMENSIONS)
@pytest.mark.parametrize("metric", METRICS)
def test_equals_reference(kernel: Backend, r: int, metric: str) -> None:
    for dtype in ID_TYPES:
        arguments = case(r, 19, 200, 30, dtype)
        for k in (1, 10, 40):
            assert_equal(kernel, k, arguments, metric, f"{dtype} {k}")
            assert_equal(kernel, k, (*arguments[:3], None, None), metric, f"{dtype} {k}, nothing seen")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_rows_of_16_bits(kernel: Backend, dtype: torch.dtype) -> None:
    queries, items, *rest = case(33, 19, 200, 30)
    assert_equal(kernel, 10, (queries.to(dtype), items.to(dtype), *rest), "sqeuclidean")


@pytest.mark.parametrize("m", [0, 1, 2, 3, 4, 5, 127, 128, 129, 5000])
def test_any_number_of_candidates(backend: Backend, m: int) -> None:
    """On a GPU some 4,000 are sorted at once, 128 compared at once."""
    assert_equal(backend, 7, case(3, 3, 300, m), "sqeuclidean")


@pytest.mark.parametrize("k", [1023, 1024, 1025, 2048, 2500])
def test_any_number_of_neighbours(backend: Backend, k: int) -> None:
    """On a GPU a visit keeps 1,024, and the next ones go on from there: ties and repetitions lie across too."""
    queries, items, candidates, *seen = case(2, 3, 2600, 4000)
    items = items.round(decimals=1)
    assert_equal(backend, k, (queries, items, candidates, *seen), "sqeuclidean")


@pytest.mark.parametrize("metric", METRICS)
def test_among_all_items_it_is_topk(backend: Backend, metric: str) -> None:
    queries, items, _, *seen = case(33, 19, 300, 4)
    shuffled = torch.randperm(300, generator=torch.Generator().manual_seed(0))
    everything = torch.cat((shuffled, shuffled[:50], torch.tensor([-1]))).expand(19, -1)
    got = backend.run("topk_among", queries, items, 310, everything.contiguous(), *seen, metric)
    want = REFERENCE.run("topk", queries, items, 310, *seen, metric)
    assert_same(got[0], want[0], "ids")
    assert_same(got[1], want[1], "values")


def test_broken_tables(backend: Backend) -> None:
    """An item at distance NaN is not listed; one at infinity is, before the padding."""
    items = torch.tensor([[1.0], [math.nan], [math.inf], [0.5]])
    ids, values = backend.run("topk_among", torch.zeros((1, 1)), items, 4, torch.tensor([[3, 1, 2, 0]]))
    assert ids.tolist() == [[3, 0, 2, -1]]
    assert values.tolist() == [[0.25, 1.0, math.inf, math.inf]]


def test_nobody_asks(backend: Backend) -> None:
    ids, values = backend.run("topk_among", torch.empty((0, 3)), torch.ones((5, 3)), 2, torch.empty((0, 4)).long())
    assert ids.shape == values.shape == (0, 2)
    ids, values = backend.run("topk_among", torch.ones((2, 3)), torch.empty((0, 3)), 2, torch.full((2, 4), -1))
    assert ids.tolist() == [[-1, -1]] * 2
    assert values.isinf().all()
