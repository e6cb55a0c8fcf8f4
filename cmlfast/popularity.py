"""The popularity baseline: everyone gets the items that most people like, less those they have."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch

from cmlfast import backends
from cmlfast.alignment import aligned, union
from cmlfast.interactions import as_user_items
from cmlfast.metrics import recall_at_k


def popularity_recall(train: Any, held_out: Any, k: Iterable[int] = (50, 100), exclude: Any = None) -> dict[str, float]:
    """Return the Recall@K of ranking by the number of likes, by the protocol of :meth:`CML.evaluate`.

    Parameters
    ----------
    train, held_out, exclude : SciPy sparse matrix of shape (n_users, n_items), or Interactions
        What is counted, what is to be found, and what else (besides ``train``) is left out.
    k : several int
        The K.

    Returns
    -------
    dict
        ``{"recall@50": ..., "recall@100": ...}``
    """
    known = as_user_items(train)
    truth = aligned(held_out, known, "held_out")
    seen = known.matrix if exclude is None else union(known.matrix, aligned(exclude, known, "exclude"))
    rows = np.flatnonzero(np.diff(truth.indptr))
    ks = tuple(k)
    kernels, _ = backends.choose("auto", "cpu")
    likes = torch.from_numpy(np.asarray(known.matrix.sum(axis=0), dtype=np.float32).reshape(-1, 1))  # [J, 1]
    masks = (torch.from_numpy(array.astype(np.int64)) for array in (seen[rows].indptr, seen[rows].indices))
    ranked, _ = kernels.topk(torch.ones(len(rows), 1), likes, max(ks), *masks, metric="dot")
    return {f"recall@{one}": recall_at_k(ranked.numpy(), truth[rows], one) for one in ks}
