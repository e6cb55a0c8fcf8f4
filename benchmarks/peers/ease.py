"""EASE^R (Harald Steck, Embarrassingly Shallow Autoencoders, WWW 2019): items explain items, in closed form.

Users' scores are their likes times a dense matrix of items by items, so that there are no factors to search.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.linalg import lapack

Weights = npt.NDArray[np.float32]  # [J, J]
USERS_AT_ONCE = 256


def fit_ease(train: sparse.csr_matrix, regularization: float) -> Weights:
    """Return the weights by which an item's likes count for another, [J, J] with a diagonal of 0.

    With G = X^T X + lambda I and P its inverse, B = I - P diag(P)^-1 (equation 8). All of it in one array, which has
    4 J^2 bytes: the Gram matrix, its Cholesky factor, the inverse and the weights in turn.
    """
    n_items = train.shape[1]
    gram = np.zeros((n_items, n_items), np.float32, order="F")
    for first in range(0, n_items, 1024):
        columns = train[:, first : first + 1024]
        gram[:, first : first + 1024] = (train.T @ columns).toarray()
    gram[np.diag_indices(n_items)] += np.float32(regularization)
    factor, failed = lapack.spotrf(gram, lower=1, overwrite_a=1, clean=0)
    inverse, failed_too = lapack.spotri(factor, lower=1, overwrite_c=1)
    if failed or failed_too:
        raise ArithmeticError(
            f"the Gram matrix has no inverse in float32; regularization is {regularization}, raise it"
        )
    scale = -1 / inverse.diagonal().copy()
    for column in range(n_items):  # the lower half is there; the upper is its mirror, and the columns are scaled
        inverse[column, column + 1 :] = inverse[column + 1 :, column]
    inverse *= scale[None]
    np.fill_diagonal(inverse, 0)
    return inverse


def rank_by_ease(weights: Weights, likes: sparse.csr_matrix, seen: sparse.csr_matrix, k: int) -> npt.NDArray[np.int64]:
    """Return the k best items of each user who has these likes [N, J], less those seen [N, J]: [N, k], best first."""
    blocks = []
    for first in range(0, likes.shape[0], USERS_AT_ONCE):
        rows = slice(first, first + USERS_AT_ONCE)
        scores = likes[rows] @ weights  # [n, J]
        hidden = seen[rows].tocoo()
        scores[hidden.row, hidden.col] = -np.inf
        best = np.argpartition(-scores, k - 1, axis=1)[:, :k]
        order = np.argsort(-np.take_along_axis(scores, best, 1), axis=1, kind="stable")
        blocks.append(np.take_along_axis(best, order, 1))
    return np.concatenate(blocks)
