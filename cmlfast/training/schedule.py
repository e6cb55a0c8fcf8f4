"""What changes over a training: from a first value to a last one, in equal steps."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """What changes over a training, from ``first`` to ``last`` in equal steps."""

    first: float
    last: float

    def at(self, progress: float) -> float:
        """Return the value at a progress from 0 to 1."""
        return self.first + (self.last - self.first) * progress
