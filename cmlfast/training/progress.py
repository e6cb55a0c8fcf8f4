"""Where a progress bar is shown, the same for everything that takes long; and what a training's bar says."""

from __future__ import annotations

import math
import sys

from cmlfast.training.course import Record

# tqdm gives the bar itself what the rest leaves of a line: with every figure, a few of 80 columns.
FORMAT = "{n_fmt}/{total_fmt} |{bar}| {remaining}{postfix}"


def hides_bar(show_progress: bool | None) -> bool | None:
    """Return tqdm's ``disable`` for a caller's wish: without one, a bar on a terminal and in a notebook only."""
    if show_progress is not None:
        return not show_progress
    return False if _in_notebook() else None  # None looks for a terminal


def _in_notebook() -> bool:
    """Whether a Jupyter kernel runs this."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return hasattr(shell, "kernel")


def figures(record: Record, best_score: float) -> str:
    """Return what a bar says of an epoch, in at most 58 characters.

    Loss, impostors where the loss has such, users and items on the ball's edge, the best validation score if there is
    one, and pairs a second.
    """
    shown = [f"loss {_loss(record['loss'])}"]
    if "impostors" in record:
        shown.append(f"impostors {record['impostors']:.0%}")
    shown.append(f"edge {100 * record['clipped_users']:.0f}/{record['clipped_items']:.0%}")
    if not math.isinf(best_score):
        shown.append(f"best {best_score:.4f}")
    shown.append(f"{_short(record['pairs'] / max(record['seconds'], 1e-9))}/s")
    return " ".join(shown)


def _loss(value: float) -> str:
    """Return three digits of a loss, in five characters unless it is beyond all that was seen."""
    if value < 0.0005:
        return f"{value:.0e}" if value else "0"
    return f"{value:.3f}" if value < 9.9995 else f"{value:.1f}" if value < 999.95 else f"{value:.0f}"


def _short(value: float) -> str:
    """Return two or three digits of a number, and k or M for thousands or millions."""
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if value >= 0.9995 * size:
            return f"{value / size:.1f}{unit}" if value < 9.95 * size else f"{value / size:.0f}{unit}"
    return f"{value:.0f}"
