"""Print the tables of a stored run in Markdown: ``python -m benchmarks.kit.report stored.json``.

``pytest benchmarks/ --benchmark-only --benchmark-json=stored.json`` stores one. Every file of benchmarks has a table; a
column that no benchmark of the table fills is left out. Times are medians with the interquartile range.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from benchmarks.kit.text import markdown

TITLES = {  # of the files, in the order of their tables
    "bench_step": "Training step",
    "bench_ops": "Operators",
    "bench_scaling": "Scaling",
    "bench_limits": "Limits of the machine",
    "bench_startup": "Startup",
    "bench_memory": "Memory",
    "bench_peers": "Trainings",
    "bench_baselines": "Baselines of the paper's Table 2",
    "bench_cuda": "GPU",
}

Benchmark = dict[str, Any]


def stored(key: str, form: str, scale: float = 1) -> Callable[[Benchmark], str]:
    """Return a function that formats what a benchmark has stored under a key, or nothing."""

    def cell(one: Benchmark) -> str:
        value = one["extra_info"].get(key)
        return "" if value is None else format(value if isinstance(value, str) else value * scale, form)

    return cell


def milliseconds(one: Benchmark) -> str:
    """Return the median and the interquartile range, with three digits."""
    median, spread = (1e3 * one["stats"][key] for key in ("median", "iqr"))
    digits = 0 if median >= 100 else 1 if median >= 10 else 2
    return f"{median:.{digits}f} ({spread:.{digits}f})"


COLUMNS: dict[str, Callable[[Benchmark], str]] = {
    "library": stored("library", ""),
    "version": stored("version", ""),
    "method": stored("method", ""),
    "ms (IQR)": milliseconds,
    "million pairs/s": stored("pairs_per_second", ".2f", 1e-6),
    "plain torch, million pairs/s": stored("torch_pairs_per_second", ".2f", 1e-6),
    "GB/s": stored("gb_per_second", ".1f"),
    "limit, GB/s": stored("limit_gb_per_second", ".1f"),
    "of limit": stored("fraction_of_limit", ".0%"),
    "floor / time, measured GB/s": stored("of_measured_floor", ".1%"),
    "floor / time, published GB/s": stored("of_published_floor", ".1%"),
    "Recall@50": stored("recall@50", ".4f"),
    "Recall@100": stored("recall@100", ".4f"),
    "negatives": stored("negatives", ""),
    "peak, MB": stored("peak_rss_mb", ".0f"),
    "after imports, MB": stored("floor_rss_mb", ".0f"),
    "times baseline": stored("times_baseline", ".2f"),
}


def with_ratios(benchmarks: Iterable[Benchmark]) -> list[Benchmark]:
    """Return benchmarks that store how many times as fast as their group's baseline they are, where it has one."""
    benchmarks = list(benchmarks)
    baselines = {one["group"]: one["stats"]["median"] for one in benchmarks if one["extra_info"].get("baseline")}
    return [
        {**one, "extra_info": {**one["extra_info"], "times_baseline": baselines[one["group"]] / one["stats"]["median"]}}
        if one["group"] in baselines
        else one
        for one in benchmarks
    ]


def table(benchmarks: list[Benchmark]) -> str:
    """Return benchmarks as a Markdown table, one a row."""
    cells = {title: [column(one) for one in benchmarks] for title, column in COLUMNS.items()}
    filled = {title: column for title, column in cells.items() if any(column)}
    names = [f"`{one['name'].removeprefix('test_')}`" for one in benchmarks]
    return markdown(["", *filled], list(zip(names, *filled.values(), strict=True)))


def machine(run: dict[str, Any], data: list[str]) -> str:
    """Return what the figures depend on: processor, threads, instruction set, versions, data."""
    info = run["machine_info"]
    ours = info.get("cmlfast", {})
    parts = [
        info["cpu"].get("brand_raw", info["machine"]),
        f"{ours['threads']} threads, {ours['isa']}, torch {ours['torch']}" if ours else "",
        f"Python {info['python_version']}",
        info["system"],
        f"data: {', '.join(data)}" if data else "",
        f"commit {run['commit_info']['id'][:7]}",
    ]
    return ", ".join(part for part in parts if part)


def data_of(benchmarks: Iterable[Benchmark]) -> list[str]:
    """Return the names of the data sets."""
    return sorted({one["extra_info"]["data"] for one in benchmarks if "data" in one["extra_info"]})


def tables(benchmarks: Iterable[Benchmark]) -> str:
    """Return a table for each file's benchmarks."""
    files: dict[str, list[Benchmark]] = {}
    for one in with_ratios(benchmarks):
        files.setdefault(Path(one["fullname"].partition("::")[0]).stem, []).append(one)
    known = [name for name in TITLES if name in files]
    others = [name for name in files if name not in TITLES]
    return "\n\n".join(f"**{TITLES.get(name, name)}**\n\n{table(files[name])}" for name in known + others)


def report(run: dict[str, Any]) -> str:
    """Return a stored run's tables, and what they depend on."""
    benchmarks = run["benchmarks"]
    return f"{machine(run, data_of(benchmarks))}\n\n{tables(benchmarks)}".rstrip()


def main() -> None:
    """Print the report of the file that is named on the command line."""
    if len(sys.argv) != 2:
        sys.exit(
            "usage: python -m benchmarks.kit.report stored.json (what pytest --benchmark-json=stored.json has written)"
        )
    print(report(json.loads(Path(sys.argv[1]).read_text())))


if __name__ == "__main__":
    main()
