"""Recall of any factors, user by user: every library that is compared ranks by these functions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse

from benchmarks.kit.data import KS
from benchmarks.peers.libraries import Factors
from cmlfast.evaluation.measures import recall_per_user
from cmlfast.ops import backend
from cmlfast.serving.nearest import nearest

Recalls = npt.NDArray[np.float64]


def recalls_of_users(
    factors: Factors, held_out: sparse.csr_matrix, seen: sparse.csr_matrix, ks: Sequence[int] = KS
) -> dict[int, Recalls]:
    """Return for each K the Recall@K of every user with held-out items, ranking all items that they have not seen."""
    kernels, _ = backend.choose("auto", "cpu")
    rows = np.flatnonzero(np.diff(held_out.indptr))
    users, items = (torch.from_numpy(np.ascontiguousarray(part)) for part in (factors.users[rows], factors.items))
    ranked, _ = nearest(kernels, users, items, max(ks), seen[rows], metric=factors.metric)
    return {k: recall_per_user(ranked, held_out[rows], min(k, ranked.shape[1])) for k in ks}


def mean_recalls(
    factors: Factors, held_out: sparse.csr_matrix, seen: sparse.csr_matrix, ks: Sequence[int] = KS
) -> dict[str, float]:
    """Return the mean over these users, by names such as "recall@50"."""
    return {f"recall@{k}": float(each.mean()) for k, each in recalls_of_users(factors, held_out, seen, ks).items()}
