"""The paper's Table 2 on the data at hand: ``python -m benchmarks.paper.table2 --json fits.json``.

Each user's likes are split 60/20/20; each user with test items ranks all items but those of training and validation. A
method's setting is the one of its grid (`benchmarks.paper.methods`) with the best Recall@50 on the validation data of
the first seed. Stars stand at the better of CML and the best other of its group (WRMF, BPR, WARP), and of CML+F and the
best other of its group (FM, VBPR, CDL): one, two, three for p <= 0.05, 0.01, 0.001 in Wilcoxon's signed-rank test over
the users, a user's recall being the mean over the seeds. Finished fits are kept in the JSON file and not run again.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from scipy import sparse
from scipy.stats import wilcoxon

from benchmarks.kit.data import KS, SEEDS, Split
from benchmarks.kit.fits import Fit, Fits
from benchmarks.kit.text import log, machine, markdown, mean_and_spread
from benchmarks.paper.methods import HYBRID, METHODS, PURE
from benchmarks.peers.libraries import Setting
from benchmarks.peers.recall import recalls_of_users
from cmlfast import datasets, split_per_user

Data = tuple[list[Split], sparse.csr_matrix | None]  # a split for each seed, the items' features


def splits_of(name: str, seeds: Sequence[int], rule: str, **options: Any) -> Data:
    data = datasets.load(name, **options)
    return [split_per_user(data.interactions, seed, rule=rule) for seed in seeds], data.item_features


AS_PUBLISHED = "citeulike-t, as published"  # read and split as in the paper's Table 1
DATA: dict[str, Callable[[Sequence[int]], Data]] = {
    "movielens-100k": lambda seeds: splits_of("movielens-100k", seeds, "rounded"),
    "citeulike-t": lambda seeds: splits_of("citeulike-t", seeds, "rounded"),
    AS_PUBLISHED: lambda seeds: splits_of("citeulike-t", seeds, "published", variant="as_published"),
}
# Recall@50 and @100 on CiteULike, Table 2 of Hsieh et al., Collaborative Metric Learning, WWW 2017.
PAPER = {
    "WRMF": (0.2437, 0.3112),
    "BPR": (0.2489, 0.3296),
    "WARP": (0.1916, 0.2526),
    "CML": (0.2714, 0.3411),
    "FM": (0.1668, 0.2166),
    "VBPR": (0.2807, 0.3437),
    "CDL": (0.3375, 0.4173),
    "CML+F": (0.3312, 0.4255),
}

NOTES = f"""\
Mean ± standard deviation over split seeds {{seeds}}; seconds are the median. Settings: of each grid the one with the
best Recall@50 on the validation data of seed {{first}}. *, **, ***: p <= 0.05, 0.01, 0.001 (Wilcoxon's signed-rank test
over users) of CML or CML+F and the best other of its group. The figures of the paper are those for CiteULike, which is
"{AS_PUBLISHED}"."""


def measure(method: str, split: Split, features: sparse.csr_matrix | None, setting: Setting) -> dict[str, Any]:
    """Fit once; return the seconds, Recall@K on validation data, and every user's on test data."""
    train, validation, test = split
    started = perf_counter()
    factors = METHODS[method].fit(train.matrix, features if METHODS[method].column in HYBRID else None, setting)
    seconds = perf_counter() - started
    on_validation = recalls_of_users(factors, validation.matrix, train.matrix)
    seen = sparse.csr_matrix(train.matrix + validation.matrix)
    on_test = recalls_of_users(factors, test.matrix, seen)
    log(f"{method} {dict(setting)}: {on_validation[50].mean():.4f}, {on_test[50].mean():.4f} on test, {seconds:.1f} s")
    return {
        "seconds": seconds,
        "validation": {str(k): float(recalls.mean()) for k, recalls in on_validation.items()},
        "test": {str(k): float(recalls.mean()) for k, recalls in on_test.items()},
        "users": {str(k): recalls.round(6).tolist() for k, recalls in on_test.items()},
    }


