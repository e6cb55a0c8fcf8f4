"""The network f that places items (or users) in the ball by their features (paper, section 3.3)."""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

SCALE = 2.0  # of the output; on citeulike-t's tags, f then follows the vectors faster


class FeatureMLP(nn.Module):
    """One hidden layer of ReLU units on rows scaled to unit length (paper, section 3.3, and 4.3 for the size).

    Parameters
    ----------
    n_features : int
        d, the length of a row of features.
    n_components : int
        r, the dimension of the space.
    hidden : int
        Number of hidden units.
    dropout : float
        Probability with which a hidden unit is left out in training. The paper has 0.5; on citeulike-t's tags, rows of
        unit length without dropout did far better.
    seed : int
        Of the start weights.

    Notes
    -----
    Takes features [n, d], dense or in torch's sparse CSR layout, and returns [n, r].
    """

    def __init__(self, n_features: int, n_components: int, hidden: int = 256, dropout: float = 0.0, seed: int = 0):
        super().__init__()
        self.options = {
            "n_features": n_features, "n_components": n_components, "hidden": hidden, "dropout": dropout, "seed": seed,
        }  # fmt: skip
        draw = torch.Generator("cpu").manual_seed(seed)
        # Whatever the process has as its default type and device.
        plain: Any = {"dtype": torch.float32, "device": "cpu"}
        # Rows of unit length: a hidden unit starts with the variance 2 / hidden, so that all of them together have 2.
        self.weight = nn.Parameter(torch.randn(n_features, hidden, generator=draw, **plain) * math.sqrt(2 / hidden))
        self.bias = nn.Parameter(torch.zeros(hidden, **plain))
        self.dropout = nn.Dropout(dropout)
        self.output = nn.utils.skip_init(nn.Linear, hidden, n_components, **plain)
        bound = 1 / math.sqrt(hidden)  # as nn.Linear, whose own draw would be from torch's global generator
        for parameter in (self.output.weight, self.output.bias):
            with torch.no_grad():
                parameter.copy_((torch.rand(parameter.shape, generator=draw, **plain) * 2 - 1) * bound)

    def forward(self, features: Tensor) -> Tensor:
        """Place rows of features [n, d]: [n, r]."""
        if features.shape[1] != len(self.weight):
            raise ValueError(
                f"features has {features.shape[1]} columns, but this network was made for {len(self.weight)}; give the "
                "same features as in training"
            )
        if features.layout == torch.sparse_csr:
            hidden = _SparseTimesDense.apply(_unit_rows(features), self.weight)  # [n, hidden]
        else:
            hidden = functional.normalize(features) @ self.weight
        # In place, for it is the largest tensor of a training.
        active = functional.relu(hidden.add_(self.bias), inplace=True)
        placed: Tensor = SCALE * self.output(self.dropout(active))
        return placed


def pack_network(network: nn.Module) -> tuple[dict[str, Tensor], dict[str, Any] | None]:
    """Return a network's weights, and the options of a `FeatureMLP` (None for any other, its subclasses too)."""
    # Copies, for weights that two layers share may not share memory in a file.
    weights = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    return weights, network.options if type(network) is FeatureMLP else None


def unpack_network(
    options: dict[str, Any] | None, tensors: dict[str, Tensor], kind: str, own: nn.Module | None
) -> nn.Module | None:
    """Undo `pack_network`: make the network again, or give a copy of the caller's own the stored weights.

    Raises
    ------
    ValueError
        If the stored weights are not this network's, or there are none, or ``options`` are none of a `FeatureMLP`.
    """
    weights = {name[len(kind) + 1 :]: tensor for name, tensor in tensors.items() if name.startswith(f"{kind}.")}
    try:
        network = copy.deepcopy(own) if own is not None else FeatureMLP(**options) if options else None
        if network is None:
            return None
        network.load_state_dict(weights)
    except (RuntimeError, TypeError) as error:
        raise ValueError(f"{kind} does not fit the weights that the file holds: {error}") from error
    return network.eval()


def _unit_rows(csr: Tensor) -> Tensor:
    """Return CSR rows scaled to unit length; empty rows stay empty."""
    ends, values = csr.crow_indices(), csr.values()
    lengths = torch.segment_reduce(values * values, "sum", offsets=ends, initial=0.0).sqrt()  # [n]
    scaled = values / torch.repeat_interleave(lengths.clamp_min(1e-12), ends.diff())  # as functional.normalize
    return torch.sparse_csr_tensor(
        ends, csr.col_indices(), scaled, csr.shape, device=scaled.device, check_invariants=False
    )


class _SparseTimesDense(torch.autograd.Function):
    """A CSR matrix [n, d] times a dense one [d, h]; on CPUs several times faster than torch's own product."""

    @staticmethod
    def forward(ctx: Any, csr: Tensor, dense: Tensor) -> Tensor:
        ctx.csr = csr
        return _bags(csr.crow_indices(), csr.col_indices(), csr.values(), dense)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[None, Tensor]:
        # The columns of the matrix are the rows of its transpose.
        columns = ctx.csr.to_sparse_csc()
        return None, _bags(columns.ccol_indices(), columns.row_indices(), columns.values(), grads[0].contiguous())


def _bags(ends: Tensor, indices: Tensor, values: Tensor, dense: Tensor) -> Tensor:
    bags: Tensor = functional.embedding_bag(indices, dense, ends[:-1], mode="sum", per_sample_weights=values)
    return bags
