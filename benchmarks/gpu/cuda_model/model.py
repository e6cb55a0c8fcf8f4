"""A model of the CUDA training step: bytes and time floor. ``python -m benchmarks.gpu.cuda_model`` prints it.

Bytes are per pair of the batch and on three levels: ``least``, which any implementation of the algorithm moves;
``passed``, which the kernels' first cache passes on if it merges what one visit of a row or of a user's list repeats,
and nothing else; ``asked``, the sectors of every warp request times 32, which `benchmarks.gpu.cuda_model.traffic`
counts. docs/performance-cuda.md explains them.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

from benchmarks.gpu.cuda_model.kernels import KERNELS, Traffic
from benchmarks.kit.floor import BANDWIDTH, CITEULIKE, LARGE, least, least_bytes
from benchmarks.kit.shape import SECTOR, Shape
from benchmarks.kit.text import markdown


def moved(shape: Shape) -> dict[str, Traffic]:
    """Return what each kernel of the step moves."""
    return {name: of(shape) for name, of in KERNELS.items()}


def model_name(kernel_name: str) -> str | None:
    """Return the name in `KERNELS` of a kernel of the step, or None for another kernel."""
    name = kernel_name.split("<")[0]
    if name in ("sum_runs", "finish_long_rows") and "Update" not in kernel_name:
        return None
    if name == "sum_runs":
        role = next((role for role in ("users", "items") if role.capitalize()[:-1] + "Shares" in kernel_name), "")
        name = f"{name}, {role}"
    return name if name in KERNELS else None


def least_table(shape: Shape) -> str:
    strict = least(shape, reread=False)
    rows = [
        [name, f"{size:,.0f}", f"{strict[name]:,.0f}" if name in strict else ""] for name, size in least(shape).items()
    ]
    return markdown(["least bytes per pair", "the algorithm's", "strictest"], [*rows, sums(shape)])


def sums(shape: Shape) -> list[str]:
    return ["sum", *(f"{sum(least(shape, reread).values()):,.0f}" for reread in (True, False))]


def moved_table(shape: Shape) -> str:
    all_moved = moved(shape)
    rows = [[name, f"{each.passed:,.0f}", f"{each.asked:,.0f}"] for name, each in all_moved.items()]
    totals = [sum(each.passed for each in all_moved.values()), sum(each.asked for each in all_moved.values())]
    rows.append(["sum", *(f"{total:,.0f}" for total in totals)])
    for name, reread in (("times the algorithm's least", True), ("times the strictest least", False)):
        rows.append([name, *(f"{total / sum(least(shape, reread).values()):.2f}" for total in totals)])
    return markdown(["bytes per pair", "passed on", "asked for"], rows)


def shapes_table() -> str:
    lines = []
    for bits, sizes in ((32, (32, 33, 64, 96, 100, 104, 128, 256)), (16, (64, 96, 100, 104, 112, 128))):
        for r in sizes:
            shape = replace(CITEULIKE, r=r, storage=bits // 8)
            size = shape.storage
            row = [shape.row_bytes(size) / SECTOR, shape.touched(size), shape.asked(size)]
            useful = 16 * row[0] / row[2]
            at_least, strictest = (sum(least(shape, reread).values()) for reread in (True, False))
            passed = sum(each.passed for each in moved(shape).values())
            figures = [f"{passed:,.0f}", f"{passed / at_least:.2f}", f"{passed / strictest:.2f}"]
            lines.append([f"{r}, {bits} bits", *(f"{each:.2f}" for each in [*row, useful]), *figures])
    of_row = ["r", "a row's bytes / 32", "sectors touched", "asked for", "useful of 16"]
    return markdown([*of_row, "passed on, bytes a pair", "times least", "strictest"], lines)


def floors_table() -> str:
    rows = []
    for gpu, bandwidth in BANDWIDTH.items():
        seconds = [least_bytes(*of) / bandwidth for of in ((LARGE,), (CITEULIKE,), (CITEULIKE, False))]
        figures = [f"{CITEULIKE.n_pairs / each / 1e6:,.0f}" for each in seconds]
        rows.append([gpu, f"{bandwidth / 1e9:,.0f}", f"{1e6 * seconds[0]:.0f}", *figures])
    header = ["GPU", "GB/s", "large: us a step", "million pairs/s", "citeulike-t, uncached", "strictest"]
    return markdown(header, rows)


def main() -> int:
    """Run the command."""
    argparse.ArgumentParser(
        prog="python -m benchmarks.gpu.cuda_model", description=(__doc__ or "").split("\n")[0]
    ).parse_args()
    tables = least_table(CITEULIKE), moved_table(CITEULIKE), shapes_table(), floors_table()
    print(CITEULIKE, *tables, sep="\n\n")
    return 0
