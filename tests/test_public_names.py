"""What users import stays: names, parameters and defaults, and modules under the names they once had."""

import importlib
import inspect
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import cmlfast
from cmlfast import _moved

STORED = Path(__file__).with_name("public_names.txt")
SURFACES = ("cmlfast", "cmlfast.ops", "cmlfast.reference", "cmlfast.optim", "cmlfast.datasets", "cmlfast.tuning")
# Where users may have imported something from before modules lay in rooms.
OLD_PLACES = (
    ("encoder", "Encoder"),
    ("features", "Features"),
    ("fold_in", "fold_in"),
    ("ids", "UnknownIdError"),
    ("metrics", "recall_per_user"),
    ("networks", "FeatureMLP"),
    ("persistence", "read"),
    ("persistence", "is_model"),
    ("popularity", "popularity_recall"),
    ("recommender", "NotFittedError"),
    ("rarity", "user_points"),
    ("settings", "resolve"),
    ("steps", "JointStep"),
    ("tables", "read_frame"),
    ("tagging", "rows_of"),
    ("training", "DivergedError"),
    ("tuning", "tune"),
)

LEARNED = [
    "auto_",
    "batch_size_",
    "history_",
    "item_embedding_",
    "item_feature_ids_",
    "item_ids_",
    "item_likes_",
    "item_network_",
    "n_negatives_",
    "seed_",
    "skipped_",
    "user_embedding_",
    "user_feature_ids_",
    "user_ids_",
    "user_items_",
    "user_network_",
]


def parameters(function: Any) -> str:
    """Return names, kinds and defaults of a function's parameters, without their types."""
    bare = [
        parameter.replace(annotation=inspect.Parameter.empty)
        for parameter in inspect.signature(function).parameters.values()
    ]
    return str(inspect.Signature(bare))


def surface(module: ModuleType, name: str) -> Iterator[str]:
    """Yield a line for each public function, class and method of a module."""
    names = getattr(module, "__all__", None) or [
        one for one, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__
    ]
    for one in sorted(names):
        value = getattr(module, one)
        if one.startswith("_") or isinstance(value, ModuleType):
            continue
        if inspect.isclass(value) and issubclass(value, Exception):
            yield f"{name}.{one}"
        elif inspect.isclass(value):
            yield f"{name}.{one}{parameters(value)}"
            methods = {key: found for key, found in inspect.getmembers(value, callable) if not key.startswith("_")}
            own = [
                key
                for key in methods
                if any(key in vars(base) for base in value.__mro__ if "cmlfast" in base.__module__)
            ]
            yield from (f"{name}.{one}.{key}{parameters(methods[key])}" for key in sorted(own))
        elif callable(value):
            yield f"{name}.{one}{parameters(value)}"


def lines() -> list[str]:
    found = [f"cmlfast: {' '.join(sorted(cmlfast.__all__))}"]
    for name in SURFACES:
        found += surface(importlib.import_module(name), name)
    return found


def test_names_parameters_and_defaults_are_the_stored_ones() -> None:
    stored, now = set(STORED.read_text().splitlines()), set(lines())
    assert sorted(stored - now) == []


def test_what_fit_finds_can_be_read_under_its_old_names() -> None:
    names = [name for name in vars(cmlfast.CML) if name.endswith("_") and not name.startswith("_")]
    assert sorted(names) == LEARNED
    data = cmlfast.datasets.synthetic(n_users=30, n_items=40, n_pairs=200, n_groups=2, seed=0)
    model = cmlfast.CML(n_components=4, n_epochs=1, random_state=0)
    assert not any(hasattr(model, name) for name in names)
    model.fit(data.interactions)
    assert all(hasattr(model, name) for name in names)
    with pytest.raises(AttributeError, match="item_embedding_ is what fit found and cannot be set; call fit"):
        model.item_embedding_ = model.user_embedding_


@pytest.mark.parametrize(("old", "name"), OLD_PLACES)
def test_old_places_have_what_they_had(old: str, name: str) -> None:
    assert hasattr(importlib.import_module(f"cmlfast.{old}"), name)


@pytest.mark.parametrize(("old", "new"), _moved.MOVED.items())
def test_a_moved_module_is_the_very_one(old: str, new: str) -> None:
    assert importlib.import_module(f"cmlfast.{old}") is importlib.import_module(new)


@pytest.mark.slow
def test_old_places_are_attributes_and_programs_still() -> None:
    code = "import cmlfast; from cmlfast import CML; print(cmlfast.interactions.Interactions is cmlfast.Interactions)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout == "True\n"
    program = subprocess.run([sys.executable, "-m", "cmlfast.commands"], capture_output=True, text=True)
    assert (program.returncode, program.stderr) == (0, "")
