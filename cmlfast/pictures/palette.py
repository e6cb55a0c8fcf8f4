"""The colours and shapes of a map, chosen so that the colour-blind tell them apart."""

from __future__ import annotations

# Six colours of Okabe and Ito (Color Universal Design, 2008), those that show on white and on black. A shape for each
# besides, by plotly's and by matplotlib's name for it.
CATEGORIES = (
    ("#0072B2", "circle", "o"),
    ("#D55E00", "diamond", "D"),
    ("#009E73", "triangle-up", "^"),
    ("#CC79A7", "square", "s"),
    ("#E69F00", "triangle-down", "v"),
    ("#56B4E9", "cross", "P"),
)
REST = ("#8A8F98", "circle", "o")
PEOPLE = ("#7A808A", "x", "x")
# Perceptually uniform, and monotone in lightness; dark is much on white, light is much on black.
NUMBERS = "viridis"
