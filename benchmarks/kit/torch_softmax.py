"""The sampled softmax in plain torch: as it is usually written, and the best that we can make of the same products."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor


def usual_loss(
    user_w: Tensor, item_w: Tensor, users: Tensor, positives: Tensor, negatives: Tensor, temperature: float
) -> Tensor:
    """Return the sum of the losses, through [N, S] tables of distances, logits and masks that autograd keeps."""
    u, v, others = user_w[users], item_w[positives], item_w[negatives]
    to_negatives = torch.cdist(u, others).square()  # [N, S]
    to_positive = (u - v).square().sum(1, keepdim=True)  # [N, 1]
    logits = torch.cat((to_positive, to_negatives.masked_fill(negatives == positives[:, None], torch.inf)), 1)
    return F.cross_entropy(logits / -temperature, torch.zeros_like(positives), reduction="sum")


def softmax_weights_(
    products: Tensor,
    offsets: Tensor,
    negatives: Tensor,
    positives: Tensor,
    positive_logits: Tensor,
    weights: Tensor,
    scale: float,
    decoupled: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:
    """Turn products into weights, in place; with `cmlfast.ops.shared_softmax` around it, a whole gradient by hand."""
    products.mul_(scale).add_(offsets).masked_fill_(negatives == positives[:, None], -torch.inf)
    largest = products.amax(1) if decoupled else torch.maximum(products.amax(1), positive_logits)
    sums = products.sub_(largest[:, None]).exp_().sum(1)
    total = sums if decoupled else sums + (positive_logits - largest).exp()
    products.mul_((weights / total)[:, None])
    return largest, total, weights * (sums / total)
