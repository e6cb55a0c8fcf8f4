"""Counts what each kernel of a training step moves, in the emulator: ``python -m benchmarks.gpu.cuda_model.traffic``.

One step on a batch of `benchmarks.kit.case`, by the very source of the CUDA kernels on the CPU, beside what
`benchmarks.gpu.cuda_model` predicts. Needs the emulator of tests/simt: Linux, g++, ninja, a minute or two to build.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType

import torch

from benchmarks.gpu.cuda_model.kernels import KERNELS
from benchmarks.gpu.cuda_model.model import model_name, moved
from benchmarks.gpu.names import short
from benchmarks.kit.case import EPS, LR, MARGIN, MAX_NORM, N_COMPONENTS, N_NEGATIVES, SEED, Case, make_case
from benchmarks.kit.floor import shape_of
from benchmarks.kit.shape import SECTOR, Shape
from benchmarks.kit.text import markdown


class UnavailableError(RuntimeError):
    """The emulator cannot run here."""


@dataclass(frozen=True)
class Counted:
    """What the emulator counted of one of the model's kernels, per pair."""

    asked: float = 0.0  # bytes: the sectors of every request, times 32
    distinct: float = 0.0  # bytes: the sectors that a launch touches at all, times 32
    wide_sectors: float = 0.0  # of requests of 16 bytes for each lane
    wide_bytes: float = 0.0

    def __add__(self, other: Counted) -> Counted:
        return Counted(
            self.asked + other.asked,
            self.distinct + other.distinct,
            self.wide_sectors + other.wide_sectors,
            self.wide_bytes + other.wide_bytes,
        )

    @property
    def useful(self) -> float:
        """How many of 16 sectors that wide requests ask for are useful; not a number without such requests."""
        return 16 * self.wide_bytes / (SECTOR * self.wide_sectors) if self.wide_sectors else float("nan")


def load_counter() -> ModuleType:
    """Build and load the emulator, counting; it registers torch.ops.cmlfast_emulated, once in a process."""
    sys.path.insert(0, str(Path(__file__).parents[3] / "tests"))  # the emulator lives there, in no package
    try:
        build = importlib.import_module("simt.build")
    except ImportError as error:
        raise UnavailableError(f"tests/simt cannot be imported: {error}") from error
    if build.why_not():
        raise UnavailableError(build.why_not())
    counter: ModuleType = build.load("race")
    counter.set_race_checking(False)
    counter.set_traffic_counting(True)
    return counter


def count_step(counter: ModuleType, case: Case, n_negatives: int = N_NEGATIVES) -> tuple[Shape, dict[str, Counted]]:
    """Run one step on a case in place, by the module of `load_counter`; return its shape and what each kernel moved."""
    shape = shape_of(case, n_negatives)
    counter.clear_traffic()
    numbers = n_negatives, MARGIN, LR, EPS, MAX_NORM, True, SEED, 0, False
    torch.ops.cmlfast_emulated.cml_step_(*case.tables.all(), *case.sampling, *numbers)
    counted = dict.fromkeys(KERNELS, Counted())
    for launch in counter.traffic():
        loads, stores, wide = launch["loads"], launch["stores"], [launch["loads_16"], launch["stores_16"]]
        name = model_name(short(launch["kernel"]))
        assert name is not None, launch["kernel"]
        counted[name] += Counted(
            SECTOR * (loads["sectors"] + stores["sectors"]) / shape.n_pairs,
            SECTOR * (loads["distinct_sectors"] + stores["distinct_sectors"]) / shape.n_pairs,
            sum(each["sectors"] for each in wide) / shape.n_pairs,
            sum(each["bytes"] for each in wide) / shape.n_pairs,
        )
    counter.clear_traffic()
    return shape, counted


def counted_table(shape: Shape, counted: dict[str, Counted]) -> str:
    predicted = moved(shape)
    rows = []
    for name, each in counted.items():
        if name == "sort":
            continue  # the emulator has the standard library's
        model, useful = predicted[name], each.useful
        figures = [f"{model.passed:,.0f}", f"{model.asked:,.0f}", f"{each.asked:,.0f}", f"{each.distinct:,.0f}"]
        rows.append([name, *figures, f"{useful:.2f}" if useful == useful else ""])
    of_cache = ["passed on, formula", "asked, formula", "asked, counted", "distinct in a launch", "useful of 16"]
    return markdown(["bytes per pair", *of_cache], rows)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu.cuda_model.traffic", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--r", type=int, nargs="+", default=[N_COMPONENTS, 128, 33])
    parser.add_argument("--bfloat16", action="store_true", help="tables of 16 bits")
    options = parser.parse_args()
    try:
        counter = load_counter()
    except UnavailableError as error:
        print(f"Nothing can be counted: {error}.", file=sys.stderr)
        return 2
    for r in options.r:
        case = make_case(r)
        if options.bfloat16:
            tables = replace(case.tables, user=case.tables.user.bfloat16(), item=case.tables.item.bfloat16())
            case = replace(case, tables=tables)
        shape, counted = count_step(counter, case)
        print(f"\n{case.data}: {replace(shape, steps=tuple(round(share, 3) for share in shape.steps))}\n")
        print(counted_table(shape, counted))
    return 0


if __name__ == "__main__":
    sys.exit(main())
