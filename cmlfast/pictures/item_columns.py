"""What is known of items beside the model: their titles, and the column that colours them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from numbers import Real
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from cmlfast.data.columns import Roles
from cmlfast.data.csr import Counts
from cmlfast.data.ids import Ids
from cmlfast.data.tables import read_frame
from cmlfast.pictures.palette import CATEGORIES

POPULARITY = "popularity"
OTHER = "other"
MUCH = 20  # times the median: from there on, numbers are shown by their logarithm


@dataclass(frozen=True)
class Numbers:
    """A number for each item.

    Attributes
    ----------
    label : str
        What they are.
    values : ndarray of shape (J,), float32
        NaN where there is none.
    logarithmic : bool
        Whether colours follow log(1 + value).
    texts : list of str
        What to write of each item.
    """

    label: str
    values: npt.NDArray[np.float32]
    logarithmic: bool
    texts: list[str]


@dataclass(frozen=True)
class Categories:
    """A category for each item.

    Attributes
    ----------
    label : str
        What they are.
    names : list of str
        The most frequent, first the one of most items; then "other", if any item is in none of them.
    codes : ndarray of shape (J,), uint8
        Which of the names. An item of several is in the rarest of them.
    texts : list of str
        What to write of each item: all its categories.
    """

    label: str
    names: list[str]
    codes: npt.NDArray[np.uint8]
    texts: list[str]


Colouring: TypeAlias = "Numbers | Categories"


def titles_and_colours(titles: Any, color: Any, ids: Ids, likes: Counts) -> tuple[list[str], Colouring]:
    """Return the title of each item, its id where there is none, and what colours it.

    Parameters
    ----------
    titles, color
        As :meth:`cmlfast.CML.plot` takes them.
    ids, likes : ndarray of shape (J,)
        The items' ids, and how many likes each has.

    Raises
    ------
    ValueError
        If a table lacks a column, an array has another length, or a dict knows none of the items.
    TypeError
        If ``titles`` or ``color`` is nothing of the kind.
    """
    label = None
    if isinstance(color, str) and color != POPULARITY:
        label = color
        if not _is_table(titles):
            raise ValueError(
                f"color is {color!r}, but titles is no table that has such a column; give titles a table, or color a "
                f"dict or an array, or {POPULARITY!r}"
            )
    if _is_table(titles):
        titles, column = _columns(titles, label)
        color = color if column is None else column
    names = [str(one) for one in ids.tolist()]
    given = None if titles is None else _of_each(titles, ids, "titles")
    if given is not None:
        names = [name if _missing(title) else str(title) for name, title in zip(names, given, strict=True)]
    if color is None or (isinstance(color, str) and color == POPULARITY):
        return names, Numbers("likes", likes.astype(np.float32), True, [""] * len(ids))
    return names, _colouring(label, _of_each(color, ids, "color"))


def _is_table(given: Any) -> bool:
    """Whether something has named columns, and is not just one of them."""
    named = hasattr(given, "column_names") or hasattr(given, "columns")
    return named and hasattr(given, "__arrow_c_stream__")


def _columns(table: Any, label: str | None) -> tuple[dict[Any, Any], dict[Any, Any] | None]:
    """Return a table's titles by the items' ids and, if asked for, the values of another column, all of each item."""
    try:
        read = read_frame(table, Roles(describes="item titles", value=label)).whole()
    except ValueError as error:
        raise ValueError(f"titles with color={label!r}: {error}" if label else f"titles: {error}") from error
    ids = read["user"].to_pylist()
    titles = dict(zip(ids, read["item"].to_pylist(), strict=True))
    if label is None:
        return titles, None
    values: dict[Any, Any] = {}
    for one, value in zip(ids, read["value"].to_pylist(), strict=True):
        values.setdefault(one, []).append(value)
    return titles, {one: some[0] if len(some) == 1 else some for one, some in values.items()}


def _of_each(given: Any, ids: Ids, name: str) -> list[Any]:
    """Return what was given for each item, None for nothing: of a dict by the ids, else in their order."""
    if isinstance(given, Mapping):
        by_text = {str(one): value for one, value in given.items()}  # a file has 7 where a model has "7"
        found = [by_text.get(str(one)) for one in ids.tolist()]
        if by_text and all(one is None for one in found):
            raise ValueError(
                f"{name} knows none of the model's items: they are called {ids.tolist()[0]!r} in the model and "
                f"{next(iter(given))!r} in {name}; give them the same ids"
            )
        return found
    if isinstance(given, str | bytes) or not isinstance(given, Iterable):
        raise TypeError(
            f"{name} is {given!r}; give a table with a column of items' ids, a dict from ids, or an array in the order "
            "of item_ids_"
        )
    # A list goes as it is: NumPy would make an array of two dimensions of lists of the same length.
    values: list[Any] = list(given) if isinstance(given, list | tuple) else _objects(given)
    if len(values) != len(ids):
        raise ValueError(f"{name} has {len(values):,} entries for {len(ids):,} items; give one for each, or a dict")
    return values


def _objects(given: Iterable[Any]) -> list[Any]:
    """Return an array's or a column's values as Python's own."""
    values = np.asarray(given)
    if values.dtype.kind == "M":
        values = values.astype("datetime64[us]")  # of nanoseconds NumPy would make integers
    objects: list[Any] = values.astype(object).tolist()
    return objects


