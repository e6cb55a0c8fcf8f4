"""Whether the CUDA kernels can run here, and what to type if they cannot."""

from __future__ import annotations

import torch

from cmlfast import build_info

REBUILD = "rm -f .venv/package; {} make gpu-check"
NO_GPU = "`make test` runs all that needs no GPU"


def serves(architectures: str, capability: tuple[int, int]) -> bool:
    """Tell whether kernels compiled for some architectures, "80 90", run on a GPU.

    Machine code serves its own generation, from its own capability on; the last one's PTX serves whatever is newer.
    """
    compiled = [int(each) for each in architectures.split()]
    own = 10 * capability[0] + capability[1]
    same = any(each // 10 == capability[0] and each <= own for each in compiled)
    return same or bool(compiled and compiled[-1] <= own)


def why_not() -> str:
    """Say in a sentence why the kernels cannot run on a GPU here, and what to type; "" if they can."""
    build = build_info()
    if not torch.cuda.is_available():
        if not torch.version.cuda:
            return (
                f"torch {torch.__version__} is a build without CUDA and finds no GPU; install a CUDA build of it into "
                f".venv (pytorch.org/get-started/locally has the command); without a GPU, {NO_GPU}."
            )
        return (
            f"torch {torch.__version__} finds no GPU; `nvidia-smi` tells whether the driver does; without one, "
            f"{NO_GPU}."
        )
    if not build["extension"]:
        return f"The extension is missing: {build['reason']}."
    if not build["cuda_kernels"]:
        return (
            "The extension was built without CUDA kernels; install the CUDA toolkit (nvcc), then type "
            f"`{REBUILD.format('CMLFAST_CUDA=1')}`."
        )
    major, minor = torch.cuda.get_device_capability()
    if not serves(str(build["cuda_architectures"]), (major, minor)):
        return (
            f"The extension has kernels for {build['cuda_architectures']}, none of which runs on "
            f"{torch.cuda.get_device_name()} ({major}{minor}); type "
            f"`{REBUILD.format(f'CMLFAST_CUDA_ARCHITECTURES={major}{minor}')}`."
        )
    return ""
