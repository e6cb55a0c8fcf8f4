"""Fuzzers share processor time among their kinds, and count their children's."""

import subprocess
import sys

import fuzzing
import pytest


def test_kinds_get_equal_times(monkeypatch: pytest.MonkeyPatch) -> None:
    now, told = [0.0], list[str]()
    monkeypatch.setattr(fuzzing, "worked", lambda: now[0])

    def attempt(kind: str, seed: int) -> str:
        now[0] += {"quick": 1, "slow": 5}[kind]
        return "wrong" if (kind, seed) == ("quick", 12) else ""

    found = fuzzing.in_turns(("quick", "slow"), 1, 10, attempt, told.append, "cases", "{kinds} kinds, {findings} wrong")
    assert found == ["wrong"]
    assert told == [
        "wrong", "quick: 30 cases in 0.5 minutes of processor time", "slow: 6 cases in 0.5 minutes of processor time",
        "36 cases of 2 kinds, 1 wrong",
    ]  # fmt: skip


def test_what_children_work_is_counted() -> None:
    before = fuzzing.worked()
    script = "import time\nwhile time.process_time() < 0.2: pass"
    subprocess.run([sys.executable, "-c", script], check=True)
    assert fuzzing.worked() - before > 0.15
