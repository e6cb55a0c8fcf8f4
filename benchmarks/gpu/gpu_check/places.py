"""The same bits in odd places: other devices, threads, streams and pools of memory, little memory.

Tests for a machine with a GPU; ``pytest benchmarks/gpu/gpu_check/places.py`` runs them. Those of a second device are
skipped where there is none.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from scipy import sparse
from torch import Tensor

from benchmarks.gpu.gpu_check.determinism import SMALL, assert_same, train
from benchmarks.kit.case import Case
from benchmarks.kit.made_up import random_case
from cmlfast import CML, ops

STEPS = 5
LITTLE = 8 << 30  # bytes of a small card
TWO_DEVICES = pytest.mark.skipif(torch.cuda.device_count() < 2, reason="there is one GPU")


@pytest.fixture
def case() -> Case:
    return random_case(*SMALL, 100, "cpu")


@pytest.fixture
def want(case: Case) -> list[Tensor]:
    """Return what the CPU gives."""
    return train(ops, case, STEPS)


def search(case: Case) -> list[Tensor]:
    """Search on the case's device."""
    return list(ops.topk(case.tables.user[:50], case.tables.item, 10, case.indptr[:51], case.indices))


@TWO_DEVICES
def test_a_device_that_is_not_the_current_one(case: Case, want: list[Tensor]) -> None:
    """Tensors on cuda:1 while cuda:0 is current, which stays the current one."""
    with torch.cuda.device(0):
        there = case.to("cuda:1")
        got = train(ops, there, STEPS)
        assert {tensor.device.index for tensor in got} == {1}
        assert torch.cuda.current_device() == 0
        assert_same(got, want, "cuda:1")
        assert_same(search(there), search(case), "search on cuda:1")


@TWO_DEVICES
def test_trainings_on_one_device_after_the_other(case: Case) -> None:
    """Each captures its steps on its own device, whichever was the first."""
    likes = sparse.random(500, 700, 0.1, format="csr", rng=np.random.default_rng(0))
    tables = []
    for device in ("cuda:0", "cuda:1", "cpu"):
        model = CML(n_components=20, loss="warp", n_epochs=4, batch_size=300, random_state=0, device=device).fit(likes)
        tables.append([model.user_embedding_, model.item_embedding_])
    for got, device in zip(tables, ("cuda:0", "cuda:1"), strict=False):
        assert_same(got, tables[-1], f"a training on {device}")


@TWO_DEVICES
def test_two_devices_in_two_threads(case: Case, want: list[Tensor]) -> None:
    """Each thread has a current device of its own."""

    def on(device: str) -> list[Tensor]:
        torch.cuda.set_device(device)
        return train(ops, case.to(device), STEPS)

    with ThreadPoolExecutor(2) as threads:
        for device, got in zip(("cuda:0", "cuda:1"), threads.map(on, ("cuda:0", "cuda:1")), strict=True):
            assert_same(got, want, device)


def test_two_threads_on_a_device(case: Case, want: list[Tensor]) -> None:
    """Each on a stream of its own."""

    def on_own_stream(_: int) -> list[Tensor]:
        stream = torch.cuda.Stream()
        with torch.cuda.stream(stream):
            got = train(ops, case.to("cuda"), STEPS)
        stream.synchronize()
        return got

    with ThreadPoolExecutor(2) as threads:
        for got in threads.map(on_own_stream, range(4)):
            assert_same(got, want, "a thread")


def test_a_stream_of_another_library(case: Case, want: list[Tensor]) -> None:
    """A stream that torch knows by its handle alone."""
    owner = torch.cuda.Stream()
    with torch.cuda.stream(torch.cuda.ExternalStream(owner.cuda_stream)):
        got = train(ops, case.to("cuda"), STEPS)
    owner.synchronize()
    assert_same(got, want, "the other library's stream")


def test_a_pool_of_ones_own(case: Case, want: list[Tensor]) -> None:
    """Scratch memory and results come from the caller's pool."""
    pool = torch.cuda.MemPool()
    with torch.cuda.use_mem_pool(pool):
        got = train(ops, case.to("cuda"), STEPS)
    torch.cuda.synchronize()
    assert_same(got, want, "the pool")
    del got


def test_a_small_card() -> None:
    """A million users and items of 100 numbers, and 100,000 pairs, in 8 GB."""
    total = torch.cuda.get_device_properties(torch.cuda.current_device()).total_memory
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(min(1.0, LITTLE / total))
    try:
        case = random_case(1_000_000, 1_000_000, 100_000, 100, "cuda")
        assert int(train(ops, case, 2)[-5]) > 0, "the steps did nothing"
        ops.topk(case.tables.user[:1000], case.tables.item, 100)
        torch.cuda.synchronize()
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
        torch.cuda.empty_cache()
