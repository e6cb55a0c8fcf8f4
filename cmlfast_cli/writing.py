"""Writes tables of answers to standard output or to a file."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from cmlfast.data.table_file import format_of, whole_file, write_tables
from cmlfast_cli.streams import standard_output


def check_replaced(option: str, path: str, target: Path, is_such: Callable[[Path], bool], what: str) -> None:
    """Raise ``ValueError`` if a file would be replaced that is of another kind than what is to be written."""
    if target.exists() and target.stat().st_size and not is_such(target):
        raise ValueError(f"{option} {path} is there and is no {what}; give another name, or remove that file")


def write_answers(path: str | None, form: str | None, parts: Iterable[Any]) -> None:
    """Write parts of a table, all or nothing where it is a file.

    Parameters
    ----------
    path : str, optional
        A file; standard output without.
    form : {"csv", "jsonl", "parquet"}, optional
        By default what the file's name says, CSV otherwise.
    parts : iterable of pyarrow.Table
        What goes wrong before the first one leaves nothing written.

    Raises
    ------
    OutputLostError
        If standard output cannot be written to, for any reason but that nobody reads it.
    OSError
        If the file cannot.
    """
    with _stdout() if path is None else whole_file(path) as file:
        write_tables(file, format_of(path or "", form), parts)


@contextmanager
def _stdout() -> Iterator[IO[bytes]]:
    sys.stdout.flush()
    with standard_output():
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
