"""Recall and training time of CML, implicit's ALS and popularity: ``python -m benchmarks.accuracy``.

For every data set at hand, over several splits per user of 60/20/20: each user with test items ranks all items but
those in training and validation. ALS is tuned on the validation part; CML has its default settings and does not look at
validation at all. ``--dtype bfloat16`` compares CML's tables of 16 bits with those of 32 instead, split by split.
"""

from __future__ import annotations

import argparse
import json
import platform
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

from benchmarks.als import FAR_BEHIND, GRID, ITERATIONS, Split, als_recall, choose_setting
from cmlfast import CML, build_info, datasets, split_per_user
from cmlfast.popularity import popularity_recall

DATA = ("movielens-100k", "citeulike-t")
SEEDS = (0, 1, 2)
KS = (50, 100)

Result = dict[str, Any]


def log(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def cml_recall(
    split: Split, seed: int, dtype: str = "float32", features: sparse.csr_matrix | None = None
) -> tuple[dict[str, float], float]:
    """Fit CML with its default settings; return Recall@K and the seconds of training."""
    train, validation, test = split
    started = perf_counter()
    model = CML(dtype=dtype, random_state=seed).fit(train, features, show_progress=False)
    seconds = perf_counter() - started
    return model.evaluate(test, k=KS, exclude=validation), seconds


Method = Callable[[Split, int], tuple[dict[str, float], float]]


def all_methods(splits: Sequence[Split], features: sparse.csr_matrix | None) -> dict[str, Method]:
    """Return what is compared, by name; ALS is tuned on these splits."""
    setting = choose_setting(splits)

    def als(split: Split, seed: int) -> tuple[dict[str, float], float]:
        train, validation, test = split
        return als_recall(train, test, sparse.csr_matrix(train.matrix + validation.matrix), setting, seed, KS)

    chosen = f"factors {setting.factors}, regularization {setting.regularization:g}, alpha {setting.alpha:g}"
    return {
        "popularity": lambda split, _: (popularity_recall(split[0], split[2], KS, exclude=split[1]), 0.0),
        f"implicit ALS ({chosen})": als,
        "CML": cml_recall,
        **({} if features is None else {"CML with features": partial(cml_recall, features=features)}),
    }


def measure(name: str, seeds: Sequence[int], dtype: str | None = None) -> list[Result]:
    """Measure all methods (or, with ``dtype``, CML with tables of float32 and of that type) on one data set."""
    data = datasets.load(name)
    whole = data.interactions
    splits = [split_per_user(whole, seed) for seed in seeds]
    log(f"{name}: {whole.n_users} users, {whole.n_items} items, {whole.nnz} pairs")
    types = [] if dtype is None else ["float32", dtype]
    methods = {f"CML({one})": partial(cml_recall, dtype=one) for one in types} or all_methods(
        splits, data.item_features
    )
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
    lines = [
        "| data | method | " + " | ".join(f"Recall@{k}" for k in KS) + " | training, s |",
        "|---|---|" + "---:|" * (len(KS) + 1),
    ]
    for result in results:
        runs = result["runs"]
        columns = [np.array([run[f"recall@{k}"] for run in runs]) for k in KS]
        recalls = " | ".join(f"{column.mean():.4f} ± {column.std(ddof=1):.4f}" for column in columns)
        seconds = np.median([run["seconds"] for run in runs])
        lines.append(f"| {result['data']} | {result['method']} | {recalls} | {seconds:.2f} |")
    return "\n".join(lines)


def changes(results: Sequence[Result]) -> str:
    """Say by how much the second of every two results differs from the first, split by split."""
    lines = []
    for first, second in zip(results[::2], results[1::2], strict=True):
        for k in KS:
            pairs = zip(first["runs"], second["runs"], strict=True)
            change = np.array([after[f"recall@{k}"] - before[f"recall@{k}"] for before, after in pairs])
            spread = f"{change.mean():+.4f} ± {change.std(ddof=1):.4f}"
            lines.append(f"{first['data']}: {second['method']} - {first['method']}, Recall@{k}: {spread}")
    return "\n".join(lines)


def machine() -> str:
    """Say what this ran on."""
    cpu = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
        cpu = names[0].split(":", 1)[1].strip() if names else cpu
    info = build_info()
    kernels = f"kernels for {info['isa']}" if info["extension"] else "no kernels (plain torch)"
    return f"{cpu}, {torch.get_num_threads()} threads; torch {info['torch']}; cmlfast {info['version']}, {kernels}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy", description=__doc__)
    parser.add_argument("--data", choices=DATA, action="append", help="only this data set (may be repeated)")
    parser.add_argument(
        "--seeds", type=int, nargs="+", default=SEEDS, help="of the splits, two or more (default: 0 1 2)"
    )
    parser.add_argument("--dtype", choices=("bfloat16",), help="compare CML's tables of this type with float32")
    parser.add_argument("--json", type=Path, help="store the figures of every split here")
    options = parser.parse_args(arguments)
    results: list[Result] = []
    missing: dict[str, str] = {}
    for name in options.data or DATA:
        try:
            results += measure(name, options.seeds, options.dtype)
        except datasets.DatasetUnavailableError as error:
            missing[name] = str(error)
    print(table(results))
    print()
    for name, reason in missing.items():
        print(f"Not measured: {name}. {reason}\n")
    print(f"Mean and standard deviation over split seeds {', '.join(map(str, options.seeds))}; seconds are the median.")
    if options.dtype:
        print(changes(results))
    else:
        print(f"ALS: the best Recall@50 on validation, mean of the splits, of {GRID};")
        print(f"a setting that is {FAR_BEHIND:.0%} behind the best on one split was not tried on the next.")
    print(f"{machine()}.")
    command = shlex.join(["python", "-m", "benchmarks.accuracy", *(sys.argv[1:] if arguments is None else arguments)])
    print(f"Command: {command}")
    if options.json:
        content = {"results": results, "missing": missing, "iterations": ITERATIONS, "machine": machine()}
        options.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return 0 if results else 1


if __name__ == "__main__":
    sys.exit(main())
