"""The table and the list of problems that ``benchmarks.gpu.cuda_check`` prints."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby

from benchmarks.gpu.cuda_check.budget import Kernel, problems
from benchmarks.gpu.cuda_model.model import bytes_per_pair

HEADER = (
    "kernel",
    "arch",
    "regs",
    "shared",
    "occ.",
    "loads 128/64/32/<32",
    "in loops",
    "in flight",
    "stores",
    "local",
    "shfl",
    "fused",
    "bytes/pair",
)
NAME_WIDTH = 80


def widths(counts: Counter[int]) -> str:
    """Show counts by width, widest first: ``4/0/1/0``."""
    bins = [(128, 1 << 10), (64, 128), (32, 64), (0, 32)]
    return "/".join(str(sum(n for bits, n in counts.items() if low <= bits < high)) for low, high in bins)


def percent(kernel: Kernel) -> str:
    return f"{kernel.occupancy.warps:.0%}" if kernel.occupancy else "?"


def row(kernel: Kernel) -> list[str]:
    """Return the cells of one kernel on one architecture."""
    counts, planned = kernel.counts, bytes_per_pair(kernel.name)
    name = kernel.name if len(kernel.name) <= NAME_WIDTH else kernel.name[: NAME_WIDTH - 3] + "..."
    return [
        name,
        str(kernel.arch),
        str(kernel.resources.registers),
        str(kernel.shared),
        percent(kernel),
        widths(counts.loads),
        widths(counts.loop_loads),
        str(counts.in_flight),
        widths(counts.stores),
        str(counts.local),
        str(counts.shuffles),
        str(counts.fused),
        "" if planned is None else f"{planned:,.0f}",
    ]


def by_kernel(kernels: Iterable[Kernel]) -> list[list[Kernel]]:
    """Group the builds of each kernel for all architectures, and those of a kernel that stands in several sources."""
    ordered = sorted(kernels, key=lambda k: (k.name, k.arch))
    return [list(builds) for _, builds in groupby(ordered, lambda k: k.name)]


def badness(kernel: Kernel) -> tuple[int, float, int, int]:
    """Order builds of one kernel: more problems, then lower occupancy, local memory and registers."""
    share = kernel.occupancy.warps if kernel.occupancy else 0.0
    return len(problems(kernel)), -share, kernel.counts.local, kernel.resources.registers


def others(worst: Kernel, builds: Sequence[Kernel]) -> str:
    """Say on which architectures registers or occupancy differ from the worst one's: ``80 90: 38 100%``."""
    differing: dict[str, list[str]] = {}
    for build in builds:
        figures = f"{build.resources.registers} {percent(build)}"
        if figures != f"{worst.resources.registers} {percent(worst)}":
            differing.setdefault(figures, []).append(str(build.arch))
    return ", ".join(f"{' '.join(dict.fromkeys(archs))}: {figures}" for figures, archs in differing.items())


def align(rows: Sequence[Sequence[str]]) -> str:
    """Lay out rows in columns; numbers, which are all but the first and last column, to the right."""
    width = [max(map(len, column)) for column in zip(*rows, strict=True)]
    last = len(width) - 1
    return "\n".join(
        "  ".join(
            cell.ljust(size) if column in (0, last) else cell.rjust(size)
            for column, (cell, size) in enumerate(zip(cells, width, strict=True))
        ).rstrip()
        for cells in rows
    )


def full_table(kernels: Iterable[Kernel]) -> str:
    """Return a line for each kernel on each architecture."""
    own = [kernel for kernel in kernels if not kernel.library]
    rows = [tuple(row(kernel)) for builds in by_kernel(own) for kernel in builds]
    return align([HEADER, *dict.fromkeys(rows)])


def short_table(kernels: Iterable[Kernel]) -> str:
    """Return a line for each kernel, on its worst architecture, with how the others differ."""
    rows = [[*HEADER, "elsewhere: regs occ."]]
    for builds in by_kernel(kernel for kernel in kernels if not kernel.library):
        worst = max(builds, key=badness)
        rows.append([*row(worst), others(worst, builds)])
    return align(rows)


def library_lines(kernels: Iterable[Kernel]) -> list[str]:
    """Summarise the kernels of each library, which no plan covers, in a line."""
    lines = []
    found = sorted((kernel for kernel in kernels if kernel.library), key=lambda k: str(k.library))
    for name, members in groupby(found, lambda k: k.library):
        group = list(members)
        spilling = {k.name for k in group if k.resources.spill_stores or k.resources.spill_loads}
        lines.append(
            f"{name}: {len({k.name for k in group})} kernels, not planned here; up to "
            f"{max(k.resources.registers for k in group)} registers, "
            f"{max(k.resources.shared for k in group)} bytes of shared memory, {len(spilling)} that spill"
        )
    return lines


def problem_lines(kernels: Iterable[Kernel]) -> list[str]:
    """Return a line for each problem of a kernel, with all architectures that have the same one."""
    lines = []
    for builds in by_kernel(kernels):
        archs: dict[str, list[str]] = {}
        for kernel in builds:
            for problem in problems(kernel):
                archs.setdefault(problem, []).append(f"sm_{kernel.arch}")
        lines += [f"{builds[0].name}, {' '.join(dict.fromkeys(on))}: {problem}" for problem, on in archs.items()]
    return lines
