"""Writes a map as one page that needs nothing else: the data, plotly.js, and the script that answers to the reader."""

from __future__ import annotations

import base64
from importlib.resources import files
from string import Template
from typing import Any

import numpy as np
import numpy.typing as npt

from cmlfast.pictures.item_columns import OTHER, Numbers
from cmlfast.pictures.map_data import MapData
from cmlfast.pictures.needed import library
from cmlfast.pictures.palette import CATEGORIES, NUMBERS, PEOPLE, REST
from cmlfast.pictures.sealed import as_json, plotly_script, policy

FILES = files("cmlfast.pictures")
SCRIPTS = ("map_data", "map_views", "map_marks", "map_panel", "map_search", "map_keys")  # in the order that they run


def check_library() -> None:
    """Raise ``ImportError`` if plotly is missing."""
    library("plotly.offline", "map")


def page(data: MapData) -> str:
    """Return the page, HTML.

    Only the scripts written here may run in it, and it may ask for nothing: its policy says so to the browser, by the
    scripts' digests. All that comes from titles and ids is JSON, which the script writes as text.
    """
    plotly = plotly_script("map")
    # The files share one scope, and leave nothing outside it but what the last one does.
    parts = "\n".join(FILES.joinpath(f"{name}.js").read_text("utf-8") for name in SCRIPTS)
    script = f'"use strict";\n(() => {{\n{parts}}})();\n'
    # plotly.js makes functions of text, of its own alone, when it draws by WebGL: 'unsafe-eval'.
    allowed = policy(plotly, script, more="'unsafe-eval'")
    people = 0 if data.people is None else len(data.people.names)
    shown = int((~np.isnan(data.places[: len(data.titles)]).any(1)).sum())
    heading = f"Map of {shown:,} items" + (f" and {people:,} users" if people else "")
    return Template(FILES.joinpath("map.html").read_text("utf-8")).substitute(
        policy=allowed, heading=heading, style=FILES.joinpath("map.css").read_text("utf-8"), plotly=plotly,
        script=script, data=as_json(_content(data)),
    )  # fmt: skip


def _packed(array: npt.NDArray[Any], dtype: str) -> str:
    """Return numbers as the script unpacks them: little-endian, base64."""
    return base64.b64encode(np.ascontiguousarray(array, dtype=dtype).tobytes()).decode()


def _content(data: MapData) -> dict[str, Any]:
    """Return what `map_data.js` reads; arrays in row-major order."""
    found: dict[str, Any] = {
        "ids": data.ids,
        "titles": data.titles if data.titles != data.ids else None,
        "likes": _packed(data.likes, "<i4"),
        "places": _packed(data.places, "<f4"),
        "featurePlaces": None if data.feature_places is None else _packed(data.feature_places, "<f4"),
        "nearest": _packed(data.nearest, "<i4"),
        "distances": _packed(data.distances, "<f4"),
        "nNearest": data.nearest.shape[1],
        "colour": _colour(data),
        "people": None,
    }
    if data.people is not None:
        people = data.people
        found["people"] = {
            "ids": people.names,
            "look": _look(PEOPLE),
            "likedEnds": _packed(people.liked.indptr, "<i4"),
            "liked": _packed(people.liked.indices, "<i4"),
            "recommended": _packed(people.recommended, "<i4"),
            "reasons": _packed(people.reasons, "<i4"),
            "nRecommended": people.recommended.shape[1],
            "nReasons": people.reasons.shape[2],
        }
    return found


def _colour(data: MapData) -> dict[str, Any]:
    of = data.colouring
    if isinstance(of, Numbers):
        scale = getattr(library("plotly.colors", "map").sequential, NUMBERS.title())
        return {
            "label": of.label, "texts": of.texts, "values": _packed(of.values, "<f4"), "log": of.logarithmic,
            "scale": scale, "rest": _look(REST),
        }  # fmt: skip
    looks = [_look(REST if name == OTHER else look) for name, look in zip(of.names, (*CATEGORIES, REST), strict=False)]
    codes = _packed(of.codes, "<u1")
    return {"label": of.label, "texts": of.texts, "codes": codes, "names": of.names, "looks": looks}


def _look(look: tuple[str, str, str]) -> dict[str, str]:
    return {"colour": look[0], "shape": look[1]}
