"""How long one waits before and around the kernels: for imports, for ``--help``, and for a small fit's own code."""

from __future__ import annotations

import subprocess
import sys
import time
from statistics import median
from typing import Any

import pytest

from benchmarks.kit.measure import require_extension, run
from cmlfast import CML, datasets, ops

ROUNDS, FITS = 9, 7
PROCESSES = {
    "import_torch": ["-c", "import torch"],
    "import_torch_and_cmlfast": ["-c", "import torch, cmlfast"],
    "help": ["-m", "cmlfast_cli", "--help"],
}


@pytest.mark.benchmark(group="startup")
@pytest.mark.parametrize("name", PROCESSES)
def test_process(benchmark: Any, name: str) -> None:
    command = [sys.executable, *PROCESSES[name]]
    run(
        benchmark,
        lambda: subprocess.run(command, check=True, capture_output=True),
        ROUNDS,
        baseline=name == "import_torch",
    )


@pytest.mark.benchmark(group="small fit")
def test_fit_10000_pairs(benchmark: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    require_extension()
    matrix = datasets.load("synthetic", n_users=1_000, n_items=1_000, n_pairs=10_000).interactions.matrix
    step, shares, inside = ops.cml_step_, [], 0.0

    def timed_step(*arguments: Any) -> Any:
        nonlocal inside
        started = time.perf_counter()
        result = step(*arguments)
        inside += time.perf_counter() - started
        return result

    def fit() -> None:
        nonlocal inside
        inside, started = 0.0, time.perf_counter()
        CML(random_state=0).fit(matrix)
        shares.append(1 - inside / (time.perf_counter() - started))

    monkeypatch.setattr(ops, "cml_step_", timed_step)
    run(benchmark, fit, FITS, data="synthetic")
    benchmark.extra_info["outside_kernels"] = median(shares)  # the share of a fit's time
