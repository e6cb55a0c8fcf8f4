"""What a long command has measured, kept in a file so that an interrupted run goes on where it stopped."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

Fit = dict[str, Any]


class Fits:
    """Every fit that was measured, by what it was of; stored at once, all or nothing.

    A change of the code does not make a fit new: begin another file after one that changes what is found.

    Parameters
    ----------
    path : Path, optional
        A JSON file, which need not be there yet; without one, nothing is stored.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        stored = json.loads(path.read_text(encoding="utf-8"))["fits"] if path and path.exists() else []
        self.fits: dict[str, Fit] = {self._key(fit["of"]): fit for fit in stored}

    @staticmethod
    def _key(of: dict[str, Any]) -> str:
        return json.dumps(of, sort_keys=True)

    def get(self, of: dict[str, Any], measure: Callable[[], dict[str, Any]]) -> Fit:
        """Return the fit of that (data, method, setting, seed, ...); ``measure`` it if it is new."""
        key = self._key(of)
        if key not in self.fits:
            self.fits[key] = {"of": json.loads(key), **measure()}
            self._store()
        return self.fits[key]

    def _store(self) -> None:
        if self.path:
            new = self.path.with_name(self.path.name + ".new")
            new.write_text(json.dumps({"fits": list(self.fits.values())}) + "\n", encoding="utf-8")
            os.replace(new, self.path)
