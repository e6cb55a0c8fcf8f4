"""The rooms of benchmarks know each other in one direction only."""

import re
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
KNOWN = {
    "kit": {"kit"},
    "peers": {"kit", "peers"},
    "accuracy": {"accuracy", "kit", "peers"},
    "paper": {"kit", "paper", "peers"},
    "public": {"kit", "peers", "public"},
    "figure4": {"figure4", "kit", "peers"},
    "gpu": {"gpu", "kit"},
    "distributed": {"distributed", "kit"},
    "instructions": {"instructions"},
    ".": {"kit", "peers"},  # the suites
}


def test_every_room_is_known() -> None:
    assert {path.parent.name for path in BENCHMARKS.glob("*/__init__.py")} | {"."} == set(KNOWN)


@pytest.mark.parametrize("room", KNOWN)
def test_a_room_imports_only_what_lies_below(room: str) -> None:
    files = BENCHMARKS.glob("*.py") if room == "." else (BENCHMARKS / room).rglob("*.py")
    found = re.compile(r"(?:from|import) benchmarks\.(\w+)")
    imports = {(path.name, name) for path in files for name in found.findall(path.read_text())}
    assert imports
    assert {(file, name) for file, name in imports if name not in KNOWN[room]} == set()
