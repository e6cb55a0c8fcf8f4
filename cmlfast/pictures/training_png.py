"""The curves of a training as a PNG, by matplotlib."""

from __future__ import annotations

import io
from typing import Any

from cmlfast.pictures.panels import BEST, COLOURS, Panel, log_ticks, panels, span, told_of_best
from cmlfast.training.record import TrainingRecord

GREY = "#666666"


def png(record: TrainingRecord) -> bytes:
    """Return the picture."""
    # Not by pyplot, whose settings and windows are the process's.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    drawn = panels(record.history, record.measure)
    n_rows = max(1, (len(drawn) + 1) // 2)
    figure = Figure(figsize=(10, 0.6 + 2.7 * n_rows), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(n_rows, 2)
    for number, panel in enumerate(drawn):
        place = number + len(drawn) % 2
        where = grid[0, :] if number == 0 and len(drawn) % 2 else grid[place // 2, place % 2]
        _draw(figure.add_subplot(where), panel, span(drawn))
    figure.suptitle("\n".join([headline(record), *record.notes]), x=0.01, ha="left", fontsize=10)
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()


def headline(record: TrainingRecord) -> str:
    """Return what was trained on, and how long."""
    seconds = sum(epoch["seconds"] for epoch in record.history)
    data = ", ".join(f"{value} {name}" for name, value in record.data.items() if name in ("users", "items", "likes"))
    n = len(record.history)
    return f"{data}; {n} epoch{'s' * (n != 1)} in {seconds:.1f} s"


def _draw(axes: Any, panel: Panel, epochs: tuple[float, float]) -> None:
    from matplotlib.ticker import EngFormatter, MaxNLocator, PercentFormatter

    few = max(len(curve.values) for curve in panel.curves) < 30
    for curve, colour, dash in zip(panel.curves, COLOURS, ("-", "--"), strict=False):
        axes.plot(
            curve.epochs,
            curve.values,
            dash,
            color=colour,
            label=curve.name,
            lw=1.6,
            marker="o" * few,
            ms=3,
            clip_on=False,
        )
    if panel.best:
        axes.plot(*panel.best, "o", color=BEST, ms=7, clip_on=False)
        axes.set_title(told_of_best(panel.best), loc="right", fontsize=9, color=BEST)
    axes.set_title(panel.title, loc="left", fontsize=11, fontweight="bold")
    axes.set_ylabel(panel.unit, color=GREY)
    axes.set_xlabel("epoch", color=GREY)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10], min_n_ticks=1))
    axes.set_xlim(epochs)
    if panel.log:
        axes.set_yscale("log")
        ticks = log_ticks(panel)
        axes.set_yticks(ticks, [f"{one:g}" for one in ticks])
        axes.set_yticks([], minor=True)
    if panel.from_zero:
        axes.set_ylim(bottom=0)
    if panel.percent:
        axes.yaxis.set_major_formatter(PercentFormatter(1))
    elif max(max(curve.values) for curve in panel.curves) >= 1000:
        axes.yaxis.set_major_formatter(EngFormatter(sep=""))
    if len(panel.curves) > 1:
        axes.legend(frameon=False, fontsize=9)
    axes.grid(axis="y", color="#e6e6e6", lw=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=GREY)
