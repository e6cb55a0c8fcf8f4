"""The site's front page and its menu are docs/README.md, as a forge shows it: a part of the menu for each heading.

A page is one line there, ``- [title](page.md): what it says``. Pages that stand for a file outside this folder
(contributing.md and the like) show that file, and links to it lead to them.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # tests look at this file without Sphinx
    from sphinx.application import Sphinx

DOCS = Path(__file__).parents[1]
STANDS_FOR = {"index": "README.md", "contributing": "../CONTRIBUTING.md", "security": "../SECURITY.md"}
ENTRY = re.compile(r"^- \[([^\]]+)\]\(([\w./-]+?)\.(?:md|rst|ipynb)\)", re.MULTILINE)
PART = re.compile(r"^## (.+)$", re.MULTILINE)


def _menu(text: str) -> str:
    """Return the toctrees of a list of pages under headings."""
    _, *parts = PART.split(text)
    trees = []
    for caption, part in zip(parts[::2], parts[1::2], strict=True):
        pages = [f"{title} <{page}>" for title, page in ENTRY.findall(part)]
        if pages:
            trees.append("\n".join(("```{toctree}", ":hidden:", f":caption: {caption}", "", *pages, "```")))
    return "\n\n".join(trees)


def _inside(text: str) -> str:
    """Let links from the root into this folder, and from here to what has a page, lead to pages."""
    text = text.replace("](docs/", "](")
    for page, file in STANDS_FOR.items():
        text = re.sub(rf"\]\((\.\./)?{re.escape(file.removeprefix('../'))}([#)])", rf"]({page}.md\2", text)
    return text


def _read(app: Sphinx, page: str, source: list[str]) -> None:
    text = source[0]
    if page in STANDS_FOR:
        file = (DOCS / STANDS_FOR[page]).resolve()
        app.env.note_dependency(str(file))
        text = file.read_text(encoding="utf-8")
    if Path(app.env.doc2path(page)).suffix == ".md":
        source[0] = _inside(text) + (f"\n\n{_menu(text)}\n" if page == app.config.root_doc else "")


def setup(app: Sphinx) -> dict[str, Any]:
    """Rewrite pages while they are read."""
    app.connect("source-read", _read)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
