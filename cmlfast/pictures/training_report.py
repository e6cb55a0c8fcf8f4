"""The training report: one HTML page that needs no network, or a PNG, of what a training went through."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from cmlfast.data.table_file import whole_file
from cmlfast.data.tensor_file import check_target
from cmlfast.pictures.needed import library
from cmlfast.pictures.panels import panels
from cmlfast.training.record import TrainingRecord

NEEDS = {".html": "plotly", ".png": "matplotlib"}


def check_report(path: str | os.PathLike[str]) -> Path:
    """Return the file that a report would replace, or raise what writing it would raise, before there is a training.

    Raises
    ------
    ValueError
        If the name ends neither in .html nor in .png.
    ImportError
        Without plotly, or matplotlib for a PNG: ``pip install 'cmlfast[report]'``.
    OSError
        If there can be no such file.
    """
    library(NEEDS[_suffix(path)], "report")
    return check_target(path)


def write(path: str | os.PathLike[str], record: TrainingRecord) -> Path:
    """Write a report, all or nothing, and return where; raise as :func:`check_report`."""
    check_report(path)
    if _suffix(path) == ".png":
        from cmlfast.pictures.training_png import png

        content = png(record)
    else:
        from cmlfast.pictures.training_page import page

        content = page(record).encode()
    with whole_file(path) as file:
        file.write(content)
    return Path(path)


def figure(record: TrainingRecord) -> Any:
    """Return the curves as a figure of plotly."""
    library(NEEDS[".html"], "report")
    from cmlfast.pictures.training_page import curves

    return curves(panels(record.history, record.measure))


def _suffix(path: str | os.PathLike[str]) -> str:
    suffix = Path(path).suffix.lower()
    if suffix not in NEEDS:
        raise ValueError(f"the report is {str(path)!r}; its name must end in .html or .png")
    return suffix
