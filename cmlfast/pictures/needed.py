"""Imports the libraries that pictures are made with, which need not be there."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType


def library(name: str, extra: str) -> ModuleType:
    """Import a module of another library, or raise ``ImportError`` that says how to install it."""
    try:
        return import_module(name)
    except ImportError as error:
        raise ImportError(
            f"this needs {name.partition('.')[0]}, which is not there: pip install 'cmlfast[{extra}]'"
        ) from error
