"""The gate of licences lets through what is allowed alone, and nothing that it was not told of."""

import importlib.util
import json
import subprocess
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SCRIPT = Path(__file__).parent.parent / ".ci" / "supply_chain.py"


@pytest.fixture
def gate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("supply_chain", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_licence_that_is_not_allowed_is_named(gate: ModuleType) -> None:
    told = {
        "a": "MIT License", "b": "3-Clause BSD License", "c": "Apache-2.0 OR BSD-3-Clause", "d": "GPL-3.0-or-later",
        "e": "MIT AND LGPL-2.1", "f": "UNKNOWN", "g": "BSD License; GNU General Public License (GPL)", "h": "",
    }  # fmt: skip
    assert gate.not_allowed(told, told).keys() == {"d", "e", "f", "g", "h"}


def test_a_package_of_which_nothing_is_told_is_not_allowed(gate: ModuleType) -> None:
    assert gate.not_allowed(["a", "setuptools"], {"a": "MIT"}) == {"setuptools": "not told"}


def test_all_names_are_asked_for_and_compared_as_pip_does(gate: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command leaves packages such as setuptools out by default, and writes names as their makers do."""
    asked: list[str] = []

    def answer(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        asked.extend(command)
        told = [{"Name": "Zope.Inter_face", "License": "ZPL"}, {"Name": "setuptools", "License": "MIT"}]
        return subprocess.CompletedProcess(command, 0, json.dumps(told), "")

    monkeypatch.setattr(subprocess, "run", answer)
    assert gate.licences(["zope-inter-face", "setuptools"]) == {"zope-inter-face": "ZPL", "setuptools": "MIT"}
    assert "--with-system" in asked


def test_what_is_not_installed_ends_it(gate: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    class Package:
        version = "1"
        requires = ("nowhere-to-be-found>=1", "not-on-this-system; sys_platform == 'none'")
        metadata: Any = type("Metadata", (), {"get_all": lambda *_: list(gate.EXTRAS)})()

    def found(name: str) -> Package:
        if name == "cmlfast":
            return Package()
        raise gate.PackageNotFoundError(name)

    monkeypatch.setattr(gate, "distribution", found)
    with pytest.raises(SystemExit, match="nowhere-to-be-found is required, and not installed"):
        gate.required()
    monkeypatch.setattr(gate, "EXTRAS", ("map",))
    Package.metadata = type("Metadata", (), {"get_all": lambda *_: []})()
    with pytest.raises(SystemExit, match="without the extras map"):
        gate.required()
