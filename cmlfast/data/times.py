"""What the times of likes count: seconds since 1970 or fractions of them, told by their size."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

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
    if isinstance(days, bool) or not isinstance(days, int | float | np.number) or not 0 < days < np.inf:
        raise ValueError(f"days is {days!r}; it must be a number above 0")
    last: float | int = times.max().item()
    ticks = next((ticks for ticks in UNITS.values() if LEAST <= last / ticks < BEYOND), None)
    if ticks is None:
        raise ValueError(
            f"the last time is {last}, which is no date since 1973 in {', '.join(UNITS)} since 1970: give dates, or "
            "such numbers"
        )
    before = days * DAY * ticks
    return last - (before if isinstance(last, float) else round(before))
