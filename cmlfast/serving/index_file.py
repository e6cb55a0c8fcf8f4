"""An index beside its model's file: found by what the header says of it, read only as it was written.

The index has a file of its own, for several processes map it into memory together. Its name is new with each save, so
that a model's header never names an index of another state.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import re
import secrets
from pathlib import Path
from typing import Any

from cmlfast.data.tensor_file import Where, header_of, replacement, require
from cmlfast.indexes import KINDS, of_kind, parameters_of
from cmlfast.serving.indexed import Indexed, indexed
from cmlfast.training.fitted import Fitted

LOG = logging.getLogger("cmlfast")
NAME = re.compile(rf"(?P<model>[^/\\\0]{{1,255}})\.[0-9a-f]{{8}}\.({'|'.join(KINDS)})")


def write(path: Where, found: Indexed | None) -> dict[str, Any] | None:
    """Write an index beside a model that is to be saved, and return what the model's header must say of it."""
    if found is None:
        return None
    if not isinstance(path, str | os.PathLike):
        LOG.warning("an open file takes the model without its index; save to a path, or build the index after loading")
        return None
    model = Path(path).resolve()
    name = f"{model.name}.{secrets.token_hex(4)}.{found.index.kind}"
    with replacement(model.parent / name) as file:
        try:
            found.index.save(file)
        except RuntimeError as error:  # as C++ libraries say that a disk is full
            raise OSError(errno.EIO, f"the index could not be written: {error}", str(model.parent / name)) from error
        digest = _digest(file)
    return {
        "kind": found.index.kind,
        "parameters": parameters_of(found.index),
        "rare_item_distance": found.rare_item_distance,
        "file": name,
        "sha256": digest,
    }


def named_by(path: Where) -> dict[str, Any] | None:
    """Return what the header of a model's file says of an index, if there is such a file and it names one."""
    if not isinstance(path, str | os.PathLike) or not Path(path).is_file():
        return None
    return (header_of(Path(path)) or {}).get("index")


def remove(path: Where, entry: dict[str, Any] | None) -> None:
    """Remove the index that a model's header named, after another model took its place.

    Unless it is called after another model: a copy of that one's file names the same.
    """
    if not isinstance(path, str | os.PathLike) or not isinstance(entry, dict):
        return
    model = Path(path).resolve()
    name = NAME.fullmatch(str(entry.get("file")))
    if name and name["model"] == model.name:
        (model.parent / name[0]).unlink(missing_ok=True)


def read(path: Where, entry: dict[str, Any] | None, fitted: Fitted) -> Indexed | None:
    """Return the index that a model's header names; None, which is said, where its file or its library is missing.

    Raises
    ------
    ValueError
        If the header is not as :func:`write` made it, or the file is not what it was.
    """
    if entry is None or not isinstance(path, str | os.PathLike):
        return None
    file = _beside(path, entry)
    index = of_kind(entry["kind"], entry["parameters"])
    found = indexed(index, fitted, float(entry["rare_item_distance"]))
    if not file.is_file():
        LOG.warning("%s belongs to the model and is missing: answers are exact, and slower; build_index helps", file)
        return None
    # A library would follow wrong numbers out of its memory.
    if _digest(file) != entry["sha256"]:
        raise ValueError(f"the index {str(file)!r} is damaged; remove it, load the model and build the index again")
    try:
        index.load(file, len(found.listed), fitted.points(found.rare_item_distance).shape[1])
    except ImportError as error:
        LOG.warning("%s. Answers are exact, and slower", error)
        return None
    return found


def _beside(model: str | os.PathLike[str], entry: dict[str, Any]) -> Path:
    name: Any = entry["file"]
    # Whoever made the header shall not choose among other files.
    require(
        isinstance(name, str) and bool(NAME.fullmatch(name)), f"the header names {name!r:.80} as the file of an index"
    )
    folder: Path = Path(model).resolve().parent
    return folder / str(name)


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(1 << 20):
            digest.update(part)
    return digest.hexdigest()
