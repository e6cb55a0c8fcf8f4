"""Checks a model's parameters and turns "auto" into numbers by documented rules, one setting for every data set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from cmlfast.data.sides import Sides
from cmlfast.training.auto import NO_FEATURES, Shape, fill_in, is_auto
from cmlfast.training.checks import boolean, integer, measure, not_negative, positive
from cmlfast.training.softmax import Softmax
from cmlfast.training.tables import TableSettings
from cmlfast.training.warp import Warp

LOSSES: dict[str, Callable[[dict[str, Any]], Warp | Softmax]] = {"softmax": Softmax.of, "warp": Warp.of}
# What one loss alone has, and what it is unless somebody asks for something else.
OF_ONE_LOSS: dict[str, dict[str, Any]] = {
    "softmax": {"temperature": "auto"},
    "warp": {"margin": "auto", "rank_weight": True},
}
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class Settings(TableSettings):
    """Parameters of one fit, checked and resolved."""

    loss: Warp | Softmax  # with its own settings
    learning_rate: float
    batch_size: int
    n_epochs: int
    balance: float | None
    covariance_weight: float
    feature_weight: Sides[float]
    rare_item_distance: float
    patience: int
    validation_measure: tuple[str, int]  # its name and K
    found: dict[str, Any]  # what "auto" came to, by parameter


def resolve(
    params: dict[str, Any],
    n_pairs: int,
    n_users: int,
    n_items: int,
    lifts: Sides[float | None] = NO_FEATURES,
) -> Settings:
    """Check every parameter and resolve ``"auto"``, by what :class:`cmlfast.training.auto.Shape` takes.

    Raises
    ------
    ValueError
        For a parameter out of its range; the message names it, its value and what it may be.
    TypeError
        For a parameter of the wrong type.
    """
    if not (is_auto(params["loss"]) or params["loss"] in LOSSES):
        raise ValueError(f"loss is {params['loss']!r}; it must be 'softmax', 'warp' or 'auto'")
    found = fill_in(params, Shape(n_pairs, n_users, n_items, lifts))
    params = params | found
    check_loss(params)
    return Settings(
        n_components=integer("n_components", params["n_components"], 1),
        loss=LOSSES[params["loss"]](params),
        learning_rate=positive(
            "learning_rate", params["learning_rate"], expected="it must be a positive number, or 'auto'"
        ),
        batch_size=integer("batch_size", params["batch_size"], 1, "or 'auto'"),
        n_epochs=integer("n_epochs", params["n_epochs"], 1, "or 'auto'"),
        max_norm=positive("max_norm", params["max_norm"], may_be_infinite=True),
        balance=None if params["balance"] is None else not_negative("balance", params["balance"], ", None or 'auto'"),
        covariance_weight=not_negative("covariance_weight", params["covariance_weight"]),
        feature_weight=_feature_weight(params["feature_weight"]),
        rare_item_distance=not_negative("rare_item_distance", params["rare_item_distance"]),
        patience=integer("patience", params["patience"], 1),
        validation_measure=measure("validation_measure", params["validation_measure"]),
        found=found,
        dtype=_dtype(params["dtype"]),
        rowwise_adagrad=boolean("rowwise_adagrad", params["rowwise_adagrad"]),
        seed=resolve_seed(params["random_state"]),
    )


def check(params: dict[str, Any], with_features: bool = False) -> None:
    """Check every parameter, whatever the data will be; raise as :func:`resolve`."""
    resolve(params, 1, 1, 1, Sides(None, 1.0 if with_features else None))  # "auto" has a number for these too


def check_loss(params: dict[str, Any]) -> None:
    """Raise ``ValueError`` for a parameter that the loss would not look at."""
    for loss, own in OF_ONE_LOSS.items():
        for name, default in own.items():
            value = params[name]
            if loss != params["loss"] and not (isinstance(value, str | bool | np.bool_) and value == default):
                raise ValueError(
                    f"{name} is {value!r}, but loss is {params['loss']!r}, which has none: leave it {default!r}, or "
                    f"pass loss={loss!r}"
                )


def resolve_seed(random_state: Any) -> int:
    """Return a seed: the integer itself, a draw from a NumPy generator, or a fresh one for None."""
    if random_state is None:
        return int(np.random.SeedSequence().generate_state(1, np.uint64)[0] >> np.uint64(1))
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(2**31 - 1))
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(2**63 - 1))
    return integer("random_state", random_state, 0, "or None or a NumPy generator")


def _feature_weight(value: Any) -> Sides[float]:
    """Return the weights of users' and of items' features, of two numbers or of one for both."""
    expected = ", two of those (for users' features and for items'), or 'auto'"
    if not isinstance(value, tuple):
        return Sides(*2 * [not_negative("feature_weight", value, expected)])
    if len(value) != 2:
        raise ValueError(f"feature_weight is {value!r}; it must be a number of at least 0{expected}")
    return Sides(*(not_negative("feature_weight", one, expected) for one in value))


def _dtype(value: Any) -> torch.dtype:
    if not isinstance(value, str) or value not in DTYPES:
        raise ValueError(f"dtype is {value!r}; it must be 'float32' or 'bfloat16'")
    return DTYPES[value]
