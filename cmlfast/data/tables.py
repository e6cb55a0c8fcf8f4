"""Take the columns of likes from Arrow frames, a part at a time, and tell which rows are likes."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from cmlfast.data.columns import Roles, choose
from cmlfast.data.ids import id_column
from cmlfast.data.parts import Part, Table, parts_of


def read_frame(frame: Any, roles: Roles) -> Table:
    """Take the columns from anything that exports Arrow streams (pandas, Polars, DuckDB, pyarrow).

    Raises
    ------
    TypeError
        If `frame` has no `__arrow_c_stream__`.
    ValueError
        If a column is missing, or the frame does not convert to Arrow.
    """
    if not hasattr(frame, "__arrow_c_stream__"):
        raise TypeError(
            f"frame is a {type(frame).__name__}, which does not export Arrow (__arrow_c_stream__): pass a "
            "pandas (>= 2.2), Polars, DuckDB or pyarrow table; for a SciPy matrix use Interactions(matrix)"
        )
    try:
        reader = pa.RecordBatchReader.from_stream(frame)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise ValueError(f"frame does not convert to Arrow: {error}. Give each column a single type") from error
    columns = choose(_as_shown(reader.schema), roles, "the frame")
    return Table(parts_of(reader, columns, "the frame"), None, "row")


def liked(part: Part, min_value: float | None) -> tuple[npt.NDArray[np.bool_], float, float]:
    """Tell which of a part's n rows are likes.

    They are all rows, those of a value above zero, or those of at least `min_value`.

    Returns
    -------
    likes : ndarray of shape (n,), bool
    smallest, largest : float
        Of the values; plus and minus infinity without any.

    Raises
    ------
    ValueError
        If values are no numbers or not finite, or negative without a `min_value`.
    """
    n_rows = part.table.num_rows
    if "value" not in part.table.column_names or n_rows == 0:
        return np.ones(n_rows, dtype=np.bool_), np.inf, -np.inf
    column = part.table["value"]
    try:
        values = column.cast(pa.float64()).to_numpy()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise ValueError(
            f"{part.source}: the value column is {column.type}, not numbers: {error}; if it has decimal commas, "
            "decimal=',' (--decimal ,) says so"
        ) from error
    _require_finite(part, "value", values)
    if min_value is None and values.min() < 0:
        at = pa.array(values < 0)
        raise ValueError(
            f"the value column contains {values[values < 0][0]:g} ({part.row(at)}): say with min_value=... which "
            "values are likes"
        )
    rows: npt.NDArray[np.bool_] = values > 0 if min_value is None else values >= min_value
    return rows, float(values.min()), float(values.max())


def check_min_value(min_value: float | None, has_values: bool) -> None:
    """Raise ``TypeError`` if `min_value` is no number, ``ValueError`` if there is nothing that it applies to."""
    if min_value is None:
        return
    if isinstance(min_value, bool) or not isinstance(min_value, int | float | np.number):
        raise TypeError(f"min_value is {min_value!r}; it must be a number")
    if not has_values:
        raise ValueError(f"min_value={min_value!r} without value: name the column it applies to, value=...")


def times(part: Part) -> npt.NDArray[np.int64] | npt.NDArray[np.float64] | None:
    """Return a part's times [n], whatever they count from, or None without any.

    Raises
    ------
    ValueError
        If they are neither numbers nor dates.
    """
    if "time" not in part.table.column_names:
        return None
    column = part.table["time"]
    if pa.types.is_temporal(column.type):
        column = column.cast(pa.timestamp("us", getattr(column.type, "tz", None)))
    elif len(column) == 0:
        return np.empty(0, dtype=np.int64)
    elif not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        raise ValueError(
            f"{part.source}: the time column is {column.type}, such as {str(column[0])!r}: give numbers, or dates and "
            "times as in 2026-11-29 or 2026-11-29 18:30:00"
        )
    kind = pa.float64() if pa.types.is_floating(column.type) else pa.int64()
    found: npt.NDArray[np.int64] | npt.NDArray[np.float64] = column.cast(kind).to_numpy()
    _require_finite(part, "time", found)
    return found


def ids(part: Part, role: str) -> Any:
    """Return the ids of a part's users or items, see :func:`cmlfast.data.ids.id_column`."""
    column = part.table[role]
    try:
        if pa.types.is_dictionary(column.type):  # which `Numbering` need not have written out
            return pa.chunked_array(
                [
                    pa.DictionaryArray.from_arrays(chunk.indices, id_column(chunk.dictionary, f"{role} column"))
                    for chunk in column.chunks
                ]
            )
        return id_column(column, f"{role} column")
    except ValueError as error:
        raise ValueError(f"{part.source}: {error}") from error


def _require_finite(part: Part, role: str, values: npt.NDArray[Any]) -> None:
    if not np.isfinite(values).all():
        wrong = ~np.isfinite(values)
        raise ValueError(
            f"the {role} column contains {values[wrong][0]} ({part.row(pa.array(wrong))}): drop those rows"
        )


def _as_shown(schema: Any) -> list[str]:
    """Return a table's columns in the order in which pandas shows them: its index, which Arrow puts last, first."""
    names = list(schema.names)
    try:
        metadata = json.loads((schema.metadata or {}).get(b"pandas", b"{}"))
    except (ValueError, RecursionError):  # not by pandas
        metadata = {}
    columns = metadata.get("index_columns", ()) if isinstance(metadata, dict) else ()
    columns = columns if isinstance(columns, list) else ()
    index = [name for name in columns if isinstance(name, str) and name in names]
    return [*index, *(name for name in names if name not in index)]
