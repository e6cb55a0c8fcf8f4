"""Draws recall against speed-up, a panel for each K."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.figure4.measure import KS, Point
from benchmarks.figure4.searches import frontier

# Of Okabe and Ito, which the colour-blind tell apart; a marker for each besides.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = "osD^vPX"


def draw(path: Path, title: str, found: Sequence[Point]) -> None:
    """Draw the frontiers of all searches; exact ones as triangles, as the paper has them."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(1, len(KS), figsize=(6.5 * len(KS), 5), layout="constrained")
    searches = list(dict.fromkeys((one.method, one.name) for one in found if not one.exact))
    for panel, k in zip(panels, KS, strict=True):
        here = [one for one in found if one.k == k]
        loop = next(one for one in here if (one.method, one.name) == ("CML", "a loop of NumPy"))
        for number, (method, name) in enumerate(searches):
            some = [one for one in here if (one.method, one.name) == (method, name)]
            best = [some[at] for at in frontier(np.array([(one.recall, one.speed) for one in some]))]
            panel.plot(
                [one.recall for one in best],
                [one.speed / loop.speed for one in best],
                marker=MARKERS[number % len(MARKERS)],
                color=COLOURS[number % len(COLOURS)],
                linestyle="-" if method == "CML" else "--",
                label=f"{method}, {name}",
            )
        for method, colour in (("CML", "#0072B2"), ("MF", "#D55E00")):
            for one in here:
                if one.exact and one.method == method:
                    panel.plot(one.recall, one.speed / loop.speed, marker="^", markersize=9, color=colour, mfc="none")
                    panel.annotate(f" {one.name}", (one.recall, one.speed / loop.speed), fontsize=7, color=colour)
        panel.set(xlabel=f"recall@{k} of held-out likes", ylabel="times the loop of NumPy", yscale="log")
        panel.grid(alpha=0.3)
    panels[0].legend(fontsize=8)
    figure.suptitle(f"{title}: recommendation recall against speed")
    figure.savefig(path, dpi=150)
    plt.close(figure)
