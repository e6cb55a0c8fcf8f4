"""Collaborative Metric Learning with fused kernels: users and items in one ball, the nearest items are the answer."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from cmlfast import ops, reference  # now: they register torch.ops.cmlfast.*
from cmlfast._extension import build_info

if TYPE_CHECKING:
    from cmlfast import datasets, optim
    from cmlfast.interactions import Interactions
    from cmlfast.metrics import recall_at_k
    from cmlfast.model import CML
    from cmlfast.split import split_per_user

__all__ = [
    "CML",
    "Interactions",
    "build_info",
    "datasets",
    "ops",
    "optim",
    "recall_at_k",
    "reference",
    "split_per_user",
]

# Imported when first asked for (PEP 562): SciPy and PyArrow take longer to import than all of the above.
_LATER = {
    "CML": "model",
    "Interactions": "interactions",
    "datasets": "datasets",
    "optim": "optim",
    "recall_at_k": "metrics",
    "split_per_user": "split",
}


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module 'cmlfast' has no attribute '{name}'")
    module = import_module(f"cmlfast.{_LATER[name]}")
    value = globals()[name] = module if name == _LATER[name] else getattr(module, name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
