"""The benchmarks of long and of large tables and of a day, at a size of seconds: that they run and count right."""

import re
import sys

import numpy as np
import pytest

from benchmarks import daily, ingest, large_tables
from benchmarks.kit.zipf import zipf

SMALL = ["--users", "500", "--items", "200"]


@pytest.mark.slow
def test_ingest(monkeypatch, capsys) -> None:
    words = ["ingest", "--rows", "5000", "--files", "3", "--ids", "strings", "--times", "--format", "csv", *SMALL]
    monkeypatch.setattr(sys, "argv", words)
    ingest.main()
    out = capsys.readouterr().out
    found = re.search(r"x 200 items, ([\d,]+) pairs\), ([\d,]+) duplicates merged", out)
    assert sum(int(one.replace(",", "")) for one in found.groups()) == 5000
    assert "opened in" in out


@pytest.mark.slow
def test_daily(monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys, "argv", ["daily", "--likes", "20000", "--components", "4", *SMALL])
    daily.main()
    assert re.search(r"users: \d+ new, \d+ grown, \d+ dropped; \d+ now", capsys.readouterr().out)


@pytest.mark.slow
def test_large_tables(monkeypatch, capsys) -> None:
    forms = ["float32, row-wise", "bfloat16"]
    sizes = ["--items", "1000000", "--users", "200000", "--likes", "20000", "--components", "8"]
    monkeypatch.setattr(sys, "argv", ["large_tables", *sizes, "--forms", *forms])
    large_tables.main()
    rows = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    found = {row[0]: row for row in rows[2:4]}
    assert list(found) == [row[0] for row in rows[6:8]] == forms
    # 1.2 million rows of 8 numbers: 32 and 4 bytes, or 16 and 32.
    assert [found[form][1:3] for form in forms] == [["0.04", "0.00"], ["0.02", "0.04"]]
    assert all(float(number) >= 0 for row in rows[6:8] for number in row[1:])


def test_few_come_often() -> None:
    drawn = zipf(np.random.default_rng(0), 100_000, 10_000)
    assert 0 <= drawn.min() <= drawn.max() < 10_000
    counts = np.sort(np.bincount(drawn, minlength=10_000))[::-1]
    assert 0.25 < counts[:100].sum() / 100_000 < 0.45  # ln(11) / ln(1001) = 0.347
