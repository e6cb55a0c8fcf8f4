"""The penalty on covariances between the dimensions of the space (paper, section 3.4; Cogswell et al., DeCov, 2016)."""

from __future__ import annotations

from torch import Tensor


def covariance_gradient(vectors: Tensor) -> Tensor:
    """Return the gradient of the penalty on correlated dimensions.

    With N vectors y of mean mu and ``C = (1/N) sum (y - mu)(y - mu)^T``, the penalty is
    ``(1/N) (|C|_F^2 - |diag C|_2^2)``. The paper prints the Frobenius norm without the square; its source, DeCov, has
    the square, and so does this.

    Parameters
    ----------
    vectors : Tensor
        Shape [N, r].

    Returns
    -------
    Tensor
        Shape [N, r], float32: (4 / N^2) (y - mu)^T (C - diag C) for each y.

    Notes
    -----
    It goes through BLAS, so that its last bits depend on the machine.
    """
    n = max(len(vectors), 1)
    centred = vectors.float() - vectors.float().mean(0)  # [N, r]
    between = centred.T @ centred / n  # [r, r]
    between.fill_diagonal_(0)
    # The mean moves with every vector, but what it adds sums to zero.
    return centred @ between * (4 / n**2)
