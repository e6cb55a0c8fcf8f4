"""Take the columns of likes from Parquet, a part at a time; what files say of themselves is believed within bounds.

Arrow reads a group of rows as a whole, with all that its ids unpack to. That is quick, and for files whose ids unpack
to what can be meant. Others are read a few rows at a time, and their ids counted.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from cmlfast.data.columns import Roles, choose
from cmlfast.data.parts import BATCH, Part, Table, after, parts_of
from cmlfast.data.sources import ENOUGH, Where, expand

ENOUGH_ROWS = 2**24  # that any file may hold, and
ROWS_A_BYTE = 100  # what more may be for each of its bytes: an item's number alone takes a byte or two
TEXT_A_BYTE = (
    100  # bytes of different ids, beyond `ENOUGH`: long links that count up are some 40 times as long unpacked
)
FEW = 1 << 12  # rows


def read_parquet(where: Where, roles: Roles) -> Table:
    """Take the columns from Parquet files, see :func:`cmlfast.data.sources.expand`, or from a folder of them.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        Here or while the parts are taken, if a column is missing, or a file is not in the format, or holds more than
        its bytes can mean.
    """
    name = repr(os.fspath(where)) if isinstance(where, str | os.PathLike) else "the files"
    try:
        data = _dataset(where)
        columns = choose(data.schema.names, roles, name)
        data = _dataset(where, [columns["user"], columns["item"]])
        fragments = list(data.get_fragments())
        total = sum(_believed(fragment) for fragment in fragments)
    except (ValueError, NotImplementedError) as error:  # what Arrow says of formats that it does not know
        raise ValueError(f"{name}: {error}") from error
    except FileNotFoundError:
        raise
    except OSError as error:
        if error.errno is not None:  # of the disk, not of what is on it
            raise
        raise ValueError(f"{name}: damaged, or in no format that Arrow reads: {error}") from error
    return Table(_of_fragments(fragments, data.schema, columns), total, "row")


def _believed(fragment: Any) -> int:
    """Return a file's rows; raise ``ValueError`` if it says that it has more than its bytes can mean."""
    rows: int = fragment.metadata.num_rows
    size = os.stat(fragment.path).st_size
    if rows > max(ENOUGH_ROWS, ROWS_A_BYTE * size):
        raise ValueError(
            f"{fragment.path!r} has {size} bytes and says that it holds {rows} rows: that is hardly a table of likes"
        )
    return rows


def _of_fragments(fragments: list[Any], schema: Any, columns: dict[str, str]) -> Iterator[Part]:
    for fragment in fragments:
        try:
            yield from _of_fragment(fragment, schema, columns)
        except (ValueError, NotImplementedError, TypeError) as error:
            raise ValueError(f"{fragment.path!r}: {error}") from error
        except OSError as error:
            if error.errno is not None:  # of the disk, not of what is on it
                raise
            raise ValueError(f"{fragment.path!r} is damaged, or in no format that Arrow reads: {error}") from error


def _of_fragment(fragment: Any, schema: Any, columns: dict[str, str]) -> Iterator[Part]:
    source, n_seen = repr(fragment.path), 0
    if _is_plain(fragment, columns):
        batches = fragment.to_batches(schema=schema, columns=list(columns.values()), batch_size=BATCH)
        try:
            for part in parts_of(batches, columns, source):
                yield part
                n_seen += part.table.num_rows
            return
        except OSError as error:
            # Of ids that are told by their differences Arrow makes no dictionaries.
            # Columns that only a folder's name has are Arrow's alone to read.
            if "Not yet implemented" not in str(error) or not _holds(fragment, columns):
                raise
    yield from after(parts_of(_few_at_a_time(fragment, columns), columns, source), n_seen)


def _dataset(where: Where, ids: Sequence[str] = ()) -> Any:
    """Open files; strings in columns of ids stay dictionaries and numbers, which are all that a row takes."""
    from pyarrow import dataset  # here, because its import is slow

    form = dataset.ParquetFileFormat(dictionary_columns=ids)
    # A folder as it is: the names of its folders may be columns.
    folder = isinstance(where, str | os.PathLike) and os.path.isdir(where)
    return dataset.dataset(where if folder else expand(where), format=form, partitioning="hive")


def _is_plain(fragment: Any, columns: dict[str, str]) -> bool:
    """Whether a file, by what it says, unpacks to what can be meant; or is read as it is for its folders' names."""
    # What it says of single columns is not asked: of damaged ones pyarrow ends the process.
    groups = (fragment.metadata.row_group(number) for number in range(fragment.metadata.num_row_groups))
    unpacked = sum(max(group.total_byte_size, 0) for group in groups)
    return unpacked <= _most_text(fragment) or not _holds(fragment, columns)


def _holds(fragment: Any, columns: dict[str, str]) -> bool:
    """Whether all columns are in a file itself."""
    return set(columns.values()) <= set(fragment.physical_schema.names)


def _most_text(fragment: Any) -> int:
    """Return how many bytes the different ids of a file may have, together."""
    return max(ENOUGH, TEXT_A_BYTE * os.stat(fragment.path).st_size)


def _few_at_a_time(fragment: Any, columns: dict[str, str]) -> Iterator[Any]:
    """Yield batches of a few rows, with ids as dictionaries.

    Raises
    ------
    ValueError
        If different ids are longer, together, than can be meant.
    """
    from pyarrow import parquet

    most, n_bytes = _most_text(fragment), 0
    with parquet.ParquetFile(fragment.path) as file:
        for batch in file.iter_batches(FEW, columns=list(columns.values())):
            arrays = {name: batch.column(name) for name in columns.values()}
            for name in (columns["user"], columns["item"]):
                if pa.types.is_string(arrays[name].type) or pa.types.is_large_string(arrays[name].type):
                    arrays[name] = arrays[name].dictionary_encode()
                    n_bytes += pc.sum(pc.binary_length(arrays[name].dictionary)).as_py() or 0
            if n_bytes > most:
                raise ValueError(
                    f"it has {os.stat(fragment.path).st_size} bytes, and its ids unpack to more than {most}: that is "
                    "hardly a table of likes; give shorter ids, or numbers, if it is one"
                )
            yield pa.RecordBatch.from_pydict(arrays)
