"""Delimited text as people have it: every dialect gives the pairs that were written, or an error with the remedy."""

import bz2
import gc
import gzip
import io
import logging
import os
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from cmlfast.data.interactions import Interactions

ROWS = [("ann", "x", 4.5), ("bob", "café", 3.0), ("bob", "x", 5.0), ("zoë", "naïve", 0.5)]
PAIRS = {(user, item) for user, item, _ in ROWS}


def pairs(likes: Interactions) -> set:
    rows, columns = likes.matrix.nonzero()
    return set(zip(likes.user_ids[rows].tolist(), likes.item_ids[columns].tolist(), strict=True))


def written(delimiter=",", header=True, decimal=".", end="\n", quoted=False) -> str:
    quote = '"{}"'.format if quoted else "{}".format
    lines = ["user", "item", "rating"], *([user, item, str(value)] for user, item, value in ROWS)
    text = [delimiter.join(quote(field) for field in line) for line in (lines if header else lines[1:])]
    return end.join(text).replace(".", decimal) + end


DIALECTS = {
    # how it is written, how it is encoded, what has to be said
    "commas": ({}, "utf-8", {}),
    "semicolons": ({"delimiter": ";"}, "utf-8", {}),
    "tabs": ({"delimiter": "\t"}, "utf-8", {}),
    "pipes": ({"delimiter": "|"}, "utf-8", {}),
    "MovieLens' two colons": ({"delimiter": "::", "header": False}, "utf-8", {"header": False}),
    "two colons, names": (
        {"delimiter": "::", "header": False}, "utf-8", {"columns": ["user", "item", "rating"], "value": "rating"},
    ),
    "spaces": ({"delimiter": " "}, "utf-8", {}),
    "quoted": ({"quoted": True}, "utf-8", {}),
    "Windows' lines": ({"end": "\r\n"}, "utf-8", {}),
    "byte order mark": ({}, "utf-8-sig", {}),
    "UTF-16": ({}, "utf-16", {}),
    "UTF-16, colons": ({"delimiter": "::"}, "utf-16", {}),
    "UTF-16 without a mark": ({}, "utf-16-le", {"encoding": "utf-16-le"}),
    "Latin-1": ({}, "latin-1", {"encoding": "latin-1"}),
    "Latin-1, colons": ({"delimiter": "::"}, "latin-1", {"encoding": "latin-1"}),
    "decimal commas": ({"delimiter": ";", "decimal": ","}, "utf-8", {"value": "rating", "decimal": ","}),
    "quoted decimal commas": ({"quoted": True, "decimal": ","}, "utf-8", {"value": "rating", "decimal": ","}),
    "no header": ({"header": False}, "utf-8", {"header": False}),
    "a header in another language": (
        {}, "utf-8", {"header": True, "columns": ["user", "item", "rating"], "value": "rating"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", DIALECTS)
def test_dialects(name, tmp_path):
    how, encoding, options = DIALECTS[name]
    path = tmp_path / "likes.csv"
    path.write_bytes(written(**how).encode(encoding))
    assert pairs(Interactions.from_csv(path, **options)) == PAIRS
    if "value" in options:
        most = Interactions.from_csv(path, **options, min_value=4)
        assert pairs(most) == {(user, item) for user, item, value in ROWS if value >= 4}


@pytest.mark.parametrize(
    ("suffix", "pack"),
    [
        (".gz", gzip.compress),
        (".bz2", bz2.compress),
        (".zst", lambda raw: packed(raw, "zstd")),
        (".lz4", lambda raw: packed(raw, "lz4")),
    ],
)
def test_compressed_whatever_the_name(suffix, pack, tmp_path):
    for name in (f"likes.csv{suffix}", "likes"):
        (tmp_path / name).write_bytes(pack(written().encode()))
        assert pairs(Interactions.from_csv(tmp_path / name)) == PAIRS


def packed(raw: bytes, codec: str) -> bytes:
    target = pa.BufferOutputStream()
    with pa.CompressedOutputStream(target, codec) as stream:
        stream.write(raw)
    return target.getvalue().to_pybytes()


def test_ends_of_lines_within_quotes(tmp_path):
    (tmp_path / "likes.csv").write_text('user,item\nann,"two\nlines"\nbob,"a ""word"", and more"\n')
    assert pairs(Interactions.from_csv(tmp_path / "likes.csv")) == {
        ("ann", "two\nlines"),
        ("bob", 'a "word", and more'),
    }


def test_a_first_line_that_looks_like_data_is_never_lost(tmp_path):
    path = tmp_path / "likes.csv"
    for text in ("1,2\n3,4\n", "ann,5\nbob,6\n", "ann,x\nbob,y\nann,z\n", "ann,x,3.5\nbob,y,4\n", "-1,x\n2,y\n"):
        path.write_text(text)
        with pytest.raises(ValueError, match=r"likes\.csv.*first line.*looks like data.*--no-header.*--header"):
            Interactions.from_csv(path)
        assert Interactions.from_csv(path, header=False).nnz == text.count("\n")
        assert Interactions.from_csv(path, header=True).nnz == text.count("\n") - 1
    path.write_text("who,what\n1,2\n")
    assert Interactions.from_csv(path).nnz == 1
    path.write_text("user,2\n1,2\n")  # one name that everybody uses is enough
    assert Interactions.from_csv(path).nnz == 1


def test_lines_of_another_length(tmp_path, caplog):
    path = tmp_path / "likes.csv"
    path.write_text("user,item\n" + "a,b\n" * 20 + "c,d,surplus\n" + "e,f\n" * 20 + "g\n")
    with pytest.raises(ValueError, match=r"likes\.csv.*line 22 has 3 fields in place of 2, 'c,d,surplus'.*--skip-bad"):
        Interactions.from_csv(path)
    likes = Interactions.from_csv(path, skip_bad_lines=True)
    assert pairs(likes) == {("a", "b"), ("e", "f")}
    assert "2 lines left out" in caplog.text
    assert "line 22" in caplog.text


@pytest.mark.parametrize("skip", [False, True])
def test_a_line_of_another_length_in_another_encoding_is_told_once(tmp_path, monkeypatch, skip):
    """Not by a traceback besides, which Python prints of what fails where nobody can be told."""
    path, printed = tmp_path / "likes.csv", []
    monkeypatch.setattr(sys, "unraisablehook", printed.append)
    hook = sys.unraisablehook
    for before in (0, 40, 3_000_000):  # also in a later block
        path.write_bytes(b"user,item\n" + b"ann,x\n" * before + b"bob,caf\xe9,surplus\n" + b"ann,y\n" * 9)
        with pytest.raises(ValueError, match=f"line {before + 2} is not in utf-8"):
            Interactions.from_csv(path, skip_bad_lines=skip)
    assert printed == []
    assert sys.unraisablehook is hook


def test_errors_name_the_line_and_the_remedy(tmp_path):
    path = tmp_path / "likes.csv"
    path.write_bytes("user,item\nann,x\nbob,caf\xe9\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"line 3 is not in utf-8 .*byte 0xe9.*encoding=.*--encoding.*latin-1"):
        Interactions.from_csv(path)
    path.write_bytes("user::item\nann::x\nbob::caf\xe9\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"line 3 is not in utf-8"):
        Interactions.from_csv(path)
    path.write_bytes("user,item\nann,x\n".encode("utf-16-le"))
    with pytest.raises(ValueError, match=r"NUL bytes.*--encoding"):
        Interactions.from_csv(path)
    path.write_text("user;item;rating\nann;x;4,5\n")
    with pytest.raises(ValueError, match=r"value column is string.*decimal=','"):
        Interactions.from_csv(path, value="rating")
    path.write_text("user,item\nann,x\n")
    for options, message in [
        ({"encoding": "klingon"}, "encoding is 'klingon'"),
        ({"delimiter": ""}, "delimiter is ''"),
        ({"decimal": ".,"}, r"decimal is '\.,'"),
        ({"columns": ["user"], "header": True}, r"columns has 1 names.*2 fields with delimiter ','"),
        ({"min_value": "3"}, "min_value is '3'"),
    ]:
        with pytest.raises((ValueError, TypeError), match=message):
            Interactions.from_csv(path, **options)
    for content, message in [(b"PK\x03\x04 zip", "unzip"), (b"\xfd7zXZ\0", "xz -d"), (b"PAR1", "from_parquet")]:
        path.write_bytes(content)
        with pytest.raises(ValueError, match=message):
            Interactions.from_csv(path)


def test_several_files_patterns_and_folders(tmp_path, caplog):
    (tmp_path / "a.csv").write_text("user,item\nann,1\n")
    (tmp_path / "b.tsv").write_text("item\tuser\n2\tbob\n")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "c.csv").write_text("item,user\n3,ann\n")
    (tmp_path / "notes.md").write_text("# no table\n")
    everything = {("ann", 1), ("bob", 2), ("ann", 3)}
    assert pairs(Interactions.from_csv(tmp_path)) == everything
    assert pairs(Interactions.from_csv([tmp_path / "*.?sv", str(tmp_path / "deep")])) == everything
    assert pairs(Interactions.from_csv(tmp_path / "**" / "*.csv")) == everything - {("bob", 2)}
    (tmp_path / "b.tsv").write_text("item\tuser\nx\tbob\n")  # with one string all ids are strings
    assert pairs(Interactions.from_csv(tmp_path)) == {("ann", "1"), ("bob", "x"), ("ann", "3")}
    for nowhere in (tmp_path / "*.parquet", tmp_path / "none.csv"):
        with pytest.raises(FileNotFoundError, match="no such file"):
            Interactions.from_csv(nowhere)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="folder without any table"):
        Interactions.from_csv(tmp_path / "empty")


def test_pipes_and_standard_input(tmp_path, monkeypatch):
    for raw in (written().encode(), gzip.compress(written().encode())):
        pipe = tmp_path / "pipe"
        os.mkfifo(pipe)
        writer = threading.Thread(target=pipe.write_bytes, args=(raw,))
        writer.start()
        assert pairs(Interactions.from_csv(pipe)) == PAIRS
        writer.join()
        pipe.unlink()
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw)))
        assert pairs(Interactions.from_csv("-")) == PAIRS


