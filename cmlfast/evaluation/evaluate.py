"""Recall@K of tables and of a fitted model on held-out likes, ranking all items (paper, section 4.2)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from types import ModuleType
from typing import Any

import numpy as np
from scipy import sparse
from torch import Tensor

from cmlfast.data.align import aligned, held_out_matrix
from cmlfast.data.csr import likes_of_items, union
from cmlfast.data.interactions import Interactions
from cmlfast.evaluation.measures import recall_at_k
from cmlfast.serving.nearest import nearest, picked
from cmlfast.serving.queries import check_count, listed
from cmlfast.training.fitted import Fitted, item_points, user_points
from cmlfast.training.settings import Settings
from cmlfast.training.tables import Tables


def recall(
    kernels: ModuleType,
    users: Tensor,  # [I, r]
    items: Tensor,  # [J, r]
    held_out: sparse.csr_matrix,  # [I, J]
    seen: sparse.csr_matrix,  # [I, J]
    ks: Sequence[int],
    metric: str = "sqeuclidean",
) -> dict[str, float]:
    """Return Recall@K for each K: the mean over users with held-out items, ranking all items but those seen."""
    rows = np.flatnonzero(np.diff(held_out.indptr))
    ranked, _ = nearest(kernels, picked(users, rows), items, max(ks), seen[rows], metric=metric)
    return {f"recall@{k}": recall_at_k(ranked, held_out[rows], min(k, ranked.shape[1])) for k in ks}


def validation_recall(
    kernels: ModuleType, train: Interactions, validation: Any, settings: Settings
) -> Callable[[Tables], float]:
    """Return the measure by which a training stops: Recall@50 of its tables on ``validation``, less ``train``.

    Raises
    ------
    ValueError
        If ``validation`` does not fit ``train``, or has no pairs.
    """
    held_out = held_out_matrix(validation, train, "validation")
    item_likes = likes_of_items(train.matrix)

    def score(tables: Tables) -> float:
        points = item_points(tables.item, item_likes, settings.rare_item_distance)
        return recall(kernels, user_points(tables.user, points), points, held_out, train.matrix, (50,))["recall@50"]

    return score


def evaluate(
    fitted: Fitted, kernels: ModuleType, points: Tensor, held_out: Any, k: int | Iterable[int], exclude: Any
) -> dict[str, float]:
    """Return Recall@K of a fitted model, see :meth:`cmlfast.CML.evaluate`; items are looked for at ``points``."""
    ks = listed(k, "k")
    if len(ks) == 0:
        raise ValueError("k is empty; give at least one K")
    for one in ks:
        check_count(one, "k")
    if not fitted.has_pairs and exclude is None:
        raise ValueError("exclude is None, but the training matrix was not kept with the model; pass it as exclude")
    matrix = held_out_matrix(held_out, fitted.known, "held_out")
    seen = fitted.known.matrix
    if exclude is not None:
        seen = union(seen, aligned(exclude, fitted.known, "exclude"))
    overlap = matrix.multiply(seen).nnz
    if overlap:
        raise ValueError(
            f"held_out has {overlap} of its {matrix.nnz} pairs in common with the training matrix or exclude, "
            "which the ranking leaves out; hold out pairs that the model was not trained on"
        )
    queries = user_points(fitted.tables.user, points)
    return recall(kernels, queries, points, matrix, seen, [int(one) for one in ks])
