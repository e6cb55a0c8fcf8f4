"""Modules that once lay beside this one, under the names by which somebody may import them still."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

MOVED = {
    "alignment": "data.align",
    "backends": "ops.backend",
    "binary": "data.csr",
    "citeulike": "data.datasets.citeulike",
    "covariance": "training.covariance",
    "datasets": "data.datasets",
    "encoder": "features.encoder",
    "fetch": "data.datasets.fetch",
    "fold_in": "serving.fold_in",
    "ids": "data.ids",
    "interactions": "data.interactions",
    "metrics": "evaluation.measures",
    "movielens": "data.datasets.movielens",
    "networks": "features.network",
    "optim": "ops.optim",
    "persistence": "serving.persistence",
    "popularity": "evaluation.popularity",
    "recommender": "model",  # NotFittedError
    "reference": "ops.reference",
    "settings": "training.settings",
    "split": "data.split",
    "synthetic": "data.datasets.simulated",
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
        name = module.__name__.removeprefix("cmlfast.")
        sys.modules[module.__name__] = import_module(f"cmlfast.{MOVED[name]}")


def install() -> None:
    """Let old names be imported."""
    if not any(type(finder).__name__ == _Moved.__name__ for finder in sys.meta_path):
        sys.meta_path.append(_Moved())
