"""Measures of tables and of a fitted model on held-out likes, ranking all items (paper, section 4.2)."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from scipy import sparse
from torch import Tensor

from cmlfast.data.align import aligned, held_out_matrix
from cmlfast.data.csr import Counts, likes_of_items, union
from cmlfast.data.interactions import Interactions
from cmlfast.evaluation.measures import hits_of_users, ranking_measures
from cmlfast.serving.nearest import Positions, nearest, picked
from cmlfast.serving.queries import check_count, listed
from cmlfast.training.fitted import Fitted, item_points, user_points
from cmlfast.training.settings import Settings
from cmlfast.training.tables import Tables

LOG = logging.getLogger("cmlfast")
PLACES_AT_ONCE = 5_000_000
LOOKED_AT = 1000  # users; the mean over more tells epochs apart hardly better, and takes time from the training


def measured(
    kernels: ModuleType,
    users: Tensor,  # [I, r]
    items: Tensor,  # [J, r]
    held_out: sparse.csr_matrix,  # [I, J]
    seen: sparse.csr_matrix,  # [I, J]
    item_likes: Counts,  # [J]
    ks: Sequence[int],
    metric: str = "sqeuclidean",
) -> dict[str, float]:
    """Return every measure for each K: of the users with held-out items, ranking all items but those seen."""
    rows = np.flatnonzero(np.diff(held_out.indptr))
    ranked, _ = nearest(kernels, picked(users, rows), items, max(ks), seen[rows], metric=metric)
    return ranking_measures(ranked, held_out[rows], item_likes, list(ks))


@dataclass(frozen=True)
class Validation:
    """What a training is looked at by, and stops by: a measure of held-out likes, ranking all items but the trained.

    Attributes
    ----------
    rows : ndarray of shape (L,)
        The users that are looked at: of more than ``LOOKED_AT``, that many, drawn by the training's seed, the same in
        every look.
    held_out, seen : csr_matrix of shape (L, J)
        What is to be found, and what is left out.
    item_likes : ndarray of shape (J,)
    settings : Settings
        The measure, and what is added to distances.
    """

    rows: Positions
    held_out: sparse.csr_matrix
    seen: sparse.csr_matrix
    item_likes: Counts
    settings: Settings

    @staticmethod
    def of(train: Interactions, validation: Any, settings: Settings) -> Validation:
        """Take ``validation``, less ``train``.

        Raises
        ------
        ValueError
            If ``validation`` does not fit ``train``, or has no pairs.
        """
        held_out = _unseen(held_out_matrix(validation, train, "validation"), train.matrix)
        rows = np.flatnonzero(np.diff(held_out.indptr))
        if len(rows) > LOOKED_AT:
            rows = np.sort(np.random.default_rng(settings.seed).choice(rows, LOOKED_AT, replace=False))
        return Validation(rows, held_out[rows], train.matrix[rows], likes_of_items(train.matrix), settings)

    @property
    def k(self) -> int:
        """How many items are looked for."""
        return self.settings.validation_measure[1]

    def score(self, ranked: Positions) -> float:
        """Return the measure, by the items that were found for each user [L, k]."""
        name, k = self.settings.validation_measure
        return ranking_measures(ranked, self.held_out, self.item_likes, [k])[f"{name}@{k}"]

    def look(self, kernels: ModuleType, tables: Tables) -> float:
        """Return the measure of the tables of all users and items."""
        points = item_points(tables.item, self.item_likes, self.settings.rare_item_distance)
        users = user_points(picked(tables.user, self.rows), points)
        return self.score(nearest(kernels, users, points, self.k, self.seen)[0])


def auc(fitted: Fitted, kernels: ModuleType, points: Tensor, held_out: Any, exclude: Any) -> float:
    """Return the area under the ROC curve of a fitted model, see :meth:`cmlfast.CML.auc`."""
    matrix, seen = _to_find(fitted, held_out, exclude)
    rows = np.flatnonzero(np.diff(matrix.indptr))
    held = np.diff(matrix.indptr)[rows]
    others = len(points) - np.diff(seen.indptr)[rows] - held
    queries = user_points(fitted.tables.user, points)
    wrong = []  # pairs of a held-out item and another one that is nearer
    for some in np.array_split(np.arange(len(rows)), max(len(rows) * len(points) // PLACES_AT_ONCE, 1)):
        ranked, _ = nearest(kernels, picked(queries, rows[some]), points, len(points), seen[rows[some]])
        user, place = np.nonzero(hits_of_users(ranked, matrix[rows[some]], ranked.shape[1]))
        places = np.bincount(user, place, minlength=len(some))
        wrong.append(places - held[some] * (held[some] - 1) / 2)
    compared = others > 0
    if not compared.any():
        raise ValueError("held_out leaves nobody an item to compare with: every user likes every item")
    return float((1 - np.concatenate(wrong)[compared] / (held * others)[compared]).mean())


def _unseen(held_out: sparse.csr_matrix, seen: sparse.csr_matrix) -> sparse.csr_matrix:
    """Leave out what is trained on, and so left out of the ranking; warn of some, raise ``ValueError`` for all."""
    common = held_out.multiply(seen).tocsr()
    if common.nnz == held_out.nnz:
        raise ValueError(
            f"validation has all of its {held_out.nnz} pairs in common with user_items; hold out pairs that are not "
            "trained on, for example with cmlfast.split_per_user"
        )
    if common.nnz:
        LOG.warning(
            "validation has %d of its %d pairs in common with user_items: those are left out, for the ranking leaves "
            "out what is trained on", common.nnz, held_out.nnz,
        )  # fmt: skip
        held_out = (held_out - common).tocsr()
        held_out.eliminate_zeros()
    return held_out


def evaluate(
    fitted: Fitted, kernels: ModuleType, points: Tensor, held_out: Any, k: int | Iterable[int], exclude: Any
) -> dict[str, float]:
    """Return the measures of a fitted model, see :meth:`cmlfast.CML.evaluate`; items are looked for at ``points``."""
    ks = listed(k, "k")
    if len(ks) == 0:
        raise ValueError("k is empty; give at least one K")
    for one in ks:
        check_count(one, "k")
    matrix, seen = _to_find(fitted, held_out, exclude)
    queries = user_points(fitted.tables.user, points)
    return measured(kernels, queries, points, matrix, seen, fitted.item_likes, [int(one) for one in ks])


def _to_find(fitted: Fitted, held_out: Any, exclude: Any) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
    """Return what is to be found, and what the ranking leaves out, [I, J] each, which have nothing in common."""
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
    return matrix, seen
