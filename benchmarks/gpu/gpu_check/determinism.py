"""Same bits on every run, alone, captured and on another stream: tests for a machine with a GPU.

``pytest benchmarks/gpu/gpu_check/determinism.py`` runs them; pytest does not collect this file by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmarks.kit.case import LR, MARGIN, N_NEGATIVES, SEED, Case, restore_, step_
from benchmarks.kit.gpu_calls import capture
from benchmarks.kit.made_up import random_case
from cmlfast import ops, reference

N_STEPS = 20
TEMPERATURE = 0.5
SLEEP = 1_000_000_000  # cycles of the GPU's clock, half a second or more
SMALL, LARGE = (300, 2_000, 1_024), (100_000, 200_000, 100_000)  # users, items, pairs


@pytest.fixture
def device() -> str:
    return "cuda"


@pytest.fixture
def sizes() -> tuple[int, int, int]:
    return LARGE


@pytest.fixture
def case(device: str) -> Case:
    return random_case(*SMALL, 100, device)


def different(got: Sequence[Tensor], want: Sequence[Tensor]) -> str:
    """Say which tensors differ in a bit, "" if none does."""

    def bits(tensor: Tensor) -> Tensor:
        return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)

    pairs = list(zip(got, want, strict=True))
    at = [n for n, (one, other) in enumerate(pairs) if not torch.equal(bits(one), bits(other))]
    return f"{len(at)} of {len(pairs)} tensors differ, the first is number {at[0]}" if at else ""


def assert_same(got: Sequence[Tensor], want: Sequence[Tensor], what: str) -> None:
    """Compare bits."""
    told = different(got, want)
    assert not told, f"{what}: {told}"


def train(kernels: Any, case: Case, n_steps: int, stochastic: bool = False) -> list[Tensor]:
    """Take steps from the case's tables, which stay; return what each returned, and the tables."""
    tables = case.tables.clone()
    counts = [step_(kernels, case, tables, LR, offset, stochastic=stochastic) for offset in range(n_steps)]
    return [*(each for step in counts for each in step), *tables.all()]


@pytest.mark.parametrize(("r", "dtype"), [(100, torch.float32), (33, torch.float32), (100, torch.bfloat16)])
def test_steps_repeat_and_are_the_references(device: str, r: int, dtype: torch.dtype) -> None:
    """Twenty steps twice, and the reference's twenty on the CPU."""
    case = random_case(*SMALL, r, "cpu", dtype)
    here = case.to(device)
    stochastic = dtype != torch.float32
    first, second = (train(ops, here, N_STEPS, stochastic) for _ in range(2))
    assert int(first[-5]), "no pair is active in the last step: the case proves nothing"
    assert_same(second, first, "second run")
    assert_same(first, train(reference, case, N_STEPS, stochastic), "reference")


def softmax_weights(case: Case) -> list[Tensor]:
    """Weigh made-up products; return the weights and what else comes of them."""
    n = len(case.users)
    products = torch.linspace(-5, 5, n * 300, device=case.users.device).view(n, 300)
    negatives, logits = case.positives[:1].repeat(300), products[:, 0].clone()
    found = ops.softmax_weights_(products, products[0].clone(), negatives, case.positives, logits, logits, 1.5)
    return [products, *found]


def test_operators_repeat(device: str, sizes: tuple[int, int, int]) -> None:
    """Every operator three times on large tables and a large batch."""
    case = random_case(*sizes, 100, device)
    pairs = (case.users, case.positives)
    grads = torch.randn((len(case.users), 100), generator=torch.Generator().manual_seed(SEED)).to(device)

    def outputs() -> list[Tensor]:
        negatives = ops.sample_negatives(*case.sampling, case.n_items, N_NEGATIVES, SEED, 0)
        results = [negatives, *train(ops, case, 3)]
        for sparse in (False, True):
            leaves = [table.clone().requires_grad_() for table in case.tables.all()[:2]]
            loss, *counts = ops.warp_hinge(*leaves, *pairs, negatives, MARGIN, case.n_items, sparse_grad=sparse)
            found = torch.autograd.grad(loss.sum(), leaves)
            results += [loss, *counts]
            results += [part for grad in found for part in ((grad._indices(), grad._values()) if sparse else (grad,))]
            loss = ops.sampled_softmax(*leaves, *pairs, negatives[:300, 0], TEMPERATURE, sparse_grad=sparse)
            found = torch.autograd.grad(loss.sum(), leaves)
            results += [part for grad in found for part in ((grad._indices(), grad._values()) if sparse else (grad,))]
        results += softmax_weights(case)
        weight, state = case.tables.item.clone(), case.tables.item_state.clone()
        ops.adagrad_clip_(weight, state, case.positives, grads, LR)
        return [*results, weight, state, *ops.topk(case.tables.user[:100], case.tables.item, 50)]

    first = outputs()
    for run in ("second", "third"):
        assert_same(outputs(), first, f"{run} run")


def test_another_stream_gives_the_same(case: Case) -> None:
    """Take steps on a stream that is busy and not the default one: work that went elsewhere would be done too soon."""
    want = train(ops, case, 5)
    torch.cuda.synchronize()
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        torch.cuda._sleep(SLEEP)
        got = train(ops, case, 5)  # on copies of the tables that are made after the sleep
    torch.cuda.synchronize()
    assert_same(got, want, "the other stream")


def test_a_graph_gives_the_same(case: Case) -> None:
    """Replay a captured step; its offset is baked in, so the plain steps all have that one too."""
    tables = case.tables.clone()
    graph, counts = capture(lambda: step_(ops, case, tables, LR, 7))
    restore_(tables, case.tables)
    plain = case.tables.clone()
    for replay in range(5):
        graph.replay()
        want = step_(ops, case, plain, LR, 7)
        torch.cuda.synchronize()
        assert_same([*counts, *tables.all()], [*want, *plain.all()], f"replay {replay}")


def test_a_step_does_not_synchronize(case: Case) -> None:
    """As torch sees it: its own operations raise where they would wait for the device. Nor does a softmax's part."""
    tables = case.tables.clone()
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        step_(ops, case, tables, LR, 0)
        softmax_weights(case)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    torch.cuda.synchronize()


def test_a_step_returns_while_the_device_is_busy(case: Case) -> None:
    """Whatever would wait: the step returns before a kernel ends that was launched before it."""
    tables = case.tables.clone()
    step_(ops, case, tables, LR, 0)  # so that memory is at hand and kernels are loaded
    softmax_weights(case)
    torch.cuda.synchronize()
    slept = torch.cuda.Event()
    torch.cuda._sleep(SLEEP)
    slept.record()
    step_(ops, case, tables, LR, 1)
    softmax_weights(case)
    busy = not slept.query()
    torch.cuda.synchronize()
    assert busy, "the step returned when the device had finished"
