"""Read likes from delimited text, as people have it, a part at a time; lines that are too long or too short."""

from __future__ import annotations

import codecs
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from cmlfast.data.columns import LOG, Roles, choose
from cmlfast.data.dialect import Dialect, Format, check_format, dialect_of
from cmlfast.data.parts import Part, Table, after
from cmlfast.data.sources import PackedError, Source, Where, expand, text_source

BLOCK = 1 << 24  # bytes that Arrow reads at once; no line may be longer
SEPARATOR = "\x1f"  # what takes the place of a delimiter of several characters, which Arrow does not know


def read_csv(where: Where, roles: Roles, form: Format) -> Table:
    """Take the columns from delimited text files, a part at a time.

    Parameters
    ----------
    where : path, pattern, folder, or several
        See :func:`cmlfast.data.sources.expand`.
    roles : Roles
        Which columns, see :func:`cmlfast.data.columns.choose`.
    form : Format

    Returns
    -------
    Table
        Its ids are strings, "007" as it is written. Of several files those without any line are left out, which is
        said.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        Here or while the parts are taken, if a column is missing, or a file is not in the format.
    """
    check_format(form)
    files = expand(where)
    sizes = [os.path.getsize(file) for file in files if os.path.isfile(file)]
    total = sum(sizes) if len(sizes) == len(files) else None
    skip_empty = form.skip_bad_lines if roles.describes == "likes" else None
    return Table(_of_files(files, roles, form), total, "B", strings=True, skip_empty=skip_empty)


def _of_files(files: Sequence[str], roles: Roles, form: Format) -> Iterator[Part]:
    names: list[str] = []
    columns: dict[str, str] = {}
    for file in files:
        source = text_source(file)
        if len(files) > 1 and not source.begin:
            LOG.warning("%s is empty: left out", source.name)
            continue
        dialect = dialect_of(source, form, roles)
        if dialect.names != names:  # of files alike, what is taken as what is said once
            try:
                columns = choose(dialect.names, roles, source.name)
            except ValueError as error:
                raise ValueError(f"{source.name} with delimiter {dialect.delimiter!r}: {error}") from error
            names = dialect.names
        yield from _of_file(source, dialect, columns, form)


def _of_file(source: Source, dialect: Dialect, columns: dict[str, str], form: Format) -> Iterator[Part]:
    """Yield a text's parts. Arrow guesses types by the first: where a later one shows another, it begins again."""
    types = {columns[role]: pa.large_string() for role in ("user", "item")}
    n_seen = 0
    while True:
        reading = _Reading(source, dialect, columns, types, form.decimal, form.skip_bad_lines)
        try:
            for part in after(reading.parts(), n_seen):
                yield part
                n_seen += part.table.num_rows
            break
        except PackedError:
            raise
        except (ValueError, UnicodeError) as error:  # ArrowInvalid is one
            wider = {} if reading.stopped else reading.wider(error)
            if not wider:
                raise reading.explained(error) from error
            types = types | wider
    if reading.bad:
        LOG.warning(
            "%s: %d lines left out for their number of fields, the first of them line %d, %s",
            source.name, len(reading.bad), reading.bad[0].number, _short(reading.bad[0].text),
        )  # fmt: skip


