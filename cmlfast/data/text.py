"""Read likes from delimited text, as people have it: any delimiter, encoding and header, lines that are too long."""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from cmlfast.data.columns import LOG, Roles, choose, is_known
from cmlfast.data.sources import Source, UnpackedTooLongError, Where, expand, text_source

HEAD = 1 << 16  # bytes that are looked at to tell what a file is like
LINES = 50
DELIMITERS = (",", "\t", ";", "|", "::", " ")  # of several that fit alike, the first
SEPARATOR = "\x1f"  # what takes the place of a delimiter of several characters, which Arrow does not know
BYTE_ORDER_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
NUMBER = re.compile(r"[+-]?(\d+([.,]\d*)?|[.,]\d+)([eE][+-]?\d+)?")


@dataclass(frozen=True)
class Format:
    """How a text is to be read; None where that is to be found out. :meth:`Interactions.from_csv` has the words."""

    delimiter: str | None = None
    encoding: str | None = None
    header: bool | None = None
    columns: Sequence[str] | None = None
    decimal: str = "."
    skip_bad_lines: bool = False


@dataclass(frozen=True)
class _Dialect:
    """How one text is written."""

    encoding: str
    delimiter: str
    header: bool
    names: list[str]


def read_csv(where: Where, roles: Roles, form: Format) -> Any:
    """Take the columns from delimited text files.

    Ids are integers if every one of a column is written as a plain integer, else strings: "007" stays "007".

    Parameters
    ----------
    where : path, pattern, folder, or several
        See :func:`cmlfast.data.sources.expand`.
    roles : Roles
        Which columns, see :func:`cmlfast.data.columns.choose`.
    form : Format

    Returns
    -------
    pyarrow.Table
        Of the columns "user", "item" and, if asked for, "value" and "time".

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If a column is missing, or a file is not in the format.
    """
    _check(form)
    tables = [_read(text_source(file), roles, form) for file in expand(where)]
    try:
        table = pa.concat_tables(tables, promote_options="permissive")
    except pa.ArrowException as error:
        raise ValueError(f"the files have values of different types: {error}") from error
    for position, name in enumerate(("user", "item")):
        table = table.set_column(position, name, _plain_integers(table[name]))
    return table


def _check(form: Format) -> None:
    for name, allowed in (("delimiter", form.delimiter), ("decimal", form.decimal)):
        if allowed is not None and (not isinstance(allowed, str) or not allowed or "\n" in allowed):
            raise ValueError(f"{name} is {allowed!r}; it must be a character, such as ',' or ';'")
    if len(form.decimal) != 1:
        raise ValueError(f"decimal is {form.decimal!r}; it must be one character, '.' or ','")
    if form.encoding is not None:
        try:
            codecs.lookup(form.encoding)
        except (LookupError, TypeError) as error:
            raise ValueError(f"encoding is {form.encoding!r}, which Python does not know: {error}") from error


def _read(source: Source, roles: Roles, form: Format) -> Any:
    from pyarrow import csv as arrow_csv  # here, because few programs read CSV

    dialect = _dialect(source, form, roles)
    try:
        columns = choose(dialect.names, roles, source.name)
    except ValueError as error:
        raise ValueError(f"{source.name} with delimiter {dialect.delimiter!r}: {error}") from error
    bad: list[Any] = []

    def bad_line(row: Any) -> str:
        bad.append(row)
        return "skip" if form.skip_bad_lines else "error"

    stream, delimiter, encoding = _for_arrow(source, dialect)
    try:
        table = arrow_csv.read_csv(
            stream,
            # One thread: with more, Arrow does not tell the numbers of bad lines.
            read_options=arrow_csv.ReadOptions(
                use_threads=False, column_names=dialect.names, skip_rows=int(dialect.header), encoding=encoding
            ),
            parse_options=arrow_csv.ParseOptions(
                delimiter=delimiter, newlines_in_values=True, invalid_row_handler=bad_line
            ),
            convert_options=arrow_csv.ConvertOptions(
                include_columns=list(columns.values()),
                column_types={columns[role]: pa.large_string() for role in ("user", "item")},
                decimal_point=form.decimal,
                # An empty field is a missing one; "NA" and "null" are ids like others.
                null_values=[""],
                strings_can_be_null=True,
            ),
        )
    except UnpackedTooLongError:
        raise
    except (ValueError, UnicodeError) as error:  # ArrowInvalid is one
        if bad:
            raise ValueError(
                f"{source.name}: line {bad[0].number} has {bad[0].actual_columns} fields in place of "
                f"{bad[0].expected_columns}, {_short(bad[0].text)}: mend it, or leave such lines out with "
                "skip_bad_lines=True (--skip-bad-lines)"
            ) from error
        raise _undecodable(source, dialect, error) from error
    if bad:
        LOG.warning(
            "%s: %d lines left out for their number of fields, the first of them line %d, %s",
            source.name, len(bad), bad[0].number, _short(bad[0].text),
        )  # fmt: skip
    return table.rename_columns(list(columns))


