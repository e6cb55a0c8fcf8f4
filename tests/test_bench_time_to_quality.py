"""The report of ``benchmarks.time_to_quality``: means, and that the target is about the mean on test data."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))  # benchmarks/ is not installed
time_to_quality = pytest.importorskip("benchmarks.time_to_quality", reason="implicit is not installed")


def run(seconds: float, validation: float, test: float) -> dict[str, float]:
    parts = {"validation": validation, "test": test}
    return {"seconds": seconds} | {f"{part} recall@{k}": value for part, value in parts.items() for k in (50, 100)}


def test_means_decide() -> None:
    runs = [run(1.0, 0.9, 0.27), run(2.0, 0.9, 0.29), run(3.0, 0.9, 0.31)]
    found = time_to_quality.report(runs, time_to_quality.TARGET)
    assert "| mean ± sd | 2.0000 ± 1.0000 | 0.9000 ± 0.0000 | 0.9000 ± 0.0000 | 0.2900 ± 0.0200 |" in found
    assert "test recall@50 of at least 0.283: reached" in found
    assert "test recall@100 of at least 0.358: missed" in found
