"""A pytest plugin for the tests of the CUDA kernels alone: ``-p benchmarks.gpu.gpu_check.selection``.

``--gpu all`` keeps every test with a backend (see ``tests/backends.py``) whose device is "cuda". ``--gpu sample`` keeps
the few of them that `SAMPLE` names, for tools under which kernels run many times slower.
"""

from __future__ import annotations

from typing import Any

import pytest

# Every operator; rows of a tile and of several, aligned and not; both id types (each test loops over them); repeats.
DIMENSIONS = (3, 33, 100, 300)
SAMPLE: dict[str, dict[str, tuple[Any, ...]]] = {  # a test's name, and the parameters that are kept
    "test_equals_reference": {"r": DIMENSIONS, "n_negatives": (5,), "s": (33, 1000, 1025)},
    "test_many_occurrences_of_a_row": {"r": (33,)},
    "test_one_row_named_by_all": {"r": (33,)},
    "test_step_equals_reference": {"r": (33, 100)},
}


def selects(which: str, item: pytest.Item) -> bool:
    """Tell whether "all" or "sample" keeps a test."""
    call = getattr(item, "callspec", None)
    parameters: dict[str, Any] = call.params if call else {}
    on_gpu = any(getattr(value, "device", None) == "cuda" for value in parameters.values())
    if which == "all" or not on_gpu:
        return on_gpu
    kept = SAMPLE.get(getattr(item, "originalname", item.name))
    return kept is not None and all(parameters.get(name, values[0]) in values for name, values in kept.items())


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--gpu", choices=("all", "sample"), help="run the tests of the CUDA kernels, or some, alone")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    which = config.getoption("--gpu")
    if which is None:
        return
    config.hook.pytest_deselected(items=[item for item in items if not selects(which, item)])
    items[:] = [item for item in items if selects(which, item)]
