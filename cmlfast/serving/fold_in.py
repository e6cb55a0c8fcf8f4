"""Places new users by what they like, the items staying where they are: no refit."""

from __future__ import annotations

from itertools import pairwise
from types import ModuleType

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from cmlfast.ops.autograd import gradient_entries
from cmlfast.training.loss import EPSILON
from cmlfast.training.settings import Settings

STEPS = 20
LEARNING_RATE = 0.03  # of the first step; falls linearly to 0
IDS_AT_ONCE = 10_000_000  # negatives held in memory


def fold_in(
    kernels: ModuleType, item_vectors: Tensor, candidates: Tensor, liked: sparse.csr_matrix, settings: Settings
) -> Tensor:
    """Return vectors of users who like some items: where the loss of the paper's section 3.2 draws them.

    A user starts in the middle of what they like and takes a few steps of AdaGrad on all of it, with fresh negatives in
    each. Every user's result is a function of their own likes, the items and the seed, whoever is placed beside them.

    Parameters
    ----------
    kernels : module
        Where the operators are.
    item_vectors : Tensor
        Shape [J, r].
    candidates : Tensor
        Shape [C], int64, ascending: the items that may be negatives, as in the training of the model.
    liked : csr_matrix of shape (Q, J)
        What each user likes. One who likes nothing is put in the centre.
    settings : Settings
        Of the model; the margin is its last.

    Returns
    -------
    Tensor
        Shape [Q, r], of the items' type.
    """
    items = item_vectors.float()  # [J, r]
    placed = torch.zeros((liked.shape[0], items.shape[1]), device=items.device)  # [Q, r]
    for first, last in _chunks(liked.indptr, IDS_AT_ONCE // (STEPS * settings.loss.n_negatives)):
        placed[first:last] = _fold_in(kernels, items, candidates, liked[first:last], settings)
    return placed.to(item_vectors.dtype)


def _chunks(indptr: np.ndarray, n_pairs: int) -> list[tuple[int, int]]:
    """Cut rows of a CSR matrix into stretches of about ``n_pairs`` entries, a row at least."""
    cuts = [0]
    while cuts[-1] < len(indptr) - 1:
        end = int(np.searchsorted(indptr, indptr[cuts[-1]] + n_pairs, side="right")) - 1
        cuts.append(min(max(end, cuts[-1] + 1), len(indptr) - 1))
    return list(pairwise(cuts))


def _draw(kernels: ModuleType, liked: Tensor, candidates: Tensor, n: int, seed: int) -> Tensor:
    """Draw n negatives for each item that one user likes: [N, n], int32; -1 for a user who likes all candidates."""
    places = torch.searchsorted(candidates, liked.long()).clamp_max(len(candidates) - 1).int()  # [N]
    own = places[candidates[places.long()] == liked]
    # As the only user, so that the draws do not depend on the row.
    indptr = torch.tensor([0, len(own)], dtype=torch.int32, device=own.device)
    drawn = kernels.sample_negatives(indptr, own, torch.zeros_like(places), places, len(candidates), n, seed, 0)
    return torch.where(drawn < 0, drawn, candidates[drawn.clamp_min(0).long()].int())


def _fold_in(
    kernels: ModuleType, items: Tensor, candidates: Tensor, liked: sparse.csr_matrix, settings: Settings
) -> Tensor:
    device, loss = items.device, settings.loss
    u = loss.n_negatives
    counts = np.diff(liked.indptr)
    users = torch.from_numpy(np.repeat(np.arange(len(counts), dtype=np.int32), counts)).to(device)  # [N]
    positives = torch.from_numpy(liked.indices.astype(np.int32)).to(device)  # [N]
    negatives = torch.cat(  # [N, STEPS U]
        [_draw(kernels, own, candidates, STEPS * u, settings.seed) for own in positives.split(counts.tolist())]
    )
    table = torch.zeros((len(counts), items.shape[1]), device=device)  # [Q, r]
    table.index_add_(0, users.long(), items[positives.long()])
    table /= torch.from_numpy(np.maximum(counts, 1)).to(device)[:, None]
    state = torch.zeros_like(table)
    for step in range(STEPS):
        drawn = negatives[:, step * u : (step + 1) * u].contiguous()  # [N, U]
        hinge, hardest, impostors = kernels.warp_hinge(
            table, items, users, positives, drawn, loss.margin.last, len(candidates), loss.rank_weight
        )
        rows, gradients, _, _ = gradient_entries(
            torch.ones_like(hinge), table, items, users, positives, hardest, impostors, u, len(candidates),
            loss.rank_weight, "sqeuclidean",
        )  # fmt: skip
        rate = LEARNING_RATE * (1 - step / STEPS)
        kernels.adagrad_clip_(table, state, rows, gradients, rate, EPSILON, settings.max_norm)
    return table
