"""The table and the list of problems that ``benchmarks.gpu.cuda_check`` prints."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby

from benchmarks.gpu.cuda_check.verdict import Kernel, problems

NAME_WIDTH = 80


def widths(counts: Counter[int]) -> str:
    """Show counts by width, widest first: ``4/0/1/0``."""
    bins = [(128, 1 << 10), (64, 128), (32, 64), (0, 32)]
    return "/".join(str(sum(n for bits, n in counts.items() if low <= bits < high)) for low, high in bins)


def percent(kernel: Kernel) -> str:
    return f"{kernel.occupancy.warps:.0%}" if kernel.occupancy else "?"


COLUMNS: dict[str, Callable[[Kernel], object]] = {
    "kernel": lambda k: k.name if len(k.name) <= NAME_WIDTH else k.name[: NAME_WIDTH - 3] + "...",
    "arch": lambda k: k.arch,
    "regs": lambda k: k.resources.registers,
    "shared": lambda k: k.shared,
    "occ.": percent,
    "loads 128/64/32/<32": lambda k: widths(k.counts.loads),
    "in loops": lambda k: widths(k.counts.loop_loads),
    "in flight": lambda k: k.counts.in_flight,
    "stores": lambda k: widths(k.counts.stores),
    "local": lambda k: k.counts.local,
    "shfl": lambda k: k.counts.shuffles,
    "div": lambda k: k.arithmetic.divisions,
}


def row(kernel: Kernel) -> tuple[str, ...]:
    """Return the cells of one kernel on one architecture."""
    return tuple(str(cell(kernel)) for cell in COLUMNS.values())


def by_kernel(kernels: Iterable[Kernel]) -> list[list[Kernel]]:
    """Group the builds of each kernel for all architectures, and those of a kernel that stands in several sources."""
    ordered = sorted(kernels, key=lambda k: (k.name, k.arch))
    return [list(builds) for _, builds in groupby(ordered, lambda k: k.name)]


def badness(kernel: Kernel) -> tuple[int, float, int, int]:
    """Order builds of one kernel: more problems, then lower occupancy, local memory and registers."""
    share = kernel.occupancy.warps if kernel.occupancy else 0.0
    return len(problems(kernel)), -share, kernel.counts.local, kernel.resources.registers


def by_figure(figures: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the architectures, "80 90", that have each figure, of pairs (architecture, figure)."""
    found: dict[str, dict[str, None]] = {}
    for arch, figure in figures:
        found.setdefault(figure, {})[arch] = None
    return {figure: " ".join(archs) for figure, archs in found.items()}


def align(rows: Sequence[Sequence[str]]) -> str:
    """Lay out rows in columns: `COLUMNS` but the first to the right, as numbers are; the others to the left."""
    size = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if 0 < at < len(COLUMNS) else cell.ljust(width)
            for at, (cell, width) in enumerate(zip(cells, size, strict=True))
        ).rstrip()
        for cells in rows
    )


def full_table(kernels: Iterable[Kernel]) -> str:
    """Return a line for each kernel on each architecture."""
    own = by_kernel(kernel for kernel in kernels if not kernel.library)
    return align([tuple(COLUMNS), *dict.fromkeys(row(kernel) for builds in own for kernel in builds)])


def short_table(kernels: Iterable[Kernel]) -> str:
    """Return a line for each kernel, on its worst architecture, with how the others differ in registers, occupancy."""
    rows = [(*COLUMNS, "elsewhere: regs occ.")]
    for builds in by_kernel(kernel for kernel in kernels if not kernel.library):
        worst = max(builds, key=badness)
        figures = [(str(build.arch), f"{build.resources.registers} {percent(build)}") for build in builds]
        own = f"{worst.resources.registers} {percent(worst)}"
        others = by_figure(each for each in figures if each[1] != own)
        rows.append((*row(worst), ", ".join(f"{archs}: {figure}" for figure, archs in others.items())))
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
        found = by_figure((f"sm_{kernel.arch}", problem) for kernel in builds for problem in problems(kernel))
        lines += [f"{builds[0].name}, {archs}: {problem}" for problem, archs in found.items()]
    return lines
