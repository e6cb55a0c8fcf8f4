"""The sampled softmax: three matrix products around ``softmax_weights_``, for every backend that has that operator.

The products are torch's own (BLAS, cuBLAS), which follow ``torch.set_float32_matmul_precision``. Pairs are worked on in
tiles whose table of products stays in a cache: an [N, S] table as a whole is never there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor

from cmlfast.ops import checks
from cmlfast.ops.arithmetic import widen

# Products in a tile: on a CPU 2 MB for each thread, on a GPU 64 MB. Less makes matrices too flat for BLAS.
TILE_PER_THREAD, TILE_ON_GPU = 2**19, 2**24

Sums: TypeAlias = tuple[Tensor, Tensor, Tensor]  # what softmax_weights_ returns: largest, total, share
SoftmaxWeights = Callable[..., tuple[Tensor, Tensor, Tensor]]  # softmax_weights_ of some backend


class Gradients(NamedTuple):
    """Of the loss in the rows that a batch names, each pair's times its weight."""

    loss: Tensor  # [N], not weighted
    by_user: Tensor  # [N, r]
    by_positive: Tensor  # [N, r]
    by_negative: Tensor  # [S, r]


def losses(
    softmax_weights_: SoftmaxWeights,
    user_vectors: Tensor,
    item_vectors: Tensor,
    users: Tensor,
    positives: Tensor,
    negatives: Tensor,
    temperature: float,
    log_q: Tensor | None = None,
    metric: str = "sqeuclidean",
    decoupled: bool = False,
    sparse_grad: bool = False,  # which is about the gradient alone
) -> Tensor:
    """Return the loss of each pair, [N]; see :func:`cmlfast.ops.sampled_softmax`."""
    _check(user_vectors, item_vectors, users, positives, negatives, temperature, log_q, metric)
    batch = _Batch(user_vectors, item_vectors, users, positives, negatives, temperature, log_q, metric)
    weights = batch.u.new_zeros(len(users))
    return batch.losses([batch.tile(softmax_weights_, rows, weights, decoupled)[1] for rows in batch.tiles()])


def gradients(
    softmax_weights_: SoftmaxWeights,
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
    *,
    checked: bool = False,
) -> Gradients:
    """Return losses and gradients in one go; see :func:`cmlfast.ops.sampled_softmax_gradients`.

    Who says ``checked`` vouches for all arguments: to ask a GPU for the range of ids makes the host wait.
    """
    if not checked:
        _check(user_vectors, item_vectors, users, positives, negatives, temperature, log_q, metric)
        checks.check_floats({"user_vectors": user_vectors, "item_vectors": item_vectors}, weights=weights)
        checks.check_dim(weights, "weights", 1)
        checks.check_same_length(weights, "weights", users, "users")
    batch = _Batch(user_vectors, item_vectors, users, positives, negatives, temperature, log_q, metric)
    u, v, negative = batch.u, batch.v, batch.negative
    by_user, by_negative = torch.empty_like(u), torch.zeros_like(negative)
    total = negative.new_zeros(len(negatives))  # [S], the negatives' weights, summed over the batch
    weights = batch.scale * weights  # once here, not for each number of a gradient
    sums = []
    for rows in batch.tiles():
        weight, of_pairs = batch.tile(softmax_weights_, rows, weights, decoupled)  # [n, S]
        sums.append(of_pairs)
        torch.mm(weight, negative, out=by_user[rows])
        by_negative.addmm_(weight.T, u[rows])
        total += weight.sum(0)
    loss = batch.losses(sums)
    share = torch.cat([weights[:0], *(of_pairs[2] for of_pairs in sums)])[:, None]  # [N, 1]
    # d2(i, j) falls as its share of the pull, d2(i, k) grows as weight[i, k]: u's own terms cancel.
    by_user.addcmul_(share, v, value=-1)
    if metric == "dot":
        return Gradients(loss, by_user, u.mul_(share).neg_(), by_negative)
    by_negative.addcmul_(total[:, None], negative, value=-1)
    return Gradients(loss, by_user, v.sub_(u).mul_(share), by_negative)


