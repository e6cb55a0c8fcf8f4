"""Builds the extension ``cmlfast._C`` ahead of time, or nothing at all with ``CMLFAST_NO_EXTENSION=1``.

The extension uses torch's stable ABI and Python's limited API: one binary serves every torch from 2.10 on and every
CPython from 3.10 on.
"""

import os
import sys
from pathlib import Path

from setuptools import setup

PYTHON_ABI = "0x030A0000"  # CPython 3.10
TORCH_ABI = "0x020A000000000000"  # torch 2.10

if os.environ.get("CMLFAST_NO_EXTENSION", "0") not in ("", "0"):
    setup()
else:
    from torch.utils.cpp_extension import BuildExtension, CppExtension

    extension = CppExtension(
        "cmlfast._C",
        sorted(str(path) for path in Path("csrc").rglob("*.cpp")),
        depends=sorted(str(path) for path in Path("csrc").rglob("*") if path.suffix in (".h", ".inl")),
        define_macros=[("Py_LIMITED_API", PYTHON_ABI), ("TORCH_TARGET_VERSION", TORCH_ABI)],
        py_limited_api=True,
        extra_compile_args=[
            "-O3",
            "-std=c++17",
            "-fvisibility=hidden",
            # Every backend rounds each operation on its own, so no fused multiply-add.
            "-ffp-contract=off",
            # Lets sqrtf be one instruction; changes no value.
            "-fno-math-errno",
            "-fno-trapping-math",
            "-Wall",
            "-Wno-unused-function",
            "-Wno-uninitialized",  # GCC warns of its own AVX-512 header
            "-Wno-maybe-uninitialized",
        ],
        extra_link_args=["-Wl,-s"] if sys.platform == "linux" else [],
    )
    setup(
        ext_modules=[extension],
        cmdclass={"build_ext": BuildExtension},
        options={"bdist_wheel": {"py_limited_api": "cp310"}},
    )
