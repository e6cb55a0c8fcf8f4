"""What ``warp_hinge`` keeps for its backward pass and how gradients of the two tables come of it; for every backend."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from cmlfast._arithmetic import pair_gradients, rank_weights, wide_type, widen


def save_for_hinge(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    """Keep what the gradient of ``warp_hinge`` needs: the tables and [N] ids, nothing of size N x U."""
    user_vectors, item_vectors, users, positives, negatives, _, n_items, rank_weight, metric, sparse_grad = inputs
    options = (negatives.shape[1], n_items, rank_weight, metric)
    _save(ctx, (user_vectors, item_vectors, users, positives), output, options, sparse_grad)


def save_for_hinge_sampled(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    """Keep what the gradient of ``warp_hinge_sampled`` needs."""
    (
        user_vectors,
        item_vectors,
        _,
        _,
        users,
        positives,
        n_negatives,
        _,
        _,
        _,
        rank_weight,
        metric,
        sparse_grad,
    ) = inputs
    options = (n_negatives, item_vectors.shape[0], rank_weight, metric)
    _save(ctx, (user_vectors, item_vectors, users, positives), output, options, sparse_grad)


def _save(
    ctx: Any,
    tensors: tuple[Tensor, ...],
    output: tuple[Tensor, Tensor, Tensor],
    options: tuple[int, int, bool, str],
    sparse_grad: bool,
) -> None:
    _, hardest, impostors = output
    ctx.mark_non_differentiable(hardest, impostors)
    ctx.save_for_backward(*tensors, hardest, impostors)
    ctx.options = options
    ctx.sparse_grad = sparse_grad


def table_gradients(ctx: Any, grad_loss: Tensor, dense: Callable[..., tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Gradients in the user and the item table, dense through ``dense`` or as uncoalesced sparse tensors."""
    if ctx.sparse_grad:
        return sparse_gradients(grad_loss, *ctx.saved_tensors, *ctx.options)
    return dense(grad_loss.contiguous(), *ctx.saved_tensors, *ctx.options)


def gradient_entries(
    grad_loss: Tensor,
    user_vectors: Tensor,
    item_vectors: Tensor,
    users: Tensor,
    positives: Tensor,
    hardest: Tensor,
    impostors: Tensor,
    n_negatives: int,
    n_items: int,
    rank_weight: bool,
    metric: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return what each active pair adds to which row, in batch order, as it is computed: float32 for 16-bit tables.

    Returns
    -------
    user_rows, by_user : Tensor
        Shapes [A] and [A, r].
    item_rows, by_item : Tensor
        Shapes [2 A] and [2 A, r], a pair's positive before its negative.
    """
    weights = user_vectors.new_tensor(
        rank_weights(n_items, n_negatives, rank_weight), dtype=wide_type(user_vectors.dtype)
    )
    active = ((impostors > 0) & (hardest >= 0)).nonzero()[:, 0]  # [A]
    user, positive, negative = (ids[active].long() for ids in (users, positives, hardest))
    factor = (1.0 if metric == "dot" else 2.0) * weights[impostors[active].long()] * grad_loss[active]
    by_user, by_item = pair_gradients(
        factor, widen(user_vectors[user]), widen(item_vectors[positive]), widen(item_vectors[negative]), metric
    )
    return user, by_user, torch.stack((positive, negative), 1).flatten(), by_item.flatten(0, 1)


def sparse_gradients(
    grad_loss: Tensor, user_vectors: Tensor, item_vectors: Tensor, *rest: Any
) -> tuple[Tensor, Tensor]:
    """Return `gradient_entries`, rounded to the tables' type, as ``F.embedding(sparse=True)`` does: uncoalesced."""
    user_rows, by_user, item_rows, by_item = gradient_entries(grad_loss, user_vectors, item_vectors, *rest)
    return (
        torch.sparse_coo_tensor(
            user_rows[None], by_user.to(user_vectors.dtype), user_vectors.shape, check_invariants=False
        ),
        torch.sparse_coo_tensor(
            item_rows[None], by_item.to(item_vectors.dtype), item_vectors.shape, check_invariants=False
        ),
    )