@dataclass
class _Reading:
    """One reading of a text, from its begin, with these types of columns."""

    source: Source
    dialect: Dialect
    columns: dict[str, str]
    types: dict[str, Any]
    decimal: str
    skip_bad_lines: bool
    bad: list[Any] = field(default_factory=list)
    found: Any = None  # the schema, by the first block

    @property
    def stopped(self) -> bool:
        """Whether a line of another length ended it."""
        return bool(self.bad) and not self.skip_bad_lines

    def parts(self) -> Iterator[Part]:
        """Yield what Arrow reads."""
        from pyarrow import csv as arrow_csv  # here, because few programs read CSV

        raw, stream, delimiter, encoding = _for_arrow(self.source, self.dialect)
        options = self._options(arrow_csv, delimiter, encoding, list(self.columns.values()))
        with _unprinted(options["parse_options"].invalid_row_handler):
            reader = arrow_csv.open_csv(stream, **options)
        self.found = reader.schema
        first, read = 1, 0
        while True:
            with _unprinted(options["parse_options"].invalid_row_handler):
                batch = next(reader, None)
            if batch is None:
                return
            at = raw.tell()
            table = pa.Table.from_batches([batch]).rename_columns(list(self.columns))
            yield Part(table, self.source.name, first, at - read)
            first, read = first + len(batch), at

    def wider(self, error: Exception) -> dict[str, Any]:
        """Return types that also hold what did not fit those of the first block, or nothing."""
        from pyarrow import csv as arrow_csv

        if "conversion error" not in str(error) or self.found is None:
            return {}
        of = {name: self.found.field(name).type for name in self.columns.values() if name not in self.types}
        value = self.columns.get("value")
        if value in of and pa.types.is_integer(of[value]):
            return {value: pa.float64()}
        time = self.columns.get("time")
        if time not in of:
            return {}
        _, stream, delimiter, encoding = _for_arrow(self.source, self.dialect)
        whole = arrow_csv.read_csv(stream, **self._options(arrow_csv, delimiter, encoding, [time])).schema.field(0).type
        return {} if pa.types.is_large_string(whole) or pa.types.is_string(whole) else {time: whole}

    def _options(self, arrow_csv: Any, delimiter: str, encoding: str, include: list[str]) -> dict[str, Any]:
        def bad_line(row: Any) -> str:
            self.bad.append(row)
            return "skip" if self.skip_bad_lines else "error"

        return {
            # One thread: with more, Arrow does not tell the numbers of bad lines.
            "read_options": arrow_csv.ReadOptions(
                use_threads=False, column_names=self.dialect.names, skip_rows=int(self.dialect.header),
                encoding=encoding, block_size=BLOCK,
            ),
            "parse_options": arrow_csv.ParseOptions(
                delimiter=delimiter, newlines_in_values=True, invalid_row_handler=bad_line
            ),
            "convert_options": arrow_csv.ConvertOptions(
                include_columns=include,
                column_types={name: kind for name, kind in self.types.items() if name in include},
                decimal_point=self.decimal,
                # An empty field is a missing one; "NA" and "null" are ids like others.
                null_values=[""],
                strings_can_be_null=True,
            ),
        }  # fmt: skip

    def explained(self, error: Exception) -> ValueError:
        """Return an error that says where the text is wrong."""
        if self.stopped:
            bad = self.bad[0]
            return ValueError(
                f"{self.source.name}: line {bad.number} has {bad.actual_columns} fields in place of "
                f"{bad.expected_columns}, {_short(bad.text)}: mend it, or leave such lines out with "
                "skip_bad_lines=True (--skip-bad-lines)"
            )
        return _undecodable(self.source, self.dialect, error)


@contextmanager
def _unprinted(handler: Any) -> Iterator[None]:
    """Let Python not print a traceback where Arrow fails to decode a line for its handler: it raises as well."""
    before = sys.unraisablehook

    def hook(told: Any) -> None:
        if told.object is not handler:
            before(told)

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = before


def _for_arrow(source: Source, dialect: Dialect) -> tuple[Any, Any, str, str]:
    """Return a text's bytes, and the stream, delimiter and encoding that Arrow can read."""
    raw, stream = source.open_both()
    if len(dialect.delimiter) == 1:
        return raw, stream, dialect.delimiter, dialect.encoding.replace("utf-8-sig", "utf-8")
    if not isinstance(stream, pa.NativeFile):
        stream = pa.PythonFile(stream, mode="r")
    return raw, pa.TransformInputStream(stream, _OneCharacter(dialect)), SEPARATOR, "utf-8"


class _OneCharacter:
    """Puts one character in the place of a delimiter of several, in bytes that come in pieces; makes them UTF-8."""

    def __init__(self, dialect: Dialect) -> None:
        self._delimiter = dialect.delimiter
        self._decoder = codecs.getincrementaldecoder(dialect.encoding)()
        self._kept = ""

    def __call__(self, piece: bytes) -> bytes:
        text = (self._kept + self._decoder.decode(piece, final=not piece)).replace(self._delimiter, SEPARATOR)
        # What may be the begin of a delimiter waits for what follows; nothing does behind the last piece.
        begins = [n for n in range(1, len(self._delimiter)) if text.endswith(self._delimiter[:n])] if piece else []
        cut = len(text) - max(begins, default=0)
        self._kept = text[cut:]
        return text[:cut].encode()


def _undecodable(source: Source, dialect: Dialect, error: Exception) -> ValueError:
    """Return an error that names the first line that is not in the encoding, or else the error itself."""
    decoder, number = codecs.getincrementaldecoder(dialect.encoding)(), 1
    with source.open() as stream:
        while chunk := stream.read(1 << 20):  # not by lines, of which one may be as long as the file
            try:
                decoder.decode(chunk)
            except UnicodeDecodeError as wrong:
                number += wrong.object[: wrong.start].count(b"\n")
                return ValueError(
                    f"{source.name}: line {number} is not in {dialect.encoding} ({wrong.reason}, byte "
                    f"0x{wrong.object[wrong.start]:02x}): say what it is in with encoding=... (--encoding), for "
                    "example latin-1"
                )
            number += chunk.count(b"\n")
    return ValueError(f"{source.name} with delimiter {dialect.delimiter!r}: {error}")


def _short(text: str) -> str:
    return repr(text if len(text) < 60 else text[:57] + "...")
