"""Take the columns of likes from Arrow frames and Parquet, and tell which rows are likes.

Each reader returns a pyarrow.Table of columns named "user", "item" and, if asked for, "value" and "time", as
:func:`cmlfast.data.text.read_csv` does.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from cmlfast.data.columns import Roles, choose
from cmlfast.data.sources import Where, expand

ENOUGH_ROWS = 2**24  # that any Parquet file may hold, of some 75 bytes in memory each, and
ROWS_A_BYTE = 100  # what more may be for each of its bytes: an item's number alone takes a byte or two


def read_frame(frame: Any, roles: Roles) -> Any:
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
        table = pa.table(frame)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise ValueError(f"frame does not convert to Arrow: {error}. Give each column a single type") from error
    return _select(table, choose(_as_shown(table), roles, "the frame"))


def read_parquet(where: Where, roles: Roles) -> Any:
    """Take the columns from Parquet files, see :func:`cmlfast.data.sources.expand`, or from a folder of them.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If a column is missing, or a file is not in the format.
    """
    name = repr(os.fspath(where)) if isinstance(where, str | os.PathLike) else "the files"
    try:
        data = _dataset(where)
        _believe(data)
        columns = choose(data.schema.names, roles, name)
        data = _dataset(where, [columns["user"], columns["item"]])
        return _select(data.to_table(columns=list(columns.values())), columns)
    except (ValueError, NotImplementedError) as error:  # what Arrow says of formats that it does not know
        raise ValueError(f"{name}: {error}") from error


def _believe(data: Any) -> None:
    """Raise ``ValueError`` for a file that says of itself that it has more rows than its bytes can mean."""
    for part in data.get_fragments():
        rows, size = part.metadata.num_rows, os.stat(part.path).st_size
        if rows > max(ENOUGH_ROWS, ROWS_A_BYTE * size):
            raise ValueError(
                f"{part.path!r} has {size} bytes and says that it holds {rows} rows: that is hardly a table of likes"
            )


def _dataset(where: Where, ids: Sequence[str] = ()) -> Any:
    """Open files; strings in columns of ids stay dictionaries and numbers, which are all that a row takes."""
    from pyarrow import dataset  # here, because its import is slow

    form = dataset.ParquetFileFormat(dictionary_columns=ids)
    # A folder as it is: the names of its folders may be columns.
    folder = isinstance(where, str | os.PathLike) and os.path.isdir(where)
    return dataset.dataset(where if folder else expand(where), format=form, partitioning="hive")


def liked(table: Any, min_value: float | None) -> npt.NDArray[np.bool_]:
    """Tell which of a table's n rows are likes.

    They are all rows, those of a value above zero, or those of at least `min_value`.

    Returns
    -------
    ndarray of shape (n,), bool

    Raises
    ------
    TypeError
        If `min_value` is no number.
    ValueError
        If values are no numbers, missing or not finite, negative without a `min_value`, or all too small.
    """
    if min_value is not None and (isinstance(min_value, bool) or not isinstance(min_value, int | float | np.number)):
        raise TypeError(f"min_value is {min_value!r}; it must be a number")
    if "value" not in table.column_names:
        if min_value is not None:
            raise ValueError(f"min_value={min_value!r} without value: name the column it applies to, value=...")
        return np.ones(table.num_rows, dtype=np.bool_)
    column = table["value"]
    if column.null_count:
        raise ValueError(f"the value column lacks {column.null_count} of {len(column)} values: drop those rows")
    try:
        values = column.cast(pa.float64()).to_numpy()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise ValueError(
            f"the value column is {column.type}, not numbers: {error}; if it has decimal commas, decimal=',' "
            "(--decimal ,) says so"
        ) from error
    if not np.isfinite(values).all():
        raise ValueError(f"the value column contains {values[~np.isfinite(values)][0]}: drop those rows")
    if min_value is None and values.min() < 0:
        raise ValueError(f"the value column contains {values.min():g}: say with min_value=... which values are likes")
    rows: npt.NDArray[np.bool_] = values > 0 if min_value is None else values >= min_value
    if not rows.any():
        least = "above 0" if min_value is None else f"of min_value={min_value!r} or more"
        raise ValueError(f"no row has a value {least}; the largest is {values.max():g}: lower min_value")
    return rows


def times(table: Any) -> npt.NDArray[np.int64] | npt.NDArray[np.float64] | None:
    """Return a table's times [n], whatever they count from, or None without any.

    Raises
    ------
    ValueError
        If they are neither numbers nor dates, or missing in places.
    """
    if "time" not in table.column_names:
        return None
    column = table["time"]
    if column.null_count:
        raise ValueError(f"the time column lacks {column.null_count} of {len(column)} values: drop those rows")
    if pa.types.is_temporal(column.type):
        column = column.cast(pa.timestamp("us", getattr(column.type, "tz", None)))
    elif not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        raise ValueError(
            f"the time column is {column.type}, such as {str(column[0])!r}: give numbers, or dates and times as in "
            "2026-11-29 or 2026-11-29 18:30:00"
        )
    kind = pa.float64() if pa.types.is_floating(column.type) else pa.int64()
    found: npt.NDArray[np.int64] | npt.NDArray[np.float64] = column.cast(kind).to_numpy()
    if not np.isfinite(found).all():
        raise ValueError(f"the time column contains {found[~np.isfinite(found)][0]}: drop those rows")
    return found


def _as_shown(table: Any) -> list[str]:
    """Return a table's columns in the order in which pandas shows them: its index, which Arrow puts last, first."""
    names = list(table.column_names)
    metadata = json.loads((table.schema.metadata or {}).get(b"pandas", b"{}"))
    index = [name for name in metadata.get("index_columns", ()) if isinstance(name, str) and name in names]
    return [*index, *(name for name in names if name not in index)]


def _select(table: Any, columns: dict[str, str]) -> Any:
    return table.select(list(columns.values())).rename_columns(list(columns))
