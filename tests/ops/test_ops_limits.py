"""Where 32-bit numbers end: offsets, ids, rows, tables of more elements than such a number counts.

Tables are mapped, not filled: pages that nobody writes to take no memory, and rows that repeat one take one row.
"""

import mmap
import sys
from typing import Any

import pytest
import torch
from backends import REFERENCE, Backend
from faults import arguments_of
from torch import Tensor

from cmlfast import ops, reference
from cmlfast.ops.checks import MAX_ITEMS, MAX_PAIRS

linux = pytest.mark.skipif(sys.platform != "linux", reason="maps more than there is of memory, as Linux lets one")
NO_RESERVE = 0x4000


def mapped(*shape: int, dtype: torch.dtype) -> Tensor:
    """Return zeros that take memory when they are written to."""
    n_bytes = torch.Size(shape).numel() * dtype.itemsize
    pages = mmap.mmap(-1, n_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | NO_RESERVE)
    return torch.frombuffer(pages, dtype=dtype).view(shape)


def one_row(n: int, tensor: Tensor) -> Tensor:
    """Return n rows that are the first of a tensor."""
    return tensor[:1].expand(n, *tensor.shape[1:])


# Each row of arguments that repeats one, and what is refused.
TOO_MANY: tuple[tuple[str, tuple[str, ...], int, str], ...] = (
    ("adagrad_clip_", ("weight", "state"), MAX_ITEMS, "weight"),
    ("adagrad_clip_", ("rows", "grads"), MAX_ITEMS, "rows"),
    ("cml_step_", ("user_w", "user_state"), MAX_ITEMS, "user_w"),
    ("warp_hinge", ("user_vectors",), MAX_ITEMS, "user_vectors"),
    ("topk", ("queries",), MAX_ITEMS, "queries"),
    ("sample_negatives", ("users", "positives"), MAX_PAIRS, "users"),
    ("warp_hinge_sampled", ("users", "positives"), MAX_PAIRS, "users"),
    ("cml_step_", ("users", "positives"), MAX_PAIRS, "users"),
    ("warp_hinge", ("users", "positives", "negatives"), MAX_PAIRS, "users"),
    ("warp_hinge_backward", ("users", "positives", "hardest", "impostors", "grad_loss"), MAX_PAIRS, "users"),
)


@pytest.mark.parametrize(("operator", "longer", "most", "name"), TOO_MANY)
def test_what_32_bits_do_not_count_is_refused(
    implementation: Backend, operator: str, longer: tuple[str, ...], most: int, name: str
) -> None:
    arguments = arguments_of(operator)
    for each in longer:
        arguments[each] = one_row(most + 1, arguments[each])
    with pytest.raises(ValueError, match=rf"^{name} has {most + 1} (rows|pairs); at most {most} "):
        implementation.run(operator, **arguments)


