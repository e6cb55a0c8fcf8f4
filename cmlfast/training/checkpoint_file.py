"""A checkpoint's file: safetensors with a checksum, written over the pages of a file that is no longer needed.

Training waits while its tables move into the page cache, and no copy of them is made before. Pages that are there take
a third of the time that new ones do. The checksum and the disk are left to a thread: :func:`complete`.
"""

from __future__ import annotations

import json
import mmap
import os
import zlib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cmlfast.data.tensor_file import FORMAT, KEY, read

TYPES = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64",
    torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL",
}  # fmt: skip
FRONT = b'{"__metadata__":{"crc32":"'
PLACE = 8 + len(FRONT)  # of the checksum's digits, behind the header's length
UNKNOWN = b"0" * 8  # what stands there until, and when, the checksum is computed
ALIGNED = 8


class EarlierError(ValueError):
    """A checkpoint of the layout that had a SHA-256 in its header, and of trainings that told less of themselves."""


def put(path: Path, tensors: dict[str, Tensor], header: dict[str, Any]) -> None:
    """Write all but the checksum, over what is there.

    Raises
    ------
    OSError
        If there is no room. The file is then removed.
    ValueError
        For a tensor of a type that is not kept.
    """
    # The widest first, so that each lies where its type may.
    parts = sorted(tensors.items(), key=lambda one: (-one[1].element_size(), one[0]))
    listed, end = dict[str, Any](), 0
    for name, tensor in parts:
        if tensor.dtype not in TYPES:
            raise ValueError(f"{name} is of type {tensor.dtype}, of which no checkpoints are made")
        begin, end = end, end + tensor.numel() * tensor.element_size()
        listed[name] = {"dtype": TYPES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [begin, end]}
    # A parameter may be a NumPy number, which JSON does not know.
    own = json.dumps({"format": FORMAT, "checkpoint": header}, default=lambda number: number.item())
    text = FRONT + UNKNOWN + f'",{json.dumps(KEY)}:{json.dumps(own)}}}'.encode()
    text += b"".join(f",{json.dumps(name)}:{json.dumps(one)}".encode() for name, one in listed.items()) + b"}"
    text += b" " * (-len(text) % ALIGNED)
    try:
        with open(path, "r+b" if path.exists() else "xb", buffering=0) as file:
            write_all(file.fileno(), len(text).to_bytes(8, "little") + text)
            for _, tensor in parts:
                write_all(file.fileno(), bytes_of(tensor))
            file.truncate(8 + len(text) + end)
    except OSError:
        path.unlink(missing_ok=True)
        raise


def write_all(file: int, content: Any) -> None:
    """Write bytes, of which the system may take a part at a time."""
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(file, rest) :]


def bytes_of(tensor: Tensor) -> memoryview:
    """Return the bytes of a contiguous tensor in the host's memory, which are not copied."""
    flat = tensor.reshape(-1)
    return flat.view(torch.uint8).numpy().data if flat.numel() else memoryview(b"")


def complete(path: Path) -> None:
    """Write the checksum, and wait until all is on the disk."""
    with open(path, "r+b") as file:
        found = b"%08x" % checksum(file.fileno())
        file.seek(PLACE)
        file.write(found)
        file.flush()
        os.fsync(file.fileno())


def checksum(file: int) -> int:
    """Return the CRC-32 of a file, but for the checksum in it."""
    with mmap.mmap(file, 0, access=mmap.ACCESS_READ) as pages, memoryview(pages)[PLACE + len(UNKNOWN) :] as rest:
        return zlib.crc32(rest, zlib.crc32(UNKNOWN, zlib.crc32(pages[:PLACE])))


def checked(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return what :func:`put` was given.

    Raises
    ------
    EarlierError
        If an earlier cmlfast wrote the file.
    ValueError
        If it is damaged, or no checkpoint.
    """
    tensors, metadata = read(path)
    if not isinstance(metadata.get("checkpoint"), dict):
        raise ValueError("it is no checkpoint")
    if "sha256" in metadata:
        raise EarlierError(
            "written by an earlier cmlfast; finish it with that version, or begin anew in another folder"
        )
    with open(path, "rb") as file:
        file.seek(PLACE)
        if file.read(len(UNKNOWN)) != b"%08x" % checksum(file.fileno()):
            raise ValueError("its content has changed")
    return tensors, metadata["checkpoint"]
