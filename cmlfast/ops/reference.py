"""What each kernel must compute, in plain torch: the twin of every operator of :mod:`cmlfast.ops`, bit for bit.

It runs wherever torch runs and needs no extension. Sums over a row use 32 virtual lanes, no operation is fused with
another, and a row's gradient adds its occurrences in a fixed order, so that every other backend can be held to
``torch.equal``. Tables may also be float64 here (then all else is too), for ``torch.autograd.gradcheck``.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from cmlfast.ops import autograd, checks, shared_softmax
from cmlfast.ops.arithmetic import (
    MASK,
    batch_sum,
    distances,
    exp_not_positive,
    lane_sum,
    pair_gradients,
    philox,
    rank_weights,
    round_stochastic,
    rounding_words,
    sum_by_row,
    update_rows,
    wide_type,
    widen,
)

CHUNK = 1024  # pairs or queries worked on at a time; bounds memory, changes no result


def sample_negatives(
    indptr: Tensor,
    indices: Tensor,
    users: Tensor,
    positives: Tensor,
    n_items: int,
    n_negatives: int,
    seed: int,
    offset: int,
    first_user: int = 0,
) -> Tensor:
    """Draw the negatives of pairs; the twin of :func:`cmlfast.ops.sample_negatives`."""
    checks.check_sampling(indptr, indices, users, positives, n_items, n_negatives)
    checks.check_range(positives, "positives", 0, n_items, "the item table")
    user, positive = users.long()[:, None], positives.long()[:, None]  # [N, 1]
    blocks = torch.arange(-(-n_negatives // 4), device=users.device)[None, :]  # [1, ceil(U / 4)]
    words = philox(seed, (user + first_user, positive, torch.full_like(user, offset & MASK), blocks))
    words = words.flatten(1)[:, :n_negatives]  # [N, U]

    begin = indptr[users.long()].long()[:, None]  # [N, 1]
    n_positives = indptr[users.long() + 1].long()[:, None] - begin
    n_others = (n_items - n_positives).clamp(min=0)
    t = (words * n_others) >> 32  # [N, U], the rank among the items that the user has not liked

    # Upper bound of t in the ascending sequence indices[q] - q, for all draws at once.
    low, high = torch.zeros_like(t), n_positives.expand_as(t).clone()
    safe = torch.cat((indices.long(), indices.new_zeros(1).long()))  # finished searches read the spare entry
    for _ in range(int(n_positives.max()).bit_length() if len(users) else 0):
        middle = (low + high) // 2
        searching = low < high
        value = safe[torch.where(searching, begin + middle, len(indices))] - middle
        right = searching & (value <= t)
        low = torch.where(right, middle + 1, low)
        high = torch.where(searching & ~right, middle, high)
    return torch.where(n_others > 0, t + low, -1).to(users.dtype)


def _check_pairs(
    users: Tensor, positives: Tensor, user_table: Tensor, user_name: str, item_table: Tensor, item_name: str
) -> None:
    checks.check_range(users, "users", 0, len(user_table), user_name)
    checks.check_range(positives, "positives", 0, len(item_table), item_name)


def _hinge_chunk(
    u: Tensor,  # [n, r]
    v: Tensor,  # [J, r], as stored
    positives: Tensor,  # [n]
    negatives: Tensor,  # [n, U]
    margin: float,
    weights: Tensor,  # [U + 1]
    metric: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return loss, hardest, impostors and weight, each [n]; see ``csrc/warp_math.h``."""
    has_negatives = negatives[:, 0] >= 0
    positive = distances(u, widen(v[positives]), metric)  # [n]
    negative = distances(u[:, None, :], widen(v[negatives.clamp(min=0)]), metric)  # [n, U]
    hinge = (margin + positive)[:, None] - negative  # [n, U]
    impostors = (hinge > 0).sum(1)
    at = negative.argmin(1, keepdim=True)  # the first on a tie, a NaN before all
    weight = weights[impostors]
    value = hinge.gather(1, at)[:, 0]
    loss = torch.where(value <= 0, 0, weight * value)
    hardest = negatives.gather(1, at)[:, 0]
    return (
        torch.where(has_negatives, loss, 0),
        torch.where(has_negatives, hardest, -1),
        torch.where(has_negatives, impostors, 0),
        torch.where(has_negatives & (value > 0), weight, -1),
    )


