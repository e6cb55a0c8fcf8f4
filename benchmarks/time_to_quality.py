"""Seconds of training to a given recall on citeulike-t: ``python -m benchmarks.time_to_quality``.

The default settings go for the last percent of recall; these take fewer and larger steps, as far as the targets allow.
They were chosen by validation recall on split seeds 0, 1, 2, with some slack. Time is that of making the model and of
``fit``, which looks at no held-out data. ``--features`` is about CML with the articles' tags.
"""

from __future__ import annotations

import argparse
import resource
import sys
from collections.abc import Mapping, Sequence
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks.accuracy import KS, log, machine
from benchmarks.als import Split
from cmlfast import CML, datasets, split_per_user

DATA = "citeulike-t"
SEEDS = (0, 1, 2)
SETTING = {"n_epochs": 20, "learning_rate": 0.4, "n_negatives": 10, "margin": 1.5}
TARGET = {"recall@50": 0.283, "recall@100": 0.358}  # on test data, mean of the splits
SETTING_WITH_FEATURES = {"n_epochs": 13, "learning_rate": 0.2, "feature_weight": 20.0, "margin": 1.5}
TARGET_WITH_FEATURES = {"recall@50": 0.373, "recall@100": 0.465}

Run = dict[str, float]


def train_and_score(split: Split, seed: int, setting: Mapping[str, Any], features: Any = None) -> Run:
    """Fit once; return the seconds of that, and recall on the validation and the test part."""
    train, validation, test = split
    started = perf_counter()
    model = CML(**setting, random_state=seed).fit(train, features, show_progress=False)
    seconds = perf_counter() - started
    parts = {"validation": model.evaluate(validation, k=KS), "test": model.evaluate(test, k=KS, exclude=validation)}
    return {"seconds": seconds} | {f"{part} {k}": value for part, found in parts.items() for k, value in found.items()}


def report(runs: Sequence[Run], target: Mapping[str, float]) -> str:
    """Return every run, mean ± standard deviation, and whether the target is reached."""
    columns = {name: np.array([run[name] for run in runs]) for name in runs[0]}
    lines = ["| seed | " + " | ".join(columns) + " |", "|---|" + "---:|" * len(columns)]
    for seed, run in zip(SEEDS, runs, strict=True):
        lines.append(f"| {seed} | " + " | ".join(f"{value:.4f}" for value in run.values()) + " |")
    summary = (f"{column.mean():.4f} ± {column.std(ddof=1):.4f}" for column in columns.values())
    lines.append("| mean ± sd | " + " | ".join(summary) + " |\n")
    for name, least in target.items():
        mean = columns[f"test {name}"].mean()
        lines.append(f"Target: test {name} of at least {least}: {'reached' if mean >= least else 'missed'}.")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 if the target is reached, else 1."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.time_to_quality", description=__doc__)
    parser.add_argument("--features", action="store_true", help="with the articles' tags")
    options = parser.parse_args(arguments)
    try:
        data = datasets.load(DATA)
    except datasets.DatasetUnavailableError as error:
        log(f"Not measured: {DATA}. {error}")
        return 1
    setting, target = (SETTING_WITH_FEATURES, TARGET_WITH_FEATURES) if options.features else (SETTING, TARGET)
    features = data.item_features if options.features else None
    splits = [split_per_user(data.interactions, seed) for seed in SEEDS]
    CML(**{**setting, "n_epochs": 1}, random_state=0).fit(splits[0][0], features)  # starts the threads
    runs = [train_and_score(split, seed, setting, features) for seed, split in zip(SEEDS, splits, strict=True)]
    found = report(runs, target)
    print(found)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # Linux counts KiB
    print(f"\n{DATA}, split and model seeds {SEEDS}, setting {setting}; peak memory of the process {peak:.2f} GiB.")
    print(f"{machine()}.")
    return 1 if "missed" in found else 0


if __name__ == "__main__":
    sys.exit(main())
