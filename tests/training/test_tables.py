"""How tables start: whoever needs some rows draws these alone."""

from typing import Any

import numpy as np
import pytest
import torch

from cmlfast import CML
from cmlfast.training import tables
from cmlfast.training.settings import resolve


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_some_rows_are_those_of_the_whole_table(monkeypatch: pytest.MonkeyPatch, dtype: Any) -> None:
    monkeypatch.setattr(tables, "DRAWN_AT_ONCE", 16)
    settings = resolve(CML(n_components=7, dtype=dtype, random_state=3).get_params(), 1000, 100, 100)
    whole = tables.new_table(range(100), settings, 0)
    assert whole.dtype == settings.dtype
    for first, last in ((0, 100), (0, 1), (15, 17), (16, 32), (33, 99), (99, 100), (50, 50)):
        assert torch.equal(tables.new_table(range(first, last), settings, 0), whole[first:last])
    assert len(whole.unique(dim=0)) == 100
    assert not torch.equal(whole, tables.new_table(range(100), settings, 1))


def test_rows_are_normal_with_a_length_near_one() -> None:
    """Of 70,000 rows, in two blocks: mean and variance of all numbers within 6 standard errors."""
    settings = resolve(CML(n_components=20, max_norm=np.inf, random_state=3).get_params(), 1000, 100, 100)
    drawn = tables.new_table(range(70_000), settings, 0).double() * 20**0.5
    n = drawn.numel()
    assert abs(drawn.mean()) < 6 / n**0.5
    assert abs(drawn.var() - 1) < 6 * (2 / n) ** 0.5


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_tables_are_looked_at_in_parts(monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype) -> None:
    monkeypatch.setattr(tables, "ROWS_AT_ONCE", 16)
    table = torch.zeros((50, 4), dtype=dtype)
    table[[0, 15, 16, 49], 2] = torch.tensor([2.0, 1.5, 1.5, -2.0], dtype=dtype)
    table[7] = 0.5
    assert int(tables.on_edge(table, 1.5)) == 4
    assert int(tables.on_edge(table, 2.0)) == 2
    assert int(tables.on_edge(table[:0], 2.0)) == 0
    for at in (0, 15, 16, 49):
        assert tables.all_finite(table)
        for bad in (float("nan"), float("-inf")):
            broken = table.clone()
            broken[at, 3] = bad
            assert not tables.all_finite(broken)
    assert tables.all_finite(table[:0])


def test_a_copy_is_aligned_and_its_own() -> None:
    table = torch.arange(35.0).view(5, 7)
    copy = tables.copied(table.t(), torch.device("cpu"))
    assert torch.equal(copy, table.t())
    assert copy.data_ptr() % tables.CACHE_LINE == 0
    copy[0, 0] = 9.0
    assert table[0, 0] == 0.0
