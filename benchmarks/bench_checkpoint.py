"""What a checkpoint after each epoch costs a fit of Gowalla's size: ``pytest benchmarks/bench_checkpoint.py``.

29,858 users, 40,981 items, 810,128 likes, made up, at 64 dimensions. Fits with and without checkpoints take turns, each
begins anew.
"""

from __future__ import annotations

import shutil
import time
from functools import lru_cache
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from cmlfast import CML, Interactions, datasets

EPOCHS = {"warp": 10, "softmax": 1}
TURNS = 3


@lru_cache(maxsize=1)
def likes() -> Interactions:
    return datasets.synthetic(29_858, 40_981, 810_128, 100, seed=0).interactions


def seconds(folder: Path | None, loss: str) -> float:
    model = CML(64, loss, n_epochs=EPOCHS[loss], random_state=0)
    began = time.perf_counter()
    model.fit(likes(), show_progress=False, checkpoint_dir=folder)
    return time.perf_counter() - began


@pytest.mark.parametrize("loss", EPOCHS)
def test_a_checkpoint_each_epoch(benchmark: Any, loss: str, tmp_path: Path) -> None:
    seconds(None, loss)
    without, kept = [], []
    for _ in range(TURNS):
        without.append(seconds(None, loss))
        kept.append(seconds(tmp_path / "kept", loss))
        size = max(path.stat().st_size for path in (tmp_path / "kept").iterdir())
        shutil.rmtree(tmp_path / "kept")
    benchmark.extra_info.update(
        without=without, kept=kept, ratio=median(kept) / median(without), mebibytes=size / 2**20, epochs=EPOCHS[loss]
    )
    benchmark.pedantic(lambda: seconds(tmp_path / "kept", loss), rounds=1)
    print(
        f"{loss}: {median(without):.2f} s without, {median(kept):.2f} s with {EPOCHS[loss]} checkpoints of "
        f"{size / 2**20:.0f} MiB: {median(kept) / median(without):.3f} times"
    )
