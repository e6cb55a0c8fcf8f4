"""A file of the trials of a search, an SQLite database by Optuna, from which a later search goes on."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import optuna

from cmlfast.interactions import Interactions
from cmlfast.persistence import check_target

NAME = "cmlfast"
SQLITE = b"SQLite format 3\0"  # how such a file begins


def open_study(path: str | os.PathLike[str], likes: Interactions, params: dict[str, Any]) -> optuna.Study:
    """Open a file of trials, or make one.

    Parameters
    ----------
    path : path
        The file.
    likes : Interactions
        The data of the search.
    params : dict
        All else that its figures depend on.

    Raises
    ------
    ValueError
        If the file is no study, or one of other likes or params, whose figures do not compare with new ones.
    OSError
        If there can be no such file.
    """
    target = check_target(path)
    if target.exists():
        with open(target, "rb") as file:
            if file.read(len(SQLITE)) not in (SQLITE, b""):
                raise ValueError(f"study is {str(path)!r}, which is no SQLite file; give the study a name of its own")
    study = optuna.create_study(
        storage=f"sqlite:///{target}", study_name=NAME, direction="maximize", load_if_exists=True
    )
    new = {"likes": _digest(likes), **{name: repr(value) for name, value in params.items()}}
    old = study.user_attrs.get("searched", {}) if study.trials else new
    for name in sorted(new.keys() | old):
        if old.get(name) == new.get(name):
            continue
        if name == "likes":
            raise ValueError(f"study is {str(path)!r}, a search on other data; give this one a file of its own")
        raise ValueError(
            f"study is {str(path)!r}, a search with {name}={old.get(name)}, not {new.get(name)}; give the same "
            f"{name} again, or this search a file of its own"
        )
    study.set_user_attr("searched", new)
    return study


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Optuna from telling about every trial, which a progress bar does."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


def _digest(likes: Interactions) -> str:
    """Return a hash of who likes what, by position: with other names for the ids, the figures would be the same."""
    digest = hashlib.sha256(repr(likes.shape).encode())
    for array in (likes.matrix.indptr, likes.matrix.indices):
        digest.update(array.astype("<i8").tobytes())
    return digest.hexdigest()
