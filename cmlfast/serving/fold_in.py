"""Places new users by what they like, the items staying where they are: no refit."""

from __future__ import annotations

from itertools import pairwise
from types import ModuleType

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from cmlfast.ops.arithmetic import lane_sum, sqrt
from cmlfast.training.loss import EPSILON
from cmlfast.training.settings import Settings

STEPS = 20
LEARNING_RATE = 0.01  # of the first step; falls linearly to 0
IDS_AT_ONCE = 10_000_000  # negatives held in memory


def fold_in(
    kernels: ModuleType,
    item_vectors: Tensor,
    candidates: Tensor,
    liked: sparse.csr_matrix,
    length: Tensor,
    settings: Settings,
) -> Tensor:
    """Return vectors of users who like some items: where the loss that the model was trained by draws them.

    A user starts in the direction of the middle of what they like, as far from the centre as trained users are, and
    takes a few small steps of AdaGrad on all of it. More or larger ones lead away from where training puts the same
    user, and find less (docs/serving.md). Every user's result is a function of their own likes, the items, the length
    and the seed, whoever is placed beside them.

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
    length : Tensor
        A scalar: how far from the centre trained users are.
    settings : Settings
        Of the model; the loss is as it is when a training ends.

    Returns
    -------
    Tensor
        Shape [Q, r], of the items' type.
    """
    items = item_vectors.float()  # [J, r]
    placed = torch.zeros((liked.shape[0], items.shape[1]), dtype=torch.float32, device=items.device)  # [Q, r]
    for first, last in _chunks(liked.indptr, IDS_AT_ONCE // (STEPS * settings.loss.n_negatives)):
        placed[first:last] = _fold_in(kernels, items, candidates, liked[first:last], length, settings)
    return placed.to(item_vectors.dtype)


def _chunks(indptr: np.ndarray, n_pairs: int) -> list[tuple[int, int]]:
    """Cut rows of a CSR matrix into stretches of about ``n_pairs`` entries, a row at least."""
    cuts = [0]
    while cuts[-1] < len(indptr) - 1:
        end = int(np.searchsorted(indptr, indptr[cuts[-1]] + n_pairs, side="right")) - 1
        cuts.append(min(max(end, cuts[-1] + 1), len(indptr) - 1))
    return list(pairwise(cuts))


def _fold_in(
    kernels: ModuleType,
    items: Tensor,
    candidates: Tensor,
    liked: sparse.csr_matrix,
    length: Tensor,
    settings: Settings,
) -> Tensor:
    device, counts = items.device, np.diff(liked.indptr)
    users = torch.from_numpy(np.repeat(np.arange(len(counts), dtype=np.int32), counts)).to(device)  # [N]
    positives = torch.from_numpy(liked.indices.astype(np.int32)).to(device)  # [N]
    table = torch.zeros((len(counts), items.shape[1]), dtype=torch.float32, device=device)  # [Q, r]
    table.index_add_(0, users.long(), items[positives.long()])
    # Summed in the pinned order: torch's norms may depend on who is placed beside.
    table *= length / sqrt(lane_sum(table * table)).clamp_min(torch.finfo(torch.float32).tiny)[:, None]
    state = torch.zeros_like(table)
    ask = settings.loss.for_new_users(kernels, items, candidates, users, positives, STEPS, settings)
    for step in range(STEPS):
        rate = LEARNING_RATE * (1 - step / STEPS)
        kernels.adagrad_clip_(table, state, *ask(table, step), rate, EPSILON, settings.max_norm)
    return table
