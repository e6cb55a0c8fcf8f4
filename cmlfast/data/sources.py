"""Where tables lie: files, patterns, folders and standard input, opened as bytes, compressed or not."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa

Where: TypeAlias = "str | os.PathLike[str] | Iterable[str | os.PathLike[str]]"

STANDARD_INPUT = "-"
PARQUET = (".parquet", ".pq")
TEXT = (".csv", ".tsv", ".txt", ".dat", ".data", ".tab", ".psv", ".inter")
# What a compressed file begins with, and what Arrow calls it, or how to unpack it where Arrow cannot.
MAGIC = {b"\x1f\x8b": "gzip", b"BZh": "bz2", b"\x28\xb5\x2f\xfd": "zstd", b"\x04\x22\x4d\x18": "lz4"}
ENOUGH = 2**28  # bytes that any packed file may unpack to, and
TIMES = 200  # what more may be of its size: tables are some 5 times as long unpacked, bombs 1,000 times
UNREADABLE = {b"PK\x03\x04": "unzip", b"\xfd7zXZ": "xz -d", b"PAR1": "from_parquet"}


class PackedError(ValueError):
    """A packed file is damaged, or unpacks to more than can be meant."""


class Unpacked:
    """A packed file's content, up to where it is no longer believed: a stream of bytes as Arrow reads them."""

    def __init__(self, name: str, packed: Any, codec: str) -> None:
        self._name, self._size, self._read = name, packed.size(), 0
        self._stream = pa.CompressedInputStream(packed, codec)

    @property
    def closed(self) -> bool:
        """Whether nothing can be read any more."""
        return bool(self._stream.closed)

    def close(self) -> None:
        """Let go of the file."""
        self._stream.close()

    def __enter__(self) -> Unpacked:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def read(self, size: int | None = None) -> bytes:
        """Return so many bytes, or all.

        Raises
        ------
        PackedError
            If it is damaged, or more has come of it than `ENOUGH`, and than `TIMES` its size.
        """
        if size is None or size < 0:
            return b"".join(iter(lambda: self.read(1 << 20), b""))
        try:
            content: bytes = self._stream.read_buffer(size).to_pybytes()  # `read` loses its memory where it fails
        except OSError as error:
            if error.errno is not None:  # of the disk
                raise
            raise PackedError(f"{self._name} is packed, and damaged: {error}") from error
        self._read += len(content)
        believed = max(ENOUGH, TIMES * self._size)
        if self._read > believed:
            raise PackedError(
                f"{self._name} has {self._size} bytes and unpacks to more than {believed}: that is hardly a table; "
                "unpack it yourself, and give the file that comes of it, if it is one"
            )
        return content


HEAD = 1 << 16  # bytes that are looked at to tell what a file is like


@dataclass(frozen=True)
class Source:
    """A text: what to call it, and how to open it as often as one likes, as a stream of its bytes."""

    name: str
    _raw: Callable[[], Any]
    _codec: str | None

    def open_both(self) -> tuple[Any, Any]:
        """Return a stream of the file's bytes, which tells how far it is, and that of the unpacked ones over it."""
        raw = self._raw()
        return raw, raw if self._codec is None else Unpacked(self.name, raw, self._codec)

    def open(self) -> Any:
        """Return a stream of the unpacked bytes."""
        return self.open_both()[1]

    @cached_property
    def begin(self) -> bytes:
        """The first bytes, `HEAD` of them if there are as many."""
        with self.open() as stream:
            return bytes(stream.read(HEAD))


def expand(where: Where) -> list[str]:
    """Return the files of a path, a pattern ("likes/*.csv"), a folder, or several of these; "-" is standard input.

    Raises
    ------
    FileNotFoundError
        If there is no such file, or no table in a folder.
    """
    if not isinstance(where, str | os.PathLike):
        return [file for one in where for file in expand(one)]
    path = os.fspath(where)
    if path == STANDARD_INPUT:
        return [path]
    if os.path.isdir(path):
        found = [str(file) for file in sorted(Path(path).rglob("*")) if _suffix(str(file)) in (*TEXT, *PARQUET)]
        if not found:
            raise FileNotFoundError(f"{path!r} is a folder without any table ({', '.join((*TEXT, *PARQUET))})")
        return found
    if os.path.exists(path):
        return [path]
    matching = sorted(glob.glob(path, recursive=True))
    if not matching:
        raise FileNotFoundError(f"{path!r}: there is no such file")
    return matching


def are_parquet(files: Iterable[str]) -> bool:
    """Whether files are Parquet, by their names.

    Raises
    ------
    ValueError
        If some are and some are not.
    """
    kinds = {_suffix(file) in PARQUET: file for file in files}
    if len(kinds) == 2:
        raise ValueError(f"{kinds[True]!r} is Parquet and {kinds[False]!r} is text: give files of one kind")
    return next(iter(kinds))


def text_source(file: str) -> Source:
    """Return a text file, uncompressed; what cannot be read twice, as a pipe, is held in memory.

    Raises
    ------
    ValueError
        If it is packed in a way that Arrow does not unpack.
    """
    if file == STANDARD_INPUT:
        return _held("standard input", sys.stdin.buffer.read())
    if not os.path.isfile(file):  # a pipe, or what a shell's <(...) makes
        with open(file, "rb") as stream:
            return _held(repr(file), stream.read())
    return _unpacked(repr(file), lambda: pa.OSFile(file))


def _suffix(file: str) -> str:
    """Return the suffix before that of a compression, in small letters."""
    suffixes = [one.lower() for one in Path(file).suffixes if one.lower() not in (".gz", ".bz2", ".zst", ".lz4")]
    return suffixes[-1] if suffixes else ""


def _held(name: str, content: bytes) -> Source:
    return _unpacked(name, lambda: pa.BufferReader(content))


def _unpacked(name: str, raw: Callable[[], Any]) -> Source:
    with raw() as stream:
        begin = stream.read(6)
    for magic, remedy in UNREADABLE.items():
        if begin.startswith(magic):
            raise ValueError(f"{name} is no text: unpack it first, or read it with {remedy}")
    codec = next((codec for magic, codec in MAGIC.items() if begin.startswith(magic)), None)
    return Source(name, raw, codec)
