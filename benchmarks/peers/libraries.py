"""The libraries that cmlfast is compared with, each at its best setting, and cmlfast itself: one function to fit each.

Nothing here needs a library before its own function runs, nor torch: `benchmarks.peers.memory` measures them alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import sparse

Setting = Mapping[str, Any]
Rows = npt.NDArray[np.float32]


class Factors(NamedTuple):
    """A fitted model: how near a user's row is to an item's, by a metric of `cmlfast.ops.topk`."""

    users: Rows  # [I, r]
    items: Rows  # [J, r]
    metric: str


@dataclass(frozen=True)
class Peer:
    """A method of a library.

    Attributes
    ----------
    library : str
        What pip calls it.
    module : str
        What is imported.
    method : str
        Its name.
    negatives : str
        How many are looked at for each pair.
    fit : callable
        From the training matrix, the setting and the number of threads.
    setting : dict
        The one measured; "epochs" are the visits of each pair.
    grid : dict
        What `benchmarks.peers.tune` tries, by validation data; it chose `setting`. Empty where others chose.
    """

    library: str
    module: str
    method: str
    negatives: str
    fit: Callable[[sparse.csr_matrix, Setting, int], Factors]
    setting: Setting
    grid: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)


def options_of(setting: Setting) -> tuple[dict[str, Any], int]:
    """Return what a library is told, with a seed unless the setting has one, and the number of epochs."""
    options = {"random_state": 0, **setting}
    return options, options.pop("epochs")


def fit_als(train: sparse.csr_matrix, setting: Setting, threads: int) -> Factors:
    from implicit.cpu.als import AlternatingLeastSquares
    from threadpoolctl import threadpool_limits

    options, epochs = options_of(setting)
    with threadpool_limits(limits=1, user_api="blas"):  # as implicit advises: it has threads of its own
        model = AlternatingLeastSquares(**options, iterations=epochs, num_threads=threads)
        model.fit(train, show_progress=False)
    return Factors(model.user_factors, model.item_factors, "dot")


def fit_bpr(train: sparse.csr_matrix, setting: Setting, threads: int) -> Factors:
    from implicit.cpu.bpr import BayesianPersonalizedRanking
    from implicit.recommender_base import ModelFitError

    options, epochs = options_of(setting)
    model = BayesianPersonalizedRanking(**options, iterations=epochs, num_threads=threads)
    with suppress(ModelFitError):  # diverged: an item of NaN is listed nowhere, so that recall is 0
        model.fit(train, show_progress=False)
    return Factors(model.user_factors, model.item_factors, "dot")


def fit_warp(train: sparse.csr_matrix, setting: Setting, threads: int) -> Factors:
    return points_of_lightfm(fit_lightfm(train, setting, threads))


def fit_lightfm(
    train: sparse.csr_matrix, setting: Setting, threads: int, features: sparse.csr_matrix | None = None
) -> Any:
    """Fit LightFM's WARP; with features [J, F] an item is the sum of its features' vectors."""
    from lightfm import LightFM

    options, epochs = options_of(setting)
    model = LightFM(**options, loss="warp")
    return model.fit(train, item_features=features, epochs=epochs, num_threads=threads)


def points_of_lightfm(model: Any, features: sparse.csr_matrix | None = None) -> Factors:
    """Return factors by which LightFM ranks items; a user's own bias does not change their order."""
    (_, users), (biases, items) = model.get_user_representations(), model.get_item_representations(features)
    return with_item_biases(users, items, biases)


def with_item_biases(users: Rows, items: Rows, biases: Rows) -> Factors:
    """Return factors whose dot products are those of the given ones plus the item's bias."""
    ones = np.ones((len(users), 1), np.float32)
    return Factors(np.hstack((users, ones)), np.hstack((items, biases[:, None])), "dot")


def fit_cml(train: sparse.csr_matrix, setting: Setting, threads: int) -> Factors:
    import torch

    from cmlfast import CML

    torch.set_num_threads(threads)
    options, epochs = options_of(setting)
    return points_of(CML(**options, n_epochs=epochs).fit(train, show_progress=False))


def points_of(model: Any) -> Factors:
    """Return where a fitted CML looks for items: its embeddings, and what `rare_item_distance` adds."""
    from cmlfast.training.fitted import user_points

    items = model._points(model._fitted)
    return Factors(user_points(model.user_embedding_, items).numpy(), items.numpy(), "sqeuclidean")


# The defaults go for the last percent of recall; this takes fewer and larger steps, as far as a Recall@50 of 0.283 and
# @100 of 0.358 on citeulike-t allow. Chosen by validation recall on split seeds 0, 1, 2, with some slack.
FAST = {"loss": "warp", "epochs": 20, "learning_rate": 0.4, "n_negatives": 10, "margin": 1.5}

PEERS = {
    "cmlfast_softmax": Peer(
        "cmlfast", "cmlfast", "CML, defaults", "1,024 of the batch", fit_cml, {"loss": "softmax", "epochs": 30}
    ),
    "cmlfast_cml": Peer(
        "cmlfast", "cmlfast", "CML, warp", "20, the hardest counts", fit_cml, {"loss": "warp", "epochs": 200}
    ),
    "cmlfast_fast": Peer("cmlfast", "cmlfast", "CML, fast", "10, the hardest counts", fit_cml, FAST),
    "implicit_als": Peer(
        "implicit",
        "implicit.cpu.als",
        "ALS",
        "all",
        fit_als,
        {"epochs": 15, "factors": 100, "regularization": 300.0, "alpha": 300.0},
        {
            "epochs": (15,),
            "factors": (64, 100),
            "regularization": (10.0, 30.0, 100.0, 300.0),
            "alpha": (10.0, 40.0, 100.0, 300.0),
        },
    ),
    "implicit_bpr": Peer(
        "implicit",
        "implicit.cpu.bpr",
        "BPR",
        "1",
        fit_bpr,
        {"epochs": 400, "factors": 100, "learning_rate": 0.1, "regularization": 0.02},
        {
            "epochs": (150, 400),
            "factors": (100,),
            "learning_rate": (0.03, 0.1, 0.3, 1.0),  # 1.0 diverges
            "regularization": (0.003, 0.01, 0.02, 0.03),
        },
    ),
    "lightfm_warp": Peer(
        "lightfm-next",
        "lightfm",
        "WARP",
        "at most 100, until one violates",
        fit_warp,
        {"epochs": 60, "no_components": 100, "learning_rate": 0.02, "max_sampled": 100},
        {
            "epochs": (30, 60, 100),
            "no_components": (100,),
            "learning_rate": (0.01, 0.02, 0.03),
            "max_sampled": (10, 100),
        },
    ),
}

BUFFALO = (
    "buffalo cannot be installed beside cmlfast: 2.0.6, the latest, requires numpy~=1.24.3 and scipy~=1.10.1 "
    "and was compiled for numpy 1, so that its import fails with numpy 2: pip install buffalo, in a place of its own"
)
