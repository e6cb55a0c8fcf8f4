"""What nvdisasm shows of each kernel: memory instructions by width, inside and outside loops."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

SECTION = re.compile(r"^\s*\.section\s+\.text\.([^\s,]+)")
LABEL = re.compile(r"^([.$\w]+):\s*$")
INSTRUCTION = re.compile(r"^\s*/\*[0-9a-f]+\*/\s+(?:(@!?U?P\w+)\s+)?([A-Z][A-Z0-9_.]*)\s*([^;]*?)\s*;")
TARGET = re.compile(r"\.L_x_\d+")
REGISTER = re.compile(r"\bR(\d+)\b")
BARRIER = re.compile(r"\bB\d+\b")

LOADS = ("LDG", "LDGSTS", "LD")
STORES = ("STG", "ST")
WIDTHS = {"256": 256, "128": 128, "64": 64, "U16": 16, "S16": 16, "U8": 8, "S8": 8}


@dataclass(frozen=True)
class Instruction:
    """One machine instruction; ``predicate`` is empty if it always executes."""

    predicate: str
    opcode: str
    operands: str

    @property
    def name(self) -> str:
        """The opcode without its modifiers."""
        return self.opcode.split(".")[0]

    @property
    def bits(self) -> int:
        """Width of a memory access, for one thread."""
        return next((WIDTHS[part] for part in self.opcode.split(".")[1:] if part in WIDTHS), 32)


@dataclass
class Code:
    """The instructions of one kernel in the order of their addresses."""

    instructions: list[Instruction] = field(default_factory=list)
    labels: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Counts:
    """Static counts of one kernel's instructions; loads and stores of global memory by width in bits."""

    loads: Counter[int]
    loop_loads: Counter[int]
    stores: Counter[int]
    in_flight: int  # of 64 bits or more, issued before the first instruction that waits for one of them
    local: int
    shuffles: int


def parse(text: str) -> dict[str, Code]:
    """Split the output of ``nvdisasm -c`` into kernels, by mangled name."""
    kernels: dict[str, Code] = {}
    code: Code | None = None
    for line in text.splitlines():
        if found := SECTION.match(line):
            code = kernels.setdefault(found[1], Code())
        elif code is None:
            continue
        elif found := LABEL.match(line):
            code.labels[found[1]] = len(code.instructions)
        elif found := INSTRUCTION.match(line):
            code.instructions.append(Instruction(found[1] or "", found[2], found[3]))
    return kernels


def successors(code: Code) -> list[list[int]]:
    """Return for each instruction the numbers of those that may execute next."""
    converge: dict[str, int] = {}  # where the threads that wait at a barrier go on
    result = []
    for number, instruction in enumerate(code.instructions):
        name = instruction.name
        targets = [code.labels[label] for label in TARGET.findall(instruction.operands) if label in code.labels]
        barrier = BARRIER.search(instruction.operands)
        # Also BRA !P2 and BRA.U UP0 have a condition: something beside the label.
        bare = instruction.opcode == "BRA" and instruction.operands.startswith("`")
        if name == "BSSY" and barrier and targets:
            converge[barrier[0]] = targets[0]
        if name in ("BRA", "BRX", "BRXU", "JMP", "JMX", "JMXU"):
            following = [*targets] if bare or name != "BRA" else [*targets, number + 1]
        elif name == "BSYNC" and barrier and barrier[0] in converge:
            following = [converge[barrier[0]]]
        else:
            following = [] if name in ("EXIT", "RET") else [number + 1]
        if instruction.predicate and number + 1 not in following:
            following.append(number + 1)
        result.append([target for target in following if target < len(code.instructions)])
    return result


def in_loops(code: Code) -> list[bool]:
    """Return for each instruction whether control can come back to it."""
    following = successors(code)
    n = len(following)
    rows = np.repeat(np.arange(n), [len(targets) for targets in following])
    columns = np.array([target for targets in following for target in targets], dtype=np.int64)
    graph = csr_matrix((np.ones(len(rows), dtype=np.int8), (rows, columns)), shape=(n, n))
    _, component = connected_components(graph, connection="strong")
    # A component of one is no loop, for the endless jump to itself behind each kernel's end never executes.
    return list((np.bincount(component, minlength=1) > 1)[component]) if n else []


def in_flight(code: Code) -> int:
    """Return the largest number of loads of 64 bits or more that are issued before one of them is waited for."""
    pending: set[int] = set()
    issued = most = 0
    for instruction in code.instructions:
        written, _, read = instruction.operands.partition(",")
        if instruction.name in STORES:
            read = instruction.operands
        if pending & {int(number) for number in REGISTER.findall(read)}:
            pending.clear()
            issued = 0
        if instruction.name in LOADS and instruction.bits >= 64 and (found := REGISTER.search(written)):
            pending |= set(range(int(found[1]), int(found[1]) + instruction.bits // 32))
            issued += 1
            most = max(most, issued)
    return most


def count(code: Code) -> Counts:
    """Count the instructions of one kernel."""
    loops = in_loops(code)
    loads: Counter[int] = Counter()
    loop_loads: Counter[int] = Counter()
    stores: Counter[int] = Counter()
    names: Counter[str] = Counter()
    for instruction, in_loop in zip(code.instructions, loops, strict=True):
        names[instruction.name] += 1
        if instruction.name in LOADS:
            loads[instruction.bits] += 1
            loop_loads[instruction.bits] += bool(in_loop)
        elif instruction.name in STORES:
            stores[instruction.bits] += 1
    return Counts(
        loads=loads,
        loop_loads=+loop_loads,
        stores=stores,
        in_flight=in_flight(code),
        local=names["LDL"] + names["STL"],
        shuffles=names["SHFL"],
    )
