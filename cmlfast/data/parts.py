"""A table as it is read: in parts, each of which knows where it comes from, to call a bad row by its place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from cmlfast.data.ids import plain_integers
from cmlfast.data.progress import hides_bar

BATCH = 1 << 20  # rows that are read at once


@dataclass(frozen=True)
class Part:
    """Some rows of a table.

    Attributes
    ----------
    table : pyarrow.Table
        Of the columns "user", "item" and, if asked for, "value" and "time".
    source : str
        What to call the file, or the frame, in messages.
    first : int
        The number of its first row there, from 1 on, a header not counted.
    size : int
        How far reading came with it, in the unit of its `Table`.
    kept : pyarrow.Array of shape (n,), optional
        The numbers of its rows there, where some were left out.
    """

    table: Any
    source: str
    first: int
    size: int
    kept: Any = None

    def row(self, mask: Any) -> str:
        """Say which row is the first of those that a mask [n], an Arrow column of booleans, picks."""
        place = pc.index(mask, True).as_py()
        return f"row {self.first + place if self.kept is None else self.kept[place]} of {self.source}"

    def numbers(self, mask: Any) -> npt.NDArray[np.int64]:
        """Return the numbers of the rows that a mask [n] picks, of a part of which no row was left out."""
        return self.first + np.flatnonzero(np.asarray(mask)).astype(np.int64)


@dataclass(frozen=True)
class Table:
    """A table that is read as its parts are asked for, once.

    Attributes
    ----------
    parts : iterator of Part
    total : int, optional
        The sum of their sizes.
    unit : str
        What a size counts.
    strings : bool
        Whether ids are strings only because they come from text: integers if all are written as such.
    skip_empty : bool, optional
        Whether rows with an empty cell are to be left out; None where nobody could say so.
    """

    parts: Iterator[Part]
    total: int | None
    unit: str
    strings: bool = False
    skip_empty: bool | None = None

    def shown(self, show_progress: bool | None) -> Iterator[Part]:
        """Yield the parts, and show a bar, see :func:`cmlfast.data.progress.hides_bar`, if it takes a second."""
        from tqdm.auto import tqdm

        with tqdm(
            total=self.total, unit=self.unit, unit_scale=True, desc="reading", leave=False, delay=1,
            disable=hides_bar(show_progress),
        ) as bar:  # fmt: skip
            for part in self.parts:
                yield part
                bar.update(part.size)

    def whole(self) -> Any:
        """Return all rows as a pyarrow.Table, of what is small; ids of text are integers if all are written as such."""
        parts = [part.table for part in self.parts]
        if not parts:
            raise ValueError("the table has no rows")
        table = pa.concat_tables(parts, promote_options="permissive")
        for position, name in enumerate(("user", "item") if self.strings else ()):
            table = table.set_column(position, name, plain_integers(table[name]))
        return table


def parts_of(batches: Iterable[Any], columns: dict[str, str], source: str) -> Iterator[Part]:
    """Yield Arrow's batches of a source's columns, by role, none of them longer than `BATCH`."""
    first = 1
    for batch in batches:
        table = pa.Table.from_batches([batch]).select(list(columns.values())).rename_columns(list(columns))
        for begin in range(0, max(len(batch), 1), BATCH):  # pandas gives one batch, however long
            part = table.slice(begin, BATCH)
            yield Part(part, source, first, part.num_rows)
            first += part.num_rows


def after(parts: Iterator[Part], n_seen: int) -> Iterator[Part]:
    """Yield the parts of a source without its first rows."""
    for part in parts:
        begun = part.first + part.table.num_rows - 1
        if begun > n_seen:
            skipped = max(n_seen - part.first + 1, 0)
            yield replace(part, table=part.table.slice(skipped), first=part.first + skipped) if skipped else part
