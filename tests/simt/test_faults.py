"""Every planted fault is reported where it must be, and its correct twin never is."""

import re
from types import ModuleType
from typing import NamedTuple

import pytest

from simt import build, sanitized

pytestmark = pytest.mark.skipif(bool(build.why_not()), reason=build.why_not())

ORDERS = ("forward", "reverse", "random")
BARRIER = "exit during a barrier|barrier after an exit"
COLLECTIVE = "exit during a collective|exited lane"


class Fault(NamedTuple):
    """The message, as a pattern, in each variant: "" if the variant need not see the fault."""

    plain: str = ""
    race: str = ""
    asan: str = ""


FAULTS = {
    "missing_syncthreads": Fault(plain="wrong result", race="race: .* in shared memory"),
    "write_after_read": Fault(plain="wrong result", race="race: .* in shared memory"),
    "missing_syncwarp": Fault(plain="wrong result", race="race: .* in shared memory"),
    "shuffle_for_sync": Fault(race="race: read after write in shared memory"),
    "partial_syncwarp": Fault(race="race: .* in shared memory"),
    "write_by_first_reader": Fault(race="race: .* in shared memory"),
    "plain_update_in_block": Fault(race="race: .* in global memory"),
    "plain_update_across_blocks": Fault(race="race: .* in global memory, .* of another block"),
    "atomic_and_plain": Fault(race="race: .* in global memory"),
    "static_shared_bound": Fault(asan="AddressSanitizer: use-after-poison"),
    "dynamic_shared_bound": Fault(asan="AddressSanitizer: heap-buffer-overflow"),
    "global_bound": Fault(asan="AddressSanitizer: heap-buffer-overflow"),
    "misaligned_float4": Fault(asan="runtime error: .* misaligned address"),
    "unwritten_shared": Fault(plain="wrong result: NaN", race="wrong result: NaN"),
    "unwritten_dynamic": Fault(plain="wrong result: 0", race="wrong result: 0"),
    "lane_outside_mask": Fault(plain="wrong mask", race="wrong mask"),
    "exit_before_collective": Fault(plain=COLLECTIVE, race=COLLECTIVE),
    "absent_source_lane": Fault(plain="absent source lane", race="absent source lane"),
    "divergent_collective": Fault(plain="divergent collective", race="divergent collective"),
    "divergent_barrier": Fault(plain="divergent barrier", race="divergent barrier"),
    "barrier_in_half": Fault(plain=BARRIER, race=BARRIER),
    "exit_before_barrier": Fault(plain=BARRIER, race=BARRIER),
    "deadlock": Fault(plain="deadlock", race="deadlock"),
    "active_mask": Fault(plain="__activemask", race="__activemask"),
    "too_many_threads": Fault(plain="invalid launch", race="invalid launch"),
}


@pytest.fixture(params=["plain", "race"])
def variant(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def emulator(variant: str) -> ModuleType:
    return build.load_selftest(variant)


def seeds(order: str) -> range:
    return range(5 if order == "random" else 1)


def test_every_fault_has_its_test(emulator: ModuleType) -> None:
    assert set(emulator.fault_names()) == set(FAULTS)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("name", FAULTS)
def test_twin_is_not_reported(emulator: ModuleType, name: str, order: str) -> None:
    for seed in seeds(order):
        assert emulator.run_fault(name, order, seed, correct=True) == ""


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(
    ("variant", "name"),
    [(variant, name) for variant in ("plain", "race") for name in FAULTS if getattr(FAULTS[name], variant)],
)
def test_fault_is_reported(variant: str, name: str, order: str) -> None:
    emulator = build.load_selftest(variant)
    pattern = getattr(FAULTS[name], variant)
    for seed in seeds(order):
        assert re.match(pattern, emulator.run_fault(name, order, seed))


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in FAULTS if FAULTS[name].asan])
def test_sanitizers_report(name: str) -> None:
    build.build("asan", build.SELFTEST)
    done = sanitized.run(["-c", f"from simt import build; build.load_selftest('asan').run_fault({name!r})"])
    assert done.returncode != 0
    assert re.search(FAULTS[name].asan, done.stderr)
    assert "fault_memory.cu" in done.stderr


@pytest.mark.parametrize("name", ["shuffle_for_sync", "plain_update_in_block", "plain_update_across_blocks"])
def test_only_the_race_watcher_sees(name: str) -> None:
    """What every schedule hides is what that variant is for."""
    for order in ORDERS:
        assert build.load_selftest("plain").run_fault(name, order) == ""


def test_message_names_block_thread_and_line(emulator: ModuleType) -> None:
    message = emulator.run_fault("divergent_barrier")
    assert re.search(r"fault_divergence\.cu:\d+, block \(0,0,0\) thread \(40,0,0\)$", message)


def test_deadlock_names_who_waits_for_what(emulator: ModuleType) -> None:
    message = emulator.run_fault("deadlock")
    assert re.search(r"thread \(0,0,0\) waits in __syncwarp at \S*fault_divergence\.cu:\d+", message)
    assert re.search(r"thread \(1,0,0\) waits in __syncthreads at \S*fault_divergence\.cu:\d+", message)


def test_race_names_both_lines_and_the_kernel() -> None:
    message = build.load_selftest("race").run_fault("missing_syncthreads")
    assert len(set(re.findall(r"fault_sync\.cu:\d+", message))) == 2
    assert "missing_syncthreads<false>" in message


def test_races_are_kept_until_cleared() -> None:
    emulator = build.load_selftest("race")
    emulator.clear_races()
    emulator.run_fault("missing_syncwarp")
    emulator.run_fault("shuffle_for_sync", correct=True)
    assert any("missing_syncwarp" in race for race in emulator.races())
    assert not any("shuffle_for_sync" in race for race in emulator.races())
    emulator.clear_races()
    assert emulator.races() == []


def test_race_checking_can_be_switched_off() -> None:
    emulator = build.load_selftest("race")
    emulator.set_race_checking(False)
    try:
        assert emulator.run_fault("plain_update_in_block") == ""
    finally:
        emulator.set_race_checking(True)
    assert emulator.run_fault("plain_update_in_block") != ""
