"""The baselines' losses in plain torch, as fast as we can: what those by the operators are compared with.

Hardest negatives are searched for without autograd, by `sampled_addmm`; only their pairs' rows are gathered for the
gradient, by `index_select`, whose backward pass is the fastest of torch's gathers.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from benchmarks.kit import torch_cml
from benchmarks.peers.baselines.losses import Loss
from cmlfast.ops.arithmetic import rank_weights

# A batch's users and positives, [N] each, the number of negatives and of the step; returns the negatives [N, U].
Draw = Callable[[Tensor, Tensor, int, int], Tensor]


def sampler(indptr: Tensor, indices: Tensor, n_items: int) -> Draw:
    """Return a draw by torch's own generator; no user may like every item."""
    drawn = torch_cml.Sampler(indptr, indices, n_items)
    return lambda users, positives, n_negatives, step: drawn.draw(users, n_negatives)


def warp(n_items: int, n_negatives: int, margin: float, draw: Draw) -> Loss:
    """Return `losses.warp` in plain torch."""
    weights = torch.tensor(rank_weights(n_items, n_negatives, True))
    scan = partial(torch_cml.scan, margin=margin, weights=weights, distance=by_products)

    def loss(user_vectors: Tensor, item_vectors: Tensor, users: Tensor, positives: Tensor, step: int) -> Tensor:
        negatives = draw(users, positives, n_negatives, step)
        with torch.no_grad():
            value, _, weight, hardest = scan(user_vectors, item_vectors, users, positives, negatives)
        active = (value > 0).nonzero()[:, 0]
        ahead = lead(user_vectors, item_vectors, users[active], positives[active], hardest[active])
        return weight[active].dot(margin - ahead)

    return loss


def bpr(draw: Draw) -> Loss:
    """Return `losses.bpr` in plain torch."""

    def loss(user_vectors: Tensor, item_vectors: Tensor, users: Tensor, positives: Tensor, step: int) -> Tensor:
        negatives = draw(users, positives, 1, step)[:, 0]
        return F.softplus(-lead(user_vectors, item_vectors, users, positives, negatives)).sum()

    return loss


def lead(user_vectors: Tensor, item_vectors: Tensor, users: Tensor, positives: Tensor, negatives: Tensor) -> Tensor:
    """Return by how much the positives' products are above the negatives', [N]."""
    positive, negative = item_vectors.index_select(0, torch.cat((positives, negatives))).chunk(2)  # [N, d] each
    return torch.linalg.vecdot(user_vectors.index_select(0, users), positive - negative)


def by_products(user_vectors: Tensor, item_vectors: Tensor, users: Tensor, items: Tensor) -> Tensor:
    """Return minus the dot products [N, K] of users [N] and their items [N, K], with no [N, K, d] temporary."""
    nothing = user_vectors.new_zeros(items.numel())
    return torch_cml.sampled_products(F.embedding(users, user_vectors), item_vectors, items, nothing, -1)
