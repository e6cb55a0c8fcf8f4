"""What is compared on public data: popularity, tuned peers, and CML by its defaults; each becomes rankings."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse

from benchmarks.kit.data import Split
from benchmarks.kit.text import log
from benchmarks.peers.ease import fit_ease, rank_by_ease
from benchmarks.peers.libraries import PEERS, Factors, points_of
from cmlfast import CML
from cmlfast.data.csr import likes_of_items
from cmlfast.evaluation.measures import ranking_measures
from cmlfast.ops import backend
from cmlfast.serving.nearest import nearest

KS = (20, 50, 100)
Ranking = npt.NDArray[np.integer]  # [N, K]
# From likes [N, J] of some users, by their rows [N], and what they have seen [N, J], to the best K items.
Ranker = Callable[[npt.NDArray[np.int64], sparse.csr_matrix], Ranking]


@dataclass(frozen=True)
class Method:
    """A method.

    Attributes
    ----------
    fit : callable
        From the training matrix, a setting and a seed to what ranks.
    grid : dict
        What validation data chooses from; empty for defaults.
    """

    fit: Callable[[sparse.csr_matrix, Mapping[str, Any], int], Ranker]
    grid: Mapping[str, tuple[Any, ...]]


def by_factors(factors: Factors) -> Ranker:
    """Rank by factors, exactly."""
    kernels, _ = backend.choose("auto", "cpu")
    users, items = (torch.from_numpy(np.ascontiguousarray(part)) for part in (factors.users, factors.items))

    def rank(rows: npt.NDArray[np.int64], seen: sparse.csr_matrix) -> Ranking:
        ranked, _ = nearest(kernels, users[torch.from_numpy(rows)], items, max(KS), seen, metric=factors.metric)
        return ranked

    return rank


def popularity(train: sparse.csr_matrix, setting: Mapping[str, Any], seed: int) -> Ranker:
    """Rank by the number of likes."""
    likes = likes_of_items(train).astype(np.float32)[:, None]
    return by_factors(Factors(np.ones((train.shape[0], 1), np.float32), likes, "dot"))


def ease(train: sparse.csr_matrix, setting: Mapping[str, Any], seed: int) -> Ranker:
    """Rank by EASE^R."""
    weights = fit_ease(train, setting["regularization"])
    return lambda rows, seen: rank_by_ease(weights, train[rows], seen, min(max(KS), train.shape[1]))


def peer(name: str) -> Callable[[sparse.csr_matrix, Mapping[str, Any], int], Ranker]:
    """Rank by a library's factors."""

    def fit(train: sparse.csr_matrix, setting: Mapping[str, Any], seed: int) -> Ranker:
        return by_factors(PEERS[name].fit(train, {**setting, "random_state": seed}, torch.get_num_threads()))

    return fit


def cml(**params: Any) -> Method:
    """Rank by CML with these parameters and its defaults for the rest."""

    def fit(train: sparse.csr_matrix, setting: Mapping[str, Any], seed: int) -> Ranker:
        return by_factors(points_of(CML(**params, random_state=seed).fit(train, show_progress=False)))

    return Method(fit, {})


METHODS = {
    "popularity": Method(popularity, {}),
    "ALS": Method(peer("implicit_als"), PEERS["implicit_als"].grid),
    "EASE^R": Method(ease, {"regularization": (30.0, 100.0, 300.0, 1000.0)}),
    "BPR": Method(peer("implicit_bpr"), PEERS["implicit_bpr"].grid),
    "LightFM-WARP": Method(peer("lightfm_warp"), PEERS["lightfm_warp"].grid),
    "CML, warp": cml(loss="warp"),
    "CML, softmax": cml(loss="softmax"),
}


def measure(
    method: Method, setting: Mapping[str, Any], train: sparse.csr_matrix, held_out: Any, exclude: Any, seed: int
) -> dict[str, float]:
    """Fit and measure: recall and NDCG for each K, and the seconds of training."""
    started = perf_counter()
    rank = method.fit(train, setting, seed)
    seconds = perf_counter() - started
    rows = np.flatnonzero(np.diff(held_out.indptr))
    seen = sparse.csr_matrix(train if exclude is None else train + exclude)
    found = ranking_measures(rank(rows, seen[rows]), held_out[rows], likes_of_items(train), list(KS))
    return {"seconds": seconds, **{name: found[name] for name in found if name.startswith(("recall", "ndcg"))}}


def choose(name: str, method: Method, split: Split) -> dict[str, Any]:
    """Return the setting with the best Recall@50 on the validation part."""
    train, validation, _ = split
    best, most = {}, -1.0
    for point in itertools.product(*method.grid.values()):
        setting = dict(zip(method.grid, point, strict=True))
        found = measure(method, setting, train.matrix, validation.matrix, None, 0)["recall@50"]
        log(f"{name} {found:.4f}: {setting}")
        if found > most:
            best, most = setting, found
    return best
