"""Collaborative Metric Learning with fused kernels: users and items in one ball, the nearest items are the answer."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from cmlfast import _moved, ops
from cmlfast.ops import reference  # now: it registers its twins of torch.ops.cmlfast.*
from cmlfast.ops.extension import build_info

if TYPE_CHECKING:
    from cmlfast.data import datasets
    from cmlfast.data.interactions import Interactions
    from cmlfast.data.split import k_fold, split_by_time, split_last, split_per_user
    from cmlfast.evaluation.measures import recall_at_k
    from cmlfast.model import CML
    from cmlfast.ops import optim

__all__ = [
    "CML",
    "Interactions",
    "build_info",
    "datasets",
    "k_fold",
    "ops",
    "optim",
    "recall_at_k",
    "reference",
    "split_by_time",
    "split_last",
    "split_per_user",
]

# Imported when first asked for (PEP 562): SciPy and PyArrow take longer to import than all of the above.
_LATER = {
    "CML": "cmlfast.model",
    "Interactions": "cmlfast.data.interactions",
    "recall_at_k": "cmlfast.evaluation.measures",
    **dict.fromkeys(("k_fold", "split_by_time", "split_last", "split_per_user"), "cmlfast.data.split"),
}

_moved.install()


def __getattr__(name: str) -> Any:
    if name in _LATER:
        value = getattr(import_module(_LATER[name]), name)
    elif name in _moved.MOVED:  # datasets and optim too, which are called so
        value = import_module(_moved.MOVED[name])
    else:
        raise AttributeError(f"module 'cmlfast' has no attribute '{name}'")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
