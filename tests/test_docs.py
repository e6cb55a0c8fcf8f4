"""Every block of Python on a page of the documentation runs, one after the other, as a reader would run them."""

import re
from pathlib import Path

import pytest
import torch

DOCS = Path(__file__).parents[1] / "docs"
PAGES = (
    "tables.md",
    "growing.md",
    "watching.md",
    "serving.md",
    "own_model.md",
)  # of the others, some begin with a download
OPTIONAL = {"annoy", "faiss", "hnswlib", "usearch"}
BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_page(page, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    names: dict = {}
    text = (DOCS / page).read_text()
    blocks = list(BLOCK.finditer(text))
    assert blocks
    missing = set()
    for block in blocks:
        line = text[: block.start()].count("\n") + 1
        code = compile("\n" * line + block[1], str(DOCS / page), "exec")
        try:
            exec(code, names)
        except ModuleNotFoundError as error:
            if error.name not in OPTIONAL:
                raise
            missing.add(error.name)
    if missing:
        pytest.skip(f"all but the blocks with {', '.join(sorted(missing))}, which are not installed")


def test_every_page_is_linked_and_every_link_leads_somewhere():
    listed = (DOCS / "README.md").read_text()
    assert {page.name for page in DOCS.glob("*.md")} == {*re.findall(r"\]\((\w[\w-]*\.md)\)", listed), "README.md"}
    for page in (*DOCS.glob("*.md"), DOCS.parent / "README.md", DOCS.parent / "CONTRIBUTING.md"):
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
