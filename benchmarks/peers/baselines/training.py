"""The training loop of all baselines, and which loss each is trained with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from scipy import sparse
from torch import Tensor, nn

from benchmarks.peers.baselines import losses, torch_losses
from benchmarks.peers.baselines.features import Features
from benchmarks.peers.baselines.losses import Loss
from benchmarks.peers.baselines.models import CDL, VBPR, FactorizationMachine, MatrixFactorization
from benchmarks.peers.libraries import Factors
from cmlfast.ops import backend
from cmlfast.training.auto import Shape, batch_size, own_negatives
from cmlfast.training.pairs import Pairs
from cmlfast.training.schedule import Schedule


class Baseline(NamedTuple):
    """A model of the paper's Table 2."""

    model: Callable[..., nn.Module]
    loss: str  # "warp" or "bpr"
    hybrid: bool  # whether it takes the items' features


BASELINES = {
    "BPR": Baseline(MatrixFactorization, "bpr", False),
    "WARP": Baseline(MatrixFactorization, "warp", False),
    "FM": Baseline(FactorizationMachine, "warp", True),
    "VBPR": Baseline(VBPR, "warp", True),
    "CDL": Baseline(CDL, "warp", True),
}
DEFAULTS = {
    "epochs": 30,
    "n_components": 100,
    "learning_rate": 0.1,  # of AdaGrad; falls linearly to 0
    "weight_decay": 0.0,  # half that times all tables' squares goes to the sum of all pairs' losses; the perceptron has
    # dropout instead
    "balance": None,  # as in CML
    "margin": 1.0,
    "seed": 0,
}


def make_model(name: str, n_users: int, n_items: int, n_components: int, features: Features | None) -> nn.Module:
    """Return a baseline to be trained; torch's generator draws its numbers."""
    model, _, hybrid = BASELINES[name]
    return model(n_users, n_items, n_components, *([features] if hybrid else []))


def make_loss(name: str, by_operators: bool, pairs: Pairs, n_negatives: int, margin: float, seed: int) -> Loss:
    """Return a loss by name, by the package's operators or in plain torch."""
    if by_operators:
        return losses.bpr(pairs, seed) if name == "bpr" else losses.warp(pairs, n_negatives, margin, seed)
    draw = torch_losses.sampler(pairs.indptr, pairs.indices, pairs.n_items)
    return torch_losses.bpr(draw) if name == "bpr" else torch_losses.warp(pairs.n_items, n_negatives, margin, draw)


def make_optimizer(model: nn.Module, learning_rate: float, weight_decay: float) -> torch.optim.Optimizer:
    """Return AdaGrad with weight decay on the tables."""
    tables = [table for name, table in model.named_parameters() if not name.startswith("perceptron")]
    others = [weight for name, weight in model.named_parameters() if name.startswith("perceptron")]
    groups = [{"params": tables, "weight_decay": weight_decay}, {"params": others}]
    return torch.optim.Adagrad(groups if others else groups[:1], lr=learning_rate, fused=True)


def step_(
    model: nn.Module, loss: Loss, optimizer: torch.optim.Optimizer, users: Tensor, positives: Tensor, step: int
) -> Tensor:
    """Take one step on a batch of pairs, [N] each; return its loss."""
    optimizer.zero_grad()
    total = loss(*model(), users, positives, step)
    total.backward()
    optimizer.step()
    return total.detach()


def fit(
    name: str,
    train: sparse.csr_matrix,
    setting: Mapping[str, Any],
    features: Features | None = None,
    by_operators: bool = True,
) -> Factors:
    """Train a baseline; ``setting`` goes before `DEFAULTS`, and before CML's batch size and number of negatives."""
    shape = Shape(train.nnz, *train.shape)
    automatic = {"batch_size": batch_size(shape), "n_negatives": own_negatives(shape)}
    chosen = {**DEFAULTS, **automatic, **setting}
    torch.manual_seed(chosen["seed"])
    pairs = Pairs.of(train, train, torch.device("cpu"), backend.choose("auto", "cpu")[0])
    model = make_model(name, *train.shape, chosen["n_components"], features)
    n_batches = -(-len(pairs) // chosen["batch_size"])
    optimizer = make_optimizer(model, chosen["learning_rate"], chosen["weight_decay"] / n_batches)
    loss_of_seed = (chosen["n_negatives"], chosen["margin"], chosen["seed"])
    loss = make_loss(BASELINES[name].loss, by_operators, pairs, *loss_of_seed)
    rate = Schedule(chosen["learning_rate"], 0.0)
    n_steps = chosen["epochs"] * n_batches
    for epoch in range(chosen["epochs"]):
        *visited, sizes = pairs.visited(chosen["seed"], epoch, chosen["balance"], n_batches)
        batches = zip(*(ids.split(sizes) for ids in visited), strict=True)
        for step, ids in enumerate(batches, epoch * n_batches):
            for group in optimizer.param_groups:
                group["lr"] = rate.at(step / n_steps)
            step_(model, loss, optimizer, *ids, step)
    model.eval()
    with torch.no_grad():
        users, items = model()
    return Factors(users.detach().numpy(), items.detach().numpy(), "dot")
