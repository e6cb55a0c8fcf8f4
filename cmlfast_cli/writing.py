"""Writes tables of answers: CSV, JSON lines or Parquet, to standard output or, all or nothing, to a file."""

from __future__ import annotations

import csv
import json
import os
import secrets
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from cmlfast.data.tensor_file import check_target
from cmlfast_cli.streams import OutputLostError, silence

Row = Sequence[Any]
FORMATS = ("csv", "jsonl", "parquet")


def write_rows(path: str | None, form: str | None, names: Sequence[str], chunks: Iterable[Sequence[Row]]) -> None:
    """Write rows that come in chunks.

    Parameters
    ----------
    path : str, optional
        A file; standard output without.
    form : {"csv", "jsonl", "parquet"}, optional
        By default what the file's name says, CSV otherwise.
    names : sequence of str
        Of the columns.
    chunks : iterable of sequences of rows
        What goes wrong before the first one leaves nothing written.

    Raises
    ------
    OutputLostError
        If standard output cannot be written to, for any reason but that nobody reads it.
    OSError
        If the file cannot.
    """
    suffix = "" if path is None else Path(path).suffix.lower().removeprefix(".")
    form = form or (suffix if suffix in FORMATS else "csv")
    with _stdout() if path is None else _file(path) as file:
        WRITERS[form](file, names, chunks)


def _csv(file: IO[bytes], names: Sequence[str], chunks: Iterable[Sequence[Row]]) -> None:
    class Text:
        """What csv.writer wants: a method that takes text."""

        write = staticmethod(lambda text: file.write(text.encode("utf-8", "surrogateescape")))

    writer = csv.writer(Text, lineterminator="\n")
    for number, rows in enumerate(chunks):
        if number == 0:
            writer.writerow(names)
        writer.writerows([f"{one:.6g}" if isinstance(one, float) else one for one in row] for row in rows)


def _jsonl(file: IO[bytes], names: Sequence[str], chunks: Iterable[Sequence[Row]]) -> None:
    for rows in chunks:
        for row in rows:
            line = json.dumps(dict(zip(names, row, strict=True)), ensure_ascii=False)
            file.write(f"{line}\n".encode("utf-8", "surrogateescape"))


def _parquet(file: IO[bytes], names: Sequence[str], chunks: Iterable[Sequence[Row]]) -> None:
    from pyarrow import parquet

    writer = None
    for rows in chunks:
        columns = {name: [row[place] for row in rows] for place, name in enumerate(names)}
        # Of a chunk there may be no score, or no title.
        types = {"score": pa.float64(), "title": pa.string()}
        table = pa.table({name: pa.array(column, types.get(name)) for name, column in columns.items()})
        writer = writer or parquet.ParquetWriter(file, table.schema)
        writer.write_table(table)
    if writer:
        writer.close()


WRITERS: dict[str, Callable[[IO[bytes], Sequence[str], Iterable[Sequence[Row]]], None]] = {
    "csv": _csv,
    "jsonl": _jsonl,
    "parquet": _parquet,
}


@contextmanager
def _stdout() -> Iterator[IO[bytes]]:
    sys.stdout.flush()
    try:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        if error.filename is not None:  # of a file that was read
            raise
        silence(sys.stdout)
        raise OutputLostError(f"standard output cannot be written to: {error.strerror}") from error


@contextmanager
def _file(path: str) -> Iterator[IO[bytes]]:
    target = check_target(path)
    temporary = target.parent / f".cmlfast-{secrets.token_hex(8)}.part"
    try:
        with open(temporary, "wb") as file:
            yield file
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
