"""How many blocks of a kernel fit on one multiprocessor: the arithmetic of NVIDIA's occupancy calculator."""

from __future__ import annotations

from dataclasses import dataclass

WARP = 32
REGISTERS = 65536  # of a multiprocessor and of a block, on every architecture below
REGISTERS_PER_THREAD = 255
REGISTER_UNIT = 256  # registers are given to a warp in this unit
PARTITIONS = 4  # warp schedulers of a multiprocessor; each has its own quarter of the registers
THREADS_PER_BLOCK = 1024


@dataclass(frozen=True)
class Limits:
    """What one multiprocessor holds. Shared memory is in bytes, at the largest carve-out."""

    warps: int
    blocks: int
    shared: int
    shared_per_block: int
    shared_reserved: int  # taken by the system from every block
    shared_unit: int


# The table "Technical Specifications per Compute Capability" of the CUDA programming guide.
LIMITS = {
    75: Limits(32, 16, 64 << 10, 64 << 10, 0, 256),
    80: Limits(64, 32, 164 << 10, 163 << 10, 1024, 128),
    86: Limits(48, 16, 100 << 10, 99 << 10, 1024, 128),
    89: Limits(48, 24, 100 << 10, 99 << 10, 1024, 128),
    90: Limits(64, 32, 228 << 10, 227 << 10, 1024, 128),
    100: Limits(64, 32, 228 << 10, 227 << 10, 1024, 128),
    120: Limits(48, 24, 100 << 10, 99 << 10, 1024, 128),
}


@dataclass(frozen=True)
class Occupancy:
    """Blocks that fit on one multiprocessor, their share of its warps, and what allows no more of them."""

    blocks: int
    warps: float
    limiter: str


def round_up(value: int, unit: int) -> int:
    return -(-value // unit) * unit


def blocks_by_slots(arch: int, threads: int) -> int:
    """Return how many blocks the slots for warps and blocks allow."""
    if threads > THREADS_PER_BLOCK:
        return 0
    return min(LIMITS[arch].blocks, LIMITS[arch].warps // -(-threads // WARP))


def blocks_by_registers(registers: int, threads: int) -> int:
    """Return how many blocks the registers allow; the same on every architecture that is listed."""
    warps = -(-threads // WARP)
    per_warp = round_up(max(registers, 1) * WARP, REGISTER_UNIT)
    # A launch is refused if the block would not fit with its warps spread evenly over the partitions.
    if registers > REGISTERS_PER_THREAD or per_warp * round_up(warps, PARTITIONS) > REGISTERS:
        return 0
    return REGISTERS // PARTITIONS // per_warp * PARTITIONS // warps


def blocks_by_shared(arch: int, shared: int) -> int:
    """Return how many blocks the shared memory allows, at ``shared`` bytes (static and dynamic) per block."""
    limits = LIMITS[arch]
    per_block = round_up(shared + limits.shared_reserved, limits.shared_unit)
    if shared > limits.shared_per_block:
        return 0
    return limits.shared // per_block if per_block else limits.blocks


def occupancy(arch: int, registers: int, shared: int, threads: int) -> Occupancy:
    """Return the theoretical occupancy of blocks of ``threads`` threads.

    Parameters
    ----------
    arch : int
        Compute capability times ten, a key of `LIMITS`.
    registers : int
        Registers per thread.
    shared : int
        Bytes of static and dynamic shared memory per block.
    threads : int
        Threads per block.
    """
    fits = {
        "slots": blocks_by_slots(arch, threads),
        "registers": blocks_by_registers(registers, threads),
        "shared memory": blocks_by_shared(arch, shared),
    }
    limiter = min(fits, key=lambda name: fits[name])
    blocks = fits[limiter]
    return Occupancy(blocks, blocks * -(-threads // WARP) / LIMITS[arch].warps, limiter)


def max_registers(arch: int, threads: int, blocks: int) -> int:
    """Return the registers per thread up to which ``blocks`` blocks, or as many as have slots, fit."""
    wanted = min(blocks, blocks_by_slots(arch, threads))
    allowed = (REGISTERS_PER_THREAD, *range(REGISTERS_PER_THREAD // 8 * 8, 0, -8))
    return next((registers for registers in allowed if blocks_by_registers(registers, threads) >= wanted), 0)
