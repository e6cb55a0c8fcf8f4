"""Likes as canonical binary CSR: sorted, no duplicates, every stored value 1; made, joined and counted here."""

from __future__ import annotations

import os
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import sparse

Counts: TypeAlias = npt.NDArray[np.int64]


def binary_csr(matrix: Any) -> tuple[sparse.csr_matrix, int, int]:
    """Return the places of a matrix's non-zeros; the matrix itself is left as it was.

    Parameters
    ----------
    matrix : SciPy sparse matrix or array of shape (n_rows, n_columns)
        In any format, of any integer, boolean or floating type.

    Returns
    -------
    csr : scipy.sparse.csr_matrix of shape (n_rows, n_columns), float32
        Ones; sorted indices, no duplicates.
    n_duplicates : int
        Stored entries that repeated another one's place.
    n_zeros : int
        Stored entries that were zero.

    Raises
    ------
    TypeError
        If `matrix` is not a SciPy sparse matrix.
    ValueError
        If it is not two-dimensional, has no rows or no columns, or contains negative or non-finite values.
    """
    if isinstance(matrix, str | os.PathLike):
        raise TypeError(
            f"user_items is {os.fspath(matrix)!r}, not a SciPy sparse matrix: Interactions.from_csv(path) reads a file"
        )
    if not sparse.issparse(matrix):
        raise TypeError(
            f"user_items is a {type(matrix).__name__}, not a SciPy sparse matrix: wrap a dense array in "
            "scipy.sparse.csr_matrix, make a table an Interactions with Interactions.from_frame"
        )
    if len(matrix.shape) != 2 or 0 in matrix.shape:
        raise ValueError(f"user_items has shape {matrix.shape}: it needs a row for each user, a column for each item")
    _check_ends(matrix)
    # As COO, not as CSR, because SciPy's conversion to CSR sums duplicates unseen: 2 and -2 would be a zero.
    try:
        entries = matrix.tocoo()
    except ValueError as error:
        raise ValueError(f"user_items is malformed: {error}; make the matrix anew") from error
    if entries.dtype.kind not in "buif":
        raise ValueError(f"user_items has values of type {entries.dtype}: convert them to numbers")
    wrong = entries.data[~(np.isfinite(entries.data) & (entries.data >= 0))]
    if len(wrong):
        raise ValueError(
            f"user_items contains {wrong[0]} ({len(wrong)} negative or non-finite values): "
            "store likes only, as values above zero"
        )
    for name, places, size in (("row", entries.row, matrix.shape[0]), ("column", entries.col, matrix.shape[1])):
        beyond = places[(places < 0) | (places >= size)]
        if len(beyond):
            raise ValueError(
                f"user_items is malformed: it has an entry in {name} {beyond[0]} of {size}; make the matrix anew"
            )
    kept = entries.data != 0
    rows, columns = entries.row[kept], entries.col[kept]
    csr = pairs_csr(rows, columns, matrix.shape)
    csr.data[:] = 1  # duplicates have added up
    return csr, len(rows) - csr.nnz, len(kept) - len(rows)


def _check_ends(matrix: Any) -> None:
    """Raise ``ValueError`` unless a compressed matrix's offsets lie in its arrays, which native code relies on."""
    ends = getattr(matrix, "indptr", None)
    if ends is None:
        return
    n_rows = {"csr": matrix.shape[0], "csc": matrix.shape[1]}.get(matrix.format, len(ends) - 1)
    n_entries = min(len(matrix.indices), len(matrix.data))
    problem = None
    if len(ends) != n_rows + 1:
        problem = f"has {len(ends)} offsets for {n_rows} rows, which have one more than there are rows"
    elif ends[0] != 0:
        problem = f"begins with {ends[0]}, not 0"
    elif (ends[1:] < ends[:-1]).any():
        at = int(np.flatnonzero(ends[1:] < ends[:-1])[0])
        problem = f"falls at position {at + 1}, from {ends[at]} to {ends[at + 1]}"
    elif ends[-1] > n_entries:
        problem = f"ends with {ends[-1]}, but there are {n_entries} entries"
    if problem:
        raise ValueError(f"user_items is malformed: its indptr {problem}; make the matrix anew")


def pairs_csr(rows: npt.NDArray[Any], columns: npt.NDArray[Any], shape: tuple[int, int]) -> sparse.csr_matrix:
    """Return the canonical matrix of pairs, [n] rows and [n] columns."""
    ones = np.ones(len(rows), dtype=np.float32)
    # A matrix, not an array: implicit's evaluators accept nothing else.
    matrix = sparse.csr_matrix((ones, (rows, columns)), shape=shape)
    matrix.sum_duplicates()
    return matrix


def union(left: sparse.csr_matrix, right: sparse.csr_matrix) -> sparse.csr_matrix:
    """Return the pairs that are in either matrix, as canonical CSR."""
    both = (left + right).tocsr()
    both.sum_duplicates()
    return both


def sizes(likes: sparse.csr_matrix) -> tuple[int, int, int]:
    """Count the likes, and the users and the items that have any."""
    return likes.nnz, int(np.count_nonzero(np.diff(likes.indptr))), int(np.count_nonzero(likes_of_items(likes)))


def likes_of_items(matrix: sparse.csr_matrix) -> Counts:
    """Return how many users like each item, [J]."""
    return np.bincount(matrix.indices, minlength=matrix.shape[1]).astype(np.int64)