@pytest.mark.slow
def test_what_a_shell_substitutes(tmp_path):
    (tmp_path / "likes.csv").write_text(written())
    program = "import sys; from cmlfast import Interactions; print(Interactions.from_csv(sys.argv[1]).nnz)"
    for given in ("<(cat likes.csv)", "/dev/stdin < likes.csv", "/dev/stdin < <(cat likes.csv)"):
        command = f"{sys.executable} -c '{program}' {given}"
        done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.stdout == "4\n", done.stderr


def test_what_was_taken_as_what_is_said(tmp_path, caplog):
    path = tmp_path / "likes.csv"
    path.write_text("timestamp,rating,item,user\n1,5,x,ann\n")
    with caplog.at_level(logging.INFO, "cmlfast"):
        assert pairs(Interactions.from_csv(path)) == {("ann", "x")}
    assert f"'{path}': user from 'user', item from 'item'; not used: 'timestamp', 'rating'" in caplog.text


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress], ids=["gzip", "bzip2"])
def test_what_is_packed_and_damaged_leaves_no_memory_behind(pack: Callable[[bytes], bytes], tmp_path: Path) -> None:
    packed = pack(b"user,item\n" + b"".join(b"%d,%d\n" % (n * 7919 % 1000, n * 31 % 977) for n in range(30_000)))
    (tmp_path / "likes.csv").write_bytes(packed[: len(packed) // 2])

    def refused() -> None:
        with pytest.raises(ValueError, match=r"likes\.csv"):
            Interactions.from_csv(tmp_path / "likes.csv")

    refused()
    tracemalloc.start()
    try:
        for _ in range(20):
            refused()
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] < 20 * 2**15
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", ["column {}", ""], ids=["names", "commas alone"])
def test_a_million_columns_are_refused_by_the_first_line(name: str, tmp_path: Path) -> None:
    header = ",".join(name.format(number) for number in range(10**6))
    (tmp_path / "likes.csv").write_text(f"{header}\n{'1,' * (10**6 - 1)}1\n")
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=r"likes\.csv.*first line is longer than 65536 bytes; a file of likes has"):
            Interactions.from_csv(tmp_path / "likes.csv")
        assert tracemalloc.get_traced_memory()[1] < 2**23
    finally:
        tracemalloc.stop()


def test_many_columns_are_told_shortly(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    names = [f"c{number}" for number in range(9000)]
    (tmp_path / "likes.csv").write_text(",".join(names) + "\n" + ",".join("1" * 9000) + "\n")
    with caplog.at_level(logging.INFO, "cmlfast"):
        Interactions.from_csv(tmp_path / "likes.csv", user="c1", item="c8999")
    assert "not used: 'c0', 'c2', 'c3'" in caplog.text
    assert "and 8,978 more" in caplog.text
    with pytest.raises(ValueError, match=r"the columns are \['c0', .*'c19' and 8,980 more\]$"):
        Interactions.from_csv(tmp_path / "likes.csv", user="c1", item="none")
