"""What machine this is: ``python -m benchmarks.gpu.gpu_check.machine``; exit status 2 without a GPU, 3 without kernels.

A program of its own, so that it leaves nothing on the GPU and can be ended if a driver hangs.
"""

from __future__ import annotations

import os
import sys

import torch

from benchmarks.gpu.gpu_check.tools import find_tool, output
from benchmarks.kit.gpu import why_not
from cmlfast import build_info

NO_KERNELS = 3  # exit status where there is a GPU, and no extension for it

# These all exist in every nvidia-smi of the last years: it refuses a query with one unknown name as a whole.
SMI_FIELDS = [
    "driver_version",
    "pstate",
    "clocks.sm",
    "clocks.max.sm",
    "clocks.mem",
    "clocks.max.mem",
    "temperature.gpu",
    "power.limit",
]


def smi(uuid: str) -> str:
    """Return what nvidia-smi says of a GPU."""
    query = (f"--query-gpu={','.join(SMI_FIELDS)}", "--format=csv,noheader")
    lines = output("nvidia-smi", "-i", f"GPU-{uuid}", *query) or output("nvidia-smi", *query)
    values = lines.splitlines()[0].split(", ") if lines else []
    return ", ".join(f"{name} {value}" for name, value in zip(SMI_FIELDS, values, strict=False))


def describe() -> str:
    """List in Markdown what torch, nvidia-smi, the toolkit and the extension tell."""
    gpu = torch.cuda.get_device_properties(torch.cuda.current_device())
    compiler = output(find_tool("nvcc") or "nvcc", "--version").splitlines()
    facts = {
        "GPU": f"{gpu.name}, compute capability {gpu.major}.{gpu.minor} (of {torch.cuda.device_count()})",
        "memory, L2, multiprocessors": f"{gpu.total_memory / 2**30:.1f} GiB, "
        f"{getattr(gpu, 'L2_cache_size', 0) / 2**20:.0f} MiB, {gpu.multi_processor_count}",
        "driver and state at the start": smi(str(getattr(gpu, "uuid", ""))) or "unknown (no nvidia-smi)",
        "torch": f"{torch.__version__}, CUDA runtime {torch.version.cuda}",
        "toolkit": next((line.strip() for line in compiler if "release" in line), "no nvcc found"),
        "compute-sanitizer": find_tool("compute-sanitizer") or "not found",
        "cmlfast": ", ".join(f"{name} {value}" for name, value in build_info().items() if value != ""),
        "CPUs": str(os.cpu_count()),
    }
    return "\n".join(f"- {name}: {value}" for name, value in facts.items())


def main() -> int:
    reason = why_not()
    print(reason or describe())
    if not reason:
        return 0
    return NO_KERNELS if torch.cuda.is_available() else 2


if __name__ == "__main__":
    sys.exit(main())