def _scan_pairs(
    user_vectors: Tensor,
    item_vectors: Tensor,
    users: Tensor,
    positives: Tensor,
    negatives: Tensor,
    margin: float,
    n_items: int,
    rank_weight: bool,
    metric: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return loss, hardest, impostors [N] and the active pairs' weight [N], -1 elsewhere."""
    checks.check_tables(user_vectors, "user_vectors", item_vectors, "item_vectors")
    checks.check_ids(users, "users", positives=positives)
    checks.check_dim(negatives, "negatives", 2)
    checks.check_n_pairs(users)  # before rows that repeat one become many
    checks.check_ids(users, "users", negatives=negatives.flatten())
    checks.check_same_length(positives, "positives", users, "users")
    checks.check_same_length(negatives, "negatives", users, "users")
    checks.check_n_negatives(negatives.shape[1])
    checks.check_n_items(n_items)
    checks.check_metric(metric)
    _check_pairs(users, positives, user_vectors, "user_vectors", item_vectors, "item_vectors")
    checks.check_range(negatives, "negatives", -1, len(item_vectors), "item_vectors")
    mixed = ((negatives < 0).any(1) != (negatives < 0).all(1)).nonzero()
    if len(mixed):
        raise IndexError(
            f"negatives mixes -1 and items in row {int(mixed[0])}; a row is all -1 (no negatives) or all items"
        )
    weights = user_vectors.new_tensor(
        rank_weights(n_items, negatives.shape[1], rank_weight), dtype=wide_type(user_vectors.dtype)
    )
    parts = [
        _hinge_chunk(
            widen(user_vectors[user.long()]), item_vectors, positive.long(), negative.long(), margin, weights, metric
        )
        for user, positive, negative in zip(
            users.split(CHUNK), positives.split(CHUNK), negatives.split(CHUNK), strict=True
        )
    ]
    loss, hardest, impostors, weight = (torch.cat(column) for column in zip(*parts, strict=True))
    return loss, hardest.to(users.dtype), impostors.to(users.dtype), weight


class _WarpHinge(torch.autograd.Function):
    """The loss of given negatives."""

    @staticmethod
    def forward(*arguments: Any) -> tuple[Tensor, Tensor, Tensor]:
        return _scan_pairs(*arguments[:-1])[:3]  # all but sparse_grad

    setup_context = staticmethod(autograd.save_for_hinge)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> Any:
        return autograd.table_gradients(ctx, grads[0], warp_hinge_backward) + autograd.NO_GRADIENT_OF_HINGE


class _WarpHingeSampled(torch.autograd.Function):
    """The loss of negatives drawn on the way."""

    @staticmethod
    def forward(
        user_vectors: Tensor,
        item_vectors: Tensor,
        indptr: Tensor,
        indices: Tensor,
        users: Tensor,
        positives: Tensor,
        n_negatives: int,
        margin: float,
        seed: int,
        offset: int,
        rank_weight: bool,
        metric: str,
        sparse_grad: bool,
    ) -> tuple[Tensor, Tensor, Tensor]:
        n_items = len(item_vectors)
        checks.check_tables(user_vectors, "user_vectors", item_vectors, "item_vectors")
        checks.check_sampling(indptr, indices, users, positives, n_items, n_negatives)
        _check_pairs(users, positives, user_vectors, "user_vectors", item_vectors, "item_vectors")
        negatives = sample_negatives(indptr, indices, users, positives, n_items, n_negatives, seed, offset)
        return _scan_pairs(
            user_vectors, item_vectors, users, positives, negatives, margin, n_items, rank_weight, metric
        )[:3]

    setup_context = staticmethod(autograd.save_for_hinge_sampled)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> Any:
        return autograd.table_gradients(ctx, grads[0], warp_hinge_backward) + autograd.NO_GRADIENT_OF_SAMPLED


def warp_hinge(
    user_vectors: Tensor,
    item_vectors: Tensor,
    users: Tensor,
    positives: Tensor,
    negatives: Tensor,
    margin: float,
    n_items: int,
    rank_weight: bool = True,
    metric: str = "sqeuclidean",
    sparse_grad: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:
    """Weighted hinge of given negatives; the twin of :func:`cmlfast.ops.warp_hinge`."""
    result: tuple[Tensor, Tensor, Tensor] = _WarpHinge.apply(
        user_vectors,
        item_vectors,
        users,
        positives,
        negatives,
        margin,
        n_items,
        rank_weight,
        metric,
        sparse_grad,
    )
    return result


def warp_hinge_sampled(
    user_vectors: Tensor,
    item_vectors: Tensor,
    indptr: Tensor,
    indices: Tensor,
    users: Tensor,
    positives: Tensor,
    n_negatives: int,
    margin: float,
    seed: int,
    offset: int,
    rank_weight: bool = True,
    metric: str = "sqeuclidean",
    sparse_grad: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:
    """Weighted hinge of negatives drawn on the way; the twin of :func:`cmlfast.ops.warp_hinge_sampled`."""
    result: tuple[Tensor, Tensor, Tensor] = _WarpHingeSampled.apply(
        user_vectors, item_vectors, indptr, indices, users, positives, n_negatives, margin, seed, offset,
        rank_weight, metric, sparse_grad,
    )  # fmt: skip
    return result


def warp_hinge_backward(
    grad_loss: Tensor,
    user_vectors: Tensor,
    item_vectors: Tensor,
    users: Tensor,
    positives: Tensor,
    hardest: Tensor,
    impostors: Tensor,
    n_negatives: int,
    n_items: int,
    rank_weight: bool = True,
    metric: str = "sqeuclidean",
) -> tuple[Tensor, Tensor]:
    """Gradients of both tables; the twin of ``torch.ops.cmlfast.warp_hinge_backward``."""
    checks.check_tables(user_vectors, "user_vectors", item_vectors, "item_vectors")
    checks.check_dim(grad_loss, "grad_loss", 1)
    checks.check_floats({"user_vectors": user_vectors, "item_vectors": item_vectors}, grad_loss=grad_loss)
    for name, ids in {"users": users, "positives": positives, "hardest": hardest, "impostors": impostors}.items():
        checks.check_ids(users, "users", **{name: ids})
        checks.check_same_length(ids, name, users, "users")
    checks.check_same_length(grad_loss, "grad_loss", users, "users")
    checks.check_n_pairs(users)
    checks.check_n_negatives(n_negatives)
    checks.check_n_items(n_items)
    _check_pairs(users, positives, user_vectors, "user_vectors", item_vectors, "item_vectors")
    checks.check_range(hardest, "hardest", -1, len(item_vectors), "item_vectors")
    checks.check_range(impostors, "impostors", 0, n_negatives + 1, "the table of rank weights")
    checks.check_metric(metric)
    user_rows, by_user, item_rows, by_item = autograd.gradient_entries(
        grad_loss, user_vectors, item_vectors, users, positives, hardest, impostors, n_negatives, n_items,
        rank_weight, metric,
    )  # fmt: skip
    user_rows, user_totals = sum_by_row(user_rows, by_user)
    item_rows, item_totals = sum_by_row(item_rows, by_item)
    user_grad, item_grad = torch.zeros_like(user_vectors), torch.zeros_like(item_vectors)
    user_grad[user_rows], item_grad[item_rows] = user_totals.to(user_grad.dtype), item_totals.to(item_grad.dtype)
    return user_grad, item_grad


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
    """Turn products into weights, in place; the twin of :func:`cmlfast.ops.softmax_weights_`."""
    checks.check_softmax_weights(products, offsets, negatives, positives, positive_logits, weights, scale)
    logits = scale * products + offsets  # [N, S]
    logits.masked_fill_(negatives == positives[:, None], -math.inf)
    least = torch.full_like(positive_logits, -math.inf) if decoupled else positive_logits
    numbers = torch.cat((logits, least[:, None]), 1).nan_to_num(-math.inf, math.inf, -math.inf)  # NaN is passed over
    largest = numbers.amax(1) + 0  # [N]; of zeros' two signs, one
    base = torch.where(largest == -math.inf, 0, largest)
    exponentials = exp_not_positive(logits - base[:, None])
    from_negatives = lane_sum(exponentials)
    total = from_negatives if decoupled else from_negatives + exp_not_positive(positive_logits - base)
    none = total == 0
    products.copy_(exponentials * torch.where(none, 0, weights / total)[:, None])
    return largest, total, torch.where(none, 0, weights * (from_negatives / total))


class _SampledSoftmax(torch.autograd.Function):
    """The loss of pairs against negatives that they share."""

    @staticmethod
    def forward(*arguments: Any) -> Tensor:
        return shared_softmax.losses(softmax_weights_, *arguments)

    setup_context = staticmethod(autograd.save_for_softmax)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> Any:
        return autograd.softmax_table_gradients(ctx, grads[0], sampled_softmax_gradients)


def sampled_softmax(
    user_vectors: Tensor,
    item_vectors: Tensor,
    users: Tensor,
    positives: Tensor,
    negatives: Tensor,
    temperature: float,
    log_q: Tensor | None = None,
    metric: str = "sqeuclidean",
    decoupled: bool = False,
    sparse_grad: bool = False,
) -> Tensor:
    """Softmax over negatives that all pairs share; the twin of :func:`cmlfast.ops.sampled_softmax`."""
    result: Tensor = _SampledSoftmax.apply(
        user_vectors, item_vectors, users, positives, negatives, temperature, log_q, metric, decoupled, sparse_grad
    )
    return result


def sampled_softmax_gradients(
    user_vectors: Tensor,
    item_vectors: Tensor,
    users: Tensor,
    positives: Tensor,
    negatives: Tensor,
    weights: Tensor,
    temperature: float,
    log_q: Tensor | None = None,
    metric: str = "sqeuclidean",
    decoupled: bool = False,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Losses and gradients of rows; the twin of :func:`cmlfast.ops.sampled_softmax_gradients`."""
    return shared_softmax.gradients(
        softmax_weights_, user_vectors, item_vectors, users, positives, negatives, weights, temperature, log_q,
        metric, decoupled,
    )  # fmt: skip


def adagrad_clip_(
    weight: Tensor,
    state: Tensor,
    rows: Tensor,
    grads: Tensor,
    lr: float | Tensor,
    eps: float = 1e-10,
    max_norm: float = 1.0,
    stochastic_rounding: bool = False,
    seed: int = 0,
    offset: int | Tensor = 0,
) -> None:
    """Update rows in place; the twin of :func:`cmlfast.ops.adagrad_clip_`."""
    checks.check_dim(weight, "weight", 2)
    checks.check_floats({"weight": weight}, state=state, grads=grads)
    checks.check_state(state, "state", weight, "weight")
    checks.check_n_rows(weight, "weight")
    checks.check_ids(rows, "rows")
    checks.check_n_rows(rows, "rows")
    checks.check_dim(grads, "grads", 2)
    checks.check_same_length(grads, "grads", rows, "rows")
    checks.check_value(
        grads.shape[1] == weight.shape[1],
        f"grads has {grads.shape[1]} columns and weight has {weight.shape[1]}; both need the same",
    )
    numbers = {name: each for name, each in (("lr", lr), ("offset", offset)) if isinstance(each, Tensor)}
    checks.check_numbers(**numbers)
    lr = float(lr.float()) if isinstance(lr, Tensor) else lr
    offset = int(offset) if isinstance(offset, Tensor) else offset
    checks.check_optimizer(lr, eps, max_norm)
    checks.check_in_place({"weight": weight, "state": state}, {"rows": rows, "grads": grads, **numbers})
    checks.check_range(rows, "rows", 0, len(weight), "weight")
    _update(weight, state, rows.long(), grads, (lr, eps, max_norm), (stochastic_rounding, seed, offset, 0))


def _update(
    weight: Tensor,  # [I, r]
    state: Tensor,  # [I, r] or [I, 1]
    rows: Tensor,  # [P]
    grads: Tensor,  # [P, r]
    sizes: tuple[float, float, float],  # lr, eps, max_norm
    rounding: tuple[bool, int, int, int],  # stochastic, seed, offset, table
) -> None:
    """Sum what names one row, then AdaGrad, clip, and the only rounding to the table's type."""
    distinct, totals = sum_by_row(rows, grads)
    sums = state[distinct]
    updated = update_rows(widen(weight[distinct]), sums, totals, *sizes)
    state[distinct] = sums
    stochastic, seed, offset, table = rounding
    if stochastic and weight.dtype != updated.dtype:
        words = rounding_words(distinct, weight.shape[1], seed, offset, table)
        weight[distinct] = round_stochastic(updated, words, weight.dtype)
    else:
        weight[distinct] = updated.to(weight.dtype)


def _check_step(
    user_w: Tensor,
    item_w: Tensor,
    user_state: Tensor,
    item_state: Tensor,
    indptr: Tensor,
    indices: Tensor,
    users: Tensor,
    positives: Tensor,
    n_negatives: int,
    lr: float,
    eps: float,
    max_norm: float,
) -> None:
    checks.check_tables(user_w, "user_w", item_w, "item_w")
    checks.check_state(user_state, "user_state", user_w, "user_w")
    checks.check_state(item_state, "item_state", item_w, "item_w")
    checks.check_floats({"user_w": user_w, "item_w": item_w}, user_state=user_state, item_state=item_state)
    checks.check_optimizer(lr, eps, max_norm)
    checks.check_in_place(
        {"user_w": user_w, "item_w": item_w, "user_state": user_state, "item_state": item_state},
        {"indptr": indptr, "indices": indices, "users": users, "positives": positives},
    )
    checks.check_sampling(indptr, indices, users, positives, len(item_w), n_negatives)
    _check_pairs(users, positives, user_w, "user_w", item_w, "item_w")


def cml_step_(
    user_w: Tensor,
    item_w: Tensor,
    user_state: Tensor,
    item_state: Tensor,
    indptr: Tensor,
    indices: Tensor,
    users: Tensor,
    positives: Tensor,
    n_negatives: int,
    margin: float,
    lr: float,
    eps: float,
    max_norm: float,
    rank_weight: bool,
    seed: int,
    offset: int,
    stochastic_rounding: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:
    """One training step in place; the twin of :func:`cmlfast.ops.cml_step_`."""
    _check_step(
        user_w, item_w, user_state, item_state, indptr, indices, users, positives, n_negatives, lr, eps, max_norm
    )
    negatives = sample_negatives(indptr, indices, users, positives, len(item_w), n_negatives, seed, offset)
    loss, hardest, impostors, weight = _scan_pairs(
        user_w, item_w, users, positives, negatives, margin, len(item_w), rank_weight, "sqeuclidean"
    )
    active = (weight >= 0).nonzero()[:, 0]  # [A]
    user, positive, negative = (ids[active].long() for ids in (users, positives, hardest))
    by_user, by_item = pair_gradients(
        2.0 * weight[active], widen(user_w[user]), widen(item_w[positive]), widen(item_w[negative]), "sqeuclidean"
    )
    sizes, rounding = (lr, eps, max_norm), (stochastic_rounding, seed, offset)
    _update(user_w, user_state, user, by_user, sizes, (*rounding, 0))
    item_rows = torch.stack((positive, negative), 1).flatten()  # a pair's positive before its negative
    _update(item_w, item_state, item_rows, by_item.flatten(0, 1), sizes, (*rounding, 1))
    return (
        batch_sum(loss.double()),
        impostors.long().sum(),
        torch.tensor(len(active), dtype=torch.int64, device=user_w.device),
    )


def cml_steps_(
    user_w: Tensor,
    item_w: Tensor,
    user_state: Tensor,
    item_state: Tensor,
    indptr: Tensor,
    indices: Tensor,
    users: Tensor,
    positives: Tensor,
    n_negatives: int,
    margins: Tensor,
    lrs: Tensor,
    eps: float,
    max_norm: float,
    rank_weight: bool,
    seed: int,
    offsets: Tensor,
    stochastic_rounding: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:
    """Take steps one after the other; the twin of :func:`cmlfast.ops.cml_steps_`."""
    tables = (user_w, item_w, user_state, item_state)
    checks.check_step_numbers(margins, lrs, offsets)
    _check_step(*tables, indptr, indices, users, positives, n_negatives, 0.0, eps, max_norm)
    checks.check_in_place(
        dict(zip(("user_w", "item_w", "user_state", "item_state"), tables, strict=True)),
        {"margins": margins, "lrs": lrs, "offsets": offsets},
    )
    batches = zip(users.tensor_split(len(lrs)), positives.tensor_split(len(lrs)), strict=True)
    numbers = zip(margins.tolist(), lrs.tolist(), offsets.tolist(), strict=True)
    totals = [
        cml_step_(
            *tables, indptr, indices, of_users, of_items, n_negatives, margin, lr, eps, max_norm, rank_weight, seed,
            offset, stochastic_rounding,
        )
        for (of_users, of_items), (margin, lr, offset) in zip(batches, numbers, strict=True)
    ]  # fmt: skip
    loss, impostors, active = (torch.stack(column) for column in zip(*totals, strict=True))
    return loss, impostors, active


def topk(
    queries: Tensor,
    items: Tensor,
    k: int,
    seen_indptr: Tensor | None = None,
    seen_indices: Tensor | None = None,
    metric: str = "sqeuclidean",
) -> tuple[Tensor, Tensor]:
    """Return the k nearest items; the twin of :func:`cmlfast.ops.topk`."""
    return _nearest(queries, items, k, None, seen_indptr, seen_indices, metric)


def topk_among(
    queries: Tensor,
    items: Tensor,
    k: int,
    candidates: Tensor,
    seen_indptr: Tensor | None = None,
    seen_indices: Tensor | None = None,
    metric: str = "sqeuclidean",
) -> tuple[Tensor, Tensor]:
    """Return the k nearest of the items that each query names; the twin of :func:`cmlfast.ops.topk_among`."""
    return _nearest(queries, items, k, candidates, seen_indptr, seen_indices, metric)


def _nearest(
    queries: Tensor,
    items: Tensor,
    k: int,
    candidates: Tensor | None,
    seen_indptr: Tensor | None,
    seen_indices: Tensor | None,
    metric: str,
) -> tuple[Tensor, Tensor]:
    """Rank all items, or a query's candidates [Q, m], of which -1 is none."""
    checks.check_tables(queries, "queries", items, "items")
    checks.check_value(k >= 1, f"k is {k}; it must be at least 1")
    checks.check_metric(metric)
    checks.check_value(
        (seen_indptr is None) == (seen_indices is None),
        "seen_indptr and seen_indices must be given together or not at all",
    )
    n_queries = len(queries)
    given = seen_indptr is not None
    if seen_indptr is None or seen_indices is None:
        seen_indptr = torch.zeros(n_queries + 1, dtype=torch.int64, device=queries.device)
        seen_indices = seen_indptr[:0]
    checks.check_ids(seen_indptr, "seen_indptr", seen_indices=seen_indices)
    if candidates is not None:
        checks.check_dim(candidates, "candidates", 2)
        ids_like = (seen_indices, "seen_indices") if given else (candidates.flatten(), "candidates")
        checks.check_ids(*ids_like, candidates=candidates.flatten())
        checks.check_value(
            len(candidates) == n_queries,
            f"candidates has {len(candidates)} rows and queries has {n_queries}; both need one for each query",
        )
    checks.check_value(
        len(seen_indptr) == n_queries + 1,
        f"seen_indptr has {len(seen_indptr)} entries; {n_queries} queries need {n_queries + 1}",
    )
    if candidates is not None:
        checks.check_range(candidates, "candidates", -1, len(items), "items")
    all_rows = torch.arange(n_queries, device=queries.device)
    checks.check_csr_rows(seen_indptr, seen_indices, all_rows, "seen_indptr", "seen_indices", "query")
    checks.check_range(seen_indices, "seen_indices", 0, len(items), "items")

    ids = torch.full((n_queries, k), -1, dtype=torch.int64, device=queries.device)
    values = queries.new_full((n_queries, k), math.inf, dtype=wide_type(queries.dtype))
    wide_items = widen(items)
    for query in range(n_queries):  # [J, r] temporaries, never [Q, J, r]
        kept = torch.full((len(items),), candidates is None, dtype=torch.bool, device=queries.device)  # [J]
        if candidates is not None:
            kept[candidates[query][candidates[query] >= 0].long()] = True
        kept[seen_indices[seen_indptr[query] : seen_indptr[query + 1]].long()] = False
        allowed = kept.nonzero()[:, 0]
        distance = distances(widen(queries[query]), wide_items[allowed], metric)
        allowed, distance = allowed[~distance.isnan()], distance[~distance.isnan()]
        order = torch.argsort(distance, stable=True)[:k]
        ids[query, : len(order)] = allowed[order]
        values[query, : len(order)] = distance[order]
    return ids, -values if metric == "dot" else values
