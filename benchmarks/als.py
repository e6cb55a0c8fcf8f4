"""What CML is compared with in ``benchmarks.accuracy``: implicit's ALS, tuned on validation data."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from time import perf_counter

import numpy as np
import numpy.typing as npt
from implicit.als import AlternatingLeastSquares
from scipy import sparse
from threadpoolctl import threadpool_limits

from cmlfast import recall_at_k
from cmlfast.interactions import Interactions

ITERATIONS = 15
FACTORS = (64, 100)
REGULARIZATION = (10.0, 30.0, 100.0, 300.0)
ALPHA = (10.0, 40.0, 100.0, 300.0)
FAR_BEHIND = 0.1  # the share of the best recall
GRID = f"factors {list(FACTORS)}, regularization {list(REGULARIZATION)}, alpha {list(ALPHA)}, {ITERATIONS} iterations"

Split = tuple[Interactions, Interactions, Interactions]  # training, validation, test


@dataclass(frozen=True)
class Setting:
    """A point of the grid."""

    factors: int
    regularization: float
    alpha: float


def als_recall(
    train: Interactions, held_out: Interactions, seen: sparse.csr_matrix, setting: Setting, seed: int, ks: Sequence[int]
) -> tuple[dict[str, float], float]:
    """Train ALS and rank for everyone all items but the seen ones; return Recall@K and the seconds of training."""
    with threadpool_limits(limits=1, user_api="blas"):  # as implicit advises: it has threads of its own
        model = AlternatingLeastSquares(**asdict(setting), iterations=ITERATIONS, random_state=seed, use_gpu=False)
        started = perf_counter()
        model.fit(train.matrix, show_progress=False)
        seconds = perf_counter() - started
        rows: npt.NDArray[np.int64] = np.flatnonzero(np.diff(held_out.matrix.indptr))
        ranked, _ = model.recommend(rows, seen[rows], N=max(ks), filter_already_liked_items=True)
    return {f"recall@{k}": recall_at_k(ranked, held_out.matrix[rows], k) for k in ks}, seconds


def choose_setting(splits: Sequence[Split]) -> Setting:
    """Return the setting with the best Recall@50 on validation data, the mean over the splits; trained on training.

    A setting that is `FAR_BEHIND` on one split is not tried on the next; splits differ by some 1% of the recall.
    """
    # The largest first, which tend to be the best: then the others are soon seen to be behind.
    grid = [Setting(*point) for point in itertools.product(FACTORS, REGULARIZATION, ALPHA)][::-1]
    best, best_recall = grid[0], -1.0
    for number, setting in enumerate(grid, 1):
        recalls: list[float] = []
        for seed, (train, validation, _) in enumerate(splits):
            recalls.append(als_recall(train, validation, train.matrix, setting, seed, (50,))[0]["recall@50"])
            if recalls[-1] < (1 - FAR_BEHIND) * best_recall:
                break
        recall = float(np.mean(recalls))
        if len(recalls) == len(splits) and recall > best_recall:
            best, best_recall = setting, recall
        progress = f"ALS {number}/{len(grid)}: {setting}: {recall:.4f} on {len(recalls)} splits, best {best_recall:.4f}"
        print(progress, file=sys.stderr, flush=True)
    return best
