"""The operators, compiled: a typed function each; shapes and gradients stand in ``autograd.py``.

``torch.ops.cmlfast.<name>`` is the same operator without the types. Every operator has a twin of the same name and
signature in :mod:`cmlfast.reference`, and gives the same bits. With N pairs in a batch, U negatives a pair, r
dimensions, I users and J items; ids are int64, or int32 throughout one call.

Tables are float32, bfloat16 or float16, both tables of a call of one type; all else is float32. Arithmetic is float32
whatever the tables' type: rows of 16 bits are widened, exactly, when they are read, and a new row is rounded once, when
it is stored.
"""

from __future__ import annotations

import torch
from torch import Tensor

from cmlfast.ops import checks
from cmlfast.ops.autograd import register
from cmlfast.ops.extension import has_extension, kernels
from cmlfast.ops.transforms import Loss

__all__ = [
    "adagrad_clip_",
    "cml_step_",
    "cml_steps_",
    "sample_negatives",
    "sampled_softmax",
    "sampled_softmax_gradients",
    "softmax_weights_",
    "topk",
    "topk_among",
    "warp_hinge",
    "warp_hinge_sampled",
]

_kernels = kernels()


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
    """Draw items that the users of a batch have not liked, uniformly and without rejection.

    A pair's negatives are a pure function of (seed, user, positive, offset): the order of the batch, threads and
    devices do not matter.

    Parameters
    ----------
    indptr, indices : Tensor
        Shapes [I + 1] and [nnz]: the users' positives as CSR rows, each sorted ascending and without repeats.
    users, positives : Tensor
        Shape [N]: the pairs (i, j).
    n_items : int
        J, the size of the catalogue, at most 2**31 - 1.
    n_negatives : int
        U, the draws for a pair (paper, section 3.2).
    seed : int
        Key of the Philox-4x32-10 generator.
    offset : int
        The epoch, or the step for pairs drawn with replacement; its low 32 bits count.
    first_user : int
        The number of the first row of ``indptr`` among all users. Who holds a part of the users' rows draws with it
        what would be drawn with all of them.

    Returns
    -------
    Tensor
        Shape [N, U], in the type of ``users``. -1 throughout for a user who likes every item.

    Raises
    ------
    ValueError
        For a wrong shape, dtype or count.
    IndexError
        For an id out of range.
    """
    result: Tensor = _kernels.sample_negatives(
        indptr, indices, users, positives, n_items, n_negatives, seed, offset, first_user
    )
    return result


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
    """Rank-weighted hinge loss of each pair against its hardest negative (paper, equation 1 and section 3.2).

    ``loss = w max(0, m + d(i, j) - d(i, k))`` with k the nearest of the pair's negatives (the first on a tie), M the
    number of negatives inside the margin and ``w = log(floor(J M / U) + 1)``, a constant for the gradient.

    Parameters
    ----------
    user_vectors, item_vectors : Tensor
        Shapes [I, r] and [J, r], float32, bfloat16 or float16. The loss is differentiable in both; gradients come in
        the tables' type, each number summed in float32 and rounded once, to nearest.
    users, positives : Tensor
        Shape [N]: the pairs (i, j).
    negatives : Tensor
        Shape [N, U]: items, or -1 throughout a row for a pair without negatives, whose loss is 0.
    margin : float
        m, in units of the distance.
    n_items : int
        J in the rank estimate.
    rank_weight : bool
        False takes w = 1.
    metric : {"sqeuclidean", "dot"}
        Distance of a user and an item: the squared Euclidean distance, or minus the dot product.
    sparse_grad : bool
        Give sparse gradients, as ``torch.nn.functional.embedding(sparse=True)`` does; every entry is rounded then.

    Returns
    -------
    loss : Tensor
        Shape [N], float32.
    hardest : Tensor
        Shape [N]: k, or -1.
    impostors : Tensor
        Shape [N]: M.

    Raises
    ------
    ValueError
        For a wrong shape, dtype, count or metric.
    IndexError
        For an id out of range.
    """
    result: tuple[Tensor, Tensor, Tensor] = _loss("warp_hinge")(
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
    """:func:`warp_hinge` of the negatives that :func:`sample_negatives` draws, without an [N, U] temporary.

    Parameters
    ----------
    user_vectors, item_vectors : Tensor
        Shapes [I, r] and [J, r], as in :func:`warp_hinge`; J is also the catalogue that is drawn from.
    indptr, indices, users, positives, n_negatives, seed, offset
        As in :func:`sample_negatives`.
    margin, rank_weight, metric, sparse_grad
        As in :func:`warp_hinge`.

    Returns
    -------
    loss, hardest, impostors : Tensor
        Shape [N] each, as in :func:`warp_hinge`.

    Raises
    ------
    ValueError
        For a wrong shape, dtype, count or metric.
    IndexError
        For an id out of range.
    """
    result: tuple[Tensor, Tensor, Tensor] = _loss("warp_hinge_sampled")(
        user_vectors, item_vectors, indptr, indices, users, positives, n_negatives, margin, seed, offset,
        rank_weight, metric, sparse_grad,
    )  # fmt: skip
    return result


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
    """Softmax of each pair's item against negatives that all pairs of a batch share.

    ``loss = -log(e(i, j) / (e(i, j) + sum of e(i, k)))`` over the negatives k that are not j, with
    ``e(i, k) = exp(-d(i, k) / temperature) / q(k)``; every negative gets its gradient.

    Parameters
    ----------
    user_vectors, item_vectors : Tensor
        Shapes [I, r] and [J, r], float32, bfloat16 or float16. The loss is differentiable in both; gradients come in
        the tables' type, each number summed in float32 and rounded once, to nearest.
    users, positives : Tensor
        Shape [N]: the pairs (i, j).
    negatives : Tensor
        Shape [S]: items, which may repeat. Where one is a pair's own positive, that pair leaves it out.
    temperature : float
        In units of the distance.
    log_q : Tensor, optional
        Shape [S]: the logarithm of q(k), how often item k was to be expected among the S draws, for negatives that were
        not drawn uniformly: those that are other pairs' positives, or drawn by popularity. The sum over the negatives
        then estimates that over the catalogue. A factor that all q share weighs the negatives against the positive;
        with ``decoupled`` it changes no gradient. Without `log_q`, every q is 1. The positive was not drawn and so has
        none. Not differentiated.
    metric : {"sqeuclidean", "dot"}
        Distance of a user and an item: the squared Euclidean distance, or minus the dot product.
    decoupled : bool
        Leave the positive out of the sum, ``loss = -log(e(i, j) / sum of e(i, k))``: a pair that is in order already
        still pulls at its rows (Yeh et al., Decoupled Contrastive Learning, ECCV 2022).
    sparse_grad : bool
        Give sparse gradients, as ``torch.nn.functional.embedding(sparse=True)`` does; every entry is rounded then.

    Returns
    -------
    Tensor
        Shape [N], float32. 0 for a pair without any negative.

    Raises
    ------
    ValueError
        For a wrong shape, dtype, temperature or metric.
    IndexError
        For an id out of range.

    Notes
    -----
    Products go through BLAS, so that the bits depend on the machine and its number of threads; on the same ones they
    repeat. The correction by q is Bengio and Senécal's (2008); that the positive gets none is Khrylchenko et al.'s
    (RecSys 2025).
    """
    result: Tensor = _loss("sampled_softmax")(
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
    """Losses of :func:`sampled_softmax` and, in the same pass, their gradients row by row, for loops without autograd.

    Parameters
    ----------
    user_vectors, item_vectors, users, positives, negatives, temperature, log_q, metric, decoupled
        As there.
    weights : Tensor
        Shape [N], float32: what each pair's loss is multiplied by, in the gradients.

    Returns
    -------
    loss : Tensor
        Shape [N], float32, not weighted.
    by_user, by_positive : Tensor
        Shapes [N, r], float32: what a pair adds to the gradients of its user's and its item's row.
    by_negative : Tensor
        Shape [S, r], float32: what all pairs add to the gradient of a negative's row.

    Raises
    ------
    ValueError, IndexError
        As there.
    """
    result: tuple[Tensor, Tensor, Tensor, Tensor] = _kernels.sampled_softmax_gradients(
        user_vectors, item_vectors, users, positives, negatives, weights, temperature, log_q, metric, decoupled
    )
    return result


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
    """Turn products of pairs with the negatives that they share into the weights of a gradient, in place.

    It is what lies between the matrix products of :func:`sampled_softmax`: with ``logit[n, k] = scale * products[n, k]
    + offsets[k]``, the products become ``weights[n] * exp(logit[n, k]) / sum of exp(logit[n, :])``, the sum with the
    positive's logit unless ``decoupled``.

    Parameters
    ----------
    products : Tensor
        Shape [N, S], float32; changed in place.
    offsets : Tensor
        Shape [S], float32.
    negatives, positives : Tensor
        Shapes [S] and [N]: ids of items. A negative that is the pair's own positive has no part in it.
    positive_logits, weights : Tensor
        Shape [N], float32.
    scale : float
        Of the products.
    decoupled : bool
        Leave the positive out of the sum.

    Returns
    -------
    largest : Tensor
        Shape [N], float32: the largest logit, NaN passed over; -inf if there is none.
    total : Tensor
        Shape [N], float32: the sum of exp(logit - largest).
    share : Tensor
        Shape [N], float32: the sum of the pair's new weights.

    Raises
    ------
    ValueError
        For a wrong shape or dtype, or a scale that is not finite.
    IndexError
        For an id that is negative, or above 2^31 - 2.

    Notes
    -----
    On CUDA the call does not wait for the device. An id out of range cannot raise there: nothing changes, and all that
    is returned is NaN. A NaN among a pair's logits makes all of its weights NaN, and none of another's.
    """
    _refuse_leaves(products=products)
    result: tuple[Tensor, Tensor, Tensor] = _kernels.softmax_weights_(
        products, offsets, negatives, positives, positive_logits, weights, scale, decoupled
    )
    _bump_versions(products)
    return result


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
    """AdaGrad on the named rows of a table, then the clip into the ball (paper, section 3.5, steps 4 and 5), in place.

    Repeated rows are summed first: ``G += g g``, ``y -= lr g / (sqrt(G) + eps)``, ``y *= min(1, max_norm / |y|)``. With
    one accumulator for a row (row-wise AdaGrad), ``G += mean(g g)`` over the r elements.

    Parameters
    ----------
    weight : Tensor
        Shape [I, r], float32, bfloat16 or float16: the table.
    state : Tensor
        Shape [I, r] or, row-wise, [I, 1], float32: its accumulator G.
    rows : Tensor
        Shape [P]: row ids, which may repeat.
    grads : Tensor
        Shape [P, r], float32.
    lr, eps, max_norm : float
        Learning rate, the term that keeps the division finite, and the radius of the ball. The norm is that of the row
        before it is rounded. ``lr`` and ``offset`` may be tensors, shape []: on a GPU the host does not wait then. If
        they lie there as float32 and int64, the call can be captured into a CUDA graph, whose replays read them anew.
    stochastic_rounding : bool
        How a new row is rounded to 16 bits; float32 tables ignore it. False rounds to nearest: a step smaller than half
        a unit in the last place of its number is lost, however often it is repeated. True rounds up or down by chance,
        in proportion to the distances, so that the expected value is the number itself and small steps add up.
    seed, offset : int
        What the chance is a pure function of, together with row and column: the key of the Philox-4x32-10 generator,
        and the number of the step, whose low 32 bits count. Give every step its own.

    Raises
    ------
    ValueError
        For a wrong shape, dtype or number.
    IndexError
        For an id out of range; nothing has changed then. Where the host does not wait, nothing changes either, nor with
        an ``lr`` that is negative or not finite, but no error says so.
    """
    _refuse_leaves(weight=weight, state=state)
    # By name, for torch would make numbers of tensors, and wait for them.
    step = _kernels.adagrad_clip_.default
    if isinstance(lr, Tensor) or isinstance(offset, Tensor):  # one is read there, so both are
        step = _kernels.adagrad_clip_.Tensor
        if not isinstance(lr, Tensor):
            checks.check_optimizer(lr, eps, max_norm)
        lr, offset = _there(lr, torch.float32, weight), _there(offset, torch.int64, weight)
    step(weight, state, rows, grads, lr, eps, max_norm, stochastic_rounding, seed, offset)
    _bump_versions(weight, state)


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
    """One training step of the paper (section 3.5) on both tables, in place.

    Draws negatives, finds each pair's hardest, and takes an AdaGrad step with clip on every row that a pair with a
    positive hinge names. The batch's loss is the sum over its pairs; every gradient is taken at the old weights.

    Parameters
    ----------
    user_w, item_w : Tensor
        Shapes [I, r] and [J, r], float32, bfloat16 or float16: the tables.
    user_state, item_state : Tensor
        Shapes [I, r] and [J, r], float32: their AdaGrad accumulators; of one column, row-wise as in
        :func:`adagrad_clip_`, each on its own.
    indptr, indices, users, positives, n_negatives, seed, offset
        As in :func:`sample_negatives`.
    margin, rank_weight
        As in :func:`warp_hinge`.
    lr, eps, max_norm, stochastic_rounding
        As in :func:`adagrad_clip_`. The chance is drawn with ``seed`` and ``offset``, apart from the negatives and for
        each table on its own.

    Returns
    -------
    loss : Tensor
        Shape [], float64: the sum of the pairs' losses before the step.
    impostors : Tensor
        Shape [], int64: the number of negatives inside the margin.
    active : Tensor
        Shape [], int64: the number of pairs with a positive hinge.

    Raises
    ------
    ValueError
        For a wrong shape, dtype or number; nothing has changed then.
    IndexError
        For an id out of range; nothing has changed then.

    Notes
    -----
    On a GPU the host waits for nothing, so that a step can be captured into a CUDA graph, which keeps ``margin``,
    ``lr`` and ``offset`` as they were; :func:`cml_steps_` reads them anew. An id out of range cannot raise there:
    nothing changes, the loss is NaN and both counts are -1.
    """
    _refuse_leaves(user_w=user_w, item_w=item_w, user_state=user_state, item_state=item_state)
    result: tuple[Tensor, Tensor, Tensor] = _kernels.cml_step_(
        user_w, item_w, user_state, item_state, indptr, indices, users, positives, n_negatives, margin, lr, eps,
        max_norm, rank_weight, seed, offset, stochastic_rounding,
    )  # fmt: skip
    _bump_versions(user_w, item_w, user_state, item_state)
    return result


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
    """S steps of :func:`cml_step_`, one after the other, each on its part of the pairs, in place.

    Parameters
    ----------
    user_w, item_w, user_state, item_state, indptr, indices, n_negatives, eps, max_norm, rank_weight, seed
        As in :func:`cml_step_`.
    users, positives : Tensor
        Shape [N]: the batches' pairs, one batch after the other, cut as ``torch.tensor_split`` does: the first N mod S
        batches have one pair more than the others.
    margins, lrs : Tensor
        Shape [S], float32: the margin and the learning rate of each step.
    offsets : Tensor
        Shape [S], int64: the offset of each step.
    stochastic_rounding : bool
        As in :func:`cml_step_`.

    Returns
    -------
    loss, impostors, active : Tensor
        Shape [S]: what :func:`cml_step_` returns of each step.

    Raises
    ------
    ValueError, IndexError
        As there; no step has been taken then.

    Notes
    -----
    On a GPU the host waits for nothing, and the steps read `users`, `positives`, `margins`, `lrs` and `offsets` when
    they run: replays of a captured CUDA graph are other steps whenever these tensors have been filled with other
    numbers. A step with an id out of range, or a rate that is negative or not finite, cannot raise there: it changes
    nothing, its loss is NaN and both of its counts are -1; the steps after it are taken.
    """
    _refuse_leaves(user_w=user_w, item_w=item_w, user_state=user_state, item_state=item_state)
    result: tuple[Tensor, Tensor, Tensor] = _kernels.cml_steps_(
        user_w, item_w, user_state, item_state, indptr, indices, users, positives, n_negatives, margins, lrs, eps,
        max_norm, rank_weight, seed, offsets, stochastic_rounding,
    )  # fmt: skip
    _bump_versions(user_w, item_w, user_state, item_state)
    return result


def topk(
    queries: Tensor,
    items: Tensor,
    k: int,
    seen_indptr: Tensor | None = None,
    seen_indices: Tensor | None = None,
    metric: str = "sqeuclidean",
) -> tuple[Tensor, Tensor]:
    """Return the k nearest items of each query, exact, nearest first, ties by id.

    Parameters
    ----------
    queries, items : Tensor
        Shapes [Q, r] and [J, r], float32, bfloat16 or float16.
    k : int
        How many; may exceed J.
    seen_indptr, seen_indices : Tensor, optional
        Shapes [Q + 1] and [nnz]: a CSR row for each query of items to leave out, masked before the selection.
    metric : {"sqeuclidean", "dot"}
        Nearest by squared Euclidean distance, or largest dot product first.

    Returns
    -------
    ids : Tensor
        Shape [Q, k], int64; -1 where fewer than k items are left. An item whose distance is NaN is never listed.
    values : Tensor
        Shape [Q, k], float32: squared distances (inf at -1), or dot products (-inf at -1).

    Raises
    ------
    ValueError
        For a wrong shape, dtype, count or metric.
    IndexError
        For an id out of range.
    """
    result: tuple[Tensor, Tensor] = _kernels.topk(queries, items, k, seen_indptr, seen_indices, metric)
    return result


def topk_among(
    queries: Tensor,
    items: Tensor,
    k: int,
    candidates: Tensor,
    seen_indptr: Tensor | None = None,
    seen_indices: Tensor | None = None,
    metric: str = "sqeuclidean",
) -> tuple[Tensor, Tensor]:
    """Return the k nearest of the items that each query names, exact, nearest first, ties by id.

    What an approximate search has found is ranked so, without its errors, and without what a user has seen.

    Parameters
    ----------
    queries, items, k, seen_indptr, seen_indices, metric
        As :func:`topk` takes them.
    candidates : Tensor
        Shape [Q, m], of the type of ``seen_indices``: items in any order; a repeated one counts once, -1 is none.

    Returns
    -------
    ids, values : Tensor
        Shape [Q, k], as :func:`topk` returns them.

    Raises
    ------
    ValueError, IndexError
        As :func:`topk`.
    """
    result: tuple[Tensor, Tensor] = _kernels.topk_among(
        queries, items, k, candidates, seen_indptr, seen_indices, metric
    )
    return result


def _refuse_leaves(**tensors: Tensor) -> None:
    """Refuse what torch's own in-place operators refuse."""
    for name, tensor in tensors.items():
        if torch.is_grad_enabled() and tensor.requires_grad:
            raise ValueError(f"{name} requires grad and would change in place; call this under torch.no_grad()")


def _there(number: float | Tensor, dtype: torch.dtype, table: Tensor) -> Tensor:
    """Return a number as a tensor where a table is, which is not waited for; what is no integer stays none."""
    if not isinstance(number, Tensor):
        return torch.full((), number, dtype=dtype, device=table.device)
    if number.is_floating_point() and not dtype.is_floating_point:
        return number
    return number.detach().to(table.device, dtype, non_blocking=True)


def _bump_versions(*tensors: Tensor) -> None:
    """Let autograd see the change, so that a backward pass that needs the old values raises."""
    if not torch.compiler.is_compiling():
        torch.autograd.graph.increment_version(tensors)


def _loss(name: str) -> Loss:
    return _losses[name] if _losses else getattr(_kernels, name)


_losses: dict[str, Loss] = register("cmlfast") if has_extension() else {}
