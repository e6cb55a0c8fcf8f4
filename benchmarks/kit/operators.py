"""A call of each operator on a case by the package's kernels, of any device, and the bytes that it must move."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from benchmarks.kit.case import EPS, LR, MARGIN, MAX_NORM, N_NEGATIVES, SEED, Case
from cmlfast import build_info, ops, reference
from cmlfast.ops import shared_softmax

Call = Callable[[], Any]

N_QUERIES, K, N_FOUND = 1_000, 100, 150
N_SHARED, TEMPERATURE = 1_024, 0.5  # negatives that all pairs share


class Work:
    """A case, and what operators take besides.

    Attributes
    ----------
    case : Case
        Tables, positives, pairs.
    negatives : Tensor of shape (N, U)
        For the hinge with given negatives.
    rows, grads : Tensor of shapes (2 N,) and (2 N, r)
        The item table's part of a step: a positive and a negative of every pair, and a gradient for each.
    queries, seen : Tensor of shape (N_QUERIES, r), and CSR rows
        The first users, and the items that they have.
    found : Tensor of shape (N_QUERIES, N_FOUND)
        Any items, as an index would find some.
    shared : Tensor of shape (N_SHARED,)
        Any items, for the sampled softmax.
    tile : tuple
        The arguments of `softmax_weights_` for a tile of pairs, as `sampled_softmax` makes them.
    """

    def __init__(self, case: Case) -> None:
        kernels = ops if build_info()["extension"] else reference
        self.case = case
        self.negatives = kernels.sample_negatives(*case.sampling, case.n_items, N_NEGATIVES, SEED, 0)
        self.rows = torch.cat((case.positives, self.negatives[:, 0]))
        generator = torch.Generator().manual_seed(SEED)
        shape = len(self.rows), case.tables.item.shape[1]
        self.grads = torch.randn(shape, generator=generator).to(self.rows.device)
        self.queries = case.tables.user[:N_QUERIES]
        indptr = case.indptr[: len(self.queries) + 1]
        self.seen = indptr, case.indices[: int(indptr[-1])]
        like = case.positives
        found = torch.randint(case.n_items, (len(self.queries), N_FOUND), generator=generator)
        self.found = found.to(like.device, like.dtype)
        self.shared = torch.randint(case.n_items, (N_SHARED,), generator=generator).to(like.device, like.dtype)
        floats = shared_softmax.TILE_ON_GPU if like.is_cuda else shared_softmax.TILE_PER_THREAD
        positives = like[: floats // N_SHARED]
        products = torch.randn((len(positives), N_SHARED), generator=generator).to(like.device)
        ones = products.new_ones(len(positives))
        self.tile = products, -products[0].square(), self.shared, positives, 0 * ones, ones, 2.0

    def n_pairs(self, operator: str) -> int:
        """Return how many pairs a call works off."""
        if operator in ("topk", "topk_among"):
            return 0
        return len(self.tile[0]) if operator == "softmax_weights" else len(self.case.users)

    def row_bytes(self) -> dict[str, float]:
        """Return the bytes of the rows and states that an operator must read and write, where rows are its work."""
        n, row = len(self.case.users), 4 * self.grads.shape[1]
        hinge, backward = row * n * (N_NEGATIVES + 2), row * n * 3
        return {
            "warp_hinge": hinge,
            "warp_hinge_sampled": hinge,
            "warp_hinge_backward dense": backward,
            "warp_hinge_backward sparse": backward,
            "topk_among": row * (self.found.numel() + len(self.queries)),
            "adagrad_clip": row * (len(self.rows) + 4 * len(self.rows.unique())),
        }


def sample_negatives(kernels: Any, work: Work) -> Call:
    case, offsets = work.case, itertools.count()
    return lambda: kernels.sample_negatives(*case.sampling, case.n_items, N_NEGATIVES, SEED, next(offsets))


def warp_hinge(kernels: Any, work: Work) -> Call:
    case = work.case
    given = case.tables.user, case.tables.item, case.users, case.positives, work.negatives, MARGIN, case.n_items
    return lambda: kernels.warp_hinge(*given)


def warp_hinge_sampled(kernels: Any, work: Work) -> Call:
    case, offsets = work.case, itertools.count()
    given = case.tables.user, case.tables.item, *case.sampling, N_NEGATIVES, MARGIN, SEED
    return lambda: kernels.warp_hinge_sampled(*given, next(offsets))


def backward(kernels: Any, work: Work, sparse_grad: bool) -> Call:
    case = work.case
    leaves = [table.clone().requires_grad_() for table in (case.tables.user, case.tables.item)]
    pairs = case.users, case.positives, work.negatives
    loss = kernels.warp_hinge(*leaves, *pairs, MARGIN, case.n_items, sparse_grad=sparse_grad)[0].sum()
    return lambda: torch.autograd.grad(loss, leaves, retain_graph=True)


def adagrad_clip(kernels: Any, work: Work) -> Call:
    weight, state = work.case.tables.item.clone(), work.case.tables.item_state.clone()
    return lambda: kernels.adagrad_clip_(weight, state, work.rows, work.grads, LR, EPS, MAX_NORM)


def topk(kernels: Any, work: Work) -> Call:
    return lambda: kernels.topk(work.queries, work.case.tables.item, K, *work.seen)


def topk_among(kernels: Any, work: Work) -> Call:
    return lambda: kernels.topk_among(work.queries, work.case.tables.item, K, work.found)


def softmax_weights(kernels: Any, work: Work) -> Call:
    products, *others = work.tile
    products = products.clone()  # which then holds weights, to be weighed again: equal work
    return lambda: kernels.softmax_weights_(products, *others)


def softmax_inputs(work: Work) -> tuple[Tensor, ...]:
    """Return tables and ids."""
    case = work.case
    return case.tables.user, case.tables.item, case.users, case.positives, work.shared


def sampled_softmax(kernels: Any, work: Work) -> Call:
    """Return the loss and its gradient."""
    *tables, users, positives, shared = softmax_inputs(work)
    leaves = [table.clone().requires_grad_() for table in tables]

    def both() -> Any:
        with torch.enable_grad():
            loss = kernels.sampled_softmax(*leaves, users, positives, shared, TEMPERATURE).sum()
        return torch.autograd.grad(loss, leaves)

    return both


def sampled_softmax_gradients(kernels: Any, work: Work) -> Call:
    weights = torch.ones(len(work.case.users), device=work.shared.device)
    return lambda: kernels.sampled_softmax_gradients(*softmax_inputs(work), weights, TEMPERATURE)


OPERATORS: dict[str, Callable[[Any, Work], Call]] = {
    "sample_negatives": sample_negatives,
    "warp_hinge": warp_hinge,
    "warp_hinge_sampled": warp_hinge_sampled,
    "warp_hinge_backward dense": lambda kernels, work: backward(kernels, work, sparse_grad=False),
    "warp_hinge_backward sparse": lambda kernels, work: backward(kernels, work, sparse_grad=True),
    "adagrad_clip": adagrad_clip,
    "topk": topk,
    "topk_among": topk_among,
    "softmax_weights": softmax_weights,
    "sampled_softmax": sampled_softmax,
    "sampled_softmax_gradients": sampled_softmax_gradients,
}
