"""The baselines' losses by the package's operators: one call draws negatives, gathers rows and takes products."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from cmlfast import ops
from cmlfast.training.pairs import Pairs

# The vectors of all users and items, [I, d] and [J, d], a batch's users and positives, [N] each, and the number of the
# step; returns the sum over the batch.
Loss = Callable[[Tensor, Tensor, Tensor, Tensor, int], Tensor]

SATURATION = 32.0  # from here on BPR's gradient, 1e-14, is nothing beside those of float32 near 0


def warp(pairs: Pairs, n_negatives: int, margin: float, seed: int) -> Loss:
    """Return the rank-weighted hinge against the hardest of some drawn negatives, by dot products."""

    def loss(user_vectors: Tensor, item_vectors: Tensor, users: Tensor, positives: Tensor, step: int) -> Tensor:
        of_pairs, _, _ = ops.warp_hinge_sampled(
            user_vectors, item_vectors, pairs.indptr, pairs.indices, users, positives, n_negatives, margin, seed, step,
            metric="dot",
        )  # fmt: skip
        return of_pairs.sum()

    return loss


def bpr(pairs: Pairs, seed: int) -> Loss:
    """Return minus the log-sigmoid of how much the positive's product is above that of one drawn negative.

    A hinge with one negative and a margin that is never reached is margin + u.v_k - u.v_j itself, gradient and all;
    where it is reached, at 0, BPR's gradient has vanished.
    """

    def loss(user_vectors: Tensor, item_vectors: Tensor, users: Tensor, positives: Tensor, step: int) -> Tensor:
        hinge, _, _ = ops.warp_hinge_sampled(
            user_vectors, item_vectors, pairs.indptr, pairs.indices, users, positives, 1, SATURATION, seed, step,
            rank_weight=False, metric="dot",
        )  # fmt: skip
        return F.softplus(hinge - SATURATION).sum()

    return loss
