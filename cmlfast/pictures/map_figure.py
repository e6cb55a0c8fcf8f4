"""Draws a map for paper, by matplotlib."""

from __future__ import annotations

import warnings
from typing import IO, Any

import numpy as np

from cmlfast.pictures.item_columns import OTHER, Categories, Numbers
from cmlfast.pictures.map_data import MapData
from cmlfast.pictures.needed import library
from cmlfast.pictures.palette import CATEGORIES, NUMBERS, PEOPLE, REST
from cmlfast.pictures.projection import Places

LABELLED = 24  # items by name, at most: the best liked that have room
LONGEST = 34  # characters of a name
MANY = 5000  # points, from which on a PDF or SVG has them as a picture
DPI = 150
# Where a name may stand beside its point: alignments, and the direction to go.
SIDES = (("left", "bottom", 1, 1), ("left", "top", 1, -1), ("right", "bottom", -1, 1), ("right", "top", -1, -1))


def check_library() -> None:
    """Raise ``ImportError`` if matplotlib is missing."""
    library("matplotlib", "map")


def figure(data: MapData) -> Any:
    """Return a matplotlib figure: the learned space, and to its left the features' where there is one."""
    sides = [] if data.feature_places is None else [("Original features", data.feature_places)]
    sides.append(("Learned space", data.places))
    check_library()
    from cmlfast.pictures.shown_figure import ShownFigure

    drawn = ShownFigure(figsize=(8 * len(sides), 5.9), dpi=DPI, layout="constrained")
    panels = drawn.subplots(1, len(sides), squeeze=False)[0]
    for panel, (name, places) in zip(panels, sides, strict=True):
        groups = _points(panel, data, places)
        panel.set_aspect("equal", adjustable="datalim")
        panel.set(xticks=[], yticks=[])
        panel.spines[:].set_color("#C9CDD3")
        if len(sides) > 1:
            panel.set_title(name)
    label = _printable(data.colouring.label)
    if isinstance(data.colouring, Numbers):
        drawn.colorbar(panels[-1].collections[0], ax=panels[-1], label=label, shrink=0.6, pad=0.01)
    else:
        _legend(panels[-1], label, groups)
    drawn.draw_without_rendering()  # which settles where everything stands
    for panel, (_, places) in zip(panels, sides, strict=True):
        _names(panel, data, places[: len(data.titles)])
    return drawn


def save(drawn: Any, file: IO[bytes], form: str) -> None:
    """Write a figure; without dates, so that the same figure is the same file."""
    dates = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}
    with warnings.catch_warnings(), library("matplotlib", "map").rc_context({"svg.hashsalt": "cmlfast"}):
        warnings.filterwarnings("ignore", "Glyph .* missing")  # a font has not every script's
        drawn.savefig(file, format=form, metadata=dates.get(form))


def _legend(panel: Any, label: str, groups: list[tuple[str, Any]]) -> None:
    """Write beside a panel what the colours are."""
    names, handles = zip(*groups, strict=True)
    # By number first: matplotlib takes a label that begins with "_" for one that shall not be shown.
    legend = panel.legend(
        handles, [str(place) for place in range(len(names))], title=label, loc="upper left", bbox_to_anchor=(1, 1),
        frameon=False, borderpad=0,
    )  # fmt: skip
    for text, name in zip(legend.get_texts(), names, strict=True):
        text.set_text(_printable(name))
    for handle in legend.legend_handles:
        handle.set_sizes([36])
        handle.set_alpha(1)


def _points(panel: Any, data: MapData, places: Places) -> list[tuple[str, Any]]:
    """Draw items, the least liked first, over users; return what was drawn of each category, and of users, by name."""
    groups = []
    n = len(data.titles)
    dense = bool(len(places) > MANY)
    small = np.clip(2500 / max(len(places), 1), 0.12, 1)
    size = small * (9 + 46 * np.log1p(data.likes) / np.log1p(max(data.likes.max(), 1)))  # [J], square points
    style = {"linewidths": 0.3 * small, "edgecolors": "white", "rasterized": dense}
    if isinstance(data.colouring, Numbers):
        colours = library("matplotlib.colors", "map")
        shown = [value for value in data.colouring.values.tolist() if np.isfinite(value)]
        scale = colours.FuncNorm((np.log1p, np.expm1)) if data.colouring.logarithmic else colours.Normalize()
        scale.vmin, scale.vmax = min(shown, default=0), max([*shown, min(shown, default=0) + 1e-9])
        order = np.argsort(data.likes, kind="stable")
        panel.scatter(
            *places[order].T, s=size[order], c=data.colouring.values[order], cmap=f"{NUMBERS}_r", norm=scale,
            plotnonfinite=True, **style,
        )  # fmt: skip
    else:
        for code, (name, colour, shape) in enumerate(_looks(data.colouring)):
            mine = np.flatnonzero(data.colouring.codes == code)
            mine = mine[np.argsort(data.likes[mine], kind="stable")]
            drawn = panel.scatter(
                *places[mine].T, s=size[mine], c=colour, marker=shape, zorder=1 if name == OTHER else 2, alpha=0.9,
                **style,
            )  # fmt: skip
            groups.append((name, drawn))
    if len(places) > n:
        colour, _, shape = PEOPLE
        drawn = panel.scatter(
            *places[n:].T, s=10 * small, c=colour, marker=shape, linewidths=0.7 * small, alpha=0.5, zorder=0,
            rasterized=dense,
        )  # fmt: skip
        groups.append(("users", drawn))
    return groups


def _looks(colouring: Categories) -> list[tuple[str, str, str]]:
    """Return each category's name, colour and shape."""
    looks = zip(colouring.names, (*CATEGORIES, REST), strict=False)
    return [(name, *(REST if name == OTHER else look)[::2]) for name, look in looks]


def _names(panel: Any, data: MapData, places: Places) -> None:
    """Write the names of the best liked items that have titles, as many as have room beside each other."""
    renderer, taken = panel.figure.canvas.get_renderer(), list[Any]()
    box, written = panel.get_window_extent(renderer), 0
    titled = [title != one for title, one in zip(data.titles, data.ids, strict=True)]
    for item in np.argsort(-data.likes, kind="stable")[: 12 * LABELLED].tolist():
        if written == LABELLED:
            return
        if not titled[item] or np.isnan(places[item]).any():
            continue
        for across, along, right, up in SIDES:
            text = panel.annotate(
                _printable(data.titles[item]), places[item], (3 * right, 2 * up), textcoords="offset points",
                ha=across, va=along, fontsize=7.5, color="#15181D", zorder=5,
                path_effects=[library("matplotlib.patheffects", "map").withStroke(linewidth=2.2, foreground="white")],
            )  # fmt: skip
            mine = text.get_window_extent(renderer).padded(4)
            inside = box.x0 <= mine.x0 and mine.x1 <= box.x1 and box.y0 <= mine.y0 and mine.y1 <= box.y1
            if inside and not any(mine.overlaps(other) for other in taken):
                taken.append(mine)
                panel.plot(*places[item], "o", ms=3, mfc="none", mec="#15181D", mew=0.7, zorder=4)
                written += 1
                break
            text.remove()


def _printable(text: str) -> str:
    """Return a name on one line, short, without what no font shows, and no formula whatever dollars it has."""
    line = "".join(one if one.isprintable() else " " for one in text)
    line = " ".join(line.split())
    return (line if len(line) <= LONGEST else line[: LONGEST - 1] + "…").replace("$", r"\$")
