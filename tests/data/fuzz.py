"""Readers with damaged files: ``python -m data.fuzz --minutes 10`` in ``tests``.

Files of every kind that is read (CSV in several dialects and packings, Parquet, prepared likes, models, checkpoints)
are changed at random: bits, cuts, repeated and inserted parts, what stands in headers. A reader then returns something
sound or raises one of `CLEAN`, with a message; anything else, and any crash of the process, is a finding.
"""

from __future__ import annotations

import bz2
import gzip
import json
import logging
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from fuzzing import command, in_turns
from pyarrow import parquet
from scipy import sparse

from cmlfast import CML, Interactions

CLEAN = (ValueError, OSError, IndexError, KeyError, MemoryError)
PIECES = (
    b"\0", b'"', b'""', b"\xef\xbb\xbf", b"\xff\xfe", b",,,,", b"\r\n\r\n", b"\n" * 50, b"-1", b"1e308", b"NaN",
    b"9" * 400, b"\xc3\x28", b"{}", b"[]", b"null", b"../", b"\x80" * 9, b",a" * 3000,
)  # fmt: skip
NUMBERS = (-1, 0, 2**31, 2**63 - 1, -(2**63), 1e400, None, [], {}, "x", True)


def text(n: int = 200) -> bytes:
    rng = np.random.default_rng(0)
    rows = [
        f'u{rng.integers(40)},"item, {rng.integers(60)}",{rng.integers(1, 6)},{rng.integers(10**9)}' for _ in range(n)
    ]
    return "\n".join(["user,item,rating,time", *rows, ""]).encode()


def originals(folder: Path) -> dict[str, bytes]:
    """Return whole files, by name."""
    csv = text()
    table = pa.table({"user": ["a", "b", "a"] * 30, "item": list(range(90)), "rating": [1.0, 5.0, 4.0] * 30})
    parquet.write_table(table, folder / "likes.parquet")
    likes = sparse.random(20, 30, 0.2, format="csr", random_state=0)
    Interactions.from_parquet(folder / "likes.parquet", time="rating").save(folder / "likes.prepared")
    tags = sparse.random(30, 8, 0.3, format="csr", random_state=1)
    own = Interactions(likes, [f"u{n}" for n in range(20)], [f"i{n}" for n in range(30)])
    CML(4, n_epochs=1, random_state=0).fit(own, tags, checkpoint_dir=folder / "kept").save(folder / "a.model")
    return {
        "likes.csv": csv,
        "likes.tsv": csv.replace(b",", b"\t"),
        "utf16.csv": csv.decode().encode("utf-16"),
        "likes.csv.gz": gzip.compress(csv),
        "likes.csv.bz2": bz2.compress(csv),
        "likes.parquet": (folder / "likes.parquet").read_bytes(),
        "likes.prepared": (folder / "likes.prepared").read_bytes(),
        "a.model": (folder / "a.model").read_bytes(),
        "kept.model": max((folder / "kept").iterdir()).read_bytes(),
    }


def changed(content: bytes, rng: np.random.Generator, is_model: bool) -> bytes:
    """Return a file with one to four changes."""
    made = bytearray(content)
    for _ in range(1 + int(rng.integers(4))):
        at, to = sorted(int(place) for place in rng.integers(len(made) + 1, size=2))
        how = int(rng.integers(8 if is_model else 6))
        if how == 0 and made:
            made[min(at, len(made) - 1)] ^= 1 << int(rng.integers(8))
        elif how == 1:
            del made[at:]
        elif how == 2:
            del made[at:to]
        elif how == 3:
            made[at:at] = PIECES[rng.integers(len(PIECES))]
        elif how == 4:
            made[at:at] = made[at : min(to, at + 2000)]
        elif how == 5:
            made[at : at + 8] = int(rng.integers(2**63)).to_bytes(8, "little")
        else:
            made = bytearray(another_header(bytes(made), rng))
        if not made:
            break
    return bytes(made)


def another_header(content: bytes, rng: np.random.Generator) -> bytes:
    """Return a safetensors file with something else in its header, which still is one of JSON."""
    length = int.from_bytes(content[:8], "little")
    try:
        header = json.loads(content[8 : 8 + length])
        key = next(one for one in header["__metadata__"] if one.startswith("cmlfast"))
        own = json.loads(header["__metadata__"][key])
    except (ValueError, KeyError, TypeError, StopIteration):
        return content
    target: Any = own if rng.integers(2) else header
    for _ in range(4):  # some way down
        keys = list(target) if isinstance(target, dict) else list(range(len(target)))
        if not keys:
            break
        key = keys[rng.integers(len(keys))]
        if isinstance(target[key], dict | list) and target[key] and rng.integers(3):
            target = target[key]
            continue
        if isinstance(target, dict) and not rng.integers(3):
            del target[key]
        else:
            target[key] = NUMBERS[rng.integers(len(NUMBERS))]
        break
    if isinstance(header.get("__metadata__"), dict):
        header["__metadata__"][key] = json.dumps(own)
    packed = json.dumps(header).encode()
    return len(packed).to_bytes(8, "little") + packed + content[8 + length :]


def read(path: Path) -> None:
    """Read a file as users do, and use what came of it."""
    if path.suffix == ".model":
        model = CML.load(path)
        model.recommend(model.user_ids_[:3], N=3, filter_already_liked_items=model.user_items_ is not None)
        model.summary()
        return
    if path.suffix == ".parquet":
        likes = Interactions.from_parquet(path)
    elif path.suffix == ".prepared":
        likes = Interactions.load(path)
    else:
        likes = Interactions.from_csv(path, value="rating", min_value=2)
    assert likes.matrix.shape == (len(likes.user_ids), len(likes.item_ids))
    assert likes.matrix.has_canonical_format


def finding(name: str, content: bytes, seed: int, folder: Path) -> str:
    """Say what goes wrong with a changed file, "" if nothing does."""
    rng = np.random.default_rng([seed, len(name)])
    path = folder / name
    path.write_bytes(changed(content, rng, name.endswith((".model", ".prepared"))))
    try:
        read(path)
    except CLEAN as error:
        return "" if str(error) else f"{name}, seed {seed}: {type(error).__name__} without a word"
    except Exception:
        return f"{name}, seed {seed}:\n{traceback.format_exc(limit=-4)}"
    return ""


def search(minutes: float, first: int, tell: Callable[[str], None]) -> list[str]:
    """Try all files, for equal times, until the time is up; return the findings."""
    logging.getLogger("cmlfast").setLevel(logging.CRITICAL)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        whole = originals(folder)
        return in_turns(
            whole, minutes, first, lambda file, seed: finding(file, whole[file], seed, folder), tell,
            "changes", "{kinds} files, {findings} findings",
        )  # fmt: skip


if __name__ == "__main__":
    sys.exit(command("data.fuzz", __doc__, search))
