"""Recall of items nobody has liked yet, CML with features beside LightFM's: ``python -m benchmarks.paper.cold_start``.

A tenth of citeulike-t's articles is withheld with all their likes; only their tags are known. Each user who likes some
of them ranks them alone. Both are tuned on another tenth, withheld from training too, over a grid each. Seeds decide
which articles.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy import sparse

from benchmarks.kit.data import KS, SEEDS
from benchmarks.kit.text import log, machine, markdown, mean_and_spread
from benchmarks.peers import libraries
from benchmarks.peers.baselines.features import own_and_shared
from benchmarks.peers.libraries import Factors
from benchmarks.peers.recall import mean_recalls
from cmlfast import CML, datasets
from cmlfast.features.network import FeatureMLP

DATA = "citeulike-t"
WITHHELD = 0.1
# Items have vectors of their own beside those of their tags; tags alone did worse (0.58 to 0.62 on validation data).
LIGHTFM_GRID = tuple(
    {"no_components": 100, "learning_rate": rate, "epochs": n} for rate in (0.02, 0.05) for n in (30, 60)
)
# Chosen by hand on the same validation data. Fewer negatives than for known items: the hardest of many is too often an
# item that is like those the user likes.
CML_SHARED = {"learning_rate": 0.2, "feature_weight": 80.0, "hidden": 512}
CML_GRID = tuple({"n_negatives": n, **CML_SHARED} for n in (4, 8, 20))

Found = dict[str, float]


class ColdSplit(NamedTuple):
    """Likes of all but some items, and the likes of those."""

    train: sparse.csr_matrix  # [I, J], nothing in the columns of `items`
    items: np.ndarray  # [C], the withheld ones
    likes: sparse.csr_matrix  # [I, C]


def withhold(matrix: sparse.csr_matrix, items: np.ndarray) -> ColdSplit:
    """Take all likes of some items out."""
    keep = np.ones(matrix.shape[1], np.float32)
    keep[items] = 0
    train = sparse.csr_matrix(matrix @ sparse.diags(keep))
    train.eliminate_zeros()
    return ColdSplit(train, items, matrix[:, items])


def splits(matrix: sparse.csr_matrix, seed: int) -> tuple[ColdSplit, ColdSplit]:
    """Return the split to test on, and one of its training matrix to tune on."""
    n = round(WITHHELD * matrix.shape[1])
    order = np.random.default_rng(seed).permutation(matrix.shape[1])
    test = withhold(matrix, np.sort(order[:n]))
    return test, withhold(test.train, np.sort(order[n : 2 * n]))


def found_by(factors: Factors, split: ColdSplit) -> Found:
    """Return Recall@K of the withheld items among themselves."""
    nothing = sparse.csr_matrix(split.likes.shape, dtype=np.float32)
    return mean_recalls(factors, split.likes, nothing)


def fit_cml(split: ColdSplit, tags: sparse.csr_matrix, setting: Mapping[str, Any], threads: int) -> Factors:
    """Fit CML with features; the withheld items are among its items, without a like."""
    torch.set_num_threads(threads)
    options = dict(setting)
    hidden = options.pop("hidden", None)
    network = FeatureMLP(tags.shape[1], 100, hidden) if hidden else None
    model = CML(**options, loss="warp", item_network=network, random_state=0).fit(
        split.train, tags, show_progress=False
    )
    return Factors(model.user_embedding_.numpy(), model.item_embedding_.numpy()[split.items], "sqeuclidean")


def fit_lightfm(split: ColdSplit, tags: sparse.csr_matrix, setting: Mapping[str, Any], threads: int) -> Factors:
    """Fit LightFM's WARP with tags, rows scaled to length 1 as for CML; its vectors of the withheld items."""
    features = own_and_shared(tags)
    model = libraries.fit_lightfm(split.train, setting, threads, features)
    # What a withheld item has of its own was never trained.
    cold = features[split.items] @ sparse.diags(np.repeat([0, 1], tags.shape).astype(np.float32))
    return libraries.points_of_lightfm(model, cold.tocsr())


METHODS = {
    "LightFM (WARP) with tags": (fit_lightfm, LIGHTFM_GRID),
    "CML with tags": (fit_cml, CML_GRID),
    "CML with tags, defaults": (fit_cml, ({},)),
}


def choose(name: str, split: ColdSplit, tags: sparse.csr_matrix, threads: int) -> Mapping[str, Any]:
    """Return a method's setting with the best Recall@50."""
    fit, grid = METHODS[name]
    if len(grid) == 1:
        return grid[0]
    tried = []
    for setting in grid:
        tried.append((found_by(fit(split, tags, setting, threads), split)["recall@50"], setting))
        log(f"{name} {setting}: {tried[-1][0]:.4f}")
    return max(tried, key=lambda one: one[0])[1]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.paper.cold_start", description=__doc__)
    parser.parse_args(arguments)
    try:
        data = datasets.load(DATA)
    except datasets.DatasetUnavailableError as error:
        log(f"Not measured: {DATA}. {error}")
        return 1
    tags, threads = data.item_features, torch.get_num_threads()
    results: dict[str, list[Found]] = {"chance": [], **{name: [] for name in METHODS}}
    chosen: dict[str, Mapping[str, Any]] = {}
    for seed in SEEDS:
        test, validation = splits(data.interactions.matrix, seed)
        chosen = chosen or {name: choose(name, validation, tags, threads) for name in METHODS}
        results["chance"].append({f"recall@{k}": k / len(test.items) for k in KS} | {"seconds": 0.0})
        for name, (fit, _) in METHODS.items():
            started = perf_counter()
            factors = fit(test, tags, chosen[name], threads)
            results[name].append({"seconds": perf_counter() - started} | found_by(factors, test))
            log(f"seed {seed}: {name}: {results[name][-1]}")
    rows = []
    for name, runs in results.items():
        recalls = [mean_and_spread([run[f"recall@{k}"] for run in runs]) for k in KS]
        rows.append([name, *recalls, f"{np.median([run['seconds'] for run in runs]):.1f}"])
    print(markdown(["items without a like", *(f"Recall@{k}" for k in KS), "training, s"], rows))
    print(f"\n{DATA}, {WITHHELD:.0%} of the items withheld, seeds {SEEDS}, mean ± standard deviation; median seconds.")
    for name, (_, grid) in METHODS.items():
        if len(grid) > 1:
            print(f"{name}: {chosen[name]}, the best Recall@50 on validation (seed {SEEDS[0]}) of {list(grid)}.")
    print(f"{machine()}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