def _missing(value: Any) -> bool:
    """Whether a value is none: None, NaN, NaT, pandas' NA (known by its name, without importing pandas), or blank."""
    if value is None or type(value).__name__ == "NAType":
        return True
    unequal = value != value  # as NaN and NaT are to themselves
    return (isinstance(unequal, bool | np.bool_) and bool(unequal)) or str(value).strip() == ""


def _colouring(label: str | None, values: Sequence[Any]) -> Colouring:
    """Return numbers if all values are, dates as years, categories otherwise."""
    known = [one for one in values if isinstance(one, list | tuple | set | np.ndarray) or not _missing(one)]
    if not known:
        raise ValueError(f"color: no item has a value{f' of {label!r}' if label else ''}; leave it out, or give values")
    if all(isinstance(one, Real) and not isinstance(one, bool | np.bool_) for one in known):
        numbers = np.array([np.nan if _missing(one) else float(one) for one in values], dtype=np.float32)
        some = numbers[np.isfinite(numbers)]
        far = len(some) > 0 and some.min() >= 0 and bool(some.max() > MUCH * np.median(some))
        numbers[~np.isfinite(numbers)] = np.nan
        return Numbers(
            label or "value", numbers, far, ["" if np.isnan(one) else f"{one:.6g}" for one in numbers.tolist()]
        )
    if all(isinstance(one, date) for one in known):
        years = np.array([np.nan if _missing(one) else _year(one) for one in values], dtype=np.float32)
        return Numbers(label or "date", years, False, ["" if _missing(one) else one.isoformat() for one in values])
    return _categories(label or "category", [_parts(one) for one in values])


def _year(day: date) -> float:
    """Return a date as a year and the part of it that is over, by the day: half of 1995 is 1995.5."""
    return day.year + (day.timetuple().tm_yday - 1) / 365.25


def _parts(value: Any) -> list[str]:
    """Return the categories of one item, "Action|War" and ["Action", "War"] alike."""
    if isinstance(value, list | tuple | set | np.ndarray):
        return list(dict.fromkeys(part for one in value for part in _parts(one)))
    return [] if _missing(value) else [part.strip() for part in str(value).split("|") if part.strip()]


def _categories(label: str, of_each: Sequence[Sequence[str]]) -> Categories:
    counts = Counter(name for some in of_each for name in some)
    # Of equally many, by name: the result does not depend on the order of the items.
    names = sorted(counts, key=lambda name: (-counts[name], name))[: len(CATEGORIES)]
    places = {name: code for code, name in enumerate(names)}
    # The rarest is the last of the names: a film of Drama and War says more by War.
    codes = [max((places[name] for name in some if name in places), default=len(names)) for some in of_each]
    if max(codes) == len(names):
        names = [*names, OTHER]
    return Categories(label, names, np.array(codes, dtype=np.uint8), [", ".join(some) for some in of_each])
