"""What torch is told of the operators: shapes of results, and the gradients of ``warp_hinge`` on every backend."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from cmlfast.ops import shared_softmax
from cmlfast.ops.arithmetic import pair_gradients, rank_weights, wide_type, widen
from cmlfast.ops.transforms import Loss, allow_autocast, transformable

# For the arguments behind the two tables, of `warp_hinge` and of `warp_hinge_sampled`.
NO_GRADIENT_OF_HINGE, NO_GRADIENT_OF_SAMPLED = (None,) * 8, (None,) * 11


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


def active_pairs(
    tables: Tensor,
    hardest: Tensor,
    impostors: Tensor,
    n_negatives: int,
    n_items: int,
    rank_weight: bool,
    metric: str,
) -> tuple[Tensor, Tensor]:
    """Return which pairs ask anything, [A], and by what factor, [A], as wide as the arithmetic of such tables."""
    weights = tables.new_tensor(rank_weights(n_items, n_negatives, rank_weight), dtype=wide_type(tables.dtype))
    active = ((impostors > 0) & (hardest >= 0)).nonzero()[:, 0]
    return active, (1.0 if metric == "dot" else 2.0) * weights[impostors[active].long()]


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
    active, factor = active_pairs(user_vectors, hardest, impostors, n_negatives, n_items, rank_weight, metric)
    user, positive, negative = (ids[active].long() for ids in (users, positives, hardest))
    factor = factor * grad_loss[active]
    by_user, by_item = pair_gradients(
        factor, widen(user_vectors[user]), widen(item_vectors[positive]), widen(item_vectors[negative]), metric
    )
    return user, by_user, torch.stack((positive, negative), 1).flatten(), by_item.flatten(0, 1)


def sparse_gradients(
    grad_loss: Tensor, user_vectors: Tensor, item_vectors: Tensor, *rest: Any
) -> tuple[Tensor, Tensor]:
    """Return `gradient_entries`, rounded to the tables' type, as ``F.embedding(sparse=True)`` does: uncoalesced."""
    user_rows, by_user, item_rows, by_item = gradient_entries(grad_loss, user_vectors, item_vectors, *rest)
    return _sparse_rows(user_vectors, user_rows, by_user), _sparse_rows(item_vectors, item_rows, by_item)


