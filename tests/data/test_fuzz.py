"""Some of the damaged files of `data.fuzz`, those that once went wrong, and that a finding is seen."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest
from data import fuzz

from cmlfast import CML

N = 60
# What `fuzz` has found in headers, and what is like it.
HEADERS = (
    ("params", {"learnilg_rate": 0.1}), ("params", None), ("index", [1]), ("index", "x"), ("history", []),
    ("history", [3]), ("history", [{"loss": "x", "seconds": 1}]), ("auto", 5), ("skipped", {"a": None}),
    ("networks", [1]), ("by_position", [[]]), ("format", "4"),
)  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return fuzz.originals(tmp_path_factory.mktemp("whole"))


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Say nothing of bad lines, of which there are many; other tests read what is said."""
    monkeypatch.setattr(logging.getLogger("cmlfast"), "disabled", True)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of Arrow, on lines that are no text
@pytest.mark.parametrize("name", ["likes.csv", "likes.tsv", "utf16.csv", "likes.csv.gz", "likes.csv.bz2",
                                  "likes.parquet", "likes.prepared", "a.model", "kept.model"])  # fmt: skip
def test_damaged_files(name: str, whole: dict[str, bytes], tmp_path: Path) -> None:
    found = [fuzz.finding(name, whole[name], seed, tmp_path) for seed in range(N)]
    assert [one for one in found if one] == []
    (tmp_path / name).write_bytes(whole[name])
    if name != "kept.model":
        fuzz.read(tmp_path / name)
    different = {fuzz.changed(whole[name], np.random.default_rng(seed), name.endswith("model")) for seed in range(N)}
    assert len(different) > 0.9 * N


@pytest.mark.parametrize(("key", "value"), HEADERS)
def test_headers_with_something_else(key: str, value: object, whole: dict[str, bytes], tmp_path: Path) -> None:
    content = whole["a.model"]
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    own = json.loads(header["__metadata__"]["cmlfast"])
    own[key] = {**own[key], **value} if isinstance(own.get(key), dict) and isinstance(value, dict) else value
    header["__metadata__"]["cmlfast"] = json.dumps(own)
    packed = json.dumps(header).encode()
    path = tmp_path / "a.model"
    path.write_bytes(len(packed).to_bytes(8, "little") + packed + content[8 + length :])
    if key == "by_position":  # of which any value says yes or no
        CML.load(path)
        return
    with pytest.raises(ValueError, match="damaged"):
        CML.load(path)


def test_numbers_that_arrow_does_not_know(whole: dict[str, bytes], tmp_path: Path) -> None:
    """A Parquet file whose thrift holds integers of more than 64 bits, or what else seed 106560 has made of it."""
    assert fuzz.finding("likes.parquet", whole["likes.parquet"], 106_560, tmp_path) == ""


def test_a_finding_is_seen(whole: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(path: Path) -> None:
        raise TypeError("unexpected")

    monkeypatch.setattr(fuzz, "read", breaks)
    assert "TypeError: unexpected" in fuzz.finding("likes.csv", whole["likes.csv"], 0, tmp_path)
