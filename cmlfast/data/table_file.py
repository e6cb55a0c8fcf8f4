"""Writes tables that come in parts to a file: CSV, JSON lines or Parquet."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from cmlfast.data.tensor_file import replacement

FORMATS = ("csv", "jsonl", "parquet")


def format_of(path: str | os.PathLike[str], form: str | None = None) -> str:
    """Return a table's format, by default what a file's name says, or else CSV.

    Raises
    ------
    ValueError
        If there is no such format.
    """
    if form is not None and form not in FORMATS:
        raise ValueError(f"format is {form!r}; it must be one of {', '.join(FORMATS)}")
    suffix = Path(path).suffix.lower().removeprefix(".")
    return form or (suffix if suffix in FORMATS else "csv")


@contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """Open a file to be written all or nothing: what was there stays until the end, and if that does not come.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    with replacement(path) as temporary, open(temporary, "wb") as file:
        yield file


def write_tables(file: IO[bytes], form: str, parts: Iterable[Any]) -> None:
    """Write parts of a table, pyarrow.Table each, of one schema; what goes wrong before the first writes nothing."""
    WRITERS[form](file, parts)


def _csv(file: IO[bytes], parts: Iterable[Any]) -> None:
    for number, part in enumerate(parts):
        if number == 0:
            file.write((",".join(part.column_names) + "\n").encode())
        if part.num_rows:
            lines = _join([_csv_field(column) for column in part.combine_chunks().columns], ",")
            ended = _join([lines, _text("")], "\n")
            for chunk in ended.chunks if isinstance(ended, pa.ChunkedArray) else [ended]:
                _, ends, lines = chunk.buffers()  # all lines, one behind the other
                begin, *_, end = np.frombuffer(ends, np.int64)[chunk.offset : chunk.offset + len(chunk) + 1][[0, -1]]
                file.write(memoryview(lines)[begin:end])


def _text(value: str) -> Any:
    return pa.scalar(value, pa.large_string())


def _join(parts: list[Any], separator: str) -> Any:
    return pc.binary_join_element_wise(*parts, _text(separator), null_handling="replace", null_replacement="")


def _csv_field(column: Any) -> Any:
    """Return a column as text, in quotes where it needs them: Arrow's own writer puts all strings into quotes."""
    text = column.cast(pa.large_string())
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return text
    special = pc.match_substring_regex(text, '[",\n\r]')
    if not pc.any(special).as_py():
        return text
    quoted = _join([_text('"'), pc.replace_substring(text, '"', '""'), _text('"')], "")
    return pc.if_else(pc.fill_null(special, False), quoted, text)


def _jsonl(file: IO[bytes], parts: Iterable[Any]) -> None:
    for part in parts:
        lines = (json.dumps(row, ensure_ascii=False) for row in part.to_pylist())
        file.write("".join(f"{line}\n" for line in lines).encode())


def _parquet(file: IO[bytes], parts: Iterable[Any]) -> None:
    from pyarrow import parquet

    writer = None
    for part in parts:
        writer = writer or parquet.ParquetWriter(file, part.schema)
        writer.write_table(part)
    if writer:
        writer.close()


WRITERS: dict[str, Callable[[IO[bytes], Iterable[Any]], None]] = {"csv": _csv, "jsonl": _jsonl, "parquet": _parquet}
