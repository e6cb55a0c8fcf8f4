"""What a report is made of: a training, in plain values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

History: TypeAlias = Sequence[dict[str, float]]


@dataclass(frozen=True)
class Training:
    """What a training went through.

    Attributes
    ----------
    history : sequence of dict
        As `CML.history_`; it may be empty.
    data : dict
        What it was trained on, by name.
    settings : dict
        Every parameter as it was given and as what it came to, by name.
    machine : dict
        Where the report is made, by name.
    notes : sequence of str
        What went otherwise than usual.
    measure : str, optional
        The validation measure, if there was one.
    """

    history: History
    data: dict[str, Any]
    settings: dict[str, tuple[Any, Any]]
    machine: dict[str, Any]
    notes: Sequence[str]
    measure: str | None
