"""Products of the items' sparse features with a table, and the perceptron that the hybrid baselines share."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from scipy import sparse
from torch import Tensor, nn

HIDDEN = 256  # paper, section 4.2.1


class Features:
    """The items' features, rows of length 1, to be multiplied from the right by a table that learns.

    Twice as fast, backward too, as torch's products of sparse matrices.

    Parameters
    ----------
    matrix : sparse matrix of shape (J, F)
        The features; a row of zeros stays one.
    """

    def __init__(self, matrix: sparse.spmatrix) -> None:
        rows = with_length_1(matrix)
        self.shape = rows.shape
        self.bags = bags(rows)
        self.bags_of_transpose = bags(sparse.csr_matrix(rows.T))

    def __matmul__(self, table: Tensor) -> Tensor:
        product: Tensor = _Product.apply(table, self)
        return product


def own_and_shared(matrix: sparse.spmatrix) -> sparse.csr_matrix:
    """Return features [J, J + F] of which the first J are the items themselves, beside the given ones of length 1."""
    return sparse.hstack((sparse.eye_array(matrix.shape[0]), with_length_1(matrix)), "csr", "float32")


def with_length_1(matrix: sparse.spmatrix) -> sparse.csr_matrix:
    """Return a matrix whose rows are divided by their lengths."""
    rows = sparse.csr_matrix(matrix, dtype=np.float32)
    lengths = np.sqrt(np.asarray(rows.multiply(rows).sum(axis=1)).ravel())
    return sparse.csr_matrix(sparse.diags_array(1 / np.maximum(lengths, np.float32(1e-12))) @ rows)


def bags(matrix: sparse.csr_matrix) -> tuple[Tensor, Tensor, Tensor]:
    """Return the ids, the starts and the weights of the bags of `embedding_bag` that are a matrix's rows."""
    parts = (matrix.indices.astype(np.int32), matrix.indptr[:-1].astype(np.int32), matrix.data.astype(np.float32))
    return tuple(torch.from_numpy(part) for part in parts)


def product(parts: tuple[Tensor, Tensor, Tensor], table: Tensor) -> Tensor:
    """Return the product of a matrix, as its bags, and a table."""
    ids, starts, weights = parts
    return F.embedding_bag(ids, table, starts, mode="sum", per_sample_weights=weights)


class _Product(torch.autograd.Function):
    """A gradient of its own: `embedding_bag`'s is much slower than another product, with the transpose."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, features: Features) -> Tensor:
        ctx.features = features
        return product(features.bags, table)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return product(ctx.features.bags_of_transpose, grad.contiguous()), None


def half_dropped(hidden: Tensor) -> Tensor:
    """Return numbers [J, 8 x B] each dropped by a bit or doubled: the draws of `dropout` cost more."""
    rows, columns = hidden.shape
    draws = torch.randint(256, (rows, columns // 8, 1), dtype=torch.uint8)
    kept = (draws & (1 << torch.arange(8)).to(torch.uint8)).bool().view(rows, columns)
    return (hidden * kept).mul_(2)


class Perceptron(nn.Module):
    """One hidden layer with ReLU and 50% dropout, from the items' features to vectors [J, r]."""

    def __init__(self, features: Features, n_components: int) -> None:
        super().__init__()
        self.features = features
        self.first = nn.Parameter(torch.randn(features.shape[1], HIDDEN) * HIDDEN**-0.5)
        self.bias = nn.Parameter(torch.zeros(HIDDEN))
        self.last = nn.Linear(HIDDEN, n_components)

    def forward(self) -> Tensor:
        """Return the items' vectors."""
        hidden = F.relu(self.features @ self.first + self.bias)  # [J, HIDDEN]
        out: Tensor = self.last(half_dropped(hidden) if self.training else hidden)
        return out
