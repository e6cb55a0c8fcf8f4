"""Recall when the pairs of a block share their negatives: ``python -m benchmarks.shared_negatives``.

With U negatives for every B pairs, a step would read nearly B times fewer rows. What that costs in recall is simulated
here, with CML's other settings at their defaults: B consecutive pairs of a shuffled batch share U items, drawn evenly;
of those that a pair's user likes it takes no notice. CML's own step is the first row: every pair draws on its own.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse
from torch import Tensor

from benchmarks.accuracy import DATA, KS, SEEDS, machine
from benchmarks.als import Split
from cmlfast import CML, backends, datasets, ops, split_per_user
from cmlfast.serving import recall
from cmlfast.settings import N_EPOCHS, resolve
from cmlfast.steps import metric_step
from cmlfast.training import Pairs, fit_tables, new_tables

BLOCKS = (1, 4, 8, 16, 32)


def liked_by(users: Tensor, items: Tensor, indptr: Tensor, indices: Tensor, n_items: int) -> Tensor:
    """Return which items [N, U] the users [N] like; CSR rows are sorted."""
    owners = torch.repeat_interleave(torch.arange(len(indptr) - 1), indptr.diff())
    keys = owners * n_items + indices  # [nnz], ascending
    wanted = users.long()[:, None] * n_items + items  # [N, U]
    return keys[torch.searchsorted(keys, wanted).clamp(max=len(keys) - 1)] == wanted


def shared_draws(n_pairs: int, block: int, n_negatives: int, n_items: int, seed: int, offset: int) -> Tensor:
    """Draw items [N, U], the same for every ``block`` pairs."""
    generator = np.random.default_rng([seed, offset, block])
    draws = torch.from_numpy(generator.integers(n_items, size=(-(-n_pairs // block), n_negatives)))
    return draws.repeat_interleave(block, dim=0)[:n_pairs]


def shared_step(
    block: int, user_w: Tensor, item_w: Tensor, user_state: Tensor, item_state: Tensor, indptr: Tensor, indices: Tensor,
    users: Tensor, positives: Tensor, n_negatives: int, margin: float, lr: float, eps: float, max_norm: float,
    rank_weight: bool, seed: int, offset: int, *_: Any,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Take the place of ``cml_step_``: loss, impostors and active pairs of a step with shared negatives."""
    n, n_items = len(users), len(item_w)
    draws = shared_draws(n, block, n_negatives, n_items, seed, offset)  # [N, U]
    # A liked item gives way to another draw of the block, which changes neither the hardest nor, much, the impostors;
    # a pair whose draws are all liked gets -1, and no loss.
    liked = liked_by(users, draws, indptr, indices, n_items)
    stand_in = draws.gather(1, liked.int().argmin(1, keepdim=True))  # [N, 1]
    negatives = torch.where(liked, stand_in, draws).masked_fill_(liked.all(1, keepdim=True), -1).to(users.dtype)
    user, item = user_w.detach().requires_grad_(), item_w.detach().requires_grad_()
    loss, hardest, impostors = ops.warp_hinge(user, item, users, positives, negatives, margin, n_items, rank_weight)
    gradients = torch.autograd.grad(loss.sum(), (user, item))  # [I, r], [J, r]
    on = loss > 0
    named = users[on], torch.cat((positives[on], hardest[on]))
    for table, state, gradient, rows in zip((user_w, item_w), (user_state, item_state), gradients, named, strict=True):
        distinct = rows.unique()
        ops.adagrad_clip_(table, state, distinct, gradient[distinct], lr, eps, max_norm)
    return loss.detach().double().sum(), impostors.sum(), on.sum()


def fit_and_score(split: Split, seed: int, block: int | None, n_epochs: int) -> dict[str, float]:
    """Train with blocks of this many pairs (None: CML's own step) and return Recall@K on the test part."""
    train, validation, test = split
    settings = resolve(CML(random_state=seed, n_epochs=n_epochs).get_params(), train.nnz, *train.shape)
    kernels, device = backends.choose("auto", "cpu")
    stepper = kernels if block is None else SimpleNamespace(cml_step_=partial(shared_step, block))
    step = metric_step(stepper)  # type: ignore[arg-type]
    pairs = Pairs.of(train.matrix, train.matrix, device)
    tables, _ = fit_tables(step, new_tables(*train.shape, settings, device), pairs, settings, None, False, None)
    seen = sparse.csr_matrix(train.matrix + validation.matrix)
    return recall(kernels, tables.user, tables.item, test.matrix, seen, KS)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.shared_negatives", description=__doc__)
    parser.add_argument("--data", choices=DATA, action="append", help="only this data set (may be repeated)")
    parser.add_argument("--epochs", type=int, default=N_EPOCHS, help="(default: %(default)s, as CML's)")
    options = parser.parse_args(arguments)
    columns = [f"Recall@{k} | change" for k in KS]
    print(f"| data | B | {' | '.join(columns)} |\n|---|---|" + "---:|---:|" * len(KS), flush=True)
    for name in options.data or DATA:
        whole = datasets.load(name).interactions
        splits = [split_per_user(whole, seed) for seed in SEEDS]
        own = np.empty(0)
        for block in (None, *BLOCKS):
            runs = zip(splits, SEEDS, strict=True)
            scores = [fit_and_score(split, seed, block, options.epochs) for split, seed in runs]
            found = np.array([list(score.values()) for score in scores])  # [seeds, K]
            own = found if block is None else own
            cells = " | ".join(map(cell, found.T, (found - own).T))
            print(f"| {name} | {block or 'own draws'} | {cells} |", flush=True)
    print(
        f"\nTest recall after {options.epochs} epochs, mean of split and model seeds {SEEDS}; the change from own draws"
    )
    print(f"is the mean ± standard deviation of the differences split by split.\n{machine()}.")
    return 0


def cell(found: npt.NDArray[np.float64], change: npt.NDArray[np.float64]) -> str:
    """Show the mean of one K's recall [seeds], and mean and spread of its change."""
    return f"{found.mean():.4f} | {change.mean():+.4f} ± {change.std(ddof=1):.4f}"


if __name__ == "__main__":
    sys.exit(main())
