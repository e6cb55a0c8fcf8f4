"""What machine this is: ``python -m benchmarks.gpu.gpu_check.machine``, exit status 2 where no GPU can be checked.

A program of its own, so that it leaves nothing on the GPU and can be ended if a driver hangs.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import torch

from benchmarks.kit.gpu import why_not
from cmlfast import build_info

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


def output(*command: str) -> str:
    """Return what a command prints, "" if it is not there or fails."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def find_tool(name: str) -> str | None:
    """Return the path of a program of the CUDA toolkit: in CUDA_HOME, CUDA_PATH or the usual folder, or on PATH."""
    for home in (os.environ.get("CUDA_HOME"), os.environ.get("CUDA_PATH"), "/usr/local/cuda"):
        for place in ("bin", name):  # the toolkit's own folder of compute-sanitizer has its name
            if home and (Path(home) / place / name).is_file():
                return str(Path(home) / place / name)
    return shutil.which(name)


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
    return 2 if reason else 0


if __name__ == "__main__":
    sys.exit(main())