def _dialect(source: Source, form: Format, roles: Roles) -> _Dialect:
    """Find out how a text is written, where the caller does not say."""
    with source.open() as stream:
        begin = stream.read(HEAD)
    encoding = form.encoding or next(
        (name for mark, name in BYTE_ORDER_MARKS.items() if begin.startswith(mark)), "utf-8"
    )
    lines = begin.decode(encoding, errors="replace").splitlines()
    if len(begin) == HEAD:
        lines = lines[:-1]  # of which only a part may be there
    lines = [line for line in lines if line.strip()][:LINES]
    if not lines:
        raise ValueError(f"{source.name} has no rows")
    if any("\0" in line for line in lines):
        raise ValueError(
            f"{source.name} holds NUL bytes: it is no text, or not in {encoding}; say which with encoding=... "
            "(--encoding), for example utf-16-le"
        )
    delimiter = form.delimiter or _delimiter(lines)
    rows = [_fields(line, delimiter) for line in lines]
    if form.header is None and form.columns is None:
        header = True
        _require_names(rows, list(roles.given().values()), source.name)
    else:
        header = bool(form.header)
    if form.columns is not None:
        names = list(form.columns)
        if len(names) != len(rows[0]):
            raise ValueError(
                f"columns has {len(names)} names, {names}, but {source.name} has {len(rows[0])} fields with delimiter "
                f"{delimiter!r}: give one for each"
            )
    else:
        names = rows[0] if header else [f"column {number}" for number in range(1, len(rows[0]) + 1)]
    return _Dialect(encoding, delimiter, header, names)


def _delimiter(lines: Sequence[str]) -> str:
    """Return what parts every line into the same number of fields, two at least, and into the most."""
    found = {}
    for delimiter in DELIMITERS:
        counts = [len(_fields(line, delimiter)) for line in lines]
        usual = max(set(counts), key=counts.count)
        # A few lines may be bad.
        if usual > 1 and counts.count(usual) >= 0.9 * len(lines):
            found[delimiter] = usual
    if " " in found and len(found) > 1:
        del found[" "]
    return max(found, key=lambda one: found[one]) if found else ","


def _fields(line: str, delimiter: str) -> list[str]:
    fields = next(csv.reader([line], delimiter=delimiter), []) if len(delimiter) == 1 else line.split(delimiter)
    return [field.strip() for field in fields]


def _require_names(rows: Sequence[Sequence[str]], wanted: Sequence[str], name: str) -> None:
    """Raise ``ValueError`` if a text's first line looks like data: by numbers, or ids that come again below."""
    first, rest = rows[0], rows[1:]
    if set(wanted) & set(first) or any(is_known(field) for field in first):
        return
    again = [set(column) for column in zip(*(row for row in rest if len(row) == len(first)), strict=True)]
    if any(NUMBER.fullmatch(field) for field in first) or any(
        field in column for field, column in zip(first, again, strict=False)
    ):
        raise ValueError(
            f"{name}: the first line, {first}, looks like data, not like the columns' names: say header=False "
            "(--no-header) if it is, or header=True (--header)"
        )


def _for_arrow(source: Source, dialect: _Dialect) -> tuple[Any, str, str]:
    """Return a text's stream, delimiter and encoding as Arrow can read them."""
    if len(dialect.delimiter) == 1:
        return source.open(), dialect.delimiter, dialect.encoding.replace("utf-8-sig", "utf-8")
    with source.open() as stream:
        try:
            text = stream.read().decode(dialect.encoding)
        except UnicodeDecodeError as error:
            raise _undecodable(source, dialect, error) from error
    return pa.BufferReader(text.replace(dialect.delimiter, SEPARATOR).encode()), SEPARATOR, "utf-8"


def _undecodable(source: Source, dialect: _Dialect, error: Exception) -> ValueError:
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


def _plain_integers(column: Any) -> Any:
    """Turn a column of strings into int64 if no digit, sign or zero is lost by that, else leave it."""
    try:
        integers = column.cast(pa.int64())
    except pa.ArrowInvalid:
        return column
    unchanged = pc.all(pc.equal(integers.cast(pa.large_string()), column)).as_py()
    return integers if unchanged else column
