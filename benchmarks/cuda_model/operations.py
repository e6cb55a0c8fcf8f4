"""How many instructions a pair takes, by formula, and what a GPU can issue. Without a GPU these are estimates.

A warp works on four pairs, so that a warp's instruction is a quarter of one per pair.
"""

from __future__ import annotations

import math

from benchmarks.cuda_model.shape import LANES, THREADS, Shape

PAIRS_OF_WARP = 4
PHILOX = 10 * (2 * 2 + 2 + 2) + 8  # ten rounds: two wide products, two three-way xors, two key sums; the pick of a word
SEARCH_STEP = 12  # address, load, compare, two selects, the 64-bit halving
SEE = 10  # hinge, comparisons, selects and the count for one negative
SHUFFLES_OF_FOUR = 4 * 4 + 4 + 4  # fold4: 4 float4 exchanges and 4 answers; the 4 rows' ids
SUMS_OF_FOUR = 4 * 4 + 3 + 8 * 4  # fold4's additions and selects
ADDRESS = 4  # of a row


def per_pair(shape: Shape) -> dict[str, float]:
    """Return warp instructions per pair, by kind: those of the scan and, in the last, of the updates."""
    slots = shape.n_negatives + 1
    fours = math.ceil(slots / 4)
    chunks = math.ceil(shape.r / LANES)
    loads_of_chunk = 1 if shape.vector else 4
    steps = sum(bits * share for bits, share in enumerate(shape.steps))
    of_warp = {
        "float operations of distances (subtract, multiply, add: no fusing)": slots * chunks * 4 * 3,
        "loads and addresses of rows": slots * (chunks * loads_of_chunk + ADDRESS),
        "shuffles": fours * SHUFFLES_OF_FOUR,
        "folds": fours * SUMS_OF_FOUR,
        "Philox": len(shape.rounds) * PHILOX,
        "search": len(shape.rounds) * steps * SEARCH_STEP,
        "hinges, impostors, nearest": shape.n_negatives * SEE,
    }
    # Of a row of an update: a load, subtract, multiply and add per number; 14 more for AdaGrad's root and division.
    rows = 4 * shape.active * chunks * (loads_of_chunk + 12)
    rows += (shape.distinct_users + shape.distinct_items) * chunks * (4 * 30 + 8)
    return {**{kind: count / PAIRS_OF_WARP for kind, count in of_warp.items()}, "updates": rows / PAIRS_OF_WARP}


def useful_operations(shape: Shape) -> dict[str, float]:
    """Return what the algorithm itself asks for: float operations of distances, words drawn, entries searched."""
    steps = sum(bits * share for bits, share in enumerate(shape.steps))
    return {
        "float operations of distances": 3.0 * shape.r * (shape.n_negatives + 1),
        "float operations of gradients and updates": shape.r
        * (3 * 3 * shape.active + 12 * (shape.distinct_users + shape.distinct_items)),
        "integer operations of Philox": math.ceil(shape.n_negatives / 4) * PHILOX,
        "steps of searches": shape.n_negatives * steps,
        "shuffles, by thread": THREADS * SHUFFLES_OF_FOUR * math.ceil((shape.n_negatives + 1) / 4),
    }


def pairs_per_second(shape: Shape, multiprocessors: int, clock: float, float_lanes: int) -> float:
    """Return the pairs per second that issue allows: four instructions a clock, floats by width, one shuffle."""
    counts = per_pair(shape)
    floats = counts["float operations of distances (subtract, multiply, add: no fusing)"] + counts["folds"]
    clocks = max(sum(counts.values()) / 4, floats / (float_lanes / 32), counts["shuffles"])
    return multiprocessors * clock / clocks


def operations_table(shape: Shape) -> str:
    lines = ["| warp instructions per pair | |", "|---|---:|"]
    counts = per_pair(shape)
    lines += [f"| {kind} | {count:.0f} |" for kind, count in counts.items()]
    return "\n".join([*lines, f"| sum | {sum(counts.values()):.0f} |"])
