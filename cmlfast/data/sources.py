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
UNREADABLE = {b"PK\x03\x04": "unzip", b"\xfd7zXZ": "xz -d", b"PAR1": "from_parquet"}


HEAD = 1 << 16  # bytes that are looked at to tell what a file is like


@dataclass(frozen=True)
class Source:
    """A text: what to call it, and how to open it as often as one likes, as a stream of Arrow."""

    name: str
    _raw: Callable[[], Any]
    _codec: str | None

    def open_both(self) -> tuple[Any, Any]:
        """Return a stream of the file's bytes, which tells how far it is, and that of the unpacked ones over it."""
        raw = self._raw()
        return raw, raw if self._codec is None else pa.CompressedInputStream(raw, self._codec)

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
