"""Every method on every public data set at hand: ``python -m benchmarks.public --json fits.json``.

MovieLens-100K (ratings of 4 and more) and citeulike-t are split 60/20/20 per user, by three seeds; Last.fm and Gowalla
have a split of their own. Peers are tuned by the validation part of the first split, CML has its defaults. Then Gowalla
as it is published: trained on training and validation, 64 dimensions. What is in the file is not measured again: hours
on two cores, for the peers' grids; ``--data`` and ``--methods`` choose.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from scipy import sparse

from benchmarks.kit.data import SEEDS, Split
from benchmarks.kit.fits import Fit, Fits
from benchmarks.kit.text import log, machine, markdown, mean_and_spread
from benchmarks.public.methods import METHODS, choose, cml, measure
from cmlfast import datasets, split_per_user

DATA = ("movielens-100k", "citeulike-t", "lastfm", "gowalla")
SHOWN = ("recall@20", "ndcg@20", "recall@50", "recall@100")
# Trained on the training and validation parts of the same split, 64 dimensions: recall@20, recall@50 and ndcg@20 of the
# leaderboard of BARS for Gowalla_m1 (Zhu et al., SIGIR 2022, https://openbenchmark.github.io/BARS).
LEADERBOARD = {
    "ItemCF": (0.1570, 0.2549, 0.1214),
    "MF-BPR": (0.1627, 0.2533, 0.1378),
    "CML, as published there": (0.1670, 0.2602, 0.1292),
    "EASE^R": (0.1765, 0.2701, 0.1467),
    "LightGCN": (0.1820, 0.2821, 0.1547),
    "MF-CCL": (0.1837, 0.2871, 0.1493),
    "UltraGCN": (0.1862, None, 0.1580),
    "SimpleX": (0.1872, 0.2874, 0.1557),
}
PUBLISHED = {f"CML, {loss}": cml(loss=loss, n_components=64) for loss in ("warp", "softmax")}


def splits_of(name: str) -> list[Split]:
    """Return a data set's splits: the published one, or one for each seed."""
    data = datasets.load(name)
    if data.train and data.validation and data.test:
        return [(data.train, data.validation, data.test)]
    return [split_per_user(data.interactions, seed) for seed in SEEDS]


def compare(name: str, methods: Sequence[str], fits: Fits) -> list[list[str]]:
    """Return a row of text for each method on a data set."""
    splits = splits_of(name)
    rows = []
    for title in methods:
        method, setting = METHODS[title], {}
        if method.grid:
            of = {"data": name, "method": title, "tuned": True}
            setting = fits.get(of, lambda m=method, t=title: {"setting": choose(t, m, splits[0])})["setting"]  # type: ignore[misc]
        # A single split is trained by several seeds, unless it is large.
        runs = list(enumerate(splits)) if len(splits) > 1 else [(seed, splits[0]) for seed in _seeds(splits[0])]
        found = []
        for seed, (train, validation, test) in runs:
            of = {"data": name, "method": title, "setting": setting, "seed": seed}
            fit = fits.get(
                of,
                lambda m=method, s=setting, parts=(train, validation, test), n=seed: measure(  # type: ignore[misc]
                    m, s, parts[0].matrix, parts[2].matrix, parts[1].matrix, n
                ),
            )
            log(f"{name}: {fit}")
            found.append(fit)
        rows.append([name, title, *_texts(found)])
    return rows


def published(fits: Fits) -> list[list[str]]:
    """Return a row of text for each published and each measured result of Gowalla's protocol."""
    train, validation, test = splits_of("gowalla")[0]
    whole = sparse.csr_matrix(train.matrix + validation.matrix)
    rows = [
        [name, *("" if one is None else f"{one:.4f}" for one in figures), ""] for name, figures in LEADERBOARD.items()
    ]
    for name, method in PUBLISHED.items():
        of = {"data": "gowalla, as published", "method": name, "seed": 0}
        fit = fits.get(of, lambda m=method: measure(m, {}, whole, test.matrix, None, 0))  # type: ignore[misc]
        figures = [f"{fit[key]:.4f}" for key in ("recall@20", "recall@50", "ndcg@20")]
        rows.append([f"**{name}**", *figures, f"{fit['seconds']:.0f}"])
    return rows


def _seeds(split: Split) -> Sequence[int]:
    return SEEDS if split[0].nnz < 500_000 else SEEDS[:1]


def _texts(found: Sequence[Fit]) -> list[str]:
    figures = [mean_and_spread([fit[key] for fit in found]) for key in SHOWN]
    return [*figures, f"{sorted(fit['seconds'] for fit in found)[len(found) // 2]:.1f}"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.public", description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="where results are kept, and found again")
    parser.add_argument("--data", nargs="+", choices=DATA, default=DATA)
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), default=list(METHODS))
    options = parser.parse_args(arguments)
    fits = Fits(options.json)
    rows = []
    for name in options.data:
        try:
            rows += compare(name, options.methods, fits)
        except datasets.DatasetUnavailableError as error:
            log(f"{name} is left out: {error}")
    print(machine())
    print(markdown(["data", "method", "Recall@20", "NDCG@20", "Recall@50", "Recall@100", "training, s"], rows, left=2))
    if "gowalla" in options.data and any(row[0] == "gowalla" for row in rows):
        print("\nGowalla, trained on training and validation, 64 dimensions:\n")
        print(markdown(["", "Recall@20", "Recall@50", "NDCG@20", "training, s"], published(fits)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
