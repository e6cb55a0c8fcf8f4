"""Memory over repeated work, in short, and that what grows is seen."""

from pathlib import Path
from typing import Any

import pytest

from benchmarks import memory

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="no /proc tells a process's memory here"),
]


@pytest.mark.parametrize("kind", ["fit with checkpoints", "save and load", "index, annoy"])
def test_memory_stays(kind: str) -> None:
    before, after = memory.in_process(kind, 8)
    assert after / before - 1 < memory.MOST


def test_what_grows_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[Any] = []
    before = memory.resident()
    monkeypatch.setattr(memory, "WARM", 1)
    monkeypatch.setitem(memory.KINDS, "leak", lambda: lambda: kept.append(bytearray(b"x" * (before // 50))))
    first, last = memory.watch("leak", 8)
    assert last / first - 1 > memory.MOST
