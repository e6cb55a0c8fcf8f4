"""The stored counts, and what is said of new ones."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

PATH = Path(__file__).with_name("budget.json")


@dataclass(frozen=True)
class Budget:
    """What a step takes: instructions by instruction set, as one compiler has built them.

    Attributes
    ----------
    compiler : str
        Name and version; another one's code has other counts.
    tolerance : float
        How far a count may lie from its budget, as a share of it.
    counts : dict
        Instructions by the value of ``CMLFAST_ISA``.
    """

    compiler: str
    tolerance: float
    counts: dict[str, int]

    @classmethod
    def load(cls, path: Path) -> Budget:
        """Read what `save` has written."""
        return cls(**json.loads(path.read_text()))

    def save(self, path: Path) -> None:
        """Write JSON."""
        path.write_text(json.dumps(asdict(self), indent=2) + "\n")

    def is_over(self, isa: str, count: int) -> bool:
        """Tell whether a count exceeds its budget by more than the tolerance."""
        return count > self.counts[isa] * (1 + self.tolerance)

    def verdict(self, isa: str, count: int) -> str:
        """Return what is to be done about a count, or "" where it is as stored."""
        if self.is_over(isa, count):
            return f"over budget by more than {self.tolerance:.1%}: find what has made the step longer, or run --update"
        if count < self.counts[isa] * (1 - self.tolerance):
            return "below budget: run --update so that the gain is kept"
        return ""
