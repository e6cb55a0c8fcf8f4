"""Checks a model's parameters and turns "auto" into numbers by documented rules, one setting for every data set."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from cmlfast.training.schedule import Schedule
from cmlfast.training.warp import Warp

# Training computes in float32, where smaller numbers would be 0 and larger ones infinite.
SMALLEST, LARGEST = float(np.finfo(np.float32).tiny), float(np.finfo(np.float32).max)
MAX_NEGATIVES = 20  # the upper end of the paper's U (section 3.2)
NEGATIVES_PER_DENSITY = 0.1
MAX_BATCH_SIZE = 10_000
BATCHES_PER_EPOCH = 10
MIN_BATCH_SIZE = 256
N_EPOCHS, N_EPOCHS_WITH_FEATURES = 200, 40
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class Settings:
    """Parameters of one fit, checked and resolved."""

    n_components: int
    loss: Warp  # with its own settings
    learning_rate: float
    batch_size: int
    n_epochs: int
    max_norm: float
    balance: float | None
    covariance_weight: float
    feature_weight: float
    rare_item_distance: float
    patience: int
    dtype: torch.dtype  # of the tables
    seed: int


def auto_n_negatives(n_pairs: int, n_users: int, n_items: int) -> int:
    """Return U for data of a given density: ``0.1 / density``, at least 1 and at most 20.

    An item drawn as a negative is in truth one the user would like with a probability of about the density of what
    was seen. The loss keeps the hardest of U draws, which is where such an item would end up, so U times the density
    must stay small: 20 negatives suit 0.4% and less, MovieLens-100K with its 2% gets 5.
    """
    density = n_pairs / (n_users * n_items)
    return int(min(max(round(NEGATIVES_PER_DENSITY / density), 1), MAX_NEGATIVES))


def auto_batch_size(n_pairs: int) -> int:
    """Return the pairs in a batch: a tenth of all, at least 256 and at most 10,000."""
    return min(max(n_pairs // BATCHES_PER_EPOCH, MIN_BATCH_SIZE), MAX_BATCH_SIZE)


def resolve(params: dict[str, Any], n_pairs: int, n_users: int, n_items: int, with_features: bool = False) -> Settings:
    """Check every parameter and resolve ``"auto"``.

    Raises
    ------
    ValueError
        For a parameter out of its range; the message names it, its value and what it may be.
    TypeError
        For a parameter of the wrong type.
    """
    n_negatives = params["n_negatives"]
    if n_negatives == "auto":
        n_negatives = auto_n_negatives(n_pairs, n_users, n_items)
    batch_size = params["batch_size"]
    if batch_size == "auto":
        batch_size = auto_batch_size(n_pairs)
    n_epochs = params["n_epochs"]
    if n_epochs == "auto":
        n_epochs = N_EPOCHS_WITH_FEATURES if with_features else N_EPOCHS
    if not isinstance(params["rank_weight"], bool | np.bool_):
        raise TypeError(f"rank_weight is {params['rank_weight']!r}; it must be True or False")
    return Settings(
        n_components=_integer("n_components", params["n_components"], 1),
        loss=Warp(
            margin=Schedule(*_margin(params["margin"])),
            n_negatives=_integer("n_negatives", n_negatives, 1, "or 'auto'"),
            rank_weight=bool(params["rank_weight"]),
        ),
        learning_rate=_positive("learning_rate", params["learning_rate"]),
        batch_size=_integer("batch_size", batch_size, 1, "or 'auto'"),
        n_epochs=_integer("n_epochs", n_epochs, 1, "or 'auto'"),
        max_norm=_positive("max_norm", params["max_norm"], may_be_infinite=True),
        balance=None if params["balance"] is None else _not_negative("balance", params["balance"], ", or None"),
        covariance_weight=_not_negative("covariance_weight", params["covariance_weight"]),
        feature_weight=_not_negative("feature_weight", params["feature_weight"]),
        rare_item_distance=_not_negative("rare_item_distance", params["rare_item_distance"]),
        patience=_integer("patience", params["patience"], 1),
        dtype=_dtype(params["dtype"]),
        seed=resolve_seed(params["random_state"]),
    )


def check(params: dict[str, Any]) -> None:
    """Check every parameter, whatever the data will be; raise as :func:`resolve`."""
    resolve(params, n_pairs=1, n_users=1, n_items=1)  # "auto" has a number for these too


def resolve_seed(random_state: Any) -> int:
    """Return a seed: the integer itself, a draw from a NumPy generator, or a fresh one for None."""
    if random_state is None:
        return int(np.random.SeedSequence().generate_state(1, np.uint64)[0] >> np.uint64(1))
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(2**31 - 1))
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(2**63 - 1))
    return _integer("random_state", random_state, 0, "or None or a NumPy generator")


def _dtype(value: Any) -> torch.dtype:
    if not isinstance(value, str) or value not in DTYPES:
        raise ValueError(f"dtype is {value!r}; it must be 'float32' or 'bfloat16'")
    return DTYPES[value]


def _margin(value: Any) -> tuple[float, float]:
    ends = value if isinstance(value, tuple | list) else (value, value)
    if len(ends) != 2:
        raise ValueError(f"margin is {value}; it must be a positive number, or two: the first and the last")
    return _positive("margin", ends[0]), _positive("margin", ends[1])


def _integer(name: str, value: Any, low: int, alternative: str = "") -> int:
    expected = " ".join(part for part in (f"it must be an integer of at least {low}", alternative) if part)
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name} is {value!r}; {expected}")
    if not low <= value < 2**63:
        raise ValueError(f"{name} is {value}; {expected}")
    return int(value)


def _positive(
    name: str, value: Any, may_be_infinite: bool = False, expected: str = "it must be a positive number"
) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | np.integer | np.floating):
        raise TypeError(f"{name} is {value!r}; {expected}")
    if not value >= SMALLEST or (value > LARGEST and not (may_be_infinite and math.isinf(value))):
        raise ValueError(f"{name} is {value}; {expected}")
    return float(value)


def _not_negative(name: str, value: Any, alternative: str = "") -> float:
    expected = f"it must be a number of at least 0{alternative}"
    return 0.0 if value == 0 and not isinstance(value, bool) else _positive(name, value, expected=expected)
