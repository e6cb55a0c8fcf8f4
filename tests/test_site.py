"""The parts of docs/_site that hold without Sphinx: what would ask the network, and what a page becomes."""

import re
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

SITE = Path(__file__).parents[1] / "docs" / "_site"


def part(name: str):
    spec = spec_from_file_location(name, SITE / f"{name}.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("text", "file"),
    [
        ('<script async="async" src="https://cdn.example/mathjax.js"></script>', "page.html"),
        ("<img alt='a' src='//example/a.png'>", "page.html"),
        ('<link rel="stylesheet" href="https://fonts.example/css">', "page.html"),
        ('@import url("https://fonts.example/css");', "style.css"),
        ("src: url(//fonts.example/a.woff2)", "style.css"),
        ('import("https://cdn.example/module.js")', "script.js"),
    ],
)
def test_what_asks_the_network_is_found(text, file, tmp_path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / file).write_text(text)
    assert [found.name for found, _ in part("offline").loads(tmp_path)] == [file]


def test_links_and_own_files_are_no_requests(tmp_path) -> None:
    (tmp_path / "page.html").write_text(
        '<a href="https://example.org">there</a> <script src="_static/a.js"></script> <link href="_static/a.css">'
    )
    assert part("offline").loads(tmp_path) == []


def test_the_menu_is_the_list_of_pages() -> None:
    pages = "- [Install](install.md): how\n- [First](examples/first.ipynb): a notebook\n"
    text = f"# A\n\nintro\n\n## Begin\n\n{pages}\n## End\n"
    lines = part("navigation")._menu(text).splitlines()
    assert lines == [
        "```{toctree}", ":hidden:", ":caption: Begin", "", "Install <install>", "First <examples/first>", "```",
    ]  # fmt: skip


def test_links_to_files_outside_lead_to_their_pages() -> None:
    inside = part("navigation")._inside
    assert inside("[a](../CONTRIBUTING.md#adding-a-loss)") == "[a](contributing.md#adding-a-loss)"
    assert inside("[a](docs/guide.md) [b](SECURITY.md)") == "[a](guide.md) [b](security.md)"
    assert inside("[a](api/cml.rst)") == "[a](api/cml.rst)"


def test_formulas_become_mathml() -> None:
    pytest.importorskip("sphinx", reason="Sphinx is not installed: make docs brings it")
    from docutils import nodes

    page = (SITE.parent / "mathematics.md").read_text()
    formulas = re.findall(r"\$\$\n(.*?)\n\$\$", page, re.DOTALL)
    assert len(formulas) > 8
    mathml = part("mathml")._mathml
    assert all(mathml(nodes.math_block("", formula)).startswith("<math") for formula in formulas)
