"""``python -m benchmarks.daily``: a day of likes into a model of 10 million, by ``cmlfast update`` and by its parts.

The likes are made up, see `benchmarks.ingest`: those that the model knows, and a day of a hundredth as many, with new
users and items; who was last seen more than 60 days before is dropped. The model's vectors are those of an epoch on a
hundredth of its likes, for how good they are does not change how long an update takes.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from benchmarks.kit.zipf import zipf
from cmlfast import CML, Interactions
from cmlfast.data.csr import likes_of_items
from cmlfast.data.sides import Sides
from cmlfast.data.times import last_seen

DAY = 86_400
START = 1_700_000_000


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[2])
    parser.add_argument("--likes", type=int, default=10_000_000)
    parser.add_argument("--users", type=int, default=400_000)
    parser.add_argument("--items", type=int, default=50_000)
    parser.add_argument("--components", type=int, default=100)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rng = np.random.default_rng(0)
        day = folder / "day.parquet"
        parquet.write_table(table(rng, options.likes, options.users, options.items, 0, 90), folder / "all.parquet")
        # A hundredth of the users and items of the day are new.
        new = table(rng, options.likes // 100, options.users * 101 // 100, options.items * 101 // 100, 90, 91)
        parquet.write_table(new, day)
        likes = Interactions.from_parquet(folder / "all.parquet", time="time")
        print(likes, flush=True)
        made_up(likes, options.components).save(folder / "a.model")
        del likes
        size = (folder / "a.model").stat().st_size
        parts(folder, day)
        words = ["update", str(folder / "a.model"), str(day), "--time", "time", "--drop-users-after", "60"]
        began = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "cmlfast_cli", *words], check=True, stdout=subprocess.PIPE, text=True
        )
        print(done.stdout.replace(str(folder), "").strip())
        seconds, usage = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = usage.ru_utime + usage.ru_stime
        print(
            f"cmlfast update, the whole process: {seconds:.1f} s, {cpu:.1f} s of all threads; model of "
            f"{size / 1e6:,.0f} MB"
        )


def made_up(likes: Interactions, r: int) -> CML:
    """Return a model that knows these likes, with the parameters that "auto" comes to for so many."""
    some = likes.keep(np.random.default_rng(0).random(likes.nnz) < 0.01)
    model = CML(r, n_epochs=1, batch_size=5000, n_negatives=4096, random_state=0)
    model.fit(some, show_progress=False)
    seen = Sides(*(last_seen(likes.times, likes.matrix) or (None, None)))
    counts = likes_of_items(likes.matrix)
    placed = Sides(np.diff(likes.matrix.indptr) > 0, counts > 0)
    assert model._fitted
    model._fitted = replace(model._fitted, known=likes, item_likes=counts, placed=placed, last_seen=seen)
    return model


def parts(folder: Path, day: Path) -> None:
    """Time the same in this process."""
    model = timed("load", lambda: CML.load(folder / "a.model"))
    likes = timed("read the day", lambda: Interactions.from_parquet(day, time="time"))
    timed("partial_fit", lambda: model.partial_fit(likes))
    timed("drop_inactive", lambda: model.drop_inactive(60))
    timed("save", lambda: model.save(folder / "b.model"))


def timed(name: str, act: Callable[[], Any]) -> Any:
    began, worked = time.perf_counter(), time.process_time()
    done = act()
    seconds, cpu = time.perf_counter() - began, time.process_time() - worked
    print(f"{name:14} {seconds:6.2f} s, {cpu:6.2f} s of all threads", flush=True)
    return done


def table(rng: np.random.Generator, n: int, n_users: int, n_items: int, begin: int, end: int) -> pa.Table:
    """Draw likes of some days."""
    times = START + rng.integers(begin * DAY, end * DAY, n)
    return pa.table({"user": zipf(rng, n, n_users), "item": zipf(rng, n, n_items), "time": times})


if __name__ == "__main__":
    main()
