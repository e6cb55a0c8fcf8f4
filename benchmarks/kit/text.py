"""What the commands print: progress, Markdown tables, and what they ran on."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from cmlfast import build_info


def log(text: str) -> None:
    """Tell how far a command is, apart from its results."""
    print(text, file=sys.stderr, flush=True)


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> str:
    """Return a table in Markdown, whose first columns stand to the left and the others to the right."""
    rule = ["---"] * left + ["---:"] * (len(header) - left)
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, rule, *rows))


def mean_and_spread(values: npt.ArrayLike, sign: str = "") -> str:
    """Return mean ± standard deviation; of a single value no deviation."""
    column = np.asarray(values)
    spread = f" ± {column.std(ddof=1):.4f}" if len(column) > 1 else ""
    return f"{column.mean():{sign}.4f}{spread}"


def machine() -> str:
    """Say what this runs on: processor, threads, versions, instruction set."""
    cpu = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
        cpu = names[0].split(":", 1)[1].strip() if names else cpu
    info = build_info()
    kernels = f"kernels for {info['isa']}" if info["extension"] else "no kernels (plain torch)"
    return f"{cpu}, {torch.get_num_threads()} threads; torch {info['torch']}; cmlfast {info['version']}, {kernels}"
