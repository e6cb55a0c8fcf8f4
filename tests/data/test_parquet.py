"""Parquet in every encoding of ids; what unpacks to more than can be meant, whatever it says; very many columns."""

import logging
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet as arrow

from cmlfast import Interactions
from cmlfast.data import parquet

N = 20_000
DELTA = "DELTA_BYTE_ARRAY"
HOW: dict[str, dict[str, Any]] = {
    "dictionaries": {},
    "one by one": {"use_dictionary": False, "compression": "zstd"},
    "differences": {"use_dictionary": False, "compression": "zstd", "column_encoding": DELTA},
    "lengths apart": {"use_dictionary": False, "column_encoding": "DELTA_LENGTH_BYTE_ARRAY"},
    "small pages and groups": {"row_group_size": 700, "data_page_size": 1000, "dictionary_pagesize_limit": 2000},
    "of the second version": {"version": "2.6", "data_page_version": "2.0"},
}


def write(path: Path, how: dict[str, Any], **columns: Any) -> Path:
    given = dict(how)
    if "column_encoding" in given:
        texts = [name for name, column in columns.items() if pa.types.is_string(pa.array(column).type)]
        given["column_encoding"] = dict.fromkeys(texts, given["column_encoding"])
    arrow.write_table(pa.table(columns), path, **given)
    return path


@pytest.mark.parametrize("how", HOW.values(), ids=HOW.keys())
@pytest.mark.parametrize("is_plain", [None, False], ids=["as it says", "a few rows at a time"])
def test_every_encoding_gives_the_same_likes(
    how: dict[str, Any], is_plain: bool | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    users, items = (rng.integers(0, n, 5000) for n in (300, 90))
    rating, time = rng.integers(1, 6, 5000), rng.integers(0, 10**9, 5000)
    names = [f"https://example.org/{number:05d}" for number in users]
    path = write(tmp_path / "a.parquet", how, user=names, item=items, rating=rating, time=time)
    if is_plain is not None:
        monkeypatch.setattr(parquet, "_is_plain", lambda *_: is_plain)
    found = Interactions.from_parquet(path, value="rating", min_value=3, time="time")
    kept = {(names[row], items[row]): 0 for row in range(5000) if rating[row] >= 3}
    for row in range(5000):
        if rating[row] >= 3:
            kept[names[row], items[row]] = max(kept[names[row], items[row]], time[row])
    rows, columns = found.matrix.nonzero()
    assert found.times is not None
    told = zip(found.user_ids[rows], found.item_ids[columns], strict=True)
    assert dict(zip(told, found.times, strict=True)) == kept


@pytest.mark.parametrize("how", ["one by one", "differences"])
def test_ids_that_unpack_to_more_than_can_be_meant_are_refused(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "ENOUGH", 2**20)
    monkeypatch.setattr(parquet, "FEW", 256)
    ids = [f"{'x' * 2000}{number:06d}" for number in range(N)]
    path = write(tmp_path / "a.parquet", HOW[how], user=np.zeros(N, np.int32), item=ids)
    size, held = path.stat().st_size, 2006 * N
    assert held > 2 * parquet.TEXT_A_BYTE * size
    pool = pa.proxy_memory_pool(pa.default_memory_pool())
    before = pa.default_memory_pool()
    pa.set_memory_pool(pool)
    try:
        with pytest.raises(ValueError, match=rf"a\.parquet.* has {size} bytes, and its ids unpack to more"):
            Interactions.from_parquet(path)
    finally:
        pa.set_memory_pool(before)
    KEPT.append(pool)
    assert 0 < pool.max_memory() < held / 2


KEPT: list[Any] = []  # pools, to which threads may give memory back after a test


@pytest.mark.parametrize("how", HOW.values(), ids=HOW.keys())
def test_long_ids_that_are_meant_are_read(how: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of 200 characters that only count up, and those that are drawn."""
    monkeypatch.setattr(parquet, "ENOUGH", 0)
    rng = np.random.default_rng(0)
    links = [f"https://www.example.org/{'shop/of/things/' * 11}{number:07d}.html" for number in range(N)]
    drawn = [str(uuid.UUID(bytes=rng.bytes(16))) for _ in range(N)]
    assert len(links[0]) == 201
    path = write(tmp_path / "a.parquet", how, user=rng.permutation(drawn), item=links)
    found = Interactions.from_parquet(path)
    assert set(found.user_ids) == set(drawn)
    assert set(found.item_ids) == set(links)


def test_names_of_folders_are_ids_still(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "ENOUGH", 0)
    for user in ("ann", "bob"):
        (tmp_path / f"user={user}").mkdir()
        write(
            tmp_path / f"user={user}" / "a.parquet", HOW["differences"] | {"column_encoding": "PLAIN"}, item=["x", "y"]
        )
    assert list(Interactions.from_parquet(tmp_path).user_ids) == ["ann", "bob"]


def test_a_file_whose_pages_are_none_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", {"compression": "gzip"}, user=list("abc") * 99, item=list("xyz") * 99)
    content = bytearray(path.read_bytes())
    content[30:60] = b"\xff" * 30
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.parquet"):
        Interactions.from_parquet(path)


def test_twenty_thousand_columns(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    names = ["user", "item", *(f"c{number}" for number in range(20_000 - 2))]
    arrow.write_table(pa.table([pa.array([1, 2])] * len(names), names), tmp_path / "a.parquet")
    with caplog.at_level(logging.INFO, "cmlfast"):
        assert Interactions.from_parquet(tmp_path / "a.parquet").shape == (2, 2)
    assert len(caplog.text) < 2000


def test_a_damaged_end_is_told_as_such(tmp_path):
    path = tmp_path / "likes.parquet"
    arrow.write_table(pa.table({"user": [1, 2], "item": [3, 4]}), path)
    content = bytearray(path.read_bytes())
    content[-60:-28] = b"\xff" * 32
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"likes\.parquet.*(damaged|Parquet|Thrift)"):
        Interactions.from_parquet(path)


def test_ids_told_by_differences_beside_a_column_of_folders_are_refused_by_name(tmp_path):
    folder = tmp_path / "likes" / "user_id=7"
    folder.mkdir(parents=True)
    items = pa.table({"item_id": [f"item-{n}" for n in range(50)]})
    arrow.write_table(
        items, folder / "1.parquet", use_dictionary=False, column_encoding={"item_id": "DELTA_BYTE_ARRAY"}
    )
    with pytest.raises(ValueError, match=r"1\.parquet.*Not yet implemented"):
        Interactions.from_parquet(tmp_path / "likes")
