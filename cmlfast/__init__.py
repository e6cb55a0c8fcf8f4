"""Collaborative Metric Learning with fused kernels: users and items in one ball, the nearest items are the answer."""

from cmlfast import datasets, ops, reference
from cmlfast._extension import build_info
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
    "recall_at_k",
    "reference",
    "split_per_user",
]
