"""What fuzzers share: cases of several kinds in turns, for equal times, until the time is up; their command line.

Time is the processor's, of the process and of those that it has begun and that have ended: on a machine that is shared
a minute by the clock may be seconds of work.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Collection


def worked() -> float:
    """Return the processor time that this process and its children took, in seconds."""
    children = os.times()
    return time.process_time() + children.children_user + children.children_system


def in_turns(
    kinds: Collection[str],
    minutes: float,
    first: int,
    attempt: Callable[[str, int], str],
    tell: Callable[[str], None],
    cases: str,
    total: str,
) -> list[str]:
    """Try cases of all kinds, each made of a seed from ``first`` on; return the findings, which ``attempt`` tells of.

    ``cases`` is what a case is called, and ``total`` the last line, with "{kinds}" and "{findings}" for their numbers.
    """
    until, found = worked() + 60 * minutes, list[str]()
    spent, seeds = dict.fromkeys(kinds, 0.0), dict.fromkeys(kinds, first)
    while (began := worked()) < until:
        kind = min(kinds, key=lambda one: spent[one])
        if told := attempt(kind, seeds[kind]):
            found.append(told)
            tell(told)
        seeds[kind] += 1
        spent[kind] += worked() - began
    for kind in kinds:
        tell(f"{kind}: {seeds[kind] - first:,} {cases} in {spent[kind] / 60:.1f} minutes of processor time")
    n_cases = sum(seeds.values()) - first * len(seeds)
    tell(f"{n_cases:,} {cases} of {total.format(kinds=len(kinds), findings=len(found))}")
    return found


def command(module: str, document: str | None, search: Callable[[float, int, Callable[[str], None]], list[str]]) -> int:
    """Run a fuzzer's command; return its exit status, 1 if something was found."""
    parser = argparse.ArgumentParser(f"python -m {module}", description=(document or "").partition("\n\n")[2])
    parser.add_argument("--minutes", type=float, default=1, help="of processor time, in all")
    parser.add_argument("--seed", type=int, default=0, help="of the first case")
    options = parser.parse_args()
    return 1 if search(options.minutes, options.seed, lambda told: print(told, flush=True)) else 0
