"""The least bytes that any implementation of the CUDA training step moves; docs/performance-cuda.md explains them."""

from __future__ import annotations

from dataclasses import replace

import torch

from benchmarks.kit.case import N_NEGATIVES, Case, active_rows
from benchmarks.kit.shape import Shape

CITEULIKE = Shape()
# Nothing fits a cache, no row is named twice.
LARGE = replace(CITEULIKE, n_users=1_000_000, n_items=1_000_000, distinct_users=0.9964, distinct_items=2 * 0.9964)
# Published bytes per second of the memory, by torch's name of the GPU.
BANDWIDTH = {
    "NVIDIA H200": 4.8e12,
    "NVIDIA H100 80GB HBM3": 3.35e12,
    "NVIDIA A100-SXM4-80GB": 2.039e12,
    "NVIDIA L4": 300e9,
    "NVIDIA GeForce RTX 4090": 1.008e12,
}


def least(shape: Shape, reread: bool = True) -> dict[str, float]:
    """Return the least bytes per pair, by purpose.

    Parameters
    ----------
    shape : Shape
        The batch.
    reread : bool
        With False, under the strictest definition: gradients never leave the chip, so that no row is read again for
        them and nothing is noted for sorting.
    """
    row = shape.row_bytes(shape.storage)
    distinct = shape.distinct_users + shape.distinct_items
    parts = {
        "rows of the pairs, read once a pair": (shape.n_negatives + 2) * row,
        "ids, row ends, searched positives": shape.id_bytes * (4 + shape.search_entries()),
        "loss and impostors": 8.0,
        "distinct rows, weights and accumulators read and written": distinct * 2 * (row + shape.row_bytes(4)),
    }
    if reread:
        parts["rows read again for gradients"] = 4 * shape.active * row
        # Hardest id and factor; the three places of an active pair's rows. All written and read once.
        parts["notes from scan to sums"] = shape.active * 2 * (4 + 4 + 3 * 4)
    return parts


def least_bytes(shape: Shape, reread: bool = True) -> float:
    """Return the least bytes of a whole step."""
    return shape.n_pairs * sum(least(shape, reread).values())


def shape_of(case: Case, n_negatives: int = N_NEGATIVES) -> Shape:
    """Return what the model must know of a step on this case with offset 0."""
    n = len(case.users)
    user_w, item_w = case.tables.user, case.tables.item
    active, users, items = active_rows(case, n_negatives)
    n_liked = case.indptr.diff()[case.users.long()]
    n_bits = torch.frexp(n_liked.double()).exponent  # of a count: its binary digits
    return Shape(
        n_pairs=n,
        n_negatives=n_negatives,
        r=user_w.shape[1],
        n_users=len(user_w),
        n_items=len(item_w),
        active=active / n,
        distinct_users=users / n,
        distinct_items=items / n,
        storage=user_w.element_size(),
        id_bytes=case.users.element_size(),
        steps=tuple((n_bits.bincount().double() / n).tolist()),
        aligned=all(table.data_ptr() % 16 == 0 for table in case.tables.all()),
    )