def save_for_softmax(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    """Keep what the gradient of ``sampled_softmax`` needs: the tables and ids, nothing of size N x S."""
    user_vectors, item_vectors, users, positives, negatives, temperature, log_q, metric, decoupled, sparse_grad = inputs
    ctx.save_for_backward(user_vectors, item_vectors, users, positives, negatives)
    ctx.options = (temperature, log_q, metric, decoupled)
    ctx.sparse_grad = sparse_grad


def softmax_table_gradients(
    ctx: Any, grad_loss: Tensor, row_gradients: Callable[..., tuple[Tensor, ...]]
) -> tuple[Tensor | None, ...]:
    """Gradients of ``sampled_softmax`` for all its arguments: in both tables, dense or uncoalesced sparse ones."""
    saved = ctx.saved_tensors  # asked for once: checkpointing computes them anew, and allows no second time
    user_vectors, item_vectors, users, positives, negatives = saved
    _, by_user, by_positive, by_negative = row_gradients(*saved, grad_loss.contiguous(), *ctx.options)
    make = _sparse_rows if ctx.sparse_grad else _summed_rows
    items, by_item = torch.cat((positives, negatives)), torch.cat((by_positive, by_negative))
    return (make(user_vectors, users.long(), by_user), make(item_vectors, items.long(), by_item), *(None,) * 8)


def _summed_rows(table: Tensor, rows: Tensor, gradients: Tensor) -> Tensor:
    """Return the rows' gradients, summed in their own type, as a gradient of the table."""
    total = gradients.new_zeros(table.shape)
    if total.is_cuda:  # index_add_ adds in any order there, index_put_ sorts first
        total.index_put_((rows,), gradients, accumulate=True)
    else:
        total.index_add_(0, rows, gradients)
    return total.to(table.dtype)


def _sparse_rows(table: Tensor, rows: Tensor, gradients: Tensor) -> Tensor:
    values = gradients.to(table.dtype)
    return torch.sparse_coo_tensor(rows[None], values, table.shape, device=values.device, check_invariants=False)


def register(library: str) -> dict[str, Loss]:
    """Tell torch the operators' output shapes (for ``torch.compile`` and ``torch.export``) and gradients.

    And what the operators are whose products are torch's own: for every device, by ``softmax_weights_``.

    Returns
    -------
    dict
        The losses by name, as ``torch.func`` can take them.
    """
    fake = torch.library.register_fake
    own = getattr(torch.ops, library)

    @fake(f"{library}::sample_negatives")
    def _(
        indptr: Tensor,
        indices: Tensor,
        users: Tensor,
        positives: Tensor,
        n_items: int,
        n_negatives: int,
        *_: Any,
    ) -> Tensor:
        return users.new_empty((users.shape[0], n_negatives))

    def hinge_outputs(tables: Tensor, users: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        n = users.shape[0]
        return tables.new_empty(n, dtype=torch.float32), users.new_empty(n), users.new_empty(n)

    @fake(f"{library}::warp_hinge")
    def _(user_vectors: Tensor, item_vectors: Tensor, users: Tensor, *_: Any) -> tuple[Tensor, Tensor, Tensor]:
        return hinge_outputs(user_vectors, users)

    @fake(f"{library}::warp_hinge_sampled")
    def _(
        user_vectors: Tensor, item_vectors: Tensor, indptr: Tensor, indices: Tensor, users: Tensor, *_: Any
    ) -> tuple[Tensor, Tensor, Tensor]:
        return hinge_outputs(user_vectors, users)

    @fake(f"{library}::warp_hinge_backward")
    def _(grad_loss: Tensor, user_vectors: Tensor, item_vectors: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
        return user_vectors.new_empty(user_vectors.shape), item_vectors.new_empty(item_vectors.shape)

    @fake(f"{library}::adagrad_clip_.Tensor")
    @fake(f"{library}::adagrad_clip_")
    def _(*_: Any) -> None:
        return None

    @fake(f"{library}::cml_step_")
    def _(user_w: Tensor, *_: Any) -> tuple[Tensor, Tensor, Tensor]:
        count = user_w.new_empty((), dtype=torch.int64)
        return user_w.new_empty((), dtype=torch.float64), count, torch.empty_like(count)

    @fake(f"{library}::cml_steps_")
    def _(user_w: Tensor, *rest: Any) -> tuple[Tensor, Tensor, Tensor]:
        count = user_w.new_empty(rest[9].shape[0], dtype=torch.int64)  # lrs
        return count.new_empty(count.shape, dtype=torch.float64), count, torch.empty_like(count)

    @fake(f"{library}::topk_among")
    @fake(f"{library}::topk")
    def _(queries: Tensor, items: Tensor, k: int, *_: Any) -> tuple[Tensor, Tensor]:
        values = queries.new_empty((queries.shape[0], k), dtype=torch.float32)
        return values.new_empty(values.shape, dtype=torch.int64), values

    @fake(f"{library}::softmax_weights_")
    def _(products: Tensor, offsets: Tensor, *_: Any) -> tuple[Tensor, Tensor, Tensor]:
        n = products.shape[0]
        return offsets.new_empty(n), offsets.new_empty(n), offsets.new_empty(n)

    @fake(f"{library}::sampled_softmax")
    def _(user_vectors: Tensor, item_vectors: Tensor, users: Tensor, *_: Any) -> Tensor:
        return user_vectors.new_empty(users.shape[0], dtype=torch.float32)

    @fake(f"{library}::sampled_softmax_gradients")
    def _(
        user_vectors: Tensor, item_vectors: Tensor, users: Tensor, positives: Tensor, negatives: Tensor, *_: Any
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        (n,), (s,), r = users.shape, negatives.shape, user_vectors.shape[1]
        loss = user_vectors.new_empty(n, dtype=torch.float32)
        return loss, loss.new_empty((n, r)), loss.new_empty((n, r)), loss.new_empty((s, r))

    @torch.library.impl(f"{library}::sampled_softmax", "default")
    def _(*arguments: Any) -> Tensor:
        return shared_softmax.losses(own.softmax_weights_, *arguments)

    @torch.library.impl(f"{library}::sampled_softmax_gradients", "default")
    def _(*arguments: Any) -> tuple[Tensor, ...]:
        return tuple(shared_softmax.gradients(own.softmax_weights_, *arguments))

    def no_second(*_: Any) -> Any:
        raise RuntimeError("a gradient of cmlfast's losses cannot be differentiated again")

    def once(name: str) -> Loss:
        torch.library.register_autograd(f"{library}::{name}", no_second)
        return transformable(getattr(own, name), lambda *_: None, no_second)

    hinge_backward, softmax_gradients = once("warp_hinge_backward"), once("sampled_softmax_gradients")

    def gradients(ctx: Any, grad_loss: Tensor) -> tuple[Tensor, Tensor]:
        return table_gradients(ctx, grad_loss, hinge_backward)

    found = {}
    for name, save, backward in (
        ("sampled_softmax", save_for_softmax,
         lambda ctx, *grads: softmax_table_gradients(ctx, grads[0], softmax_gradients)),
        ("warp_hinge", save_for_hinge, lambda ctx, *grads: gradients(ctx, grads[0]) + NO_GRADIENT_OF_HINGE),
        ("warp_hinge_sampled", save_for_hinge_sampled,
         lambda ctx, *grads: gradients(ctx, grads[0]) + NO_GRADIENT_OF_SAMPLED),
    ):  # fmt: skip
        torch.library.register_autograd(f"{library}::{name}", backward, setup_context=save)
        found[name] = transformable(getattr(own, name), save, backward)
    allow_autocast(library)
    return found
