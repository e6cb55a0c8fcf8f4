"""Other programs: where they are, and what they print."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path


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
