"""The users' and items' own ids: bring them to one of two types, number them, look them up.

An id is a 64-bit integer or a string; a set of ids is all one or all the other. Whatever comes in (lists,
NumPy, pandas, Polars, Arrow) passes through Arrow, whose hash tables do the work on whole columns.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Ids: TypeAlias = npt.NDArray[np.int64] | npt.NDArray[np.object_]
"""Ids as they are kept: int64, or an object array of str."""


class UnknownIdError(KeyError):
    """An id that the data does not have."""

    def __str__(self) -> str:
        # KeyError shows the repr of its argument, which buries a sentence in quotes and backslashes.
        return str(self.args[0])


def id_column(values: Any, name: str) -> Any:
    """Bring ids of any integer or string type to Arrow's int64 or large_string.

    Parameters
    ----------
    values : sequence, array or Arrow column of length n
        The ids.
    name : str
        What to call them in errors.

    Returns
    -------
    pyarrow.Array or pyarrow.ChunkedArray
        Of length n and type int64 or large_string, without nulls.

    Raises
    ------
    ValueError
        If the ids are floats, booleans, dates or the like, mixed, missing in places, or beyond 64 bits.
    """
    if isinstance(values, np.ma.MaskedArray):
        values = pa.array(values.data, mask=np.ma.getmaskarray(values))
    if not isinstance(values, pa.Array | pa.ChunkedArray):
        # A list goes to Arrow as it is: NumPy would turn [1, "a"] into two strings without a word.
        values = values if isinstance(values, list | tuple) else np.asarray(values)
        try:
            values = pa.array(values)
        except OverflowError as error:
            raise ValueError(f"{name}: {error}. Ids beyond 64-bit signed integers must be strings") from error
        except (pa.ArrowException, TypeError, ValueError) as error:
            raise ValueError(
                f"{name}: {error}. Ids are all integers or all strings: convert them with astype(str)"
            ) from error
    if values.null_count:
        raise ValueError(f"{name}: {values.null_count} of {len(values)} ids are missing (null): drop those rows")
    if pa.types.is_dictionary(values.type):  # a pandas or Polars categorical
        chunks = values.chunks if isinstance(values, pa.ChunkedArray) else [values]
        return pa.chunked_array([id_column(chunk.dictionary, name).take(chunk.indices) for chunk in chunks])
    if pa.types.is_integer(values.type):
        try:
            return values.cast(pa.int64())
        except pa.ArrowInvalid as error:
            raise ValueError(f"{name}: {error}. Ids beyond 64-bit signed integers must be strings") from error
    if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
        return values.cast(pa.large_string())
    if str(values.type) == "string_view":  # Polars' own layout; older Arrows have no predicate for it
        return values.cast(pa.large_string())
    raise ValueError(f"{name}: values of type {values.type} are no ids: convert them to integers or to strings")


def to_numpy(column: Any) -> Ids:
    """Return ids of an Arrow column (int64 or large_string, length n) as the array that is kept of them."""
    # Through a list of Python strings, because to_numpy() makes some of them np.str_ in some versions.
    if not pa.types.is_integer(column.type):
        return np.array(column.to_pylist(), dtype=np.object_)
    ids: Ids = np.array(column, dtype=np.int64)
    return ids


def are_positions(ids: Ids) -> bool:
    """Whether ids are just 0, 1, 2, ..."""
    return ids.dtype != object and np.array_equal(ids, np.arange(len(ids)))


def catalogue(values: Any, name: str, size: int) -> Ids:
    """Check a caller's list of ids: each of them once, one for each position.

    Parameters
    ----------
    values : sequence or array of shape (size,), or None
        The ids, in the order of their positions; None for 0, 1, 2, ...
    name : str
        What to call them in errors.
    size : int
        How many there must be.

    Returns
    -------
    ndarray of shape (size,)
        The ids, int64 or object of str.

    Raises
    ------
    ValueError
        If the ids are no ids (see `id_column`), too many, too few, or not distinct.
    """
    if values is None:
        return np.arange(size, dtype=np.int64)
    column = id_column(values, name)
    if len(column) != size:
        raise ValueError(f"{name} has {len(column)} ids for {size} positions of the matrix: give one id for each")
    ids = to_numpy(column)
    if ids.dtype != object and (ids[1:] > ids[:-1]).all():  # no two are the same: seen at a glance, also of millions
        return ids
    counts = pc.value_counts(column)
    repeated = counts.filter(pc.greater(counts.field("counts"), 1))
    if len(repeated):
        raise ValueError(f"{name}: {repeated[0]['values'].as_py()!r} occurs more than once: give every id once")
    return ids


class Numbering:
    """Numbers the ids of a column that comes in parts, at first in the order in which they come."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._known: Any = None

    def __len__(self) -> int:
        return 0 if self._known is None else len(self._known)

    def number(self, column: Any) -> npt.NDArray[np.int64]:
        """Return the number of each id [n] of a part.

        Raises
        ------
        ValueError
            If they are integers and those before were strings, or the other way round.
        """
        chunks = column if isinstance(column, list) else [column]
        if any(pa.types.is_dictionary(chunk.type) for chunk in chunks):
            values, numbers = _values_of(chunks)
            return self.number(values)[numbers]
        encoded = pa.chunked_array(chunks).dictionary_encode()
        encoded = encoded.combine_chunks()
        if isinstance(encoded, pa.ChunkedArray):  # older Arrows
            encoded = encoded.chunk(0)
        found, numbers = encoded.dictionary, np.asarray(encoded.indices)
        if self._known is None:
            self._known = found
            return np.array(numbers, dtype=np.int64)
        if self._known.type != found.type:
            raise ValueError(
                f"{self.name} column: ids are {_kind(self._known)}, such as {self._known[0].as_py()!r}, and "
                f"{_kind(found)}, such as {found[0].as_py()!r}: convert one of them"
            )
        places = pc.index_in(found, value_set=self._known)
        new = found.filter(places.is_null())
        of_found = np.array(places.fill_null(-1), dtype=np.int64)
        of_found[of_found < 0] = len(self._known) + np.arange(len(new))
        self._known = pa.concat_arrays([self._known, new])
        given: npt.NDArray[np.int64] = of_found[numbers]
        return given

    def settle(self, known: Any, written: bool) -> tuple[npt.NDArray[np.int64], Any]:
        """Give each id its place for good.

        Parameters
        ----------
        known : sequence of int or str, or None
            m ids in the order of their places; None for all that came, sorted.
        written : bool
            Whether the ids were read from text: if all are plain integers, that is what they are.

        Returns
        -------
        places : ndarray of shape (n,), int64
            Of the ids by the numbers that they had; in [0, m).
        known : sequence of m ids
            The given ones, or those that came.

        Raises
        ------
        ValueError
            If ids are not among the known ones, or have another type than those.
        """
        column = plain_integers(self._known) if written else self._known
        if known is None:
            order = pc.sort_indices(column)
            places = np.empty(len(column), dtype=np.int64)
            places[np.asarray(order)] = np.arange(len(column))
            return places, to_numpy(column.take(order))
        known = catalogue(known, f"{self.name}_ids", len(known))
        value_set = id_column(known, f"{self.name}_ids")
        if value_set.type != column.type:
            raise ValueError(
                f"the {self.name} column holds {_kind(column)}, {self.name}_ids {_kind(value_set)}: convert one of them"
            )
        found = pc.index_in(column, value_set=value_set)
        if found.null_count:
            strange = column.filter(found.is_null())
            raise ValueError(
                f"{self.name} id {strange[0].as_py()!r} ({len(strange)} such in all) is not in {self.name}_ids: "
                "add it there, or drop those rows"
            )
        return np.array(found, dtype=np.int64), known


