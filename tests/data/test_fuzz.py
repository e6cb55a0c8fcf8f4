"""Some of the damaged files of `data.fuzz`, those that once went wrong, and that a finding is seen."""

import bz2
import gzip
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from data import fuzz
from pyarrow import parquet
from safetensors.torch import load_file, save_file
from scipy import sparse

from cmlfast import CML, Interactions
from cmlfast.data import sources

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


@pytest.mark.parametrize("seed", [106_560, 40_005_691])
def test_parquet_of_which_arrow_says_something_else(seed: int, whole: dict[str, bytes], tmp_path: Path) -> None:
    """Integers of more than 64 bits; a column's histogram of another size, whose asking ended the process."""
    assert fuzz.finding("likes.parquet", whole["likes.parquet"], seed, tmp_path) == ""


@pytest.mark.parametrize("text", ["[" * 100_000, "9" * 10_000, "{", "null", "[]", '{"format": []}', '{"format": 4}'])
@pytest.mark.parametrize(("name", "key"), [("a.model", "cmlfast"), ("likes.prepared", "cmlfast-likes")])
def test_metadata_that_is_no_json_of_ours(
    name: str, key: str, text: str, whole: dict[str, bytes], tmp_path: Path
) -> None:
    """Such as JSON that is deeper than Python goes: refused by name, and replaced as any other file."""
    path = tmp_path / name
    path.write_bytes(whole[name])
    content = load_file(path)
    save_file(content, path, metadata={key: text})
    with pytest.raises(ValueError, match=name):
        fuzz.read(path)
    own = Interactions(sparse.random(9, 9, 0.3, format="csr", random_state=0))
    own.save(path)
    CML(2, n_epochs=1, random_state=0).fit(own).save(path)
    CML.load(path)


def test_a_finding_is_seen(whole: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(path: Path) -> None:
        raise TypeError("unexpected")

    monkeypatch.setattr(fuzz, "read", breaks)
    assert "TypeError: unexpected" in fuzz.finding("likes.csv", whole["likes.csv"], 0, tmp_path)


BOMBS = {"a row": b"a,b\n", "one line": b"a", "an open quote": b'"' + b"a" * 99, "NUL": b"\0", "blank lines": b"\n"}


@pytest.mark.parametrize("unit", BOMBS.values(), ids=BOMBS.keys())
@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress], ids=["gzip", "bzip2"])
def test_what_unpacks_to_more_than_can_be_meant_is_refused(
    pack: Callable[[bytes], bytes], unit: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "ENOUGH", 2**20)
    read = [0]
    unpack = sources.Unpacked.read

    def counted(self: sources.Unpacked, size: int | None = None) -> bytes:
        content = unpack(self, size)
        read[0] += len(content) if size and size > 0 else 0
        return content

    monkeypatch.setattr(sources.Unpacked, "read", counted)
    packed = pack(b"user,item\n" + unit * (24 * 2**20 // len(unit)))
    (tmp_path / "likes.csv.gz").write_bytes(packed)
    believed = max(2**20, sources.TIMES * len(packed))
    with pytest.raises(ValueError, match=r"likes\.csv\.gz") as told:
        Interactions.from_csv(tmp_path / "likes.csv.gz")
    assert "unpacks to more than" in str(told.value) or unit == b"\0"
    assert read[0] < 2 * believed + 2**21


def test_what_is_packed_well_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = fuzz.text(20_000)
    assert 2 < len(content) / len(gzip.compress(content)) < sources.TIMES / 10
    monkeypatch.setattr(sources, "ENOUGH", 0)
    (tmp_path / "likes.csv.gz").write_bytes(gzip.compress(content))
    (tmp_path / "likes.csv").write_bytes(content)
    packed, plain = (Interactions.from_csv(tmp_path / name, value="rating") for name in ("likes.csv.gz", "likes.csv"))
    assert (packed.matrix != plain.matrix).nnz == 0


def test_a_parquet_file_of_more_rows_than_its_bytes_can_mean_is_refused(tmp_path: Path) -> None:
    part = pa.table({"user": pa.repeat(1, 100_000), "item": pa.repeat(2, 100_000)})
    parquet.write_table(pa.concat_tables([part] * 200).combine_chunks(), tmp_path / "a.parquet")
    with pytest.raises(ValueError, match=r"a\.parquet.* says that it holds 20000000 rows: that is hardly a table"):
        Interactions.from_parquet(tmp_path / "a.parquet")


KEPT: list[Any] = []  # pools, to which threads that read ahead may give memory back after a test


@pytest.mark.parametrize("how", [{}, {"use_dictionary": False, "compression": "zstd"}], ids=["dictionary", "zstd"])
def test_a_long_id_takes_its_memory_once_however_often_it_comes(how: dict[str, Any], tmp_path: Path) -> None:
    long, n_rows, before = "x" * 512, 2**18, pa.default_memory_pool()
    part = pa.table({"user": pa.array([f"u{n % 100}" for n in range(n_rows)]), "item": pa.repeat(long, n_rows)})
    parquet.write_table(part, tmp_path / "a.parquet", **how)
    held, size = part.nbytes, (tmp_path / "a.parquet").stat().st_size
    assert held > 100 * size
    pool = pa.proxy_memory_pool(before)
    KEPT.append(pool)
    pa.set_memory_pool(pool)
    try:
        likes = Interactions.from_parquet(tmp_path / "a.parquet")
    finally:
        pa.set_memory_pool(before)
    assert (likes.n_users, list(likes.item_ids)) == (100, [long])
    assert 0 < pool.max_memory() < held / 8


def test_a_line_that_is_in_another_encoding_is_named(tmp_path: Path) -> None:
    lines = [b"user,item", *(b"u%d,%d" % (n, n % 7) for n in range(300_000)), b"zo\xeb,3", b"v,1"]
    (tmp_path / "likes.csv").write_bytes(b"\n".join(lines))
    with pytest.raises(ValueError, match=r"line 300002 is not in utf-8.*0xeb"):
        Interactions.from_csv(tmp_path / "likes.csv")
