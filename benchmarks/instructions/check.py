"""Holds one training step to its stored number of instructions: ``python -m benchmarks.instructions``.

valgrind's callgrind counts the extension's own instructions in a fixed ``cml_step_`` with one thread, once for each of
the instruction sets that valgrind knows. Counts, unlike times, do not depend on the machine's load: one build gives the
same number in every run, so the tolerance only leaves room for other versions of torch's headers. An eleventh negative
a pair costs 4.5% (AVX2) and 14.1% (baseline). Cache misses are not seen.

Exit status: 0 if no count exceeds its budget by more than the tolerance, or nothing could be compared, which is said;
1 otherwise. ``--update`` stores new counts.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib import import_module
from pathlib import Path

from benchmarks.instructions.callgrind import compiler_of, count
from cmlfast import build_info

PATH = Path(__file__).with_name("budget.json")


@dataclass(frozen=True)
class Budget:
    """What a step takes: instructions by instruction set, as one compiler has built them.

    Attributes
    ----------
    compiler : str
        Name and version; another one's code has other counts.
    tolerance : float
        How far a count may lie from its budget, as a share of it.
    counts : dict
        Instructions by the value of ``CMLFAST_ISA``.
    """

    compiler: str
    tolerance: float
    counts: dict[str, int]

    @classmethod
    def load(cls, path: Path) -> Budget:
        """Read what `save` has written."""
        return cls(**json.loads(path.read_text()))

    def save(self, path: Path) -> None:
        """Write JSON."""
        path.write_text(json.dumps(asdict(self), indent=2) + "\n")

    def verdict(self, isa: str, count: int) -> str:
        """Return what is to be done about a count, or "" where it is as stored."""
        if count > self.counts[isa] * (1 + self.tolerance):
            return f"over budget by more than {self.tolerance:.1%}: find what has made the step longer, or run --update"
        if count < self.counts[isa] * (1 - self.tolerance):
            return "below budget: run --update so that the gain is kept"
        return ""


def countable(isa: str) -> list[str]:
    """Return the instruction sets that can be counted where this one is the best; valgrind has no AVX-512."""
    return ["baseline"] if isa == "baseline" else ["baseline", "avx2"]


def why_not() -> str:
    """Return why nothing can be counted here, or ""."""
    missing = [tool for tool in ("valgrind", "callgrind_control") if not shutil.which(tool)]
    if missing:
        return f"there is no {missing[0]}; install valgrind"
    return str(build_info()["reason"])


def extension() -> Path:
    """Return the shared object of the compiled extension."""
    return Path(str(import_module("cmlfast._C").__file__)).resolve()


def table(budget: Budget, counts: Mapping[str, int]) -> str:
    """Return counts beside their budgets, one instruction set a line."""
    lines = [f"{'':10}{'count':>12}{'budget':>12}{'ratio':>9}"]
    for isa, found in counts.items():
        planned = budget.counts[isa]
        lines.append(f"{isa:10}{found:12,}{planned:12,}{found / planned:9.4f}  {budget.verdict(isa, found)}".rstrip())
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.instructions", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--update", action="store_true", help=f"store the counts in {PATH.name}")
    update = parser.parse_args(arguments).update
    if reason := why_not():
        print(f"instructions not counted: {reason}")
        return int(update)
    library = extension()
    compiler, budget = compiler_of(library), Budget.load(PATH)
    if not update and compiler != budget.compiler:
        print(f"instructions not counted: this build is by {compiler}, the budget by {budget.compiler}")
        return 0
    isas = countable(str(build_info()["isa"]))
    if update and (lost := set(budget.counts).difference(isas)):
        print(f"budget not updated: this machine cannot count {', '.join(lost)}; use one that can")
        return 1
    counts = {isa: count(isa, library) for isa in isas}
    if update:
        budget = replace(budget, compiler=compiler, counts=counts)
        budget.save(PATH)
    print(table(budget, counts))
    return int(any(budget.verdict(isa, found).startswith("over") for isa, found in counts.items()))
