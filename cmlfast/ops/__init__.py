"""The six operators on embedding tables, compiled and in plain torch, for anybody's torch model; knows torch alone.

Here stand the compiled ones, as typed functions; :mod:`cmlfast.reference` has their twins. Other rooms also take the
modules named below.
"""

from cmlfast.ops import arithmetic, autograd, backend, extension, optim, reference
from cmlfast.ops.operators import (
    adagrad_clip_,
    cml_step_,
    sample_negatives,
    topk,
    warp_hinge,
    warp_hinge_sampled,
)

__all__ = [
    "adagrad_clip_",
    "arithmetic",
    "autograd",
    "backend",
    "cml_step_",
    "extension",
    "optim",
    "reference",
    "sample_negatives",
    "topk",
    "warp_hinge",
    "warp_hinge_sampled",
]
