"""The one file that ``benchmarks.gpu_check`` writes, in Markdown."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.gpu_check.part import Outcome, Run


@dataclass(frozen=True)
class Heading:
    """What is known before the parts run."""

    commit: str
    date: str
    machine: str  # Markdown
    limit: float  # seconds
    n_parts: int


def verdict(run: Run, n_parts: int) -> str:
    """Say how it went."""
    if run.interrupted:
        return "**Interrupted.** What had been found by then:"
    names = [outcome.name for outcome in run.outcomes if outcome.status == "failed"]
    if names:
        return f"**Failed**: {', '.join(names)}."
    if len(run.outcomes) < n_parts:
        return f"**Not finished**: {len(run.outcomes)} of {n_parts} parts so far, none failed."
    idle = [outcome.name for outcome in run.outcomes if outcome.status == "not run"]
    return "**Nothing failed**" + (f", but not run: {', '.join(idle)}." if idle else "; every part ran.")


def report(heading: Heading, run: Run, seconds: float) -> str:
    """Return the report of what has run so far."""
    parts = [
        "# GPU check of cmlfast",
        f"{verdict(run, heading.n_parts)}",
        f"Commit {heading.commit}, {heading.date}; {seconds:.0f} s of at most {heading.limit:.0f} s.",
        "## Machine",
        heading.machine,
        "## Parts",
        _table(run.outcomes),
    ]
    for outcome in run.outcomes:
        parts += [f"## {outcome.name[:1].upper()}{outcome.name[1:]}", f"{outcome.status}: {outcome.summary}"]
        if outcome.body:
            parts.append(outcome.body)
    missing = [line for outcome in run.outcomes for line in outcome.missing]
    parts += ["## Not run, and why", _grouped(missing)]
    return "\n\n".join(parts) + "\n"


def _table(outcomes: list[Outcome]) -> str:
    lines = ["| part | outcome | s | |", "|---|---|---:|---|"]
    for one in outcomes:
        summary = " ".join(one.summary.split()).replace("|", "\\|")
        lines.append(f"| {one.name} | {one.status} | {one.seconds:.0f} | {summary} |")
    return "\n".join(lines)


def _grouped(missing: list[str], most: int = 5) -> str:
    """List what was not run; of many with one reason, the first."""
    by_reason: dict[str, list[str]] = {}
    for line in missing:
        what, _, reason = line.partition(": ")
        by_reason.setdefault(reason, []).append(what)
    lines = []
    for reason, what in by_reason.items():
        more = f" and {len(what) - most} more" if len(what) > most else ""
        lines.append(f"- {', '.join(what[:most])}{more}: {reason}")
    return "\n".join(lines) or "Everything ran."
