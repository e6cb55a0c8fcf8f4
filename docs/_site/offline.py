"""The site is one that can be read without a network: a page that loads anything from one is an error of the build."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # tests look at this file without Sphinx
    from sphinx.application import Sphinx

LOADS = re.compile(
    r"<(?:script|img|iframe|source|video|audio|embed|object)\b[^>]*?\b(?:src|srcset|data)\s*=\s*[\"'](?:https?:)?//[^\"']+"
    r"|<link\b(?![^>]*\brel=[\"']canonical)[^>]*?\bhref\s*=\s*[\"'](?:https?:)?//[^\"']+"
    r"|(?:@import\s+(?:url\()?|url\()\s*[\"']?(?:https?:)?//[^\"')]+"
    r"|\b(?:import|importScripts|fetch)\s*\(\s*[\"'](?:https?:)?//[^\"']+",
    re.IGNORECASE,
)


def loads(folder: Path) -> list[tuple[Path, str]]:
    """Return what the files of a site would load from elsewhere: the file and the text that says so."""
    files = (file for file in sorted(folder.rglob("*")) if file.suffix in {".html", ".css", ".js"})
    return [(file, found[0]) for file in files for found in LOADS.finditer(file.read_text(encoding="utf-8"))]


def _check(app: Sphinx, error: Exception | None) -> None:
    from sphinx.util import logging

    if error is None and app.builder.name == "html":
        for file, text in loads(Path(app.outdir)):
            logging.getLogger(__name__).warning("%s loads from the network: %s", file, text)


def setup(app: Sphinx) -> dict[str, Any]:
    """Look when all is written."""
    app.connect("build-finished", _check)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
