"""What is known of items or users beside the interactions: a row of numbers each, sparse or dense, on a device."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor


@dataclass(frozen=True)
class Features:
    """Rows of features, checked; sparse ones stay sparse.

    Attributes
    ----------
    rows : Tensor
        Shape [n, d], float32: dense, or of torch's sparse CSR layout.
    """

    rows: Tensor

    @staticmethod
    def of(given: Any, n_rows: int | None, name: str, device: torch.device) -> Features:
        """Take features from what a caller gave.

        Parameters
        ----------
        given : SciPy sparse matrix, Interactions, NumPy array or Tensor of shape (n, d)
            Numbers of any type. Of `Interactions`, the matrix: items in its rows, tags in its columns.
        n_rows : int, optional
            What n must be.
        name : str
            What to call it in errors.
        device : torch.device
            Where to put it.

        Raises
        ------
        TypeError, ValueError
            If it is none of these, does not have two dimensions, n rows and a column at least, or if its values are no
            real, finite numbers.
        """
        matrix = getattr(given, "matrix", given)  # Interactions
        shape = tuple(getattr(matrix, "shape", ()))
        if not (sparse.issparse(matrix) or isinstance(matrix, np.ndarray | Tensor)):
            raise TypeError(
                f"{name} is a {type(given).__name__}; give a SciPy sparse matrix, a NumPy array or a torch tensor with "
                "a row for each, in the order of the ids, or Interactions.from_frame of ids and tags, in any order"
            )
        if len(shape) != 2 or shape[1] == 0 or (n_rows is not None and shape[0] != n_rows):
            wanted = "rows" if n_rows is None else f"{n_rows} rows"
            hint = "; for a single row, reshape(1, -1)" if len(shape) == 1 and n_rows in (None, 1) else ""
            raise ValueError(f"{name} has shape {shape}; it must have {wanted} and at least one column{hint}")
        if _is_complex(matrix):
            raise TypeError(f"{name} has values of type {matrix.dtype}; give real numbers")
        try:
            rows = _sparse(matrix) if sparse.issparse(matrix) else _dense(matrix)
        except (RuntimeError, TypeError, ValueError) as error:
            kind = getattr(matrix, "layout", matrix.dtype)
            raise TypeError(f"{name} of type {kind} does not become rows of numbers: {error}; convert it") from error
        values = rows.values() if rows.layout == torch.sparse_csr else rows
        if not values.isfinite().all():
            wrong = values[~values.isfinite()][0].item()
            raise ValueError(f"{name} contains {wrong}; replace what is missing or infinite by a number")
        return Features(rows.to(device))

    def __len__(self) -> int:
        return self.rows.shape[0]

    @property
    def n_columns(self) -> int:
        """d, the number of features."""
        return self.rows.shape[1]

    def described(self) -> Tensor:
        """Tell which rows have any feature, [n]."""
        if self.rows.layout == torch.sparse_csr:
            has: Tensor = self.rows.crow_indices().diff() > 0
            return has
        return self.rows.any(1)

    def take(self, places: Tensor) -> Tensor:
        """Return the rows at some places [R], in their order: [R, d], of the layout of the whole."""
        if self.rows.layout != torch.sparse_csr:
            return self.rows.index_select(0, places)
        # torch selects no rows of this layout.
        starts, indices, values = self.rows.crow_indices(), self.rows.col_indices(), self.rows.values()
        first = starts[places]  # [R]
        n = starts[places + 1] - first  # [R]
        ends = torch.cat((n.new_zeros(1), n.cumsum(0)))  # [R + 1]
        source = torch.repeat_interleave(first - ends[:-1], n) + torch.arange(int(ends[-1]), device=n.device)  # [nnz]
        return _csr(ends, indices[source], values[source], (len(places), self.n_columns))


def _is_complex(matrix: Any) -> bool:
    return matrix.is_complex() if isinstance(matrix, Tensor) else matrix.dtype.kind == "c"


def _sparse(matrix: Any) -> Tensor:
    csr = sparse.csr_matrix(matrix, dtype=np.float32, copy=True)
    csr.sum_duplicates()
    csr.eliminate_zeros()
    ends, indices, values = (torch.from_numpy(part) for part in (csr.indptr, csr.indices, csr.data))
    return _csr(ends, indices, values, csr.shape)


def _dense(matrix: Any) -> Tensor:
    if isinstance(matrix, Tensor):
        whole = matrix.detach()
        if whole.is_inference():  # such cannot be trained on
            whole = whole.clone()
        return (whole.to_sparse_csr() if whole.layout != torch.strided else whole).float()
    return torch.from_numpy(np.array(matrix, dtype=np.float32))


def _csr(ends: Tensor, indices: Tensor, values: Tensor, shape: tuple[int, int]) -> Tensor:
    # 64-bit offsets and indices: torch wants both of one type, and sums of lengths are 64-bit.
    with warnings.catch_warnings():  # torch tells once that the layout is in beta, which is nothing to a user of ours
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta")
        return torch.sparse_csr_tensor(
            ends.long(), indices.long(), values, shape, device=values.device, check_invariants=False
        )