class _Batch:
    """Pairs and the negatives that they share: rows, and what makes logits of products."""

    def __init__(
        self,
        user_vectors: Tensor,
        item_vectors: Tensor,
        users: Tensor,
        positives: Tensor,
        negatives: Tensor,
        temperature: float,
        log_q: Tensor | None,
        metric: str,
    ) -> None:
        self.positives, self.negatives = positives, negatives
        # Copies of our own, which the gradients may use up.
        self.u = widen(user_vectors.index_select(0, users))  # [N, r]
        self.v = widen(item_vectors.index_select(0, positives))  # [N, r]
        self.negative = widen(item_vectors.index_select(0, negatives))  # [S, r]
        self.n_at_once = _tile_size(len(negatives), self.u.is_cuda)
        self.products = self.u.new_empty((min(self.n_at_once, len(users)), len(negatives)))  # [n, S], of each tile
        # -|u - v|^2 / t = (2 u.v - |v|^2) / t - |u|^2 / t, where the last is the same for all items of a pair.
        euclidean = metric == "sqeuclidean"
        self.scale = (2.0 if euclidean else 1.0) / temperature
        self.positive_logits: Tensor = self.scale * torch.linalg.vecdot(self.u, self.v)  # [N]
        self.offsets = self.negative.new_zeros(len(negatives))  # [S]
        if euclidean:
            self.positive_logits -= torch.linalg.vecdot(self.v, self.v) / temperature
            self.offsets -= torch.linalg.vecdot(self.negative, self.negative) / temperature
        if log_q is not None:
            self.offsets -= log_q

    def tiles(self) -> list[slice]:
        """Cut the pairs into stretches."""
        n, end = self.n_at_once, len(self.positives)
        return [slice(first, min(first + n, end)) for first in range(0, end, n)]

    def tile(
        self, softmax_weights_: SoftmaxWeights, rows: slice, weights: Tensor, decoupled: bool
    ) -> tuple[Tensor, Sums]:
        """Return the negatives' weights [n, S], and each pair's sums [n]."""
        table = self.products[: rows.stop - rows.start]  # [n, S]
        torch.mm(self.u[rows], self.negative.T, out=table)
        sums = softmax_weights_(
            table, self.offsets, self.negatives, self.positives[rows], self.positive_logits[rows], weights[rows],
            self.scale, decoupled,
        )  # fmt: skip
        return table, sums

    def losses(self, sums: list[Sums]) -> Tensor:
        """Return the loss of each pair, [N], by the sums of all tiles."""
        if not sums:
            return self.positive_logits
        largest, total, _ = (torch.cat(column) for column in zip(*sums, strict=True))
        # Without any negative there is no loss.
        return torch.where(total > 0, (largest - self.positive_logits) + total.log(), total)


def _tile_size(n_negatives: int, on_gpu: bool) -> int:
    """Return how many pairs are worked on at once."""
    floats = TILE_ON_GPU if on_gpu else TILE_PER_THREAD * torch.get_num_threads()
    return max(1, floats // max(1, n_negatives))


def _check(
    user_vectors: Tensor,
    item_vectors: Tensor,
    users: Tensor,
    positives: Tensor,
    negatives: Tensor,
    temperature: float,
    log_q: Tensor | None,
    metric: str,
) -> None:
    checks.check_tables(user_vectors, "user_vectors", item_vectors, "item_vectors")
    checks.check_ids(users, "users", positives=positives, negatives=negatives)
    checks.check_same_length(positives, "positives", users, "users")
    checks.check_value(
        checks.MIN_FLOAT <= temperature <= checks.MAX_FLOAT,
        f"temperature is {temperature:g}; it must be positive and finite",
    )
    checks.check_metric(metric)
    if log_q is not None:
        checks.check_floats({"user_vectors": user_vectors, "item_vectors": item_vectors}, log_q=log_q)
        checks.check_dim(log_q, "log_q", 1)
        checks.check_value(
            len(log_q) == len(negatives),
            f"log_q has {len(log_q)} entries and negatives has {len(negatives)}; both need one for each negative",
        )
    named = (
        (users, "users", user_vectors, "user_vectors"),
        (positives, "positives", item_vectors, "item_vectors"),
        (negatives, "negatives", item_vectors, "item_vectors"),
    )
    # One question for all ids, since a GPU makes the host wait for each; an id that torch finds there ends its context.
    some = [each for each in named if len(each[0])]
    edges = torch.stack([edge for ids, *_ in some for edge in ids.aminmax()]).tolist() if some else []
    for (ids, name, table, table_name), least, most in zip(some, edges[::2], edges[1::2], strict=True):
        if least < 0 or most >= len(table):
            checks.check_range(ids, name, 0, len(table), table_name)
