"""The operators of :mod:`cmlfast.ops` on the very source of the CUDA kernels, which ``simt`` runs on the CPU."""

import functools
import os
from types import FunctionType, ModuleType
from typing import Any

import torch
from simt import build

from cmlfast.ops import autograd, operators

LIBRARY = "cmlfast_emulated"  # torch.ops.cmlfast_emulated
VARIANT = os.environ.get("CMLFAST_SIMT_VARIANT", "plain")  # a process has one: the library's name is taken then


@functools.cache
def load() -> ModuleType:
    """Build and load the emulator, and tell torch its operators' shapes and gradients."""
    module = build.load(VARIANT)
    autograd.register(LIBRARY)
    return module


class Functions:
    """What `cmlfast.ops` offers, with the emulated operators in place of the compiled; built when first used."""

    def __getattr__(self, name: str) -> Any:
        load()
        if name == "warp_hinge_backward":
            return getattr(torch.ops, LIBRARY).warp_hinge_backward
        function = getattr(operators, name)
        names = {**vars(operators), "_kernels": getattr(torch.ops, LIBRARY)}
        return FunctionType(function.__code__, names, name, function.__defaults__)
