"""What machine this is, and whether a GPU can be checked: ``python -m benchmarks.gpu_check.look`` prints it as JSON."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import torch

from cmlfast import build_info

Facts = dict[str, Any]

# These all exist in every nvidia-smi of the last years: it refuses a query with one unknown name as a whole.
SMI_FIELDS = (
    "driver_version",
    "pstate",
    "clocks.sm",
    "clocks.max.sm",
    "clocks.mem",
    "clocks.max.mem",
    "temperature.gpu",
    "power.limit",
)
REBUILD = "rm -f .venv/package; {} make gpu-check"
NO_GPU = "`make test` runs all that needs no GPU"


def output(*command: str) -> str:
    """Return what a command prints, "" if it is not there or fails."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


def find_tool(name: str) -> str | None:
    """Return the path of a program of the CUDA toolkit: on PATH, or in CUDA_HOME, CUDA_PATH or the usual folder."""
    for home in (os.environ.get("CUDA_HOME"), os.environ.get("CUDA_PATH"), "/usr/local/cuda"):
        for place in ("bin", name):  # the toolkit's own folder of compute-sanitizer has its name
            if home and (Path(home) / place / name).is_file():
                return str(Path(home) / place / name)
    return shutil.which(name)


def serves(architectures: str, capability: tuple[int, int]) -> bool:
    """Tell whether kernels compiled for some architectures, "80 90", run on a GPU.

    Machine code serves its own generation, from its own capability on; the last one's PTX serves whatever is newer.
    """
    compiled = [int(each) for each in architectures.split()]
    own = 10 * capability[0] + capability[1]
    same = any(each // 10 == capability[0] and each <= own for each in compiled)
    return same or bool(compiled and compiled[-1] <= own)


def smi(uuid: str) -> Facts:
    """Return what nvidia-smi says of a GPU, {} without it."""
    query = (f"--query-gpu={','.join(SMI_FIELDS)}", "--format=csv,noheader")
    lines = output("nvidia-smi", "-i", f"GPU-{uuid}", *query) if uuid else ""
    lines = lines or output("nvidia-smi", *query)
    values = [value.strip() for value in lines.splitlines()[0].split(",")] if lines else []
    return dict(zip(SMI_FIELDS, values, strict=False))


def toolkit() -> str:
    """Return the release of nvcc, or ""."""
    shown = output(find_tool("nvcc") or "nvcc", "--version")
    return next((line.strip() for line in shown.splitlines() if "release" in line), "")


def look() -> Facts:
    """Gather what torch, nvidia-smi and the extension tell."""
    facts: Facts = {
        "torch": torch.__version__,
        "torch_cuda": torch.version.cuda,
        "toolkit": toolkit(),
        "compute_sanitizer": find_tool("compute-sanitizer"),
        "build": build_info(),
        "cpus": os.cpu_count(),
        "gpu": None,
    }
    if torch.cuda.is_available():
        gpu = torch.cuda.get_device_properties(torch.cuda.current_device())
        facts["gpu"] = {
            "name": gpu.name,
            "capability": (gpu.major, gpu.minor),
            "memory": gpu.total_memory,
            "l2": getattr(gpu, "L2_cache_size", 0),
            "multiprocessors": gpu.multi_processor_count,
            "count": torch.cuda.device_count(),
            "smi": smi(str(getattr(gpu, "uuid", ""))),
        }
    return facts


def problem(facts: Facts) -> str:
    """Say in a sentence why the checks cannot run, and what to type; "" if they can."""
    gpu, build = facts["gpu"], facts["build"]
    if gpu is None:
        if not facts["torch_cuda"]:
            return (
                f"torch {facts['torch']} is a build without CUDA and finds no GPU; install a CUDA build of it into "
                f".venv (pytorch.org/get-started/locally has the command); without a GPU, {NO_GPU}."
            )
        return (
            f"torch {facts['torch']} finds no GPU; `nvidia-smi` tells whether the driver does; without one, {NO_GPU}."
        )
    if not build["extension"]:
        return f"The extension is missing: {build['reason']}."
    if not build["cuda_kernels"]:
        return (
            "The extension was built without CUDA kernels; install the CUDA toolkit (nvcc), then type "
            f"`{REBUILD.format('CMLFAST_CUDA=1')}`."
        )
    major, minor = gpu["capability"]
    if not serves(build["cuda_architectures"], (major, minor)):
        return (
            f"The extension has kernels for {build['cuda_architectures']}, none of which runs on {gpu['name']} "
            f"({major}{minor}); type `{REBUILD.format(f'CMLFAST_CUDA_ARCHITECTURES={major}{minor}')}`."
        )
    return ""


def markdown(facts: Facts) -> str:
    """List the facts."""
    gpu, build = facts["gpu"], facts["build"]
    state = gpu["smi"]
    lines = {
        "GPU": f"{gpu['name']}, compute capability {'.'.join(map(str, gpu['capability']))}"
        + (f" (the first of {gpu['count']})" if gpu["count"] > 1 else ""),
        "memory, L2, multiprocessors": f"{gpu['memory'] / 2**30:.1f} GiB, {gpu['l2'] / 2**20:.0f} MiB, "
        f"{gpu['multiprocessors']}",
        "driver": state.get("driver_version", "unknown (no nvidia-smi)"),
        "state at the start": ", ".join(f"{name} {value}" for name, value in state.items() if name != "driver_version")
        or "unknown (no nvidia-smi)",
        "torch": f"{facts['torch']}, CUDA runtime {facts['torch_cuda']}",
        "toolkit": facts["toolkit"] or "no nvcc found",
        "compute-sanitizer": facts["compute_sanitizer"] or "not found",
        "cmlfast": ", ".join(f"{name} {value}" for name, value in build.items() if value != ""),
        "CPUs": str(facts["cpus"]),
    }
    return "\n".join(f"- {name}: {value}" for name, value in lines.items())


if __name__ == "__main__":
    print(json.dumps(look()))
