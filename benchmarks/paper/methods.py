"""The methods of the paper's Table 2: who fits each column, and the settings that `benchmarks.paper.table2` tries."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from scipy import sparse

from benchmarks.peers.baselines.features import Features, own_and_shared
from benchmarks.peers.baselines.training import fit
from benchmarks.peers.libraries import (
    Factors,
    Setting,
    fit_als,
    fit_bpr,
    fit_cml,
    fit_lightfm,
    fit_warp,
    points_of,
    points_of_lightfm,
)

Fit = Callable[[sparse.csr_matrix, "sparse.csr_matrix | None", Setting], Factors]


class Method(NamedTuple):
    """A way to fill a column of the table."""

    column: str
    module: str  # what it needs
    fit: Fit  # from the training matrix, the items' features and the setting
    grid: tuple[Setting, ...]


def without_features(peer: Callable[[sparse.csr_matrix, Setting, int], Factors]) -> Fit:
    return lambda train, _, setting: peer(train, setting, torch.get_num_threads())


def by_torch(name: str) -> Fit:
    return lambda train, features, setting: fit(name, train, setting, None if features is None else Features(features))


def fit_fm(train: sparse.csr_matrix, features: sparse.csr_matrix, setting: Setting) -> Factors:
    parts = own_and_shared(features)
    return points_of_lightfm(fit_lightfm(train, setting, torch.get_num_threads(), parts), parts)


def fit_cml_with_features(train: sparse.csr_matrix, features: sparse.csr_matrix, setting: Setting) -> Factors:
    from cmlfast import CML

    return points_of(CML(**setting, random_state=0).fit(train, item_features=features, show_progress=False))


def grid(shared: Setting, *points: Setting) -> tuple[Setting, ...]:
    return tuple({**shared, **point} for point in points)


WRMF = grid(
    {"epochs": 15, "factors": 100},
    {"regularization": 100.0, "alpha": 40.0},
    {"regularization": 100.0, "alpha": 100.0},
    {"regularization": 300.0, "alpha": 300.0},
)
IMPLICIT_BPR = grid(
    {"factors": 100},
    {"epochs": 150, "learning_rate": 0.1, "regularization": 0.03},
    {"epochs": 150, "learning_rate": 0.3, "regularization": 0.01},
    {"epochs": 400, "learning_rate": 0.1, "regularization": 0.02},
)
LIGHTFM = {"no_components": 100}
LIGHTFM_WARP = grid(
    LIGHTFM,
    {"epochs": 30, "learning_rate": 0.02, "max_sampled": 10},
    {"epochs": 60, "learning_rate": 0.02, "max_sampled": 100},
)
LIGHTFM_FM = grid(
    LIGHTFM,
    {"epochs": 10, "learning_rate": 0.02, "max_sampled": 10},
    {"epochs": 10, "learning_rate": 0.05, "max_sampled": 10},
    {"epochs": 10, "learning_rate": 0.1, "max_sampled": 10},
    {"epochs": 30, "learning_rate": 0.05, "max_sampled": 10},
    {"epochs": 30, "learning_rate": 0.05, "max_sampled": 100},
)
TORCH_BPR = grid(
    {"epochs": 60},
    {"learning_rate": 0.1, "weight_decay": 0.1},
    {"learning_rate": 0.1, "weight_decay": 0.3},
    {"learning_rate": 0.1, "weight_decay": 1.0},
    {"learning_rate": 0.2, "weight_decay": 1.0},
    {"learning_rate": 0.2, "weight_decay": 3.0},
)
TORCH_WARP = grid(
    {"epochs": 60},
    {"learning_rate": 0.1, "weight_decay": 15.0},
    {"learning_rate": 0.1, "weight_decay": 30.0},
    {"learning_rate": 0.1, "weight_decay": 50.0},
    {"learning_rate": 0.1, "weight_decay": 80.0},
    {"learning_rate": 0.2, "weight_decay": 20.0},
    {"learning_rate": 0.2, "weight_decay": 30.0},
    {"learning_rate": 0.4, "weight_decay": 30.0},
)
TORCH_FM = grid(
    {"epochs": 30, "learning_rate": 0.1},
    {"weight_decay": 8.0},
    {"weight_decay": 15.0},
    {"weight_decay": 30.0},
    {"weight_decay": 50.0},
)
TORCH_PERCEPTRON = grid(
    {"learning_rate": 0.03},
    {"epochs": 15, "weight_decay": 15.0},
    {"epochs": 15, "weight_decay": 30.0},
    {"epochs": 15, "weight_decay": 50.0},
    {"epochs": 30, "weight_decay": 30.0},
    {"epochs": 60, "weight_decay": 30.0},
)
CML = grid(
    {"loss": "warp", "epochs": 200},
    {},
    {"rare_item_distance": 0.3},
    {"balance": 300.0, "rare_item_distance": 0.6},
    {"epochs": 60, "balance": None, "margin": 2.0, "rare_item_distance": 1.0},
)
CML_F = grid({"loss": "warp", "n_epochs": 40}, *({"feature_weight": weight} for weight in (1.0, 5.0, 20.0, 40.0, 80.0)))

METHODS = {
    "WRMF (implicit)": Method("WRMF", "implicit", without_features(fit_als), WRMF),
    "BPR (implicit)": Method("BPR", "implicit", without_features(fit_bpr), IMPLICIT_BPR),
    "BPR (torch)": Method("BPR", "cmlfast", by_torch("BPR"), TORCH_BPR),
    "WARP (lightfm)": Method("WARP", "lightfm", without_features(fit_warp), LIGHTFM_WARP),
    "WARP (torch)": Method("WARP", "cmlfast", by_torch("WARP"), TORCH_WARP),
    "CML": Method("CML", "cmlfast", without_features(fit_cml), CML),
    "FM (lightfm)": Method("FM", "lightfm", fit_fm, LIGHTFM_FM),
    "FM (torch)": Method("FM", "cmlfast", by_torch("FM"), TORCH_FM),
    "VBPR (torch)": Method("VBPR", "cmlfast", by_torch("VBPR"), TORCH_PERCEPTRON),
    "CDL (torch)": Method("CDL", "cmlfast", by_torch("CDL"), TORCH_PERCEPTRON),
    "CML+F": Method("CML+F", "cmlfast", fit_cml_with_features, CML_F),
}
PURE, HYBRID = ("WRMF", "BPR", "WARP", "CML"), ("FM", "VBPR", "CDL", "CML+F")  # the paper's two groups, ours last
