"""What a checkpoint after each epoch costs a fit of Gowalla's size: ``pytest benchmarks/bench_checkpoint.py``.

29,858 users, 40,981 items, 810,128 likes, made up, at 64 dimensions, the hinge. In one fit every second epoch has a
checkpoint before it; it is compared with the two epochs beside it, so that what else the machine does comes to both.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import quantiles
from typing import Any

from cmlfast import CML, datasets

EPOCHS = 80


def of_pairs(times: Sequence[float]) -> tuple[list[float], list[float]]:
    """Return how many times as long, and how much longer, each epoch with a checkpoint took than its neighbours.

    ``times`` are those at which epochs ended, from the first on, before what was saved after every second one.
    """
    took = [after - before for before, after in itertools.pairwise(times)]  # by the second, the third
    pairs = [(took[at], (took[at - 1] + took[at + 1]) / 2) for at in range(1, len(took) - 1, 2)]
    return [one / other for one, other in pairs], [one - other for one, other in pairs]


def test_a_checkpoint_each_second_epoch(benchmark: Any, tmp_path: Path) -> None:
    likes = datasets.synthetic(29_858, 40_981, 810_128, 100, seed=0).interactions
    wall, worked = list[float](), list[float]()

    def note(_: dict[str, float]) -> None:
        wall.append(time.perf_counter())
        worked.append(time.process_time())

    def fit() -> None:
        model = CML(64, "warp", n_epochs=EPOCHS, random_state=0)
        model.fit(likes, show_progress=False, checkpoint_dir=tmp_path, checkpoint_every=2, callback=note)

    benchmark.pedantic(fit, rounds=1)
    mebibytes = max(path.stat().st_size for path in tmp_path.iterdir()) / 2**20
    for name, times in (("by the clock", wall), ("processor time", worked)):
        ratios, more = of_pairs(times)
        low, middle, high = quantiles(ratios, n=4)
        benchmark.extra_info[name] = {"quartiles": (low, middle, high), "mebibytes": mebibytes}
        print(
            f"{name}: {middle:.3f} times, half of {len(ratios)} pairs {low:.3f} to {high:.3f}; "
            f"{1000 * quantiles(more, n=2)[0]:.1f} ms for {mebibytes:.0f} MiB"
        )
