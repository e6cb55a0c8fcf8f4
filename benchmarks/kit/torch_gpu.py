"""The training step in plain torch as one would write it for a GPU: what the fused step is measured against there.

It computes what ``cml_step_`` computes, up to rounding, with an [N, U + 1, r] temporary and without autograd. Unlike
`benchmarks.kit.torch_cml`, whose pieces fit a CPU's cache, it has no loops: a kernel for each line.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor


class Sampler:
    """Draws negatives from all items and marks those that the user likes, few, which the step then leaves out.

    Drawing those again would take longer: the peer is given that.

    Parameters
    ----------
    indptr, indices : Tensor
        Shapes [I + 1] and [nnz]: the users' positives as sorted CSR rows.
    n_items : int
        J.
    """

    def __init__(self, indptr: Tensor, indices: Tensor, n_items: int) -> None:
        rows = torch.repeat_interleave(torch.arange(len(indptr) - 1, device=indptr.device), indptr.diff().long())
        self.n_items, self.keys = n_items, rows * n_items + indices  # [nnz], ascending

    def draw(self, users: Tensor, n_negatives: int) -> tuple[Tensor, Tensor]:
        """Return items [N, U] and whether each is liked by its pair's user."""
        ids = torch.randint(self.n_items, (len(users), n_negatives), device=users.device)
        keys = users[:, None].long() * self.n_items + ids
        at = torch.searchsorted(self.keys, keys).clamp_(max=len(self.keys) - 1)
        return ids, self.keys[at] == keys


def _update_(
    weight: Tensor, state: Tensor, rows: Tensor, grads: Tensor, lr: float, eps: float, max_norm: float
) -> None:
    """Sum what names one row, then AdaGrad and norm clip."""
    distinct, place = rows.unique(return_inverse=True)
    total = torch.zeros((len(distinct), grads.shape[1]), device=grads.device).index_add_(0, place, grads)
    sums = state[distinct].addcmul_(total, total)
    state[distinct] = sums
    new = weight[distinct].addcdiv_(total, sums.sqrt_().add_(eps), value=-lr)
    norm = torch.linalg.vector_norm(new, dim=1, keepdim=True)
    weight[distinct] = new.mul_((max_norm / norm).clamp_(max=1))


@torch.no_grad()
def step_(
    user_w: Tensor,  # [I, r]
    item_w: Tensor,  # [J, r]
    user_state: Tensor,  # [I, r]
    item_state: Tensor,  # [J, r]
    users: Tensor,  # [N]
    positives: Tensor,  # [N]
    negatives: Tensor,  # [N, U]
    liked: Tensor,  # [N, U], which negatives are none
    margin: float,
    lr: float,
    eps: float,
    max_norm: float,
    weights: Tensor,  # [U + 1], the rank weight of each count of impostors
) -> tuple[Tensor, Tensor, Tensor]:
    """Take one training step in place; return the loss, the number of impostors and the number of active pairs."""
    user = F.embedding(users, user_w)  # [N, r]
    rows = F.embedding(torch.cat((positives[:, None], negatives), 1), item_w)  # [N, U + 1, r]
    # ||v||^2 - 2 u.v, which is the squared distance but for ||u||^2
    distance = torch.linalg.vector_norm(rows, dim=-1).square_() - 2 * torch.bmm(rows, user[:, :, None])[:, :, 0]
    hinge = ((margin + distance[:, :1]) - distance[:, 1:]).masked_fill_(liked, -torch.inf)  # [N, U]
    value, at = hinge.max(1)
    impostors = (hinge > 0).sum(1)
    weight = weights[impostors]
    loss = (weight * value.clamp(min=0)).sum(dtype=torch.float64)
    active = (value > 0).nonzero()[:, 0]  # [A]
    factor = 2 * weight[active, None]
    u, v_positive, v_hardest = user[active], rows[active, 0], rows[active, 1 + at[active]]
    items = torch.cat((positives[active], negatives[active, at[active]]))
    item_grads = torch.cat((factor * (v_positive - u), factor * (u - v_hardest)))
    _update_(user_w, user_state, users[active], factor * (v_hardest - v_positive), lr, eps, max_norm)
    _update_(item_w, item_state, items, item_grads, lr, eps, max_norm)
    return loss, impostors.sum(), torch.tensor(len(active))