@linux
@pytest.mark.slow
@pytest.mark.parametrize("kernels", [ops, reference], ids=["kernels", "reference"])
def test_the_last_rows_of_the_longest_table(kernels: Any) -> None:
    """Rows near 2^31 are updated as near ones are; one more row was taken for a negative one, and crashed."""
    weight, state = mapped(MAX_ITEMS, 1, dtype=torch.bfloat16), mapped(MAX_ITEMS, 1, dtype=torch.float32)
    few_weights, few_states = torch.zeros(3, 1, dtype=torch.bfloat16), torch.zeros(3, 1)
    gradients = torch.tensor([[1.0], [2.0], [-0.5], [3.0]])
    rows = torch.tensor([0, MAX_ITEMS - 1, MAX_ITEMS // 2, MAX_ITEMS - 1])
    kernels.adagrad_clip_(weight, state, rows, gradients, 0.1)
    kernels.adagrad_clip_(few_weights, few_states, torch.tensor([0, 2, 1, 2]), gradients, 0.1)
    distinct = torch.tensor([0, MAX_ITEMS // 2, MAX_ITEMS - 1])
    assert torch.equal(weight[distinct], few_weights)
    assert torch.equal(state[distinct], few_states)
    assert few_weights.all()


@linux
@pytest.mark.slow
@pytest.mark.parametrize("n_bits", [31, 32])
@pytest.mark.parametrize("ids", [torch.int32, torch.int64], ids=str)
def test_tables_of_more_elements_than_32_bits_count(n_bits: int, ids: torch.dtype) -> None:
    """The last rows of tables of more than 2^31 and 2^32 elements, beside a small table of the same rows."""
    r = 64
    n = 2**n_bits // r + 100
    large, named = mapped(n, r, dtype=torch.bfloat16), torch.tensor([0, n // 2, n - 2, n - 1])
    small = torch.randn(4, r, generator=torch.Generator().manual_seed(0)).bfloat16()
    large[named] = small
    users, positives, negatives = (
        torch.tensor(one, dtype=ids) for one in ([0, 1, 2], [1, 3, 3], [[3, 0], [2, 2], [1, 0]])
    )

    def far(near: Tensor) -> Tensor:
        return torch.where(near < 0, -1, named[near.long()]).to(near.dtype)

    for metric in ("sqeuclidean", "dot"):
        expected = ops.warp_hinge(small, small, users, positives, negatives, 1.0, 9, metric=metric)
        found = ops.warp_hinge(large, large, far(users), far(positives), far(negatives), 1.0, 9, metric=metric)
        assert torch.equal(found[0], expected[0])
        assert torch.equal(found[1], far(expected[1]))
        assert torch.equal(found[2], expected[2])
    candidates = torch.arange(4, dtype=ids).expand(4, 4)
    near, distance = ops.topk_among(small, small, 3, candidates)
    assert torch.equal(ops.topk_among(large[named], large, 3, far(candidates))[0], far(near))
    assert torch.equal(ops.topk_among(large[named], large, 3, far(candidates))[1], distance)
    states = mapped(n, r, dtype=torch.float32)
    small_states, rows, gradients = torch.zeros(4, r), torch.tensor([3, 1, 3], dtype=ids), torch.ones(3, r)
    ops.adagrad_clip_(small, small_states, rows, gradients, 0.1)
    ops.adagrad_clip_(large, states, far(rows), gradients, 0.1)
    assert torch.equal(large[named], small)
    assert torch.equal(states[named], small_states)


@linux
@pytest.mark.slow
def test_a_search_among_more_elements_than_32_bits_count() -> None:
    """Nearest are the last rows, for one query and for many, which are searched otherwise."""
    r = 64
    n = 2**31 // r + 300
    items = mapped(n, r, dtype=torch.bfloat16)
    near = torch.tensor([5, n // 2, n - 200, n - 1])
    items[near] = torch.eye(4, r).bfloat16()
    for queries in (torch.eye(4, r)[3:].bfloat16(), torch.eye(4, r).repeat(3, 1).bfloat16()):
        ids, products = ops.topk(queries, items, 1, metric="dot")
        assert torch.equal(ids[-4:, 0], near[-len(ids[-4:]) :])
        assert products.eq(1).all()


OFFSETS = sorted(
    {0, 1, 7, 10**9 - 1, 10**9, 10**9 + 1, 2**32 - 1} | {2**n + k for n in range(2, 32) for k in (-1, 0, 1)}
)


def test_negatives_do_not_come_again_for_four_billion_steps(backend: Backend) -> None:
    """Of a pair at a step each: all differ for offsets below 2^32, and are those of the reference."""
    one = torch.tensor([0])
    arguments = (torch.tensor([0, 1]), torch.tensor([5]), one, one, 2**31 - 1, 4)
    drawn = [backend.run("sample_negatives", *arguments, 3, offset) for offset in OFFSETS]
    assert len({tuple(each[0].tolist()) for each in drawn}) == len(OFFSETS)
    assert len(torch.cat(drawn).unique()) > 4 * len(OFFSETS) - 3
    for offset, each in zip(OFFSETS, drawn, strict=True):
        assert torch.equal(each, REFERENCE.run("sample_negatives", *arguments, 3, offset))
