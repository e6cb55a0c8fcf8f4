"""One safetensors file for a fitted model: tensors, and JSON in its header. Loading runs no code; writes are atomic."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from scipy import sparse
from torch import Tensor

from cmlfast.ids import Ids

FORMAT = 1
KEY = "cmlfast"


def write(path: str | os.PathLike[str], tensors: dict[str, Tensor], metadata: dict[str, Any]) -> None:
    """Write a model file in one step: readers see the old file or the new one, whole.

    Raises
    ------
    OSError
        If the folder is missing or not writable; an older file at ``path`` is then untouched.
    """
    target = Path(path)
    if target.is_dir():
        raise IsADirectoryError(f"path is {str(target)!r}, a folder; give the name of a file in it")
    if not target.parent.is_dir():
        raise FileNotFoundError(f"path is {str(target)!r}, but its folder does not exist; create it first")
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".part")
    os.close(handle)
    try:
        header = {KEY: json.dumps({"format": FORMAT, **metadata})}
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, temporary, metadata=header)
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)  # mkstemp's own 0600 would hide the model from other users
        os.replace(temporary, target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
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


def unpack_csr(tensors: dict[str, Tensor], shape: tuple[int, int]) -> sparse.csr_matrix:
    """Undo `pack_csr`."""
    indptr, indices = tensors["indptr"].numpy(), tensors["indices"].numpy()
    return sparse.csr_matrix((np.ones(len(indices), dtype=np.float32), indices, indptr), shape=shape)
