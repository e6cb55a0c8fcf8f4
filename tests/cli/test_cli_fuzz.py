"""Some of the command lines of `cli.fuzz`, and that what it looks for is seen."""

from pathlib import Path
from typing import Any

import pytest
from cli import fuzz

import cmlfast_cli

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of forks beside torch's threads
]
N = 12


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("whole")
    (folder / "made").mkdir()
    return fuzz.prepare(folder)


def test_random_command_lines(whole: dict[str, bytes], tmp_path: Path) -> None:
    assert [told for seed in range(N) if (told := fuzz.case(seed, whole, tmp_path / "case"))] == []
    assert len({fuzz.run(fuzz.words(seed), tmp_path / "case") for seed in range(N)}) > 1


def breaks(*_: Any) -> int:
    raise AttributeError("unexpected")


def says_nothing(*_: Any) -> int:
    return 1


def loses(*_: Any) -> int:
    Path("likes.csv").write_text("")
    return 0


@pytest.mark.parametrize(
    ("main", "told"),
    [(breaks, "AttributeError: unexpected"), (says_nothing, "without a word"), (loses, "'likes.csv'] changed")],
)
def test_a_finding_is_seen(
    main: Any, told: str, whole: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cmlfast_cli, "main", main)
    monkeypatch.setattr(fuzz, "words", lambda seed: ["info", "a.model"])
    assert told in fuzz.case(0, whole, tmp_path / "case")