def _values_of(chunks: list[Any]) -> tuple[list[Any], npt.NDArray[np.int64]]:
    """Return what is used of the dictionaries in some chunks, and the place there of each row."""
    values, numbers, n_before = [], [], 0
    for chunk in chunks:
        if pa.types.is_dictionary(chunk.type):
            indices = np.asarray(chunk.indices.cast(pa.int64()))
            used = np.bincount(indices, minlength=len(chunk.dictionary)) > 0
            values.append(chunk.dictionary.filter(pa.array(used)))
            numbers.append(n_before - 1 + np.cumsum(used)[indices])
        else:
            values.append(chunk)
            numbers.append(n_before + np.arange(len(chunk)))
        n_before += len(values[-1])
    return values, np.concatenate(numbers)


def _kind(column: Any) -> str:
    return "integers" if pa.types.is_integer(column.type) else "strings"


def plain_integers(column: Any) -> Any:
    """Turn strings into int64 if no digit, sign or zero is lost by that, else leave them."""
    try:
        integers = column.cast(pa.int64())
    except pa.ArrowInvalid:
        return column
    unchanged = pc.all(pc.equal(integers.cast(pa.large_string()), column)).as_py()
    return integers if unchanged else column


def places(ids: Ids, among: Any, name: str) -> npt.NDArray[np.int64]:
    """Return the place of each id [n] among some others, -1 where it is not one of them or they are of another type.

    Raises
    ------
    ValueError
        If the others are no ids (see `id_column`).
    """
    column, others = id_column(ids, "ids"), id_column(among, name)
    if column.type != others.type:
        return np.full(len(ids), -1, dtype=np.int64)
    return np.asarray(pc.fill_null(pc.index_in(column, value_set=others), -1), dtype=np.int64)


def look_up(query: Any, table: dict[Any, int], name: str) -> Any:
    """Return the position of one id (int), or of each of an array of ids (int64 array).

    Parameters
    ----------
    query : int, str or array of shape (n,)
        Own ids.
    table : dict
        From every known id to its position.
    name : str
        What to call the ids in errors.

    Raises
    ------
    UnknownIdError
        If an id is not known; says so if it is one after conversion to the other type.
    """
    if np.ndim(query) == 0:
        return look_up([query], table, name)[0].item()
    if len(query) == 0:
        return np.empty(0, dtype=np.int64)
    beyond = [one for one in query if isinstance(one, int) and not -(2**63) <= one < 2**63]
    if beyond:
        raise UnknownIdError(f"{name} {beyond[0]} is not in the data")
    wanted = id_column(query, name).to_pylist()
    try:
        return np.array([table[one] for one in wanted], dtype=np.int64)
    except KeyError as error:
        unknown = error.args[0]
        hint = ""
        if not any(isinstance(known, type(unknown)) for known in list(table)[:1]):
            kinds = ("strings", "str") if isinstance(unknown, int) else ("integers", "int")
            hint = f": the data's ids are {kinds[0]}, convert yours with {kinds[1]}(...)"
        raise UnknownIdError(f"{name} {unknown!r} is not in the data{hint}") from None
