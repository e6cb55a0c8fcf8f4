"""Chooses where a model runs: the compiled operators or their torch reference, and on which device."""

from __future__ import annotations

import contextlib
import functools
import warnings
from collections.abc import Callable
from types import ModuleType
from typing import ParamSpec, TypeVar

import torch

from cmlfast.ops import fork, operators, reference
from cmlfast.ops.extension import has_cuda_kernels, has_extension, why_no_extension

P = ParamSpec("P")
T = TypeVar("T")


def choose(backend: str, device: str | torch.device) -> tuple[ModuleType, torch.device]:
    """Return the module with the operators, and the device.

    Parameters
    ----------
    backend : {"auto", "extension", "reference"}
        "auto" takes the extension where it is installed and has kernels for the device.
    device : str or torch.device
        "auto" takes CUDA where there is a GPU and the extension has CUDA kernels, else the CPU.

    Raises
    ------
    ValueError
        For an unknown backend or device.
    RuntimeError
        If the extension or its CUDA kernels were asked for and are missing; the message says why.
    """
    fork.tell_once()
    if backend not in ("auto", "extension", "reference"):
        raise ValueError(f"backend is {backend!r}; it must be 'auto', 'extension' or 'reference'")
    chosen = _device(device, backend)
    if backend == "reference":
        return reference, chosen
    if not has_extension():
        if backend == "extension":
            raise RuntimeError(f"backend is 'extension', but {why_no_extension()}")
        _warn_once()
        return reference, chosen
    if chosen.type == "cuda" and not has_cuda_kernels():
        raise RuntimeError(
            f"device is '{chosen}', but this build of cmlfast has no CUDA kernels: it was made without nvcc, or with "
            "CMLFAST_CUDA=0; install it again from its source where the CUDA toolkit is, with CMLFAST_CUDA=1, or take "
            "device='cpu', or backend='reference' for plain torch on the GPU"
        )
    if chosen.type not in ("cpu", "cuda"):
        raise ValueError(f"device is '{chosen}'; cmlfast has kernels for 'cpu' and 'cuda' only")
    return operators, chosen


def undisturbed(method: Callable[P, T]) -> Callable[P, T]:
    """Make a function that trains or answers the same under a caller's inference mode, ``no_grad`` or autocast."""

    @functools.wraps(method)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        with torch.inference_mode(False), torch.no_grad(), contextlib.ExitStack() as stack:
            for kind in ("cpu", "cuda"):
                if torch.is_autocast_enabled(kind):
                    stack.enter_context(torch.autocast(kind, enabled=False))
            return method(*args, **kwargs)

    return run


def _device(device: str | torch.device, backend: str) -> torch.device:
    if device == "auto":
        usable = torch.cuda.is_available() and has_cuda_kernels() and backend != "reference"
        return torch.device("cuda" if usable else "cpu")
    try:
        chosen = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise ValueError(f"device is {device!r}; it must be 'auto' or a torch device such as 'cpu'") from error
    if chosen.type == "cuda" and not torch.cuda.is_available():
        raise RuntimeError(f"device is '{chosen}', but torch finds no CUDA device; take device='cpu'")
    return chosen


@functools.cache
def _warn_once() -> None:
    warnings.warn(f"{why_no_extension()}. The plain torch reference runs instead, slower", stacklevel=5)
