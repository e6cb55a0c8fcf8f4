"""The least bytes of a step: the parts that docs/performance-cuda.md lists, and the count of what searches look at."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.kit.case import make_case
from benchmarks.kit.floor import expected_distinct, least_bytes

PER_PAIR = [8_800, 159, 8, 2_418, 1_594, 40]  # docs/performance-cuda.md, "The least": those of the order as it is


def test_the_parts_of_a_step_on_citeulike_are_those_of_the_docs(shared_data: Path) -> None:
    case = make_case()
    assert [round(part / len(case.users)) for part in least_bytes(case).values()] == PER_PAIR


@pytest.mark.parametrize(("cells", "draws"), [(1, 20), (2, 5), (64, 20), (300, 3)])
def test_expected_distinct_cells(cells: int, draws: int) -> None:
    rng = np.random.default_rng(0)
    counts = [len(np.unique(rng.integers(cells, size=draws))) for _ in range(4_000)]
    # Four standard errors of the mean, which a seed exceeds once in 16,000.
    assert abs(np.mean(counts) - expected_distinct(cells, draws)) <= 4 * np.std(counts) / np.sqrt(len(counts)) + 1e-12
