"""Modules that once lay beside this one, under the names by which somebody may import them still."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Any

MOVED = {
    "alignment": "cmlfast.data.align",
    "backends": "cmlfast.ops.backend",
    "binary": "cmlfast.data.csr",
    "citeulike": "cmlfast.data.datasets.citeulike",
    "commands": "cmlfast_cli.commands",
    "covariance": "cmlfast.training.covariance",
    "datasets": "cmlfast.data.datasets",
    "demo": "cmlfast_cli.demo",
    "encoder": "cmlfast.features.encoder",
    "fetch": "cmlfast.data.datasets.fetch",
    "fold_in": "cmlfast.serving.fold_in",
    "growing": "cmlfast.training.partial_fit",
    "ids": "cmlfast.data.ids",
    "interactions": "cmlfast.data.interactions",
    "metrics": "cmlfast.evaluation.measures",
    "movielens": "cmlfast.data.datasets.movielens",
    "networks": "cmlfast.features.network",
    "optim": "cmlfast.ops.optim",
    "persistence": "cmlfast.data.tensor_file",
    "popularity": "cmlfast.evaluation.popularity",
    "rarity": "cmlfast.training.fitted",
    "recommender": "cmlfast.model",
    "reference": "cmlfast.ops.reference",
    "settings": "cmlfast.training.settings",
    "side": "cmlfast.training.side_information",
    "split": "cmlfast.data.split",
    "steps": "cmlfast.training.step",
    "study": "cmlfast.tuning.study",
    "synthetic": "cmlfast.data.datasets.simulated",
    "tables": "cmlfast.data.tables",
    "tagging": "cmlfast.features.tags",
}


class _Moved(MetaPathFinder, Loader):
    """Finds ``cmlfast.<old>`` where nothing else does, and gives the module at its new place: the very same one."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        package, _, name = fullname.rpartition(".")
        return ModuleSpec(fullname, self) if package == "cmlfast" and name in MOVED else None

    def exec_module(self, module: ModuleType) -> None:
        # The import system takes what sys.modules has in the end.
        sys.modules[module.__name__] = import_module(_new(module.__name__))

    def get_code(self, fullname: str) -> Any:
        """Return what ``python -m`` runs."""
        spec = find_spec(_new(fullname))
        return spec.loader.get_code(spec.name) if spec else None  # type: ignore[union-attr]


def _new(fullname: str) -> str:
    return MOVED[fullname.removeprefix("cmlfast.")]


def install() -> None:
    """Let old names be imported."""
    if not any(type(finder).__name__ == _Moved.__name__ for finder in sys.meta_path):
        sys.meta_path.append(_Moved())
