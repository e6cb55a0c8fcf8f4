"""Checks of single parameters: an error names the parameter, its value and what it may be."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

# Training computes in float32, where smaller numbers would be 0 and larger ones infinite.
SMALLEST, LARGEST = float(np.finfo(np.float32).tiny), float(np.finfo(np.float32).max)


# Of a ranking for each user; a training may stop by their mean.
MEASURES = ("recall", "ndcg", "precision", "hit_rate", "mrr", "map")


def measure(name: str, value: Any) -> tuple[str, int]:
    """Return a measure's name and its K, or raise ``TypeError`` or ``ValueError``."""
    expected = f"it must be one of {', '.join(MEASURES)}, and a K, such as 'ndcg@20'"
    if not isinstance(value, str):
        raise TypeError(f"{name} is {value!r}; {expected}")
    measured, _, k = value.partition("@")
    if measured not in MEASURES or not k.isdecimal() or int(k) < 1:
        raise ValueError(f"{name} is {value!r}; {expected}")
    return measured, int(k)


def boolean(name: str, value: Any) -> bool:
    """Return a truth value, or raise ``TypeError``."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} is {value!r}; it must be True or False")
    return bool(value)


def integer(name: str, value: Any, low: int, alternative: str = "") -> int:
    """Return an integer of at least ``low``, or raise ``TypeError`` or ``ValueError``."""
    expected = " ".join(part for part in (f"it must be an integer of at least {low}", alternative) if part)
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name} is {value!r}; {expected}")
    if not low <= value < 2**63:
        raise ValueError(f"{name} is {value}; {expected}")
    return int(value)


def positive(
    name: str, value: Any, may_be_infinite: bool = False, expected: str = "it must be a positive number"
) -> float:
    """Return a positive number that float32 has, or raise ``TypeError`` or ``ValueError``."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise TypeError(f"{name} is {value!r}; {expected}")
    if not value >= SMALLEST or (value > LARGEST and not (may_be_infinite and math.isinf(value))):
        raise ValueError(f"{name} is {value}; {expected}")
    return float(value)


def not_negative(name: str, value: Any, alternative: str = "") -> float:
    """Return 0 or a positive number that float32 has, or raise ``TypeError`` or ``ValueError``."""
    expected = f"it must be a number of at least 0{alternative}"
    return 0.0 if value == 0 and not isinstance(value, bool) else positive(name, value, expected=expected)
