"""One safetensors file for a fitted model: tensors, and JSON in its header. Loading runs no code; writes are atomic."""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from scipy import sparse
from torch import Tensor

from cmlfast.ids import Ids
from cmlfast.rarity import Counts, likes_of_items
from cmlfast.settings import DTYPES

# 1 had float32 tables only, and no parameter `dtype`; 2 had no networks; 3 had no counts of likes
FORMAT = 4
KEY = "cmlfast"


def check_target(path: str | os.PathLike[str]) -> Path:
    """Return the file that writing to ``path`` replaces (behind symbolic links), or raise ``OSError`` if it cannot."""
    target = Path(path).resolve()
    if target.is_dir():
        raise IsADirectoryError(f"path is {str(path)!r}, a folder; give the name of a file in it")
    if target.exists() and not target.is_file():
        raise OSError(f"path is {str(path)!r}, which is no regular file; give the name of a file")
    if not target.parent.is_dir():
        raise FileNotFoundError(f"path is {str(path)!r}, but its folder does not exist; create it first")
    if not os.access(target.parent, os.W_OK):
        raise PermissionError(f"path is {str(path)!r}, but its folder cannot be written to; choose another")
    return target


def is_model(path: Path) -> bool:
    """Whether a file is one that :func:`write` made."""
    try:
        with safe_open(path, framework="pt") as file:
            return KEY in (file.metadata() or {})
    except SafetensorError:
        return False


def write(path: str | os.PathLike[str], tensors: dict[str, Tensor], metadata: dict[str, Any]) -> None:
    """Write a model file in one step: readers see the old file or the new one, whole.

    Raises
    ------
    OSError
        If ``path`` cannot be written to; an older file there is then untouched.
    """
    target = check_target(path)
    mode = target.stat().st_mode & 0o777 if target.exists() else None
    temporary = target.parent / f".cmlfast-{secrets.token_hex(8)}.part"
    # A parameter may be a NumPy number, which JSON does not know.
    header = {KEY: json.dumps({"format": FORMAT, **metadata}, default=lambda number: number.item())}
    try:
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, temporary, metadata=header)
        if mode is not None:
            temporary.chmod(mode)
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def read(path: str | os.PathLike[str]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read a model file.

    Raises
    ------
    FileNotFoundError
        If there is none.
    ValueError
        If it is no model of this package, damaged, or of a newer format.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"path is {str(path)!r}, but there is no such file")
    try:
        with safe_open(path, framework="pt") as file:
            header = (file.metadata() or {}).get(KEY)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    except SafetensorError as error:
        raise ValueError(f"path is {str(path)!r}, which is damaged or no model file: {error}") from error
    if header is None:
        raise ValueError(f"path is {str(path)!r}, a safetensors file that cmlfast did not write")
    metadata = json.loads(header)
    if not isinstance(metadata, dict) or not isinstance(metadata.get("format"), int):
        raise ValueError(f"path is {str(path)!r}, whose header is damaged; save the model again")
    if metadata["format"] > FORMAT:
        raise ValueError(
            f"path is {str(path)!r}, written by a newer cmlfast (format {metadata['format']}, this one reads "
            f"{FORMAT}); upgrade cmlfast"
        )
    return tensors, metadata


def pack_ids(ids: Ids) -> dict[str, Tensor]:
    """Turn ids into tensors: integers as they are, strings as UTF-8 bytes with their ends."""
    if ids.dtype != object:
        return {"numbers": torch.from_numpy(np.asarray(ids, dtype=np.int64))}
    encoded = [str(one).encode() for one in ids]
    ends = np.cumsum([len(one) for one in encoded], dtype=np.int64)
    return {
        "bytes": torch.from_numpy(np.frombuffer(b"".join(encoded), dtype=np.uint8).copy()),
        "ends": torch.from_numpy(ends),
    }


def unpack_ids(tensors: dict[str, Tensor]) -> Ids:
    """Undo `pack_ids`."""
    if "numbers" in tensors:
        numbers: Ids = tensors["numbers"].numpy()
        return numbers
    text = tensors["bytes"].numpy().tobytes()
    ends = tensors["ends"].tolist()
    return np.array([text[begin:end].decode() for begin, end in zip([0, *ends], ends, strict=False)], dtype=object)


def pack_csr(matrix: sparse.csr_matrix) -> dict[str, Tensor]:
    """Turn the places of a binary CSR matrix into tensors."""
    return {name: torch.from_numpy(np.asarray(getattr(matrix, name))) for name in ("indptr", "indices")}


