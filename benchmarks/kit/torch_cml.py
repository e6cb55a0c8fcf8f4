"""The peer that the fused step is measured against: a CML step (paper, section 3.5) in plain torch, as fast as we can.

It computes what ``cml_step_`` computes, up to rounding, from torch's own operators alone and without autograd, which
cost most here. Faster than the obvious way are

- negatives drawn from all items, of which those that the user likes, few, are found by a filter and drawn again;
- ``sampled_addmm``, which gathers rows and multiplies them with no [N, U, r] temporary;
- ``embedding_bag``, which sums each distinct row's gradient with no [N, r] temporary.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

DISTANCE_CHUNK = 2048  # pairs for which `by_differences` holds all rows at a time


class Sampler:
    """Draws items that users have not liked, uniformly and without a rejection loop.

    Draws come from all items. One that hits a positive, which is rare, is replaced by the t-th item that the user has
    not liked, t uniform; so every such item is equally likely. A filter of single bytes, which errs in one way only,
    spares the other draws the binary search.

    Parameters
    ----------
    indptr, indices : Tensor
        Shapes [I + 1] and [nnz]: the users' positives as sorted CSR rows. No user may like every item.
    n_items : int
        J.
    """

    def __init__(self, indptr: Tensor, indices: Tensor, n_items: int) -> None:
        counts = indptr.diff().long()
        if (counts >= n_items).any():
            raise ValueError("a user likes every item and has no negative; leave them out")
        rows = torch.repeat_interleave(torch.arange(len(counts)), counts)
        place = torch.arange(len(rows)) - indptr.long()[rows]
        self.dtype = torch.int32 if len(counts) * n_items < 2**31 else torch.int64
        self.n_items, self.indptr = n_items, indptr.long()
        self.n_others = n_items - counts  # [I]
        self.keys = (rows * n_items + indices).to(self.dtype)  # [nnz], ascending
        self.gaps = (rows * n_items + indices - place).to(self.dtype)  # [nnz], ascending
        self.mask = 2 ** math.ceil(math.log2(32 * max(len(rows), 1))) - 1
        self.filter = torch.zeros(self.mask + 1, dtype=torch.bool)
        self.filter[(self.keys & self.mask).long()] = True

    def draw(self, users: Tensor, n_negatives: int) -> Tensor:
        """Draw the negatives [N, U] of the users [N] of pairs."""
        ids = torch.randint(self.n_items, (len(users), n_negatives), dtype=self.dtype)
        if not len(self.keys):
            return ids
        keys = (users.to(self.dtype) * self.n_items)[:, None] + ids
        maybe = self.filter.index_select(0, (keys & self.mask).view(-1)).nonzero()[:, 0]
        key = keys.view(-1)[maybe]
        found = self.keys[torch.searchsorted(self.keys, key).clamp_(max=len(self.keys) - 1)]
        hits = maybe[found == key]
        user = users[hits // n_negatives].long()
        t = (torch.rand(len(hits), dtype=torch.float64) * self.n_others[user]).long()
        at = torch.searchsorted(self.gaps, (user * self.n_items + t).to(self.dtype), right=True)
        ids.view(-1)[hits] = (t + at - self.indptr[user]).to(self.dtype)
        return ids


Distance = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


def sampled_products(users: Tensor, item_w: Tensor, items: Tensor, added: Tensor, alpha: float) -> Tensor:
    """Return ``added + alpha u.v`` [N, K] for rows of users [N, r] and the items [N, K] of each; `added` is [N K]."""
    n, k = items.shape
    ends = torch.arange(0, n * k + 1, k, dtype=items.dtype)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta state")
        pattern = torch.sparse_csr_tensor(ends, items.reshape(-1), added, size=(n, len(item_w)), check_invariants=False)
    return torch.sparse.sampled_addmm(pattern, users, item_w.t(), alpha=alpha).values().view(n, k)


def by_expansion(user_w: Tensor, item_w: Tensor, users: Tensor, items: Tensor) -> Tensor:
    """Return ``||v||^2 - 2 u.v`` [N, K], which is the squared distance but for each row's own ``||u||^2``."""
    squares = torch.linalg.vector_norm(item_w, dim=1).square_().index_select(0, items.reshape(-1))
    return sampled_products(F.embedding(users, user_w), item_w, items, squares, -2)


def by_differences(user_w: Tensor, item_w: Tensor, users: Tensor, items: Tensor) -> Tensor:
    """Return the squared distances [N, K], the rows gathered chunk by chunk."""
    parts = []
    for user, item in zip(users.split(DISTANCE_CHUNK), items.split(DISTANCE_CHUNK), strict=True):
        difference = F.embedding(item, item_w).sub_(F.embedding(user, user_w)[:, None])
        parts.append(torch.linalg.vector_norm(difference, dim=-1))
    return torch.cat(parts).square_()


