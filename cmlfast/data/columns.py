"""Read the columns that make interactions (Arrow frames, CSV, Parquet) and tell which rows are likes.

Each reader returns a pyarrow.Table of two or three columns named "user", "item" and, if asked for, "value".
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc


def read_frame(frame: Any, user: str | None, item: str | None, value: str | None) -> Any:
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
    return _select(table, _columns(table.column_names, user, item, value))


def column_names(path: str | os.PathLike[str], delimiter: str | None) -> list[str]:
    """Return the names of a text file's columns; of a Parquet file's, or a folder of them, if ``delimiter`` is None."""
    try:
        if delimiter is None:
            from pyarrow import dataset

            return list(dataset.dataset(path, format="parquet").schema.names)
        from pyarrow import csv

        with csv.open_csv(path, parse_options=csv.ParseOptions(delimiter=delimiter)) as reader:
            return list(reader.schema.names)
    except ValueError as error:
        raise ValueError(f"{os.fspath(path)!r}: {error}") from error


def read_csv(
    path: str | os.PathLike[str], user: str | None, item: str | None, value: str | None, delimiter: str
) -> Any:
    """Take the columns from a delimited text file, also a compressed one, whose first line names them.

    Ids are integers if every one of a column is written as a plain integer, else strings: "007" stays "007".

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If a column is missing, or the file is not in the format.
    """
    from pyarrow import csv  # here, because few programs read CSV

    parse = csv.ParseOptions(delimiter=delimiter)
    try:
        with csv.open_csv(path, parse_options=parse) as reader:
            names = reader.schema.names
        columns = _columns(names, user, item, value)
        if user is None and item is None and all(name.isdigit() for name in columns[:2]):
            raise ValueError(f"the first line is {names}, which is data: put the columns' names before it")
        convert = csv.ConvertOptions(
            include_columns=columns,
            column_types={name: pa.large_string() for name in columns[:2]},
            # An empty field is a missing one; "NA" and "null" are ids like others.
            null_values=[""],
            strings_can_be_null=True,
        )
        table = _select(csv.read_csv(path, parse_options=parse, convert_options=convert), columns)
    except ValueError as error:  # ArrowInvalid is one
        raise ValueError(f"{os.fspath(path)!r} with delimiter {delimiter!r}: {error}") from error
    for position, name in enumerate(("user", "item")):
        table = table.set_column(position, name, _plain_integers(table[name]))
    return table


def read_parquet(path: str | os.PathLike[str], user: str | None, item: str | None, value: str | None) -> Any:
    """Take the columns from a Parquet file, or from a folder of them.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If a column is missing, or the file is not in the format.
    """
    from pyarrow import dataset  # here, because its import is slow

    try:
        data = dataset.dataset(path, format="parquet")
        columns = _columns(data.schema.names, user, item, value)
        return _select(data.to_table(columns=columns), columns)
    except ValueError as error:
        raise ValueError(f"{os.fspath(path)!r}: {error}") from error


def liked(table: Any, min_value: float | None) -> npt.NDArray[np.bool_]:
    """Tell which of a table's n rows are likes.

    They are all rows, those of a value above zero, or those of at least `min_value`.

    Returns
    -------
    ndarray of shape (n,), bool

    Raises
    ------
    ValueError
        If values are no numbers, missing or not finite, negative without a `min_value`, or all too small.
    """
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
        raise ValueError(f"the value column is {column.type}, not numbers: {error}") from error
    if not np.isfinite(values).all():
        raise ValueError(f"the value column contains {values[~np.isfinite(values)][0]}: drop those rows")
    if min_value is None and values.min() < 0:
        raise ValueError(f"the value column contains {values.min():g}: say with min_value=... which values are likes")
    rows: npt.NDArray[np.bool_] = values > 0 if min_value is None else values >= min_value
    if not rows.any():
        least = "above 0" if min_value is None else f"of min_value={min_value!r} or more"
        raise ValueError(f"no row has a value {least}; the largest is {values.max():g}: lower min_value")
    return rows


def _columns(names: Sequence[str], user: str | None, item: str | None, value: str | None) -> list[str]:
    """Settle which columns to read: by default the first for users and the second for items."""
    if len(names) < 2:
        raise ValueError(f"{len(names)} column(s) {list(names)}: users and items need one each")
    wanted = {"user": user or names[0], "item": item or names[1]}
    if value is not None:
        wanted["value"] = value
    for role, name in wanted.items():
        found = list(names).count(name)
        if found != 1:
            problem = "is not there" if found == 0 else f"is there {found} times"
            raise ValueError(f"{role}={name!r}: this column {problem}; the columns are {list(names)}")
    columns = list(wanted.values())
    if len(set(columns)) < len(columns):
        raise ValueError(f"{', '.join(f'{k}={v!r}' for k, v in wanted.items())}: name a different column for each")
    return columns


def _select(table: Any, columns: list[str]) -> Any:
    return table.select(columns).rename_columns(["user", "item", "value"][: len(columns)])


def _plain_integers(column: Any) -> Any:
    """Turn a column of strings into int64 if no digit, sign or zero is lost by that, else leave it."""
    try:
        integers = column.cast(pa.int64())
    except pa.ArrowInvalid:
        return column
    unchanged = pc.all(pc.equal(integers.cast(pa.large_string()), column)).as_py()
    return integers if unchanged else column