def runs_of(fits: Fits, name: str, method: str, data: Data, seeds: Sequence[int], quick: bool) -> list[Fit]:
    """Choose a method's setting on the first seed; return its fit on each."""
    splits, features = data

    def fit(at: int, setting: Setting) -> Fit:
        of = {"data": name, "method": method, "setting": dict(setting), "seed": seeds[at]}
        return fits.get(of, lambda: measure(method, splits[at], features, setting))

    tried = [(fit(0, setting), setting) for setting in METHODS[method].grid[: 1 if quick else None]]
    _, best = max(tried, key=lambda one: one[0]["validation"]["50"])
    return [fit(at, best) for at in range(len(seeds))]


def recalls(runs: Sequence[Fit], k: int) -> np.ndarray:
    """Return every user's mean recall over the seeds; the same users have test items in each split."""
    return np.mean([run["users"][str(k)] for run in runs], axis=0)


LEVELS = (0.001, 0.01, 0.05)  # three stars, two, one


def p_value(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Return the two-sided p of the Wilcoxon signed-rank test; 1 where no user differs."""
    return 1.0 if np.array_equal(ours, theirs) else float(wilcoxon(ours, theirs).pvalue)


def stars(p: float) -> str:
    """Return a star for each level that p is at or below."""
    return "*" * sum(p <= level for level in LEVELS)


def comparison(results: Mapping[str, Sequence[Fit]], k: int) -> tuple[dict[str, str], list[str]]:
    """Return the stars of the methods that have any, and what each group's comparison comes to."""
    marks, lines = {}, []
    for *others, ours in (PURE, HYBRID):
        found = {name: recalls(runs, k) for name, runs in results.items() if METHODS[name].column in others}
        if not found or ours not in results:
            continue
        best = max(found, key=lambda name: float(found[name].mean()))
        mine, theirs = recalls(results[ours], k), found[best]
        p = p_value(mine, theirs)
        marks[ours if mine.mean() > theirs.mean() else best] = stars(p)
        lines.append(f"Recall@{k}: {ours} {mine.mean() / theirs.mean() - 1:+.2%} against {best}, p = {p:.2g}")
    return marks, lines


def table(name: str, results: Mapping[str, Sequence[Fit]]) -> str:
    """Return one data set's results in Markdown."""
    paper = name.startswith("citeulike")
    compared = {k: comparison(results, k) for k in KS}
    rows = []
    for method, runs in results.items():
        cells = [method]
        cells += [mean_and_spread([run["test"][str(k)] for run in runs]) + compared[k][0].get(method, "") for k in KS]
        cells += [f"{recall:.4f}" for recall in PAPER[METHODS[method].column] if paper]
        cells.append(f"{np.median([run['seconds'] for run in runs]):.1f}")
        cells.append(", ".join(f"{key} {value}" for key, value in runs[0]["of"]["setting"].items()))
        rows.append(cells)
    header = [name, *(f"Recall@{k}" for k in KS), *(f"paper @{k}" for k in KS if paper), "training, s", "setting"]
    return "\n".join([markdown(header, rows), "", *(line for _, found in compared.values() for line in found)])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.paper.table2",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", choices=DATA, nargs="+", default=list(DATA), help="only these")
    parser.add_argument("--methods", choices=METHODS, nargs="+", default=list(METHODS), help="only these")
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS, help="of the splits (default: 0 1 2)")
    parser.add_argument("--quick", action="store_true", help="the first seed and each grid's first setting only")
    parser.add_argument("--json", type=Path, help="where finished fits are kept")
    options = parser.parse_args(arguments)
    seeds = options.seeds[:1] if options.quick else options.seeds
    fits, missing = Fits(options.json), []
    for name in options.data:
        try:
            data = DATA[name](seeds)
        except datasets.DatasetUnavailableError as error:
            missing.append(f"{name}. {error}")
            continue
        results = {}
        for method in options.methods:
            if data[1] is None and METHODS[method].column in HYBRID:
                continue
            if find_spec(METHODS[method].module) is None:
                missing.append(f"{method}: {METHODS[method].module} is not installed")
                continue
            results[method] = runs_of(fits, name, method, data, seeds, options.quick)
        print(table(name, results), end="\n\n", flush=True)
    print("".join(f"Not measured: {line}\n" for line in missing), end="")
    print(NOTES.format(seeds=", ".join(map(str, seeds)), first=seeds[0]) + f"\n{machine()}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
