"""A model of the CUDA training step: bytes, instructions, time floor. ``python -m benchmarks.cuda_model`` prints it.

Bytes are per pair of the batch and on three levels: ``least``, which any implementation of the algorithm moves;
``passed``, which the kernels' first cache passes on if it merges what one visit of a row or of a user's list repeats,
and nothing else; ``asked``, the sectors of every warp request times 32, which `benchmarks.cuda_model.traffic` counts.
docs/performance-cuda.md explains them.
"""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass, replace

from benchmarks.cuda_model import operations
from benchmarks.cuda_model.kernels import KERNELS, Traffic
from benchmarks.cuda_model.shape import SECTOR, Shape

CITEULIKE = Shape()
# Nothing fits a cache, no row is named twice.
LARGE = replace(CITEULIKE, n_users=1_000_000, n_items=1_000_000, distinct_users=0.9964, distinct_items=2 * 0.9964)


@dataclass(frozen=True)
class Gpu:
    """A GPU's published figures: bytes per second of its memory, bytes of its second-level cache, multiprocessors."""

    name: str
    bandwidth: float
    cache: float
    multiprocessors: int
    clock: float  # Hz, the highest
    float_lanes: int  # float operations per clock and multiprocessor


GPUS = (
    Gpu("H100 SXM", 3.35e12, 50e6, 132, 1.98e9, 128),
    Gpu("A100 80GB SXM", 2.039e12, 40e6, 108, 1.41e9, 64),
    Gpu("L4", 300e9, 48e6, 58, 2.04e9, 128),
    Gpu("RTX 4090", 1.008e12, 72e6, 128, 2.52e9, 128),
)


# --- the least


def least(shape: Shape, reread: bool = True) -> dict[str, float]:
    """Return the least bytes per pair, by purpose.

    Parameters
    ----------
    shape : Shape
        The batch.
    reread : bool
        With False, under the strictest definition: gradients never leave the chip, so that no row is read again for
        them and nothing is noted for sorting.
    """
    row = shape.row_bytes(shape.storage)
    distinct = shape.distinct_users + shape.distinct_items
    parts = {
        "rows of the pairs, read once a pair": (shape.n_negatives + 2) * row,
        "ids, row ends, searched positives": shape.id_bytes * (4 + shape.search_entries()),
        "loss and impostors": 8.0,
        "distinct rows, weights and accumulators read and written": distinct * 2 * (row + shape.row_bytes(4)),
    }
    if reread:
        parts["rows read again for gradients"] = 4 * shape.active * row
        # Hardest id and factor; the three places of an active pair's rows. All written and read once.
        parts["notes from scan to sums"] = shape.active * 2 * (4 + 4 + 3 * 4)
    return parts


def moved(shape: Shape) -> dict[str, Traffic]:
    """Return what each kernel of the step moves."""
    return {name: of(shape) for name, of in KERNELS.items()}


# --- for other programs


def bytes_per_pair(kernel_name: str, shape: Shape = CITEULIKE, level: str = "passed") -> float | None:
    """Return the bytes per pair that the step's kernel of a name moves, or None for one that the model does not know.

    Parameters
    ----------
    kernel_name : str
        As `benchmarks.cuda_model.names.short` writes it, such as
        ``sum_runs<Layout<float, true, true>, UserShares<~>, Update<~>>``. The layout's storage and
        alignment take the place of the shape's. A layout that the shape's r excludes (rows in several tiles, for
        r = 100) has no figure.
    shape : Shape
        By default 10,000 pairs, U = 20, r = 100 on citeulike-t.
    level : {"passed", "asked"}
        Which bytes; see the head of this file.
    """
    name = model_name(kernel_name)
    layout = re.search(r"Layout<(\w+), (\w+), (\w+)>", kernel_name)
    if name is None:
        return None
    if layout:
        vector, one_tile = (flag in ("true", "1") for flag in layout.group(2, 3))
        shape = replace(shape, storage=4 if layout[1] == "float" else 2, aligned=vector)
        if (shape.vector, shape.one_tile) != (vector, one_tile):
            return None
    traffic = KERNELS[name](shape)
    return traffic.asked if level == "asked" else traffic.passed


def model_name(kernel_name: str) -> str | None:
    """Return the name in `KERNELS` of a kernel of the step, or None for another kernel."""
    name = kernel_name.split("<")[0]
    if name in ("sum_runs", "finish_long_rows") and "Update" not in kernel_name:
        return None
    if name == "sum_runs":
        role = next((role for role in ("users", "items") if role.capitalize()[:-1] + "Shares" in kernel_name), "")
        name = f"{name}, {role}"
    return name if name in KERNELS else None


def floor_seconds(shape: Shape, bytes_per_second: float, reread: bool = True) -> float:
    """Return the least time of a step if memory moves so many bytes per second and nothing else takes time."""
    return shape.n_pairs * sum(least(shape, reread).values()) / bytes_per_second


# --- the tables


def table(header: str, rows: list[list[str]]) -> str:
    columns = header.split("|")
    lines = [columns, ["---", *["---:"] * (len(columns) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def least_table(shape: Shape) -> str:
    strict = least(shape, reread=False)
    rows = [
        [name, f"{size:,.0f}", f"{strict[name]:,.0f}" if name in strict else ""] for name, size in least(shape).items()
    ]
    return table("least bytes per pair|the algorithm's|strictest", [*rows, sums(shape)])


def sums(shape: Shape) -> list[str]:
    return ["sum", *(f"{sum(least(shape, reread).values()):,.0f}" for reread in (True, False))]


def moved_table(shape: Shape) -> str:
    all_moved = moved(shape)
    rows = [[name, f"{each.passed:,.0f}", f"{each.asked:,.0f}"] for name, each in all_moved.items()]
    totals = [sum(each.passed for each in all_moved.values()), sum(each.asked for each in all_moved.values())]
    rows.append(["sum", *(f"{total:,.0f}" for total in totals)])
    for name, reread in (("times the algorithm's least", True), ("times the strictest least", False)):
        rows.append([name, *(f"{total / sum(least(shape, reread).values()):.2f}" for total in totals)])
    return table("bytes per pair|passed on|asked for", rows)


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
    header = "r|a row's bytes / 32|sectors touched|asked for|useful of 16|passed on, bytes a pair|times least|strictest"
    return table(header, lines)


def floors_table() -> str:
    lines = []
    for gpu in GPUS:
        large, small, strict = (
            floor_seconds(LARGE, gpu.bandwidth),
            floor_seconds(CITEULIKE, gpu.bandwidth),
            floor_seconds(CITEULIKE, gpu.bandwidth, reread=False),
        )
        limit = operations.pairs_per_second(CITEULIKE, gpu.multiprocessors, gpu.clock, gpu.float_lanes)
        figures = [f"{1e6 * large:.0f}", *(f"{CITEULIKE.n_pairs / t / 1e6:,.0f}" for t in (large, small, strict))]
        lines.append([gpu.name, f"{gpu.bandwidth / 1e9:,.0f}", *figures, f"{limit / 1e6:,.0f}"])
    header = "GPU|GB/s|large: us a step|million pairs/s|citeulike-t, uncached|strictest|instructions alone"
    return table(header, lines)


def main() -> None:
    argparse.ArgumentParser(
        prog="python -m benchmarks.cuda_model", description=(__doc__ or "").split("\n")[0]
    ).parse_args()
    print(CITEULIKE, least_table(CITEULIKE), moved_table(CITEULIKE), shapes_table(), sep="\n\n")
    print()
    print(floors_table(), operations.operations_table(CITEULIKE), sep="\n\n")
