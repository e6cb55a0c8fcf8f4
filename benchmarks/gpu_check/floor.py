"""The least bytes and time of a training step on a case, by `benchmarks.cuda_model`."""

from __future__ import annotations

from dataclasses import replace

import torch

from benchmarks.case import MARGIN, N_NEGATIVES, SEED, Case
from benchmarks.cuda_model import CITEULIKE, GPUS, Shape, floor_seconds
from cmlfast import ops

# What torch calls the GPUs whose published figures the model has.
MODEL_NAMES = {
    "NVIDIA H100 80GB HBM3": "H100 SXM",
    "NVIDIA A100-SXM4-80GB": "A100 80GB SXM",
    "NVIDIA L4": "L4",
    "NVIDIA GeForce RTX 4090": "RTX 4090",
}


def published_bandwidth(name: str) -> float | None:
    """Return the published bytes per second of a GPU's memory, or None for one that the model does not have."""
    return next((gpu.bandwidth for gpu in GPUS if gpu.name == MODEL_NAMES.get(name)), None)


def shape_of(case: Case) -> Shape:
    """Return what the model must know of a step on this case, counted by one forward pass with offset 0."""
    n = len(case.users)
    tables = case.tables.user, case.tables.item
    loss, hardest, _ = ops.warp_hinge_sampled(*tables, *case.sampling, N_NEGATIVES, MARGIN, SEED, 0)
    active = loss > 0
    items = torch.cat((case.positives[active], hardest[active]))
    n_liked = case.indptr.diff()[case.users.long()]
    n_bits = torch.frexp(n_liked.double()).exponent  # of a count: its binary digits
    return replace(
        CITEULIKE,
        n_pairs=n,
        n_negatives=N_NEGATIVES,
        r=tables[0].shape[1],
        n_users=len(tables[0]),
        n_items=len(tables[1]),
        active=int(active.sum()) / n,
        distinct_users=len(case.users[active].unique()) / n,
        distinct_items=len(items.unique()) / n,
        storage=tables[0].element_size(),
        id_bytes=case.users.element_size(),
        steps=tuple((n_bits.bincount().double() / n).tolist()),
    )


def step_bytes(shape: Shape) -> float:
    """Return the least bytes of a whole step."""
    return floor_seconds(shape, 1.0)
