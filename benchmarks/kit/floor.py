"""The least bytes that any implementation of the training step moves on a GPU, see docs/performance-cuda.md."""

from __future__ import annotations

from collections.abc import Callable

import torch

from benchmarks.kit.case import N_NEGATIVES, Case, active_rows

# Published bytes per second of the memory, by torch's name of the GPU.
BANDWIDTH = {
    "NVIDIA H200": 4.8e12,
    "NVIDIA H100 80GB HBM3": 3.35e12,
    "NVIDIA A100-SXM4-80GB": 2.039e12,
    "NVIDIA L4": 300e9,
    "NVIDIA GeForce RTX 4090": 1.008e12,
}


def least_bytes(case: Case, n_negatives: int = N_NEGATIVES) -> dict[str, float]:
    """Return the least bytes of a step on this case, with draws of offset 0, by purpose."""
    n_pairs, user_w = len(case.users), case.tables.user
    row = user_w.shape[1] * user_w.element_size()  # bytes of weights
    state = user_w.shape[1] * 4  # bytes of accumulators, float32 always
    n_active, n_users, n_items = active_rows(case, n_negatives)
    n_searched = _over_pairs(case, lambda halvings: _entries(halvings, n_negatives))
    return {
        "rows of the pairs, read once a pair": n_pairs * (n_negatives + 2) * row,
        "ids, row ends, searched positives": case.users.element_size() * (4 * n_pairs + n_searched),
        "loss and impostors": 8.0 * n_pairs,
        "distinct rows, weights and accumulators read and written": (n_users + n_items) * 2 * (row + state),
        "rows read again for gradients": 4 * n_active * row,
        # Hardest id and factor; the three places of an active pair's rows. All written and read once.
        "notes from scan to sums": n_active * 2 * (4 + 4 + 3 * 4),
    }


def _over_pairs(case: Case, of_halvings: Callable[[int], float]) -> float:
    """Add up a number for each pair, by the halvings that a search in its user's positives takes."""
    n_liked = case.indptr.diff()[case.users.long()]
    halvings = torch.frexp(n_liked.double()).exponent  # of a count: its binary digits
    return sum(count * of_halvings(bits) for bits, count in enumerate(halvings.bincount().tolist()) if count)


def _entries(halvings: int, n_draws: int) -> float:
    """Return how many distinct entries of a list searches see: the k-th halving has 2^k to see, spread evenly."""
    return sum(expected_distinct(2**k, n_draws) for k in range(halvings))


def expected_distinct(cells: float, draws: float) -> float:
    """Return how many of so many cells are hit by independent even draws."""
    return cells * (1 - (1 - 1 / cells) ** draws) if cells > 1 else min(1.0, draws)
