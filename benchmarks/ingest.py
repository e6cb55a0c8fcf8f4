"""``python -m benchmarks.ingest``: made-up likes in many files, read and prepared in a process of its own.

Users and items are drawn as Zipf's law has it, as people's habits do. What is printed: how long reading, writing and
opening took, and the reader's peak memory beside the final arrays (the matrix, its times, the ids). Files are made in a
temporary folder (TMPDIR says where): some 1.5 GB for 100 million rows of Parquet, 3.5 GB of CSV, and are removed.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
from pyarrow import csv, parquet

from benchmarks.kit.process import python
from benchmarks.kit.zipf import zipf

ROWS = 1_000_000  # that are made at once
READ = """
import json, sys, time
import torch  # as every command imports it
from cmlfast import Interactions
import pyarrow.dataset, pyarrow.csv
from benchmarks.kit.process import peak
base = peak()
form, source, target, timed = sys.argv[1:]
began = time.perf_counter()
likes = getattr(Interactions, f"from_{form}")(source, time="time" if timed == "True" else None)
read = time.perf_counter() - began
reading = peak()
began = time.perf_counter()
likes.save(target)
written = time.perf_counter() - began
m = likes.matrix
parts = [m.data, m.indices, m.indptr] + ([] if likes.times is None else [likes.times])
ids = [likes.user_ids, likes.item_ids]
strings = sum(sys.getsizeof(one) for some in ids if some.dtype == object for one in some.tolist())
arrays = sum(part.nbytes for part in parts + ids) + strings
print(json.dumps({
    "likes": repr(likes), "duplicates": likes.n_duplicates, "read": read, "written": written, "base": base,
    "peak": reading, "peak_written": peak(), "arrays": arrays,
}))
"""
OPEN = """
import json, sys, time
import torch
from cmlfast import Interactions
began = time.perf_counter()
likes = Interactions.load(sys.argv[1])
print(json.dumps({"opened": time.perf_counter() - began, "likes": repr(likes)}))
"""


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[2])
    parser.add_argument("--rows", type=int, default=100_000_000)
    parser.add_argument("--users", type=int, default=2_000_000)
    parser.add_argument("--items", type=int, default=200_000)
    parser.add_argument("--files", type=int, default=100)
    parser.add_argument("--format", choices=("parquet", "csv"), default="parquet")
    parser.add_argument("--ids", choices=("integers", "strings"), default="integers")
    parser.add_argument("--times", action="store_true", help="read times too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        began = time.perf_counter()
        made = make(folder / "likes", options)
        print(f"{made / 1e9:.2f} GB of {options.format} made in {time.perf_counter() - began:.0f} s", flush=True)
        target = str(folder / "likes.prepared")
        read = python(READ, options.format, str(folder / "likes"), target, str(options.times))
        size = Path(target).stat().st_size
        opened = python(OPEN, target)
    if opened["likes"] != read["likes"]:
        raise RuntimeError(f"{opened['likes']} was read back from {read['likes']}")
    times = ", with times" if options.times else ""
    print(
        f"{options.rows:,} rows of {options.files} {options.format} files, ids are {options.ids}{times}: "
        f"{read['likes']}, {read['duplicates']:,} duplicates merged\n"
        f"read in {read['read']:.1f} s, {options.rows / read['read'] / 1e6:.2f} million rows/s\n"
        f"final arrays {read['arrays'] / 1e9:.2f} GB; peak {read['peak'] / 1e9:.2f} GB ({read['base'] / 1e9:.2f} GB "
        f"after imports), {read['peak'] / read['arrays']:.2f} times the arrays\n"
        f"file of {size / 1e9:.2f} GB written in {read['written']:.1f} s (peak then {read['peak_written'] / 1e9:.2f} "
        f"GB), opened in {opened['opened']:.2f} s"
    )


def make(folder: Path, options: argparse.Namespace) -> int:
    """Write the files; return their size."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(options.files):
        begin, end = (options.rows * at // options.files for at in (number, number + 1))
        path = folder / f"part-{number:05}.{options.format}"
        write(path, (table(rng, min(ROWS, end - at), options) for at in range(begin, end, ROWS)))
    return sum(file.stat().st_size for file in folder.iterdir())


def table(rng: np.random.Generator, n: int, options: argparse.Namespace) -> pa.Table:
    """Draw rows."""
    user, item = zipf(rng, n, options.users), zipf(rng, n, options.items)
    ids = [pa.array(user), pa.array(item)]
    if options.ids == "strings":
        ids = [
            pa.compute.binary_join_element_wise(k, one.cast(pa.string()), "") for k, one in zip("ui", ids, strict=True)
        ]
    times = 1_700_000_000 + rng.integers(0, 86_400 * 365, n)
    return pa.table({"user": ids[0], "item": ids[1], "time": times})


def write(path: Path, parts: Any) -> None:
    """Write tables to one file."""
    first = next(parts)
    opened = parquet.ParquetWriter if path.suffix == ".parquet" else csv.CSVWriter
    with opened(path, first.schema) as writer:
        writer.write_table(first)
        for part in parts:
            writer.write_table(part)


if __name__ == "__main__":
    main()
