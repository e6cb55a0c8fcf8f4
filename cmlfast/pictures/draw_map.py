"""Draws the map of a model's items and users (paper, figure 5), to a file by its suffix, or as a figure."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from cmlfast.data.table_file import whole_file
from cmlfast.data.tensor_file import check_target
from cmlfast.pictures import map_figure, map_page
from cmlfast.pictures.item_columns import titles_and_colours
from cmlfast.pictures.map_data import Learned, chosen_users, map_data
from cmlfast.pictures.needed import library

PAGE = ".html"
SUFFIXES = (PAGE, ".png", ".pdf", ".svg")


def draw_map(
    path: str | os.PathLike[str] | None,
    learned: Learned,
    *,
    titles: Any,
    color: Any,
    users: Any,
    features: Tensor | None,
    seed: int,
) -> Any:
    """Draw a map; :meth:`cmlfast.CML.plot` documents the arguments. What is wrong with them is said first.

    Returns
    -------
    Path or matplotlib.figure.Figure
        The file that was written, all or nothing, or the figure where there is none.
    """
    suffix = check_path(path)
    (map_page if suffix == PAGE else map_figure).check_library()
    library("openTSNE", "map")
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= seed < 2**32:
        raise ValueError(f"random_state is {seed!r}; it must be an integer from 0 to {2**32 - 1}")
    seed = int(seed)
    names, colouring = titles_and_colours(titles, color, learned.known.item_ids, learned.item_likes)
    rows = chosen_users(users, learned, seed)
    data = map_data(learned, names, colouring, rows, features, seed)
    if path is None:
        return map_figure.figure(data)
    with whole_file(path) as file:
        if suffix == PAGE:
            file.write(map_page.page(data).encode())
        else:
            map_figure.save(map_figure.figure(data), file, suffix.removeprefix("."))
    return Path(path)


def check_path(path: str | os.PathLike[str] | None) -> str:
    """Return the suffix of a file that can be written, "" without one, or raise ``ValueError`` or ``OSError``."""
    if path is None:
        return ""
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueError(f"path is {str(path)!r}; its name must end in one of {', '.join(SUFFIXES)}")
    check_target(path)
    return suffix
