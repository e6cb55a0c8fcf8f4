"""What the times of likes count: seconds since 1970 or fractions of them, told by their size; who was last seen."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

DAY = 86_400
# From 1973 on, in each of these, to the year 5138: the ranges do not overlap.
LEAST, BEYOND = 1e8, 1e11
UNITS = {"seconds": 1, "milliseconds": 10**3, "microseconds": 10**6, "nanoseconds": 10**9}


def start_of_last(times: npt.NDArray[Any], days: float) -> float | int:
    """Return the time that is so many days before the last of some times [n].

    Raises
    ------
    ValueError
        If `days` is not above zero, or the last time is none since 1973 in seconds, milli-, micro- or nanoseconds.
    """
    check_days(days, "days")
    last: float | int = times.max().item()
    ticks = _ticks(last)
    if ticks is None:
        raise ValueError(
            f"the last time is {last}, which is no date since 1973 in {', '.join(UNITS)} since 1970: give dates, or "
            "such numbers"
        )
    before = days * DAY * ticks
    return last - (before if isinstance(last, float) else round(before))


def check_days(days: Any, name: str) -> None:
    """Raise ``ValueError`` unless a number of days is one above zero."""
    if isinstance(days, bool) or not isinstance(days, int | float | np.number) or not 0 < days < np.inf:
        raise ValueError(f"{name} is {days!r}; it must be a number above 0")


def last_seen(
    times: npt.NDArray[Any] | None, matrix: sparse.csr_matrix
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]] | None:
    """Return when each row's, and each column's, last entry was: seconds since 1970, NaN for those without any.

    None where there are no times [nnz], or they are no dates.
    """
    ticks = None if times is None or len(times) == 0 else _ticks(times.max().item())
    if times is None or ticks is None:
        return None
    seconds = times / ticks
    of_rows, of_columns = (np.full(n, -np.inf) for n in matrix.shape)
    some = np.diff(matrix.indptr) > 0
    of_rows[some] = np.maximum.reduceat(seconds, matrix.indptr[:-1][some])
    np.maximum.at(of_columns, matrix.indices, seconds)
    for last in (of_rows, of_columns):
        last[np.isinf(last)] = np.nan
    return of_rows, of_columns


def _ticks(last: float) -> int | None:
    """Return how many of the units that times count are a second, by the last of them."""
    return next((ticks for ticks in UNITS.values() if LEAST <= last / ticks < BEYOND), None)
