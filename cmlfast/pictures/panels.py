"""What of a training is drawn: a panel for the loss, one for what it counts, one for validation, ..., as numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from cmlfast.training.course import Record

# Okabe and Ito's colours, which those who see no red or no green tell apart too; dashes for who sees none.
COLOURS = ("#0072B2", "#D55E00")
BEST = "#009E73"
LOG_FROM = 10  # times as much at the top as at the bottom: then on a logarithmic scale


@dataclass(frozen=True)
class Curve:
    """Values over epochs."""

    name: str
    epochs: list[float]
    values: list[float]


@dataclass(frozen=True)
class Panel:
    """Curves that share their axes.

    Attributes
    ----------
    title, unit : str
        What is drawn, and what the vertical axis counts.
    curves : list of Curve
    percent, log, from_zero : bool
        How that axis is written, and whether it begins at 0 whatever the values.
    best : (float, float), optional
        The epoch and the value of the best point, where there is such.
    """

    title: str
    unit: str
    curves: list[Curve]
    percent: bool = False
    log: bool = False
    from_zero: bool = False
    best: tuple[float, float] | None = None


def panels(history: Sequence[Record], measure: str | None) -> list[Panel]:
    """Return what there is to draw of a training.

    Parameters
    ----------
    history : sequence of dict
        As `CML.history_`; entries may lack what older versions did not write.
    measure : str, optional
        The name of the validation measure.
    """
    loss = _curve(history, "loss", lambda record: record["loss"])
    counted = [("impostors", "impostors"), ("active", "pairs with a loss")]
    edge = [("clipped_users", "users"), ("clipped_items", "items")]
    speed = _curve(history, "speed", lambda record: record["pairs"] / record["seconds"])
    found = [
        Panel("Loss", "mean of a pair", [loss], log=_spans_much(loss.values)),
        Panel("Inside the margin", "share", [_of(history, *one) for one in counted], percent=True, from_zero=True),
        Panel("On the edge of the ball", "share", [_of(history, *one) for one in edge], percent=True, from_zero=True),
        Panel("Speed", "pairs a second", [speed], from_zero=True),
        Panel("Learning rate", "of AdaGrad", [_of(history, "learning_rate", "learning rate")], from_zero=True),
    ]
    if measure is not None:
        held_out = _of(history, measure, measure)
        at = max(zip(held_out.values, (-epoch for epoch in held_out.epochs), strict=True), default=None)
        best = None if at is None else (-at[1], at[0])
        found.insert(2, Panel("Validation", measure, [held_out], best=best))
    kept = (replace(panel, curves=[curve for curve in panel.curves if curve.values]) for panel in found)
    return [panel for panel in kept if panel.curves]


def span(drawn: Sequence[Panel]) -> tuple[float, float]:
    """Return the first and the last epoch, with some air, for all panels alike."""
    epochs = [epoch for panel in drawn for curve in panel.curves for epoch in curve.epochs] or [0.0, 1.0]
    air = max(0.2, 0.02 * (max(epochs) - min(epochs)))
    return min(epochs) - air, max(epochs) + air


def log_ticks(panel: Panel) -> list[float]:
    """Return 1, 2 and 5 times powers of ten that lie among a panel's values, for a logarithmic axis."""
    values = [value for curve in panel.curves for value in curve.values]
    powers = range(math.floor(math.log10(min(values))), math.ceil(math.log10(max(values))) + 1)
    steps = [float(f"{step}e{power}") for power in powers for step in (1, 2, 5)]
    return [one for one in steps if min(values) <= one <= max(values)]


def told_of_best(best: tuple[float, float]) -> str:
    """Say what the best was, and when."""
    return f"best {best[1]:.4f} in epoch {best[0]:g}"


def _of(history: Sequence[Record], key: str, name: str) -> Curve:
    return _curve(history, name, lambda record: record[key])


def _curve(history: Sequence[Record], name: str, value: Callable[[dict[str, float]], float]) -> Curve:
    """Return a curve through those epochs of which there is a value."""
    points = []
    for record in history:
        try:
            points.append((float(record["epoch"]), float(value(record))))
        except (KeyError, TypeError, ValueError, ZeroDivisionError):  # of an older version, or of somebody's own
            continue
    return Curve(name, [epoch for epoch, _ in points], [one for _, one in points])


def _spans_much(values: Sequence[float]) -> bool:
    return bool(values) and min(values) > 0 and max(values) >= LOG_FROM * min(values)
