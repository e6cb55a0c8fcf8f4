"""What an index is, and how its library is found."""

from __future__ import annotations

import dataclasses
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar, Protocol

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float32]
Positions = npt.NDArray[np.int64]


class Index(Protocol):
    """A search for near points, which may miss some of the nearest.

    An implementation is a dataclass: what its constructor takes are its parameters, integers of at least 1, or None
    for a rule of the number of points. What was built or loaded may be searched by any number of threads at once.
    """

    kind: ClassVar[str]

    def build(self, points: Points) -> None:
        """Take the points to search.

        Parameters
        ----------
        points : ndarray of shape (J, d), float32
            J >= 1, all finite.
        """

    def search(self, queries: Points, n: int) -> Positions:
        """Return rows of points that are near to queries.

        Parameters
        ----------
        queries : ndarray of shape (Q, d), float32
            Where to look.
        n : int
            How many for each.

        Returns
        -------
        ndarray of shape (Q, n), int64
            Each row once, in any order; -1 for none.
        """

    def save(self, path: Path) -> None:
        """Write what was built, or loaded, to a file.

        Parameters
        ----------
        path : Path
            Where to.
        """

    def load(self, path: Path, n_points: int, n_components: int) -> None:
        """Read what :meth:`save` wrote.

        Parameters
        ----------
        path : Path
            The file.
        n_points, n_components : int
            J and d, which it must have.

        Raises
        ------
        ValueError
            If it is not of so many points and dimensions.
        """


def parameters_of(index: Index) -> dict[str, int | None]:
    """Return an index's parameters by name."""
    fields: tuple[dataclasses.Field[Any], ...] = dataclasses.fields(index)  # type: ignore[arg-type] # see Index
    return {field.name: getattr(index, field.name) for field in fields if field.init}


def library(name: str, kind: str) -> ModuleType:
    """Import what an index is made with, or raise ``ImportError`` that says how to install it."""
    try:
        return import_module(name)
    except ImportError as error:
        raise ImportError(
            f"an index of the kind {kind!r} needs {name.partition('.')[0]}, which is not there: "
            f"pip install 'cmlfast[{kind}]'"
        ) from error


def require_size(found: tuple[int, int], n_points: int, n_components: int, path: Path) -> None:
    """Raise ``ValueError`` unless an index that was read has the points and dimensions that it shall have."""
    if found != (n_points, n_components):
        raise ValueError(
            f"{str(path)!r} is an index of {found[0]:,} points in {found[1]} dimensions, not of {n_points:,} in "
            f"{n_components}; build it anew"
        )
