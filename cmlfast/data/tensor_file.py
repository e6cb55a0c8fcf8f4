"""One safetensors file: tensors, and JSON in its header. Loading runs no code; writes are atomic."""

from __future__ import annotations

import errno
import json
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from scipy import sparse
from torch import Tensor

from cmlfast.data.ids import Ids, to_numpy

# 1 had float32 tables only, and no parameter `dtype`; 2 had no networks; 3 had no counts of likes
FORMAT = 4
KEY = "cmlfast"


@dataclass(frozen=True)
class FileType:
    """What a file is for: the key of its header, the newest format of it that is read, what to call it.

    `remedy` is what helps where one is damaged.
    """

    key: str
    format: int
    name: str
    remedy: str


MODEL = FileType(KEY, FORMAT, "model file", "save the model again")
# What else a header may show a file to be.
OTHERS = {
    KEY: "a model; CML.load reads it",
    "cmlfast-likes": "likes that cmlfast prepare wrote, no model; Interactions.load reads it",
}
# Of memory that is full, or a GPU that fails; the last is there from torch 2.8 on.
OF_DEVICES = (torch.OutOfMemoryError, getattr(torch, "AcceleratorError", torch.OutOfMemoryError))
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


def header_of(path: Path, of: FileType = MODEL) -> dict[str, Any] | None:
    """Return what :func:`write` put into a file's header, None if it is no such file."""
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {}).get(of.key, "null"))
    except (SafetensorError, ValueError, RecursionError):
        return None
    return header if isinstance(header, dict) else None


def is_model(path: Path) -> bool:
    """Whether a file is a model's, or a checkpoint."""
    return header_of(path) is not None


def write(
    path: Where, tensors: dict[str, Tensor], metadata: dict[str, Any], mark: str = KEY, of: FileType = MODEL
) -> None:
    """Write a file in one step, readers see the old file or the new one, whole; or write to an open file.

    Raises
    ------
    OSError
        If ``path`` cannot be written to; an older file there is then untouched.
    """
    # A parameter may be a NumPy number, which JSON does not know.
    header = {of.key: json.dumps({"format": of.format, **metadata}, default=lambda number: number.item())}
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
        raise OSError(
            code, f"the {of.name.removesuffix(' file')} could not be written: {os.strerror(code)}", str(path)
        ) from error


def read(path: Where, of: FileType = MODEL) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read a file, mapped into memory, or an open one.

    Raises
    ------
    FileNotFoundError
        If there is none.
    ValueError
        If it is no such file of this package, damaged, or of a newer format.
    """
    name = name_of(path)
    if isinstance(path, str | os.PathLike) and not Path(path).is_file():
        raise FileNotFoundError(f"path is {name}, but there is no such file")
    try:
        headers, tensors = _read_path(path) if isinstance(path, str | os.PathLike) else _read_bytes(path.read())
    except SafetensorError as error:
        if of is MODEL and isinstance(path, str | os.PathLike) and _is_text(Path(path)):
            raise ValueError(
                f"path is {name}, which is text and no {of.name}: MODEL is what cmlfast train, or CML.save, wrote"
            ) from error
        raise ValueError(f"path is {name}, which is damaged or no {of.name}: {error}") from error
    if of.key not in headers:
        other = next((other for key, other in OTHERS.items() if key in headers), None)
        raise ValueError(f"path is {name}, " + (other or "a safetensors file that cmlfast did not write"))
    with damage(path, of):  # JSON may be none, or deeper than Python goes
        metadata = json.loads(headers[of.key])
    if not isinstance(metadata, dict) or not isinstance(metadata.get("format"), int):
        raise ValueError(f"path is {name}, whose header is damaged; {of.remedy}")
    if metadata["format"] > of.format:
        raise ValueError(
            f"path is {name}, written by a newer cmlfast (format {metadata['format']}, this one reads "
            f"{of.format}); upgrade cmlfast"
        )
    return tensors, metadata


def _is_text(path: Path) -> bool:
    """Whether a file begins as a text does."""
    with open(path, "rb") as file:
        begin = file.read(1024)
    # A character may be cut off at the end.
    text = begin.decode(errors="ignore")
    return len(begin) > 0 and len(text.encode()) > len(begin) - 4 and "".join(text.split()).isprintable()


@contextmanager
def damage(path: Where, of: FileType = MODEL) -> Iterator[None]:
    """Raise ``ValueError`` that names a file for whatever its content makes go wrong."""
    try:
        yield
    except OSError:  # the file is not what is wrong
        raise
    except ValueError as error:
        if str(error).startswith("path is "):
            raise
        raise ValueError(f"path is {name_of(path)}, which is damaged: {error}; {of.remedy}") from error
    except OF_DEVICES:
        raise
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError) as error:
        raise ValueError(f"path is {name_of(path)}, which is damaged: {error!r}; {of.remedy}") from error


def _read_path(path: str | os.PathLike[str]) -> tuple[dict[str, str], dict[str, Tensor]]:
    # safetensors before 0.6 makes tensors where the process has its default device.
    with torch.device("cpu"), safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        return file.metadata() or {}, tensors


def _read_bytes(content: bytes) -> tuple[dict[str, str], dict[str, Tensor]]:
    tensors = safetensors.torch.load(content)  # which has checked the header
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length]).get("__metadata__", {}), tensors


def pack_ids(ids: Ids) -> dict[str, Tensor]:
    """Turn ids into tensors: integers as they are, strings as UTF-8 bytes with their ends."""
    if ids.dtype != object:
        return {"numbers": torch.from_numpy(np.asarray(ids, dtype=np.int64))}
    column = pa.array(ids, pa.large_string())
    _, ends, text = column.buffers()
    offsets = np.frombuffer(ends or b"", dtype=np.int64)[: len(ids) + 1]
    content = np.frombuffer(text or b"", dtype=np.uint8)[: offsets[-1] if len(ids) else 0]
    return {"bytes": torch.from_numpy(content.copy()), "ends": torch.from_numpy(offsets[1:].copy())}


def unpack_ids(tensors: dict[str, Tensor]) -> Ids:
    """Undo `pack_ids`."""
    if "numbers" in tensors:
        numbers: Ids = tensors["numbers"].numpy()
        return numbers
    text, ends = tensors["bytes"].numpy(), np.concatenate(([0], tensors["ends"].numpy()))
    require(ends.dtype == np.int64 and text.dtype == np.uint8, "its ids are no text")
    buffers = [None, pa.py_buffer(ends), pa.py_buffer(text)]
    column = pa.Array.from_buffers(pa.large_string(), len(ends) - 1, buffers)
    column.validate(full=True)  # the ends lie in the text, which is UTF-8
    return to_numpy(column)


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
    check_offsets(indptr, indices, shape, name)
    return sparse.csr_matrix((np.ones(len(indices), dtype=np.float32), indices, indptr), shape=shape)


def check_offsets(indptr: npt.NDArray[Any], indices: npt.NDArray[Any], shape: tuple[int, int], name: str) -> None:
    """Raise ``ValueError`` unless offsets and numbers of columns are those of a CSR matrix of this shape."""
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
