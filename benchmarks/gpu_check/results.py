"""Reads what the programs that ``benchmarks.gpu_check`` runs leave: pytest's results, times, a sanitizer's log."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SHOWN_LINES = 6  # of a failure's message
SUMMARY = re.compile(r"(?:ERROR|RACECHECK) SUMMARY: (\d+) (?:error|hazard)")


@dataclass
class Tally:
    """How many tests passed, and why the others failed or were skipped."""

    passed: int = 0
    failures: list[tuple[str, str]] = field(default_factory=list)  # test, message
    skipped: list[tuple[str, str]] = field(default_factory=list)  # test, reason

    @property
    def failed(self) -> int:
        """Return how many failed."""
        return len(self.failures)

    def add(self, other: Tally) -> None:
        """Count another run's tests too."""
        self.passed += other.passed
        self.failures += other.failures
        self.skipped += other.skipped

    def __str__(self) -> str:
        return f"{self.passed} passed, {self.failed} failed, {len(self.skipped)} skipped"


def parse_junit(path: Path) -> Tally | None:
    """Return what pytest wrote with ``--junit-xml``, or None where there is no such file, or half of one."""
    try:
        root = ElementTree.parse(path).getroot()
    except (OSError, ElementTree.ParseError):
        return None
    tests = Tally()
    for case in root.iter("testcase"):
        name = f"{case.get('classname', '')}::{case.get('name', '')}"
        wrong = [each for each in case if each.tag in ("failure", "error")]
        skip = case.find("skipped")
        if wrong:
            tests.failures.append((name, _shown(wrong[0].get("message") or wrong[0].text or "")))
        elif skip is not None:
            tests.skipped.append((name, _shown(skip.get("message") or "")))
        else:
            tests.passed += 1
    return tests


def _shown(message: str) -> str:
    return "\n".join(message.strip().splitlines()[:SHOWN_LINES])


def failure_lines(failures: list[tuple[str, str]], most: int = 8) -> str:
    """List the first failures in Markdown."""
    lines = []
    for name, message in failures[:most]:
        indented = "\n".join(f"    {line}" for line in message.splitlines())
        lines.append(f"- `{name}`\n\n{indented}\n")
    if len(failures) > most:
        lines.append(f"- and {len(failures) - most} more")
    return "\n".join(lines)


@dataclass(frozen=True)
class Speed:
    """One benchmark: seconds of a call, and what else it stored."""

    name: str
    group: str
    median: float
    iqr: float
    rounds: int
    info: dict[str, Any]


def parse_benchmarks(path: Path) -> list[Speed]:
    """Return what pytest-benchmark wrote with ``--benchmark-json``; nothing for no such file, or half of one."""
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        return []
    return [
        Speed(
            each["name"].removeprefix("test_"),
            each["group"] or "",
            each["stats"]["median"],
            each["stats"]["iqr"],
            each["stats"]["rounds"],
            each["extra_info"],
        )
        for each in content["benchmarks"]
    ]


COLUMNS = {  # of extra_info: title, factor, unit
    "pairs_per_second": ("M pairs/s", 1e-6, ""),
    "gb_per_second": ("GB/s", 1, ""),
    "of_measured_floor": ("floor / time, measured GB/s", 100, "%"),
    "of_published_floor": ("floor / time, published GB/s", 100, "%"),
}


def _figure(value: float) -> str:
    """Write three digits, or all before the point."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def speed_table(speeds: Iterable[Speed]) -> str:
    """Return a Markdown table of benchmarks, group by group."""
    titles = [title for title, *_ in COLUMNS.values()]
    lines = [
        "| of | benchmark | median ms | IQR ms | " + " | ".join(titles) + " |",
        "|---|---|" + "---:|" * (2 + len(titles)),
    ]
    for one in sorted(speeds, key=lambda each: each.group):
        cells = [one.group, one.name, f"{1e3 * one.median:.4g}", f"{1e3 * one.iqr:.2g}"]
        for key, (_, factor, unit) in COLUMNS.items():
            cells.append(_figure(factor * one.info[key]) + unit if key in one.info else "")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def sanitizer_errors(text: str) -> int | None:
    """Return how many errors or hazards compute-sanitizer counted, over all processes; None if it says nothing."""
    counts = [int(count) for count in SUMMARY.findall(text)]
    return sum(counts) if counts else None


def sanitizer_lines(text: str, most: int = 12) -> str:
    """Return the first lines in which compute-sanitizer reports something, without those of addresses."""
    lines = [line.removeprefix("=========").strip() for line in text.splitlines() if line.startswith("=========")]
    return "\n".join([line for line in lines if line and not line.startswith(("Host Frame", "Saved host"))][:most])
