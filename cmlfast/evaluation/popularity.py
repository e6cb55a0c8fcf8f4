"""The popularity baseline: everyone gets the items that most people like, less those they have."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch

from cmlfast.data.align import aligned
from cmlfast.data.csr import likes_of_items, union
from cmlfast.data.interactions import as_user_items
from cmlfast.evaluation.evaluate import measured
from cmlfast.ops import backend


def popularity_recall(train: Any, held_out: Any, k: Iterable[int] = (50, 100), exclude: Any = None) -> dict[str, float]:
    """Return the measures of ranking by the number of likes, as :meth:`CML.evaluate` does.

    Parameters
    ----------
    train, held_out, exclude : SciPy sparse matrix of shape (n_users, n_items), or Interactions
        What is counted, what is to be found, and what else (besides ``train``) is left out.
    k : several int
        The K.

    Returns
    -------
    dict
        ``{"recall@50": ..., "ndcg@50": ..., ...}``, as :meth:`CML.evaluate` does.
    """
    known = as_user_items(train)
    truth = aligned(held_out, known, "held_out")
    seen = known.matrix if exclude is None else union(known.matrix, aligned(exclude, known, "exclude"))
    kernels, _ = backend.choose("auto", "cpu")
    # In one dimension, the dot product of 1 and an item's number of likes ranks by likes.
    counts = likes_of_items(known.matrix)  # [J]
    likes = torch.from_numpy(counts.astype(np.float32))
    ones = torch.ones(known.n_users, 1, dtype=torch.float32, device="cpu")
    return measured(kernels, ones, likes[:, None], truth, seen, counts, tuple(k), metric="dot")
