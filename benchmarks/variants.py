"""What the variants of CML change, beside the default, split by split: ``python -m benchmarks.variants``.

For every data set at hand: each variant that a parameter of `cmlfast.CML` offers and that takes part in answers or in
training, fitted from the same seed as the default on the same splits per user of 60/20/20, clean (without features).
docs/variants.md says what else was tried.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.accuracy import DATA, KS, log, machine
from cmlfast import CML, datasets, split_per_user

VARIANTS: dict[str, dict[str, Any]] = {"rare_item_distance=0.3": {"rare_item_distance": 0.3}}
SEEDS = (0, 1, 2)

Recalls = npt.NDArray[np.float64]


def recalls(name: str, params: dict[str, Any], seeds: Sequence[int], on_validation: bool = False) -> Recalls:
    """Return the Recall@K of a setting on each split, [n_seeds, n_ks]."""
    whole = datasets.load(name).interactions
    rows = []
    for seed in seeds:
        train, validation, test = split_per_user(whole, seed)
        model = CML(random_state=seed, **params).fit(train, show_progress=False)
        found = model.evaluate(validation, k=KS) if on_validation else model.evaluate(test, k=KS, exclude=validation)
        log(f"{name}: {params}, split seed {seed}: {found}")
        rows.append([found[f"recall@{k}"] for k in KS])
    return np.array(rows)


def line(data: str, name: str, found: Recalls, default: Recalls | None = None) -> str:
    """Return a row of the table: the means, and the mean and standard deviation of the paired differences."""
    cells = [f"{mean:.4f}" for mean in found.mean(0)]
    if default is None:
        cells += [""] * len(KS)
    else:
        change = found - default
        cells += [f"{m:+.4f} ± {s:.4f}" for m, s in zip(change.mean(0), change.std(0, ddof=1), strict=True)]
    return f"| {' | '.join([data, name, *cells])} |"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.variants", description=__doc__)
    parser.add_argument("--data", choices=DATA, action="append", help="only this data set (may be repeated)")
    parser.add_argument(
        "--seeds", type=int, nargs="+", default=SEEDS, help="of the splits, two or more (default: 0 1 2)"
    )
    parser.add_argument("--validation", action="store_true", help="on the validation parts, to choose by")
    options = parser.parse_args(arguments)
    lines, missing = [], []
    for data in options.data or DATA:
        try:
            default = recalls(data, {}, options.seeds, options.validation)
        except datasets.DatasetUnavailableError as error:
            missing.append(f"Not measured: {data}. {error}")
            continue
        lines.append(line(data, "default", default))
        for name, params in VARIANTS.items():
            lines.append(line(data, name, recalls(data, params, options.seeds, options.validation), default))
    print("| data | variant | " + " | ".join([f"Recall@{k}" for k in KS] + [f"change @{k}" for k in KS]) + " |")
    print("|---|---|" + "---:|" * 2 * len(KS))
    print("\n".join(lines + missing))
    part = "validation" if options.validation else "test"
    print(f"\nOn the {part} parts, mean (± standard deviation) over split seeds {', '.join(map(str, options.seeds))}.")
    print(f"{machine()}.")
    return 0 if lines else 1


if __name__ == "__main__":
    sys.exit(main())
