"""Trains a network on features together with the vectors that it shall predict (paper, section 3.3, equation 3)."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from cmlfast.features.rows import Features

LEARNING_RATE = 0.002  # Adam's, at the start; it falls as that of the tables
ROWS_AT_ONCE = 16_384


class Encoder:
    """A network and the features of all rows of a table.

    Parameters
    ----------
    network : nn.Module
        f: features [n, d] to vectors [n, r]. A copy is trained.
    features : Features
        A row for each row of the table.
    weight : float
        lambda_f, what a unit of squared distance between a vector and f's prediction costs.
    n_components : int
        r.
    name : str
        What to call the network in errors.
    """

    def __init__(self, network: nn.Module, features: Features, weight: float, n_components: int, name: str) -> None:
        if not isinstance(network, nn.Module):
            raise TypeError(f"{name} is a {type(network).__name__}; it must be a torch.nn.Module")
        if not any(parameter.requires_grad for parameter in network.parameters()):
            raise ValueError(f"{name} has no parameter to train; give one that has, such as networks.FeatureMLP")
        self.features = features
        self.network = copy.deepcopy(network).to(features.rows.device)
        self._weight = weight
        self._described = features.described().to(torch.float32)[:, None]  # [n, 1]
        self._optimizer = torch.optim.Adam(self.network.parameters(), lr=LEARNING_RATE, fused=True)
        row = features.take(torch.arange(1, device=features.rows.device))  # [1, d]
        try:
            with torch.no_grad():
                placed = self.network.eval()(row)
        except (RuntimeError, ValueError) as error:
            raise ValueError(f"{name} does not take float32 rows of {features.n_columns} features: {error}") from error
        shape = tuple(placed.shape)
        if shape != (1, n_components) or placed.dtype != torch.float32:
            raise ValueError(
                f"{name} returns shape {shape} of {placed.dtype} for a row of features; it must be "
                f"{(1, n_components)} of torch.float32"
            )

    def pull(self, rows: Tensor, vectors: Tensor, share: float) -> Tensor:
        """Train the network on some rows, and return what it asks of their vectors.

        Parameters
        ----------
        rows : Tensor
            Shape [R], distinct rows of the table.
        vectors : Tensor
            Shape [R, r], where they are.
        share : float
            Of the learning rate, from 1 down to 0 over a training.

        Returns
        -------
        Tensor
            Shape [R, r], float32: the gradient of lambda_f sum |f(x) - v|^2 in v, before the network's step.
        """
        for group in self._optimizer.param_groups:
            group["lr"] = LEARNING_RATE * share
        self._optimizer.zero_grad()
        with torch.enable_grad():
            placed = self.network.train()(self.features.take(rows))  # [R, r]
            # Those without features have none to be placed by: they would all be drawn to one place.
            difference = (vectors.float() - placed) * self._described[rows]  # [R, r]
            difference.square().sum().backward()  # Adam does not depend on the weight
        self._optimizer.step()
        gradient: Tensor = 2 * self._weight * difference.detach()
        return gradient

    def optimizer_state(self) -> dict[str, Tensor]:
        """Return what the optimizer remembers of each parameter, by the parameter's number and a name."""
        state = self._optimizer.state_dict()["state"]
        return {f"{number}.{name}": value for number, values in state.items() for name, value in values.items()}

    def restore_optimizer(self, stored: dict[str, Tensor]) -> None:
        """Undo :meth:`optimizer_state`; raise ``ValueError`` if it was another's."""
        parameters = [one for group in self._optimizer.param_groups for one in group["params"]]
        state: dict[int, dict[str, Tensor]] = {}
        for number, parameter in enumerate(parameters):  # one that nothing was asked of has none
            shapes = {"step": (), "exp_avg": parameter.shape, "exp_avg_sq": parameter.shape}
            found = {name: stored[f"{number}.{name}"] for name in shapes if f"{number}.{name}" in stored}
            if {name: tensor.shape for name, tensor in found.items()} not in ({}, shapes):
                raise ValueError(f"the optimizer's state of the network's parameter {number} does not fit it")
            if found:
                state[number] = found
        if not state or sum(map(len, state.values())) < len(stored):
            raise ValueError(f"the optimizer's state is of other parameters than the network's {len(parameters)}")
        self._optimizer.load_state_dict({**self._optimizer.state_dict(), "state": state})


def typical_length(table: Tensor) -> Tensor:
    """Return the median of the lengths of a table's rows, a scalar."""
    length: Tensor = table.float().norm(dim=1).median()
    return length


def place(network: nn.Module, features: Features, length: Tensor, name: str) -> Tensor:
    """Return where a trained network places rows of features: [n, r], float32, all of the same length.

    A network learns means, which are shorter than what they are means of: trained vectors are near the ball's surface,
    predicted ones are not, and would be near to too many. On citeulike-t, a tenth of the items withheld, the length
    brings Recall@50 among these from .648 to .680 (validation data, `benchmarks.cold_start`'s split of seed 0).

    Parameters
    ----------
    network : nn.Module
        f.
    features : Features
        n rows.
    length : Tensor
        Of trained rows, see :func:`typical_length`.
    name : str
        What to call the features in errors.

    Raises
    ------
    ValueError
        If the network expects other features.
    """
    placed = predict(network, features, name)
    of_length: Tensor = placed * (length / placed.norm(dim=1, keepdim=True).clamp_min(1e-30))
    return of_length


def place_new(given: Any, network: nn.Module | None, length: Tensor, kind: str) -> Tensor:
    """Return where a model's network places rows of features: [n, r], float32, see :func:`place`.

    Raises
    ------
    TypeError, ValueError
        If there is no network, or the features are none or not what it takes.
    """
    name = f"{kind}_features"
    if network is None:
        raise ValueError(
            f"{name} were given, but the model has no network for them: it was fitted without {name}, or loaded "
            f"without its own network; fit it with {name}, or pass the network to load"
        )
    features = given if isinstance(given, Features) else Features.of(given, None, name, length.device)
    return place(network.to(length.device), features, length, name)


def predict(network: nn.Module, features: Features, name: str) -> Tensor:
    """Return what a network says of rows of features: [n, r], float32.

    Raises
    ------
    ValueError
        If the network expects other features, which are called ``name``.
    """
    places = torch.arange(len(features), device=features.rows.device)
    network.eval()
    try:
        with torch.no_grad():
            return torch.cat([network(features.take(some)) for some in places.split(ROWS_AT_ONCE)])
    except (RuntimeError, ValueError) as error:
        raise ValueError(
            f"{name} has {features.n_columns} columns, and the model's network does not take them: {error}"
        ) from error
