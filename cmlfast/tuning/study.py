"""A file of the trials of a search, an SQLite database by Optuna, from which a later search goes on."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy.typing as npt
import optuna
import torch
from torch import Tensor

from cmlfast.data.interactions import Interactions
from cmlfast.data.tensor_file import check_target

NAME = "cmlfast"
DATA = ("user_items", "item_features", "user_features")
SQLITE = b"SQLite format 3\0"  # how such a file begins


def open_study(
    path: str | os.PathLike[str], likes: Interactions, features: Mapping[str, Tensor], params: dict[str, Any]
) -> optuna.Study:
    """Open a file of trials, or make one.

    Parameters
    ----------
    path : path
        The file.
    likes : Interactions
    features : mapping
        The data of the search; of items or users by the names of `CML.fit`'s arguments, shapes [n, d], dense or CSR.
    params : dict
        All else that its figures depend on.

    Raises
    ------
    ValueError
        If the file is no study, or one of other data or params, whose figures do not compare with new ones.
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
    data = {"user_items": _digest(likes.matrix.indptr.astype("<i8"), likes.matrix.indices.astype("<i8"), likes.shape)}
    data |= {name: _digest(*_arrays(rows), rows.shape) for name, rows in features.items()}
    new = {**data, **{name: repr(value) for name, value in params.items()}}
    old = study.user_attrs.get("searched", {}) if study.trials else new
    for name in sorted(new.keys() | old):
        if old.get(name) == new.get(name):
            continue
        if name in DATA:
            raise ValueError(f"study is {str(path)!r}, a search on other {name}; give this one a file of its own")
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


def _arrays(features: Tensor) -> list[npt.NDArray[Any]]:
    sparse = features.layout == torch.sparse_csr
    parts = (features.crow_indices(), features.col_indices(), features.values()) if sparse else (features,)
    return [part.numpy() for part in parts]


def _digest(*parts: Any) -> str:
    """Return a hash of arrays and a shape, by position: with other names for the ids, figures would be the same."""
    *arrays, shape = parts
    digest = hashlib.sha256(repr(tuple(shape)).encode())
    for array in arrays:
        digest.update(array.tobytes())
    return digest.hexdigest()
