"""One safetensors file: tensors, and JSON in its header. Loading runs no code; writes are atomic."""

from __future__ import annotations

import errno
import json
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, TypeAlias

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from scipy import sparse
from torch import Tensor

from cmlfast.data.ids import Ids

# 1 had float32 tables only, and no parameter `dtype`; 2 had no networks; 3 had no counts of likes
FORMAT = 4
KEY = "cmlfast"
PART = ".part"  # how the names of files end that are being written
Where: TypeAlias = "str | os.PathLike[str] | IO[bytes]"


def name_of(path: Where) -> str:
    """Return what to call a file in messages."""
    return repr(str(path)) if isinstance(path, str | os.PathLike) else "an open file"


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


@contextmanager
def replacement(path: str | os.PathLike[str], mark: str = KEY) -> Iterator[Path]:
    """Give a new file to write, which then takes the place of another: readers see the old one or the new one, whole.

    Its name begins with a dot and ``mark`` until then. Those may read it who may read the old one, or else whom the
    umask lets.

    Raises
    ------
    OSError
        If ``path`` cannot be written to; an older file there is then untouched.
    """
    target = check_target(path)
    temporary = target.parent / f".{mark}-{secrets.token_hex(8)}{PART}"
    try:
        temporary.touch(exist_ok=False)
        mode = (target if target.exists() else temporary).stat().st_mode & 0o777
        yield temporary
        temporary.chmod(mode)  # safetensors lets nobody else read what it writes
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def remove_parts(folder: Path, mark: str) -> None:
    """Remove what killed processes have left half-written in a folder, under a mark of their own."""
    for path in folder.glob(f".{mark}-{'[0-9a-f]' * 16}{PART}"):
        path.unlink(missing_ok=True)


def header_of(path: Path) -> dict[str, Any] | None:
    """Return what :func:`write` put into a file's header, None if another program made the file."""
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {}).get(KEY, "null"))
    except (SafetensorError, ValueError):
        return None
    return header if isinstance(header, dict) else None


def is_model(path: Path) -> bool:
    """Whether a file is one that :func:`write` made."""
    return header_of(path) is not None


def write(path: Where, tensors: dict[str, Tensor], metadata: dict[str, Any], mark: str = KEY) -> None:
    """Write a model file in one step, readers see the old file or the new one, whole; or write to an open file.

    Raises
    ------
    OSError
        If ``path`` cannot be written to; an older file there is then untouched.
    """
    # A parameter may be a NumPy number, which JSON does not know.
    header = {KEY: json.dumps({"format": FORMAT, **metadata}, default=lambda number: number.item())}
    tensors = {name: tensor.contiguous() for name, tensor in tensors.items()}
    if not isinstance(path, str | os.PathLike):
        path.write(safetensors.torch.save(tensors, metadata=header))
        return
    try:
        with replacement(path, mark) as temporary:
            save_file(tensors, temporary, metadata=header)
    except SafetensorError as error:
        number = re.search(r"os error (\d+)", str(error))
        code = int(number[1]) if number else errno.EIO
        raise OSError(code, f"the model could not be written: {os.strerror(code)}", str(path)) from error


def read(path: Where) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read a model file, or an open one.

    Raises
    ------
    FileNotFoundError
        If there is none.
    ValueError
        If it is no model of this package, damaged, or of a newer format.
    """
    name = name_of(path)
    if isinstance(path, str | os.PathLike) and not Path(path).is_file():
        raise FileNotFoundError(f"path is {name}, but there is no such file")
    try:
        header, tensors = _read_path(path) if isinstance(path, str | os.PathLike) else _read_bytes(path.read())
    except SafetensorError as error:
        raise ValueError(f"path is {name}, which is damaged or no model file: {error}") from error
    if header is None:
        raise ValueError(f"path is {name}, a safetensors file that cmlfast did not write")
    metadata = json.loads(header)
    if not isinstance(metadata, dict) or not isinstance(metadata.get("format"), int):
        raise ValueError(f"path is {name}, whose header is damaged; save the model again")
    if metadata["format"] > FORMAT:
        raise ValueError(
            f"path is {name}, written by a newer cmlfast (format {metadata['format']}, this one reads "
            f"{FORMAT}); upgrade cmlfast"
        )
    return tensors, metadata


def _read_path(path: str | os.PathLike[str]) -> tuple[str | None, dict[str, Tensor]]:
    # safetensors before 0.6 makes tensors where the process has its default device.
    with torch.device("cpu"), safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        return (file.metadata() or {}).get(KEY), tensors


def _read_bytes(content: bytes) -> tuple[str | None, dict[str, Tensor]]:
    tensors = safetensors.torch.load(content)  # which has checked the header
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length]).get("__metadata__", {}).get(KEY), tensors


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


def require(good: bool, message: str) -> None:
    """Raise ``ValueError(message)`` unless ``good``."""
    if not good:
        raise ValueError(message)


def under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors whose names begin with a prefix, without it."""
    return {name[len(prefix) :]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def unpack_csr(tensors: dict[str, Tensor], shape: tuple[int, int], name: str) -> sparse.csr_matrix:
    """Undo `pack_csr`; SciPy itself would follow wrong offsets out of the arrays. ``name`` is the tensors' prefix."""
    indptr, indices = tensors["indptr"].numpy(), tensors["indices"].numpy()
    for part, array in (("indptr", indptr), ("indices", indices)):
        require(
            array.dtype.kind == "i" and array.ndim == 1,
            f"tensor {name}.{part} is {array.dtype} of {array.ndim} dimensions; it must be integers in one",
        )
    require(
        len(indptr) == shape[0] + 1,
        f"tensor {name}.indptr has {len(indptr)} offsets; {shape[0]} rows have {shape[0] + 1}",
    )
    require(
        indptr[0] == 0 and indptr[-1] == len(indices),
        f"tensor {name}.indptr goes from {indptr[0]} to {indptr[-1]}; it must go from 0 to {len(indices)}",
    )
    falls = np.flatnonzero(np.diff(indptr) < 0)
    if len(falls):
        at = int(falls[0])
        raise ValueError(f"tensor {name}.indptr falls at position {at + 1}, from {indptr[at]} to {indptr[at + 1]}")
    require(
        len(indices) == 0 or 0 <= indices.min() <= indices.max() < shape[1],
        f"tensor {name}.indices holds numbers outside of 0 to {shape[1] - 1}",
    )
    return sparse.csr_matrix((np.ones(len(indices), dtype=np.float32), indices, indptr), shape=shape)
