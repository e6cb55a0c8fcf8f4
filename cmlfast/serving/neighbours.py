"""The items nearest to items, and the users nearest to users."""

from __future__ import annotations

from collections.abc import Iterable
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from cmlfast.data.sides import Kind
from cmlfast.serving.nearest import Scores, nearest, picked
from cmlfast.serving.queries import Query, allowed, answer, check_count, rows_of_ids
from cmlfast.training.fitted import Fitted


def near_vectors(
    fitted: Fitted,
    kernels: ModuleType,
    query: Query,
    n: int,
    left_out: Iterable[Any] | None,
    among: Iterable[Any] | None,
) -> tuple[npt.NDArray[Any], Scores]:
    """Return ids and scores of the users nearest to where others are, of whom something is known."""
    check_count(n, "N")
    without, only = allowed(fitted, left_out, among, "user")
    found = nearest(kernels, query.vectors, fitted.near("user"), int(n), None, without, only)
    return answer(*found, fitted, "user", query.scalar)


def similar(
    fitted: Fitted,
    kernels: ModuleType,
    kind: Kind,
    wanted: Any,
    n: int,
    left_out: Iterable[Any] | None,
    among: Iterable[Any] | None,
) -> tuple[npt.NDArray[Any], Scores]:
    """Return ids and scores of the items nearest to items, or the users nearest to users: first the one itself."""
    rows = rows_of_ids(fitted, wanted, kind, f"{kind}id")
    check_count(n, "N")
    table = fitted.tables.item if kind == "item" else fitted.tables.user
    # What nothing was learned of lies anywhere, and is near to nobody.
    placed = fitted.placed[kind]
    without, only = allowed(fitted, left_out, among, kind)
    itself = sparse.csr_matrix((np.ones(len(rows)), (np.arange(len(rows)), rows)), shape=(len(rows), len(table)))
    others, scores = nearest(kernels, picked(table, rows), fitted.near(kind), int(n), itself, without, only)
    others[~placed[rows]], scores[~placed[rows]] = -1, -np.inf
    found = np.column_stack((rows, others))
    values = np.column_stack((np.zeros(len(rows), np.float32), scores))
    # Who may not be among the answers makes room for the next.
    absent = np.zeros(len(rows), dtype=bool) if only is None else ~np.isin(rows, only)
    if without is not None:
        absent |= np.isin(rows, without)
    for table_, rest in ((found, -1), (values, -np.inf)):
        table_[absent] = np.column_stack((table_[:, 1:], np.full(len(rows), rest)))[absent]
    return answer(found[:, : int(n)], values[:, : int(n)], fitted, kind, np.ndim(wanted) == 0)