def scan(
    user_w: Tensor,
    item_w: Tensor,
    users: Tensor,
    positives: Tensor,
    negatives: Tensor,
    margin: float,
    weights: Tensor,
    distance: Distance = by_expansion,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return every pair's hinge, number of impostors, rank weight and hardest negative, [N] each."""
    distances = distance(user_w, item_w, users, torch.cat((positives[:, None], negatives), 1))
    hinge = (margin + distances[:, :1]) - distances[:, 1:]  # [N, U]
    value, at = hinge.max(1)
    impostors = (hinge > 0).sum(1)
    return value, impostors, weights[impostors], negatives.gather(1, at[:, None])[:, 0]


def _groups(rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the distinct rows [D], the order [P] that brings equal rows together, and where each begins [D]."""
    ascending, order = rows.sort()
    distinct, counts = torch.unique_consecutive(ascending, return_counts=True)
    return distinct, order, counts.cumsum(0) - counts


def _bags(table: Tensor, rows: Tensor, starts: Tensor, weights: Tensor) -> Tensor:
    """Return the weighted sums [D, r] of rows of a table."""
    return F.embedding_bag(rows, table, starts.to(rows.dtype), mode="sum", per_sample_weights=weights)


def coalesced(rows: Tensor, grads: Tensor) -> tuple[Tensor, Tensor]:
    """Return the distinct rows [D] and the sums [D, r] of their gradients [P, r]."""
    distinct, order, starts = _groups(rows)
    return distinct, _bags(grads, order, starts, grads.new_ones(len(rows)))


def gradients(
    user_w: Tensor, item_w: Tensor, users: Tensor, positives: Tensor, negatives: Tensor, factor: Tensor
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Return the distinct rows and the summed gradients of users and of items; arguments are [A], active pairs'."""
    user_rows, order, starts = _groups(users)
    items = torch.stack((negatives, positives), 1)[order].view(-1)
    weights = torch.stack((factor, -factor), 1)[order].view(-1)
    user_grad = _bags(item_w, items, 2 * starts, weights)  # c (v_k - v_j)

    item_rows, order, starts = _groups(torch.cat((positives, negatives)))
    weights = torch.cat((-factor, factor))[order]
    item_grad = _bags(user_w, torch.cat((users, users))[order], starts, weights)  # c (v_j - u_i), c (u_i - v_k)
    totals = _bags(weights[:, None], torch.arange(len(weights)), starts, torch.ones_like(weights))
    item_grad.addcmul_(totals, F.embedding(item_rows, item_w), value=-1)
    return (user_rows, user_grad), (item_rows, item_grad)


def update_(weight: Tensor, state: Tensor, rows: Tensor, grads: Tensor, lr: float, eps: float, max_norm: float) -> None:
    """AdaGrad and norm clip of distinct rows."""
    # All rows at once: in chunks that stay in the cache, threads that sleep between operators wake up too often.
    total = state.index_select(0, rows).addcmul_(grads, grads)
    state.index_copy_(0, rows.long(), total)
    new = weight.index_select(0, rows).addcdiv_(grads, total.sqrt_().add_(eps), value=-lr)
    norm = torch.linalg.vector_norm(new, dim=1, keepdim=True)
    weight.index_copy_(0, rows.long(), new.mul_((max_norm / norm).clamp_(max=1)))


@torch.no_grad()
def step_(
    user_w: Tensor,  # [I, r]
    item_w: Tensor,  # [J, r]
    user_state: Tensor,  # [I, r]
    item_state: Tensor,  # [J, r]
    users: Tensor,  # [N]
    positives: Tensor,  # [N]
    negatives: Tensor,  # [N, U]
    margin: float,
    lr: float,
    eps: float,
    max_norm: float,
    weights: Tensor,  # [U + 1], the rank weight of each count of impostors
    scan: Callable[..., tuple[Tensor, Tensor, Tensor, Tensor]] = scan,
    update_: Callable[..., None] = update_,
) -> tuple[Tensor, Tensor, Tensor]:
    """Take one training step in place; return the loss, the number of impostors and the number of active pairs.

    What :func:`cmlfast.reference.cml_step_` does with these negatives, up to rounding: sums have another order, and a
    negative whose distance is the margin's to the last few bits may be counted differently.
    """
    value, impostors, weight, hardest = scan(user_w, item_w, users, positives, negatives, margin, weights)
    active = (value > 0).nonzero()[:, 0]
    loss = (weight * value.clamp_(min=0)).sum(dtype=torch.float64)
    by_user, by_item = gradients(user_w, item_w, users[active], positives[active], hardest[active], 2 * weight[active])
    update_(user_w, user_state, *by_user, lr, eps, max_norm)
    update_(item_w, item_state, *by_item, lr, eps, max_norm)
    return loss, impostors.sum(), torch.tensor(len(active))
