"""What a kernel is planned to need, and where a compiled kernel departs from it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.gpu.cuda_check.compile import Build
from benchmarks.gpu.cuda_check.names import demangle, library, short
from benchmarks.gpu.cuda_check.occupancy import Occupancy, blocks_by_shared, blocks_by_slots, max_registers, occupancy
from benchmarks.gpu.cuda_check.ptxas import Arithmetic, Resources, arithmetic_in_ptx, parse_report
from benchmarks.gpu.cuda_check.sass import Counts, count, parse


@dataclass(frozen=True)
class Plan:
    """The budget of all kernels whose short name matches a pattern as a whole.

    Attributes
    ----------
    kernels : str
        Regular expression, such as ``r"sum_rows<float, .*>"``.
    threads, blocks : int
        Threads per block, and blocks per multiprocessor that must fit, or as many as an architecture has slots for.
    hot : bool
        Whether the kernel must do without stack frame, spills and local memory.
    wide_loads, wide_bits : int
        How many loads of global memory must be at least so wide: 128 bits, or 64 where four 16-bit values make a load.
    in_flight : int
        How many loads of 64 bits or more must be issued before the first one is waited for.
    narrow_loop_loads : int or None
        How many narrower loads may stand in loops; None for any number.
    divides : bool
        Whether it may divide and take square roots.
    pinned : bool
        Whether all of its sums and products must round one by one, as on every other backend.
    dynamic_shared : int
        Bytes of dynamic shared memory per block at launch.
    """

    kernels: str
    threads: int
    blocks: int
    hot: bool = True
    wide_loads: int = 0
    wide_bits: int = 128
    in_flight: int = 0
    narrow_loop_loads: int | None = None
    divides: bool = False
    pinned: bool = True
    dynamic_shared: int = 0

    def matches(self, name: str) -> bool:
        """Tell whether a kernel with this short name is planned here."""
        return re.fullmatch(self.kernels, name) is not None


@dataclass(frozen=True)
class Kernel:
    """One kernel as compiled for one architecture."""

    name: str
    library: str | None
    arch: int
    resources: Resources
    counts: Counts
    arithmetic: Arithmetic
    plan: Plan | None

    @property
    def shared(self) -> int:
        """Static and planned dynamic shared memory per block."""
        return self.resources.shared + (self.plan.dynamic_shared if self.plan else 0)

    @property
    def occupancy(self) -> Occupancy | None:
        """Known once a plan says the size of a block."""
        return occupancy(self.arch, self.resources.registers, self.shared, self.plan.threads) if self.plan else None


def read_kernels(build: Build, plans: Sequence[Plan]) -> list[Kernel]:
    """Join what the compiler and the disassembler say of each kernel, and find its plan: the first that matches."""
    reports, codes, arithmetic = parse_report(build.ptxas), parse(build.sass), arithmetic_in_ptx(build.ptx)
    kernels = []
    for mangled, name in zip(reports, demangle(list(reports)), strict=True):
        plan = next((plan for plan in plans if plan.matches(short(name))), None)
        compiled = reports[mangled], count(codes[mangled]), arithmetic[mangled]
        kernels.append(Kernel(short(name), library(name), build.arch, *compiled, plan))
    return kernels


def problems(kernel: Kernel) -> list[str]:
    """Return in what a kernel departs from its plan: found value, budget and what to do, a line each."""
    plan, resources, counts, arithmetic = kernel.plan, kernel.resources, kernel.counts, kernel.arithmetic
    if kernel.library:
        return []
    if plan is None:
        return ["no plan covers it; give it a budget in benchmarks/gpu/cuda_check/budgets.py"]
    blocks = min(plan.blocks, blocks_by_slots(kernel.arch, plan.threads))
    shape = f"{blocks} blocks of {plan.threads} threads"
    registers = max_registers(kernel.arch, plan.threads, plan.blocks)
    shared_blocks = blocks_by_shared(kernel.arch, kernel.shared)
    spilled = bool(resources.spill_stores + resources.spill_loads)
    framed = bool(resources.stack + counts.local)
    wide = sum(n for bits, n in counts.loads.items() if bits >= plan.wide_bits)
    narrow = sum(n for bits, n in counts.loop_loads.items() if bits < plan.wide_bits)
    faults = [
        (
            resources.registers > registers,
            f"{resources.registers} registers, budget {registers} for {shape}; "
            "keep fewer values alive at once, or plan fewer blocks",
        ),
        (
            shared_blocks < blocks,
            f"{kernel.shared} bytes of shared memory allow {shared_blocks} blocks, planned {shape}; "
            "use less of it, or plan fewer blocks",
        ),
        (
            plan.hot and spilled,
            f"spills: {resources.spill_stores} bytes stored, {resources.spill_loads} loaded, budget 0; "
            "loosen __launch_bounds__, or keep fewer values alive at once",
        ),
        (
            plan.hot and framed and not spilled,
            f"a stack frame of {resources.stack} bytes, {counts.local} accesses to local memory, budget 0; "
            "index local arrays by constants only, so that they stay in registers, and inline what is called",
        ),
        (
            wide < plan.wide_loads,
            f"{wide} loads of {plan.wide_bits} bits, planned at least {plan.wide_loads}; "
            "load through an aligned vector type",
        ),
        (
            counts.in_flight < plan.in_flight,
            f"{counts.in_flight} wide loads in flight, planned at least {plan.in_flight}; "
            "load before the first sum, and behind no branch",
        ),
        (
            plan.narrow_loop_loads is not None and narrow > plan.narrow_loop_loads,
            f"{narrow} loads of under {plan.wide_bits} bits in loops, planned at most {plan.narrow_loop_loads}; "
            "make them wider, or load before the loop",
        ),
        (
            plan.pinned and arithmetic.free > 0,
            f"{arithmetic.free} operations in its PTX that are fused, free to be fused or approximate, budget 0; "
            "compile with --fmad=false and call neither fmaf nor CUDA functions made of it (logf, expf)",
        ),
        (
            arithmetic.divisions > 0 and not plan.divides,
            f"{arithmetic.divisions} divisions and square roots, budget 0; avoid them, or plan them with divides=True",
        ),
    ]
    return [text for wrong, text in faults if wrong]
