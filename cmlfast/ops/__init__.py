"""The operators on embedding tables, compiled and in plain torch, for anybody's torch model; knows torch alone.

Here stand the compiled ones, as typed functions; :mod:`cmlfast.reference` has their twins. Other rooms also take the
modules imported below.
"""

from cmlfast.ops import arithmetic as arithmetic
from cmlfast.ops import autograd as autograd
from cmlfast.ops import backend as backend
from cmlfast.ops import extension as extension
from cmlfast.ops import optim as optim
from cmlfast.ops import reference as reference
from cmlfast.ops import shared_softmax as shared_softmax
from cmlfast.ops.operators import (
    adagrad_clip_,
    cml_step_,
    cml_steps_,
    sample_negatives,
    sampled_softmax,
    sampled_softmax_gradients,
    softmax_weights_,
    topk,
    topk_among,
    warp_hinge,
    warp_hinge_sampled,
)

__all__ = [
    "adagrad_clip_",
    "cml_step_",
    "cml_steps_",
    "sample_negatives",
    "sampled_softmax",
    "sampled_softmax_gradients",
    "softmax_weights_",
    "topk",
    "topk_among",
    "warp_hinge",
    "warp_hinge_sampled",
]
