"""A matplotlib figure that notebooks show by itself, without pyplot."""

from __future__ import annotations

import io
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure


class ShownFigure(Figure):
    """A figure of its own, not pyplot's: nobody's open figures and settings take part.

    Parameters
    ----------
    **options
        As of :class:`matplotlib.figure.Figure`.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        FigureCanvasAgg(self)

    def _repr_png_(self) -> bytes:
        """Return the picture, for notebooks."""
        file = io.BytesIO()
        self.savefig(file, format="png")
        return file.getvalue()
