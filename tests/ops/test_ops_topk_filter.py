"""`topk` computes few items exactly and leaves out the rest by a bound: tables made to break that bound, to the bit.

Eight queries and more are filtered on a CPU (csrc/filter_bound.h), all of them on a GPU; the reference computes every
distance.
"""

import numpy as np
import pytest
import torch
from backends import Backend
from scipy import sparse
from torch import Tensor

from cmlfast import reference

Q, J = 24, 391  # some strips of 48 items, and a rest


def normal(rng: np.random.Generator, n: int, r: int) -> np.ndarray:
    return rng.standard_normal((n, r), dtype=np.float32)


def ties(rng, n, r):
    """Every item is one of seven, and every query is one of them or near one."""
    few = normal(rng, 7, r)
    return np.concatenate((few[rng.integers(7, size=Q // 2)], normal(rng, Q // 2, r))), few[rng.integers(7, size=n)]


def near_ties(rng, n, r):
    """All items are one, but for the last bit of some numbers: what rounding in another order may swap."""
    one = normal(rng, 1, r)
    bits = np.repeat(one, n, 0).view(np.int32)
    bits += rng.integers(-1, 2, size=bits.shape, dtype=np.int32)
    return one + 0.3 * normal(rng, Q, r), bits.view(np.float32)


def one_point(rng, n, r):
    """Make queries of items: distances of 0 and of roundings."""
    items = np.repeat(normal(rng, 1, r), n, 0)
    items += 1e-7 * normal(rng, n, r)
    return items[rng.integers(n, size=Q)], items


def norms_far_apart(rng, n, r):
    return normal(rng, Q, r) * 10.0 ** rng.integers(-12, 12, (Q, 1)), normal(rng, n, r) * 10.0 ** rng.integers(
        -12, 12, (n, 1)
    )


def far_from_the_centre(rng, n, r):
    """Distances of 1 between vectors of length 10,000: nothing of them is left in the scores."""
    return 1e4 + normal(rng, Q, r), 1e4 + normal(rng, n, r)


def tiny(rng, n, r):
    return normal(rng, Q, r) * np.float32(1e-21), normal(rng, n, r) * np.float32(1e-23)


def denormal(rng, n, r):
    return normal(rng, Q, r) * np.float32(1e-39), normal(rng, n, r) * np.float32(1e-40)


def huge(rng, n, r):
    """Squares that overflow float32, for some of them and for sums of others."""
    return normal(rng, Q, r) * 10.0 ** rng.integers(14, 20, (Q, 1)), normal(rng, n, r) * 10.0 ** rng.integers(
        14, 20, (n, 1)
    )


def not_finite(rng, n, r):
    queries, items = normal(rng, Q, r), normal(rng, n, r)
    for value in (np.nan, np.inf, -np.inf):
        items[rng.integers(n, size=20), rng.integers(r, size=20)] = value
        queries[rng.integers(Q), rng.integers(r)] = value
    return queries, items


def cancelling(rng, n, r):
    """Sum to infinity element by element, and to 0 in 32 lanes, which is best: 3e38 twice, then -3e38 twice, or so."""
    queries, items = 1 + np.abs(normal(rng, Q, r)), -np.abs(normal(rng, n, r))
    if r >= 4:
        queries[:, :4] = 1
        items[::3, :4] = np.float32(3e38) * np.array([1, 1, -1, -1]) * rng.choice([-1, 1], (len(items[::3]), 1))
    return queries, items


def all_equal(rng, n, r):
    return np.zeros((Q, r), np.float32), np.ones((n, r), np.float32)


def ascending(rng, n, r):
    """Each item is nearer than all before it, so that none is ever left out."""
    direction = normal(rng, 1, r)
    return np.zeros((Q, r), np.float32), direction * np.linspace(2, 1, n, dtype=np.float32)[:, None]


def sphere(rng, n, r):
    queries, items = normal(rng, Q, r), normal(rng, n, r)
    return tuple(one / np.linalg.norm(one, axis=1, keepdims=True) for one in (queries, items))


TABLES = (
    ties, near_ties, one_point, norms_far_apart, far_from_the_centre, tiny, denormal, huge, not_finite, cancelling,
    all_equal, ascending, sphere,
)  # fmt: skip


def drawn(make, seed: int, n: int, r: int) -> tuple[list[Tensor], tuple[Tensor, ...]]:
    """Return queries and items, and a CSR matrix of what is seen."""
    with np.errstate(over="ignore"):
        tables = [np.ascontiguousarray(one, np.float32) for one in make(np.random.default_rng(seed), n, r)]
    mask = sparse.random(Q, n, 0.1, random_state=seed, format="csr")
    return [torch.from_numpy(one) for one in tables], tuple(
        torch.from_numpy(part).long() for part in (mask.indptr, mask.indices)
    )


def assert_same(backend: Backend, queries: Tensor, items: Tensor, k: int, seen: tuple, metric: str) -> None:
    expected = reference.topk(queries, items, k, *seen, metric)
    found = backend.run("topk", queries, items, k, *seen, metric)
    assert torch.equal(found[0], expected[0])
    assert torch.equal(found[1], expected[1])


@pytest.mark.parametrize("metric", ["sqeuclidean", "dot"])
@pytest.mark.parametrize("make", TABLES, ids=lambda make: make.__name__)
@pytest.mark.parametrize("r", [1, 31, 100])
def test_tables_that_attack_the_bound(kernel: Backend, make, r: int, metric: str) -> None:
    for seed, k in ((0, 1), (1, 10), (2, 60)):
        tables, seen = drawn(make, seed, J, r)
        assert_same(kernel, *tables, k, seen if seed else (None, None), metric)


@pytest.mark.parametrize("metric", ["sqeuclidean", "dot"])
@pytest.mark.parametrize("make", TABLES, ids=lambda make: make.__name__)
def test_more_items_than_a_gpu_samples(kernel: Backend, make, metric: str) -> None:
    """There 1,024 of the items, every second here, give the first limit, and parts of the others the next ones."""
    for seed, r, k in ((0, 5, 10), (1, 33, 3)):
        tables, seen = drawn(make, seed, 2500, r)
        assert_same(kernel, *tables, k, seen, metric)


@pytest.mark.parametrize("n_items", [1023, 1024, 1025, 1152, 1153, 2047, 2048, 7000])
def test_any_parts_of_the_items(kernel: Backend, n_items: int) -> None:
    """The first and the last item of each part count, and tiles that are not full; few queries, and many."""
    rng = np.random.default_rng(n_items)
    items = torch.from_numpy(normal(rng, n_items, 3))
    for n_queries in (1, 16, 17):
        queries = torch.from_numpy(normal(rng, n_queries, 3))
        assert_same(kernel, queries, items, 40, (None, None), "sqeuclidean")
    # Each item in turn is the nearest of a query.
    edges = [0, 1, n_items // 1024, 1022, n_items - 1025, n_items - 129, n_items - 2, n_items - 1]
    edges = sorted({edge for edge in edges if 0 <= edge < n_items})
    ids, values = kernel.run("topk", items[edges], items, 1)
    assert ids[:, 0].tolist() == edges
    assert (values == 0).all()


@pytest.mark.parametrize("k", [1, 300, 1024, 1025])
def test_more_is_found_than_there_is_room_for(kernel: Backend, k: int) -> None:
    """All items of a part are near: what overflows a query's list is computed as a whole."""
    rng = np.random.default_rng(0)
    queries, items = ascending(rng, 2600, 4)
    tables = [torch.from_numpy(np.asarray(one, np.float32)) for one in (queries[:9], items)]
    mask = sparse.random(9, 2600, 0.5, random_state=0, format="csr")
    seen = tuple(torch.from_numpy(part).long() for part in (mask.indptr, mask.indices))
    assert_same(kernel, *tables, k, seen, "sqeuclidean")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_rows_of_16_bits(kernel: Backend, dtype: torch.dtype) -> None:
    """Few different numbers, and so many ties."""
    for make in (sphere, ties, far_from_the_centre):
        tables = [
            torch.from_numpy(np.asarray(one, np.float32)).to(dtype) for one in make(np.random.default_rng(0), J, 33)
        ]
        for metric in ("sqeuclidean", "dot"):
            assert_same(kernel, *tables, 10, (None, None), metric)


@pytest.mark.parametrize("n_items", [1, 47, 48, 49, 96, 97])
@pytest.mark.parametrize("n_queries", [1, 7, 8, 9, 17])
def test_strips_that_are_not_full_and_k_up_to_the_catalogue(kernel: Backend, n_items: int, n_queries: int) -> None:
    rng = np.random.default_rng(n_items)
    queries, items = (torch.from_numpy(normal(rng, n, 5)) for n in (n_queries, n_items))
    for k in (1, n_items, n_items + 3):
        assert_same(kernel, queries, items, k, (None, None), "sqeuclidean")


def test_everything_seen(kernel: Backend) -> None:
    rng = np.random.default_rng(0)
    queries, items = (torch.from_numpy(normal(rng, n, 8)) for n in (16, 100))
    mask = sparse.csr_matrix(np.arange(16)[:, None] % 2 * np.ones((1, 100)))  # every other query has seen all
    seen = tuple(torch.from_numpy(part).long() for part in (mask.indptr, mask.indices))
    assert_same(kernel, queries, items, 5, seen, "sqeuclidean")
    ids, values = kernel.run("topk", queries, items, 5, *seen, "sqeuclidean")
    assert (ids[1::2] == -1).all()
    assert values[1::2].isinf().all()


def test_few_queries_share_items_among_threads(kernel: Backend) -> None:
    """What parts find is merged: ties between parts too."""
    if kernel.device != "cpu" or kernel.schedule:
        pytest.skip("the CPU's kernels alone share items")
    rng = np.random.default_rng(0)
    items = torch.from_numpy(normal(rng, 40_000, 4)).round(decimals=1)
    for n_queries in (1, 2):
        queries = items[:n_queries].clone()
        mask = sparse.random(n_queries, len(items), 0.01, random_state=0, format="csr")
        seen = tuple(torch.from_numpy(part).long() for part in (mask.indptr, mask.indices))
        assert_same(kernel, queries, items, 50, seen, "sqeuclidean")
