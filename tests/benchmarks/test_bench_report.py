"""The report shows what a stored run holds; cells are worked out by hand."""

import sys
from typing import Any

import pytest

from benchmarks.kit.report import main, report


def benchmark(file: str, name: str, group: str, median: float, iqr: float, **extra_info: Any) -> dict[str, Any]:
    return {
        "fullname": f"benchmarks/{file}.py::{name}",
        "name": name,
        "group": group,
        "stats": {"median": median, "iqr": iqr},
        "extra_info": extra_info,
    }


RUN: dict[str, Any] = {
    "machine_info": {
        "cpu": {"brand_raw": "A Processor"},
        "machine": "x86_64",
        "python_version": "3.11.7",
        "system": "Linux",
        "cmlfast": {"threads": 2, "isa": "avx512", "torch": "2.13.0"},
    },
    "commit_info": {"id": "0123456789abcdef"},
    "benchmarks": [
        benchmark("bench_peers", "test_training[als]", "peers", 2.5, 0.25, library="other", **{"recall@50": 0.29876}),
        benchmark(
            "bench_step", "test_step[compiled]", "step", 0.004, 0.0001234, data="citeulike-t", baseline=False,
            pairs_per_second=2.5e6, gb_per_second=22.04, fraction_of_limit=0.706, limit_gb_per_second=31.26,
        ),
        benchmark("bench_step", "test_step[torch]", "step", 0.05, 0.00316, data="citeulike-t", baseline=True,
                  pairs_per_second=2e5),
        benchmark("bench_new", "test_this", "new", 0.2, 0),
    ],
}  # fmt: skip


def test_a_stored_run_becomes_tables() -> None:
    assert (
        report(RUN)
        == """\
A Processor, 2 threads, avx512, torch 2.13.0, Python 3.11.7, Linux, data: citeulike-t, commit 0123456

**Training step**

|  | ms (IQR) | million pairs/s | GB/s | limit, GB/s | of limit | times baseline |
| --- | ---: | ---: | ---: | ---: | ---: | ---: |
| `step[compiled]` | 4.00 (0.12) | 2.50 | 22.0 | 31.3 | 71% | 12.50 |
| `step[torch]` | 50.0 (3.2) | 0.20 |  |  |  | 1.00 |

**Trainings**

|  | library | ms (IQR) | Recall@50 |
| --- | ---: | ---: | ---: |
| `training[als]` | other | 2500 (250) | 0.2988 |

**bench_new**

|  | ms (IQR) |
| --- | ---: |
| `this` | 200 (0) |"""
    )


def test_a_run_of_other_software_has_no_threads() -> None:
    info = {name: value for name, value in RUN["machine_info"].items() if name != "cmlfast"}
    first = report({**RUN, "machine_info": info, "benchmarks": []})
    assert first == "A Processor, Python 3.11.7, Linux, commit 0123456"


def test_the_command_needs_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["report"])
    with pytest.raises(SystemExit, match=r"stored\.json"):
        main()
