"""Likes in one file that opens at once: the arrays of the matrix as they are in memory, mapped there and checked."""

from __future__ import annotations

import os
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cmlfast.data.gather import Gathered, ones_at
from cmlfast.data.sources import STANDARD_INPUT
from cmlfast.data.tensor_file import (
    FileType,
    check_offsets,
    damage,
    header_of,
    pack_ids,
    read,
    require,
    under,
    unpack_ids,
    write,
)

LIKES = FileType("cmlfast-likes", 1, "file of likes", "prepare it again")
BLOCK = 1 << 26  # bytes that have a checksum of their own


def is_prepared(file: str | os.PathLike[str]) -> bool:
    """Whether a file is one that `save` wrote, by how it begins."""
    if os.fspath(file) == STANDARD_INPUT or not Path(file).is_file():
        return False
    with open(file, "rb") as stream:
        begin = stream.read(9)
    # The length of a header, as safetensors has it, and the header: no text and no Parquet begins so.
    return begin[4:] == b"\0\0\0\0{" and header_of(Path(file), LIKES) is not None


def save(path: str | os.PathLike[str], likes: Gathered, by_position: bool) -> None:
    """Write likes, all or nothing.

    Raises
    ------
    OSError
        If ``path`` cannot be written to; an older file there is then untouched.
    """
    matrix = likes.matrix
    tensors = {
        "indptr": torch.from_numpy(matrix.indptr.astype(np.int64, copy=False)),
        "indices": torch.from_numpy(matrix.indices),
        **{f"user_ids.{name}": part for name, part in pack_ids(likes.user_ids).items()},
        **{f"item_ids.{name}": part for name, part in pack_ids(likes.item_ids).items()},
    }
    if likes.times is not None:
        tensors["times"] = torch.from_numpy(likes.times)
    metadata = {
        "shape": list(matrix.shape),
        "n_duplicates": likes.n_duplicates,
        "n_dropped": likes.n_dropped,
        "by_position": by_position,
        "checksums": _checksums(tensors),
    }
    write(path, tensors, metadata, of=LIKES)


def load(path: str | os.PathLike[str]) -> tuple[Gathered, bool]:
    """Return what `save` wrote, and whether users and items are meant by their positions.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is no file of likes, damaged, or of a newer version.
    """
    tensors, metadata = read(path, LIKES)
    with damage(path, LIKES):
        # Before anything follows what the arrays hold.
        require(metadata["checksums"] == _checksums(tensors), "its content is not what was written")
        n_users, n_items = metadata["shape"]
        ids = [unpack_ids(under(f"{kind}_ids.", tensors)) for kind in ("user", "item")]
        require([len(some) for some in ids] == [n_users, n_items], f"its ids are not those of {n_users} x {n_items}")
        indptr, indices = tensors["indptr"].numpy(), tensors["indices"].numpy()
        check_offsets(indptr, indices, (n_users, n_items), "likes")
        times = tensors["times"].numpy() if "times" in tensors else None
        require(times is None or times.shape == indices.shape, "it does not have a time for each like")
        counts = [metadata["n_duplicates"], metadata["n_dropped"]]
        require(all(type(count) is int and count >= 0 for count in counts), "its counts are none")
        matrix = ones_at(indptr, indices, (n_users, n_items))
        return Gathered(matrix, ids[0], ids[1], times, *counts), bool(metadata["by_position"])


def _checksums(tensors: dict[str, Tensor]) -> dict[str, Any]:
    """Return the CRC-32 of each block of each tensor; several are computed at once."""
    contents = {name: tensor.view(torch.uint8).numpy() for name, tensor in tensors.items()}
    blocks = {name: range(0, len(content), BLOCK) for name, content in contents.items()}
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        return {
            name: list(pool.map(lambda at, content=content: zlib.crc32(content[at : at + BLOCK]), blocks[name]))
            for name, content in contents.items()
        }