@dataclass(frozen=True)
class Parts:
    """What a model file holds, checked."""

    params: dict[str, Any]
    tables: list[Tensor]  # user, item [., r] and their accumulators
    user_ids: Ids
    item_ids: Ids
    matrix: sparse.csr_matrix  # empty if it was not kept
    item_likes: Counts
    user_feature_ids: Ids | None
    item_feature_ids: Ids | None


def checked_parts(path: str | os.PathLike[str], tensors: dict[str, Tensor], metadata: dict[str, Any]) -> Parts:
    """Check that a file's tensors fit together, so that a damaged file is refused before anything reads it.

    Raises
    ------
    ValueError
        If something is missing, or has another type, shape or range than it must have.
    """
    try:
        missing = {"params", "history", "n_negatives", "batch_size", "skipped"} - metadata.keys()
        _require(not missing, f"the header lacks {sorted(missing)}")
        tables = [tensors[name] for name in ("user", "item", "user_state", "item_state")]
        _require(isinstance(metadata["params"], dict), "its params are no mapping")
        dtype = DTYPES[metadata["params"].get("dtype", "float32")]
        types = [dtype, dtype, torch.float32, torch.float32]
        _require([table.dtype for table in tables] == types, f"a table is not of its type, {types}")
        _require(all(table.dim() == 2 for table in tables), "a table has no rows and columns")
        user, item, user_state, item_state = (table.shape for table in tables)
        _require(user[1] == item[1] and user == user_state and item == item_state, "shapes of tables do not fit")
        user_ids, item_ids = (unpack_ids(_under(f"{kind}_ids.", tensors)) for kind in ("user", "item"))
        _require(len(user_ids) == user[0] and len(item_ids) == item[0], "ids do not fit the tables")
        networks = metadata.get("networks", {})
        _require(isinstance(networks, dict), "its networks are no mapping")
        made = [options for options in networks.values() if options is not None]
        _require(all(options["n_components"] == user[1] for options in made), "a network does not fit the tables")
        user_tags, item_tags = (_under(f"{kind}_feature_ids.", tensors) for kind in ("user", "item"))
        user_feature_ids, item_feature_ids = (unpack_ids(tags) if tags else None for tags in (user_tags, item_tags))
        packed = _under("user_items.", tensors)
        shape = (user[0], item[0])
        matrix = _unpack_csr(packed, shape) if packed else sparse.csr_matrix(shape, dtype=np.float32)
        likes = tensors["item_likes"].numpy() if "item_likes" in tensors else likes_of_items(matrix)
        _require(likes.dtype == np.int64 and likes.shape == (item[0],), "counts of likes do not fit the items")
        _require(bool((likes >= 0).all()), "a count of likes is negative")
    except (KeyError, TypeError, UnicodeDecodeError) as error:
        raise ValueError(f"path is {str(path)!r}, which is damaged: {error!r}") from error
    except ValueError as error:
        raise ValueError(f"path is {str(path)!r}, which is damaged: {error}") from error
    params = dict(metadata["params"])
    if isinstance(params.get("margin"), list):  # JSON has no tuples
        params["margin"] = tuple(params["margin"])
    return Parts(params, tables, user_ids, item_ids, matrix, likes, user_feature_ids, item_feature_ids)


def _require(good: bool, message: str) -> None:
    if not good:
        raise ValueError(message)


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name[len(prefix) :]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _unpack_csr(tensors: dict[str, Tensor], shape: tuple[int, int]) -> sparse.csr_matrix:
    """Undo `pack_csr`; SciPy itself would follow wrong offsets out of the arrays."""
    indptr, indices = tensors["indptr"].numpy(), tensors["indices"].numpy()
    _require(indptr.dtype.kind == "i" and indices.dtype.kind == "i" and indptr.ndim == indices.ndim == 1, "no CSR")
    _require(len(indptr) == shape[0] + 1 and indptr[0] == 0 and indptr[-1] == len(indices), "offsets do not fit")
    _require(bool((np.diff(indptr) >= 0).all()), "offsets fall")
    _require(len(indices) == 0 or 0 <= indices.min() <= indices.max() < shape[1], "items are out of range")
    return sparse.csr_matrix((np.ones(len(indices), dtype=np.float32), indices, indptr), shape=shape)
