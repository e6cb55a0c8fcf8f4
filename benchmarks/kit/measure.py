"""Runs one benchmark, or skips it: rounds of equal work after a warm-up, and the figures that its times give."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmarks.kit.limits import compiler, gather_limit
from cmlfast import build_info, ops, reference

ROUNDS = {"compiled": 40, "torch": 40, "torch_compile": 40, "torch_differences": 15, "reference": 5}


def run(
    benchmark: Any,
    function: Callable[[], Any],
    rounds: int,
    setup: Callable[[], Any] | None = None,
    n_pairs: int = 0,
    n_bytes: float = 0,
    iterations: int = 1,
    table: Tensor | None = None,
    **extra_info: Any,
) -> None:
    """Time a function and store what its median means.

    Parameters
    ----------
    benchmark : BenchmarkFixture
        pytest-benchmark's.
    function, setup : callable
        What is timed; what runs before each round, untimed, and returns None.
    rounds : int
        How many; a tenth as many (at most 5, and none for one round) warm up.
    n_pairs, n_bytes : number
        What a call works off: gives ``pairs_per_second`` and ``gb_per_second``.
    iterations : int
        Calls in a round, not with ``setup``; times and throughput are those of one call.
    table : Tensor, optional
        The float32 table [J, r] that the bytes come from: gives ``fraction_of_limit``, the limit being how fast
        its rows can be read at all, see :mod:`benchmarks.kit.limits`.
    **extra_info
        More to store.
    """
    warm_up = min(5, max(rounds // 10, 1)) if rounds > 1 else 0
    benchmark.pedantic(function, setup=setup, rounds=rounds, warmup_rounds=warm_up, iterations=iterations)
    benchmark.extra_info.update(extra_info, threads=torch.get_num_threads())
    if benchmark.stats is None:  # --benchmark-disable: run once, not timed
        return
    median = benchmark.stats.stats.median
    if n_pairs:
        benchmark.extra_info["pairs_per_second"] = n_pairs / median
    if n_bytes:
        benchmark.extra_info["gb_per_second"] = n_bytes / median / 1e9
    if n_bytes and table is not None:
        limit = gather_limit(table)
        benchmark.extra_info.update(
            fraction_of_limit=n_bytes / median / 1e9 / limit.gb_per_second,
            limit_gb_per_second=limit.gb_per_second,
            limit_way=limit.way,
        )


def kernels_of(name: str) -> ModuleType:
    """Return the operators by name, or skip the benchmark."""
    if name == "compiled":
        require_extension()
    return ops if name == "compiled" else reference


def require_extension() -> None:
    """Skip the benchmark where the operators are not compiled."""
    if not build_info()["extension"]:
        pytest.skip(str(build_info()["reason"]))


def require_compiler(what: str) -> None:
    """Skip the benchmark where there is no C++ compiler."""
    if compiler() is None:
        pytest.skip(f"{what} needs a C++ compiler here; install one, or name it in CXX")
