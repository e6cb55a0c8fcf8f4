"""How a text is written: its encoding, delimiter and header, as the caller says or as its first lines show."""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass

from cmlfast.data.columns import Roles, is_known
from cmlfast.data.sources import HEAD, Source

LINES = 50  # that are looked at to tell what a file is like
DELIMITERS = (",", "\t", ";", "|", "::", " ")  # of several that fit alike, the first
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
class Dialect:
    """How one text is written."""

    encoding: str
    delimiter: str
    header: bool
    names: list[str]


def check_format(form: Format) -> None:
    """Raise ``ValueError`` if what the caller says cannot be."""
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


def dialect_of(source: Source, form: Format, roles: Roles) -> Dialect:
    """Find out how a text is written, where the caller does not say."""
    begin = source.begin
    encoding = form.encoding or next(
        (name for mark, name in BYTE_ORDER_MARKS.items() if begin.startswith(mark)), "utf-8"
    )
    lines = begin.decode(encoding, errors="replace").splitlines()
    if len(begin) == HEAD:
        if len(lines) < 2:
            raise ValueError(
                f"{source.name}: the first line is longer than {HEAD} bytes; a file of likes has a row for each like, "
                "with a user and an item, not a column for each item"
            )
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
    return Dialect(encoding, delimiter, header, names)


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
    return [one.strip() for one in fields]


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
