"""Finds the compiled extension, whose import registers ``torch.ops.cmlfast.*``, and tells what is inside."""

from __future__ import annotations

import platform
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

_missing: str | None = None
try:
    import_module("cmlfast._C")
except ModuleNotFoundError as error:
    if error.name != "cmlfast._C":
        raise
    _source = Path(__file__).resolve().parents[2]
    _missing = (
        f"Python imports cmlfast from the source tree {_source}, where its extension has not been built; run Python in "
        "another folder, or build it there: pip install --no-build-isolation -e ."
        if (_source / "setup.py").exists()
        else "cmlfast was installed without its compiled extension (CMLFAST_NO_EXTENSION=1, or no compiler); install "
        "it again from its source with a C++ compiler: pip install --no-build-isolation --force-reinstall --no-deps ."
    )
except ImportError as error:  # built for another machine or an older torch
    _missing = f"cmlfast's compiled extension does not load: {error}"


def has_extension() -> bool:
    """Whether the compiled kernels are there."""
    return _missing is None


def has_cuda_kernels() -> bool:
    """Whether the extension holds CUDA kernels."""
    return has_extension() and torch._C._dispatch_has_kernel_for_dispatch_key("cmlfast::cml_step_", "CUDA")


def why_no_extension() -> str:
    """Return the reason for which the kernels are missing, and the remedy."""
    return _missing or ""


def build_info() -> dict[str, str | bool]:
    """Tell what this installation can run.

    Returns
    -------
    dict
        ``version``, ``torch``, ``python``, ``machine``, ``extension`` (bool), ``reason`` (why there is none, or ""),
        ``isa`` (the CPU instruction set in use: ``baseline``, ``avx2`` or ``avx512``; "" without the extension),
        ``cuda_kernels`` (bool) and ``cuda_architectures`` (those with compiled kernels, as in "80 90"; later ones
        compile the last one's PTX when a kernel is first used).
    """
    try:
        own_version = version("cmlfast")
    except PackageNotFoundError:  # run from a source tree that was never installed
        own_version = "unknown"
    compiled = import_module("cmlfast._C") if has_extension() else None
    return {
        "version": own_version,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "extension": has_extension(),
        "reason": why_no_extension(),
        "isa": compiled.cpu_isa() if compiled else "",
        "cuda_kernels": has_cuda_kernels(),
        "cuda_architectures": compiled.cuda_architectures() if compiled else "",
    }


class _Missing:
    """Stands where the operators would, and says at the first use why they are not there."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(f"{why_no_extension()}. cmlfast.reference.{name} computes the same in plain torch")


def kernels() -> Any:
    """Return the namespace ``torch.ops.cmlfast``, or what explains its absence."""
    return torch.ops.cmlfast if has_extension() else _Missing()
