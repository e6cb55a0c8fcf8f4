"""What a training went through, whether a model came of it or not; its report is made of it."""

from __future__ import annotations

import math
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from cmlfast.ops.extension import build_info
from cmlfast.training.auto import is_auto
from cmlfast.training.course import Record
from cmlfast.training.settings import Settings


@dataclass(frozen=True)
class TrainingRecord:
    """A training, and how it ended.

    Attributes
    ----------
    shape : (int, int)
        Users and items.
    n_likes : int
    params : dict
        Of the class, as they were given.
    settings : Settings
        As they came to.
    history : sequence of dict
        An entry for every whole epoch.
    device : str
    skipped : dict
        Counts of what was not trained on.
    end : str
        Why it ended before its time, if somebody knows.
    """

    shape: tuple[int, int]
    n_likes: int
    params: dict[str, Any]
    settings: Settings
    history: Sequence[Record]
    device: str
    skipped: dict[str, int] = field(default_factory=dict)
    end: str = ""

    @property
    def measure(self) -> str | None:
        """The validation measure, None where nothing was validated."""
        return self._measure if self._looks else None

    @property
    def data(self) -> dict[str, str]:
        """What it was trained on, by name."""
        data = {"users": f"{self.shape[0]:,}", "items": f"{self.shape[1]:,}", "likes": f"{self.n_likes:,}"}
        data |= {name.replace("_", " "): f"{count:,}" for name, count in self.skipped.items() if count}
        n = len(self._looks)
        return data | {"validation": f"{self._measure}, {n} looks" if n else "none"}

    @property
    def came_to(self) -> dict[str, tuple[Any, Any]]:
        """Every parameter as it was given and as what it came to, by name."""
        values = {**self.params, **self.settings.found, "random_state": self.settings.seed, "device": self.device}
        return {
            name: (given, "not used" if is_auto(values[name]) else values[name]) for name, given in self.params.items()
        }

    @property
    def notes(self) -> list[str]:
        """What went otherwise than usual."""
        return [note for note in (self.end, self._cut_short()) if note]

    @property
    def _measure(self) -> str:
        return "{}@{}".format(*self.settings.validation_measure)

    @property
    def _looks(self) -> list[float]:
        return [record[self._measure] for record in self.history if self._measure in record]

    def _cut_short(self) -> str:
        """Say where there were fewer epochs than there might have been."""
        n, most = len(self.history), self.settings.n_epochs
        if n >= most:
            return ""
        best, waited, patience = -math.inf, 0, self.settings.patience
        for look in self._looks:
            best, waited = (look, 0) if look > best else (best, waited + 1)
            if waited == patience and not self.end:
                return f"{self._measure} no longer rose: the training was cut short to {n} of {most} epochs."
        return f"{n} of {most} epochs were finished."


def machine() -> dict[str, Any]:
    """Return what this runs on, by name."""
    info = build_info()
    return {
        "system": platform.platform(),
        "processor": processor(),
        "threads": torch.get_num_threads(),
        "GPU": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
        "cmlfast": info["version"],
        "kernels": info["isa"] or "none, plain torch",
        "torch": info["torch"],
        "Python": info["python"],
    }


def processor() -> str:
    """Return the name of the CPU, by what the system says of it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
