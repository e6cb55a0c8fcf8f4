"""Where a progress bar is shown, the same for everything that takes long."""

from __future__ import annotations

import sys


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
