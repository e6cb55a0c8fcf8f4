"""The limit that benchmarks are compared with: every way to read rows reads them all, and bytes are counted as said."""

import pytest
import torch

from benchmarks.kit import limits


@pytest.mark.skipif(limits.compiler() is None, reason="the loop needs a C++ compiler")
@pytest.mark.parametrize("r", [1, 3, 4, 15, 16, 31, 100, 128, 1000])
def test_every_way_sums_all_rows(r: int) -> None:
    generator = torch.Generator().manual_seed(r)
    table = torch.randint(100, (50, r), generator=generator).float()  # small integers: sums are exact in any order
    ids = torch.randint(50, (41, limits.BAG), generator=generator)
    want = table[ids].sum(1)
    ways = limits.ways(table, ids)
    assert len(ways) == 1 + len(limits.AHEAD)
    for name, way in ways.items():
        assert torch.equal(way(), want), name


def test_the_bytes_of_a_step() -> None:
    # 7 rows of 12 bytes for each of 2 pairs with 5 negatives, 3 for each of 4 rows that change
    assert limits.step_bytes(2, 5, 3, 4) == 12 * (14 + 12)
