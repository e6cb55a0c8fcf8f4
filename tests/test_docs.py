"""Every block on a page of the documentation runs, one after the other, as a reader would run them.

Blocks of Python share their names down a page, and with the commands ``cmlfast ...`` a folder. What no test can run
says so above the block, in words that `NOT_RUN` has, and is counted here.
"""

import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from cmlfast_cli import main

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [*sorted(DOCS.glob("*.md")), ROOT / "README.md"]
OPTIONAL = {"hnswlib"}  # no extra of ours brings it
FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.DOTALL | re.MULTILINE)
NOT_RUN = "Not run by the tests"
EXPECTED_NOT_RUN = 0


class Block(NamedTuple):
    line: int  # of its first line of code
    language: str
    code: str
    runs: bool


def blocks(text: str) -> Iterator[Block]:
    for fence in FENCE.finditer(text):
        before = text[: fence.start()].rstrip().rsplit("\n\n", 1)[-1]
        yield Block(text[: fence.start()].count("\n") + 1, fence[1], fence[2], not before.startswith(NOT_RUN))


def commands(block: Block) -> list[list[str]]:
    """Return the lines of a block of commands that is about this package and the files of its page alone."""
    lines = [line for line in block.code.splitlines() if line.strip()]
    ours = [line.split()[0] in ("cmlfast", "head") for line in lines]
    about_this = any(line.startswith("cmlfast ") for line in lines)
    assert all(ours) or not about_this, f"line {block.line}: commands of two kinds"
    return [shlex.split(line, comments=True) for line in lines] if all(ours) else []


def run(block: Block, page: Path, names: dict) -> None:
    if block.language == "python":
        exec(compile("\n" * block.line + block.code, str(page), "exec"), names)
        return
    for words in commands(block):
        code = main(words[1:]) if words[0] == "cmlfast" else subprocess.run(words, check=False).returncode
        assert code == 0, f"{page.name}: {shlex.join(words)}"


RUNS = [page for page in PAGES if any(b.language == "python" or commands(b) for b in blocks(page.read_text()))]


@pytest.mark.slow
@pytest.mark.parametrize("page", RUNS, ids=lambda page: page.name)
def test_page(page, monkeypatch, tmp_path, request):
    if 'load("movielens-100k")' in page.read_text():
        request.getfixturevalue("shared_data")
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    names: dict = {}
    missing = set()
    for block in blocks(page.read_text()):
        if block.runs and block.language in ("python", ""):
            try:
                run(block, page, names)
            except ModuleNotFoundError as error:
                if error.name not in OPTIONAL:
                    raise
                missing.add(error.name)
    if missing:
        pytest.skip(f"all but the blocks with {', '.join(sorted(missing))}, which are not installed")


def test_what_no_test_runs_is_counted() -> None:
    assert sum(not block.runs for page in PAGES for block in blocks(page.read_text())) == EXPECTED_NOT_RUN


def anchors(page: Path) -> set[str]:
    """Return what a forge calls a page's headings."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_page_is_linked_and_every_link_leads_somewhere() -> None:
    listed = {*re.findall(r"^- \[[^\]]+\]\(([\w./-]+)\)", (DOCS / "README.md").read_text(), re.MULTILINE)}
    files = [file for kind in ("*.md", "api/*.rst", "examples/*.ipynb") for file in DOCS.glob(kind)]
    assert {file.relative_to(DOCS).as_posix() for file in files} == {*listed, "README.md", "index.md"}
    for page in (*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md"):
        for target, anchor in re.findall(r"\]\(([^)#:]*)(?:#([^)]*))?\)", FENCE.sub("", page.read_text())):
            file = page.parent / target if target else page
            assert file.exists(), f"{page.name}: {target}"
            assert not anchor or anchor in anchors(file), f"{page.name}: {target}#{anchor}"


def test_every_public_name_has_its_place_in_the_reference() -> None:
    text = "\n".join(page.read_text() for page in sorted((DOCS / "api").glob("*.rst")))
    current, written = "", set()
    for line in text.splitlines():
        if found := re.match(r"\.\. currentmodule:: (\S+)", line):
            current = found[1]
        elif found := re.match(r"\.\. auto(?:class|function|method|property|exception):: (\S+)", line):
            written |= {found[1], f"{current}.{found[1]}"}
    whole = {"cmlfast.Interactions", "cmlfast.optim.ClippedAdagrad"}  # with all their members
    for line in (ROOT / "tests" / "public_names.txt").read_text().splitlines():
        name = re.match(r"[\w.]+", line)[0]
        if line.startswith("cmlfast:"):
            continue
        assert name in written or name.rpartition(".")[0] in whole, f"{name} is in no page of docs/api"


def test_notebooks_are_stored_without_output() -> None:
    for notebook in DOCS.glob("examples/*.ipynb"):
        cells = json.loads(notebook.read_text())["cells"]
        assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells), notebook.name
