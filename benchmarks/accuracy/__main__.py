"""Recall and training time of CML, implicit's ALS and popularity: ``python -m benchmarks.accuracy``.

For every data set at hand, over several splits per user of 60/20/20: each user with test items ranks all items but
those in training and validation. ALS is tuned on the validation part; CML has its default settings and does not look at
validation at all. ``--params '{"dtype": "bfloat16"}'`` compares CML that has these parameters with the default instead
(of the same loss, if they name one), split by split; with ``--validation`` on the validation parts. ``--fast`` adds
the settings that take the fewest seconds to a good recall on citeulike-t.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from scipy import sparse

from benchmarks.kit.data import KS, SEEDS, Split
from benchmarks.kit.text import log, machine, markdown, mean_and_spread
from benchmarks.peers.libraries import FAST, PEERS
from benchmarks.peers.memory import peak_mb
from benchmarks.peers.recall import mean_recalls
from benchmarks.peers.tune import FAR_BEHIND, choose
from cmlfast import CML, datasets, split_per_user
from cmlfast.evaluation.popularity import popularity_recall

DATA = ("movielens-100k", "citeulike-t")
PUBLISHED = ("lastfm", "gowalla")  # with splits of their own, of which nothing is drawn
ALS = PEERS["implicit_als"]
FAST_WITH_FEATURES = {"loss": "warp", "epochs": 13, "learning_rate": 0.2, "feature_weight": 20.0, "margin": 1.5}

Result = dict[str, Any]
Method = Callable[[Split, int], tuple[dict[str, float], float]]  # of a split and its seed; recalls, seconds


def cml_recall(
    split: Split,
    seed: int,
    params: dict[str, Any],
    features: sparse.csr_matrix | None = None,
    on_validation: bool = False,
) -> tuple[dict[str, float], float]:
    """Fit CML; return Recall@K and the seconds of training."""
    train, validation, test = split
    started = perf_counter()
    model = CML(**params, random_state=seed).fit(train, features, show_progress=False)
    seconds = perf_counter() - started
    if on_validation:
        return model.evaluate(validation, k=KS), seconds
    return model.evaluate(test, k=KS, exclude=validation), seconds


def als_recall(split: Split, seed: int, setting: dict[str, Any]) -> tuple[dict[str, float], float]:
    """Fit ALS; return Recall@K and the seconds of training."""
    train, validation, test = split
    started = perf_counter()
    factors = ALS.fit(train.matrix, {**setting, "random_state": seed}, torch.get_num_threads())
    seconds = perf_counter() - started
    return mean_recalls(factors, test.matrix, sparse.csr_matrix(train.matrix + validation.matrix)), seconds


def all_methods(splits: Sequence[Split], features: sparse.csr_matrix | None, fast: bool) -> dict[str, Method]:
    """Return what is compared, by name; ALS is tuned on these splits."""
    setting, _ = choose("implicit_als", splits)
    chosen = ", ".join(f"{name} {value:g}" for name, value in setting.items() if name != "epochs")
    methods: dict[str, Method] = {
        "popularity": lambda split, _: (popularity_recall(split[0], split[2], KS, exclude=split[1]), 0.0),
        f"implicit ALS ({chosen})": partial(als_recall, setting=setting),
        "CML": partial(cml_recall, params={}),
        "CML, warp": partial(cml_recall, params={"loss": "warp"}),
    }
    if fast:
        methods["CML, fast"] = partial(cml_recall, params=of_epochs(FAST))
    if features is not None:
        methods["CML with features"] = partial(cml_recall, params={}, features=features)
        if fast:
            params = of_epochs(FAST_WITH_FEATURES)
            methods["CML with features, fast"] = partial(cml_recall, params=params, features=features)
    return methods


def of_epochs(setting: dict[str, Any]) -> dict[str, Any]:
    """Return a peer's setting as CML's parameters."""
    return {"n_epochs" if name == "epochs" else name: value for name, value in setting.items()}


def measure(
    name: str, seeds: Sequence[int], params: dict[str, Any] | None, fast: bool, on_validation: bool
) -> list[Result]:
    """Measure all methods (or, with ``params``, CML without and with them) on one data set."""
    data = datasets.load(name)
    whole = data.interactions
    if data.train and data.validation and data.test:
        splits: list[Split] = [(data.train, data.validation, data.test)] * len(seeds)
    else:
        splits = [split_per_user(whole, seed) for seed in seeds]
    log(f"{name}: {whole.n_users} users, {whole.n_items} items, {whole.nnz} pairs")
    if params:
        default = {"loss": params["loss"]} if "loss" in params else {}
        methods: dict[str, Method] = {
            f"CML({some})" if some else "CML": partial(cml_recall, params=some, on_validation=on_validation)
            for some in (default, params)
        }
    else:
        methods = all_methods(splits, data.item_features, fast)
    results = []
    for method, function in methods.items():
        runs = []
        for seed, split in zip(seeds, splits, strict=True):
            recall, seconds = function(split, seed)
            runs.append({"seed": seed, "seconds": seconds, **recall})
            log(f"{name}: {method}: {runs[-1]}")
        results.append({"data": name, "method": method, "runs": runs})
    return results


def table(results: Sequence[Result]) -> str:
    """Return the results in Markdown."""
    rows = []
    for result in results:
        recalls = [mean_and_spread([run[f"recall@{k}"] for run in result["runs"]]) for k in KS]
        seconds = np.median([run["seconds"] for run in result["runs"]])
        rows.append([result["data"], result["method"], *recalls, f"{seconds:.2f}"])
    return markdown(["data", "method", *(f"Recall@{k}" for k in KS), "training, s"], rows, left=2)


def changes(results: Sequence[Result]) -> str:
    """Say by how much the second of every two results differs from the first, split by split."""
    lines = []
    for first, second in zip(results[::2], results[1::2], strict=True):
        for k in KS:
            pairs = zip(first["runs"], second["runs"], strict=True)
            change = mean_and_spread([after[f"recall@{k}"] - before[f"recall@{k}"] for before, after in pairs], "+")
            lines.append(f"{first['data']}: {second['method']} - {first['method']}, Recall@{k}: {change}")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy", description=__doc__)
    parser.add_argument(
        "--data", choices=DATA + PUBLISHED, action="append", help="only this data set (may be repeated)"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS, help="of the splits (default: 0 1 2)")
    parser.add_argument("--params", type=json.loads, help="compare CML that has these parameters, as JSON")
    parser.add_argument("--validation", action="store_true", help="with --params: measure on the validation parts")
    parser.add_argument("--fast", action="store_true", help="measure CML's settings for few seconds too")
    parser.add_argument("--json", type=Path, help="store the figures of every split here")
    options = parser.parse_args(arguments)
    if options.validation and not options.params:
        parser.error("--validation goes with --params, for the peers are tuned on the validation parts")
    results: list[Result] = []
    missing: dict[str, str] = {}
    for name in options.data or DATA:
        try:
            results += measure(name, options.seeds, options.params, options.fast, options.validation)
        except datasets.DatasetUnavailableError as error:
            missing[name] = str(error)
    print(table(results), end="\n\n")
    for name, reason in missing.items():
        print(f"Not measured: {name}. {reason}\n")
    print(f"Mean and standard deviation over split seeds {', '.join(map(str, options.seeds))}; seconds are the median.")
    if options.params:
        print(changes(results))
    else:
        print(f"ALS: the best Recall@50 on validation, mean of the splits, of {dict(ALS.grid)};")
        print(f"a setting that is {FAR_BEHIND:.0%} behind the best on one split was not tried on the next.")
    print(f"{machine()}; peak memory of the process {peak_mb():.0f} MB.")
    command = shlex.join(["python", "-m", "benchmarks.accuracy", *(sys.argv[1:] if arguments is None else arguments)])
    print(f"Command: {command}")
    if options.json:
        content = {"results": results, "missing": missing, "machine": machine()}
        options.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return 0 if results else 1


if __name__ == "__main__":
    sys.exit(main())
