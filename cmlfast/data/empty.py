"""Rows with an empty cell: all columns' are told at once, or they are left out and counted."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce

import pyarrow as pa
import pyarrow.compute as pc

from cmlfast.data.columns import LOG
from cmlfast.data.parts import Part

SHOWN = 5  # rows that a message names


class EmptyCells:
    """What to do with rows that lack an id, a value or a time.

    Parameters
    ----------
    skip : bool, optional
        Whether they are left out; None where a caller cannot say so, and no message may advise it.
    """

    def __init__(self, skip: bool | None) -> None:
        self._skip = skip
        self._n_skipped = 0
        self._first = ""

    def without(self, part: Part) -> Part:
        """Return a part without such rows, where they are to be left out.

        Raises
        ------
        ValueError
            If there are some, and they are not: names how many in each column, and the first rows.
        """
        columns = {role: part.table[role] for role in part.table.column_names if part.table[role].null_count}
        if not columns:
            return part
        empty = reduce(pc.or_, (column.is_null() for column in columns.values()))
        numbers = part.numbers(empty)
        if not self._skip:
            of_each = ", ".join(f"{column.null_count:,} in {role}" for role, column in columns.items())
            others = f" and {len(numbers) - SHOWN:,} more" if len(numbers) > SHOWN else ""
            rows = f"row{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers[:SHOWN]))}{others}"
            hint = "" if self._skip is None else ", or leave them out with skip_bad_lines=True (--skip-bad-lines)"
            raise ValueError(
                f"empty cells (null) in {len(numbers):,} of {part.table.num_rows:,} rows: {of_each}; {rows} of "
                f"{part.source}: fill or drop those rows{hint}"
            )
        self._first = self._first or f"row {numbers[0]} of {part.source}"
        self._n_skipped += len(numbers)
        kept = pc.invert(empty)
        return replace(part, table=part.table.filter(kept), kept=pa.array(part.numbers(kept), pa.int64()))

    def tell(self) -> None:
        """Log how many rows were left out."""
        if self._n_skipped:
            one = self._n_skipped == 1
            LOG.warning(
                "%s %s left out for an empty cell, the first of them %s",
                f"{self._n_skipped:,}", "row" if one else "rows", self._first,
            )  # fmt: skip
