"""Two methods compared user by user: each user's recall, and the Wilcoxon signed-rank test of the paper's Table 2."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse
from scipy.stats import wilcoxon

from benchmarks.peers import Factors
from cmlfast import backends
from cmlfast.metrics import recall_per_user
from cmlfast.serving import nearest

Recalls = npt.NDArray[np.float64]

LEVELS = (0.001, 0.01, 0.05)  # three stars, two, one


def recalls_of_users(
    factors: Factors, held_out: sparse.csr_matrix, seen: sparse.csr_matrix, ks: Sequence[int]
) -> dict[int, Recalls]:
    """Return for each K the Recall@K of every user with held-out items, ranking all items that they have not seen."""
    kernels, _ = backends.choose("auto", "cpu")
    rows = np.flatnonzero(np.diff(held_out.indptr))
    users, items = (torch.from_numpy(np.ascontiguousarray(part)) for part in (factors.users[rows], factors.items))
    ranked, _ = nearest(kernels, users, items, max(ks), seen[rows], metric=factors.metric)
    return {k: recall_per_user(ranked, held_out[rows], min(k, ranked.shape[1])) for k in ks}


def p_value(ours: Recalls, theirs: Recalls) -> float:
    """Return the two-sided p of the Wilcoxon signed-rank test; 1 where no user differs."""
    return 1.0 if np.array_equal(ours, theirs) else float(wilcoxon(ours, theirs).pvalue)


def stars(p: float) -> str:
    """Return a star for each level that p is at or below."""
    return "*" * sum(p <= level for level in LEVELS)
