"""The traffic that the race variant counts, against what a hand counts."""

from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from simt import build

pytestmark = pytest.mark.skipif(bool(build.why_not()), reason=build.why_not())

NOTHING = {"requests": 0, "sectors": 0, "distinct_sectors": 0, "bytes": 0}


@pytest.fixture
def counter() -> Iterator[ModuleType]:
    emulator = build.load_selftest("race")
    emulator.set_race_checking(False)
    emulator.set_traffic_counting(True)
    emulator.clear_traffic()
    yield emulator
    emulator.clear_traffic()
    emulator.set_traffic_counting(False)
    emulator.set_race_checking(True)


def traffic_of(counter: ModuleType, name: str, order: str = "forward") -> dict[str, Any]:
    assert counter.run_example(name, order) == ""
    (launch,) = counter.traffic()
    return launch


def counts(requests: int, sectors: int, distinct_sectors: int, n_bytes: int) -> dict[str, int]:
    return {"requests": requests, "sectors": sectors, "distinct_sectors": distinct_sectors, "bytes": n_bytes}


@pytest.mark.parametrize("order", ["forward", "reverse", "random"])
@pytest.mark.parametrize(
    ("name", "loads"),
    [
        ("consecutive", counts(1, 16, 16, 512)),  # 32 float4 are 512 bytes
        ("shifted", counts(1, 17, 17, 512)),  # by half a sector
        ("strided", counts(1, 32, 32, 512)),  # each lane in a sector of its own
        ("one_for_all", counts(1, 1, 1, 512)),
        ("two_warps", counts(2, 32, 32, 1024)),
    ],
)
def test_float4_loads(counter: ModuleType, name: str, loads: dict[str, int], order: str) -> None:
    launch = traffic_of(counter, name, order)
    assert launch["loads"] == loads
    assert launch["loads_16"] == loads
    assert launch["stores"] == launch["stores_16"] == launch["atomics"] == NOTHING


def test_scalar_loads(counter: ModuleType) -> None:
    launch = traffic_of(counter, "unaligned_scalars")
    assert launch["loads"] == counts(1, 5, 5, 128)
    assert launch["loads_16"] == NOTHING


def test_rows_of_400_bytes(counter: ModuleType) -> None:
    """8 warps read a row each, three times. Rows begin at multiples of 400 bytes, every second in mid-sector."""
    launch = traffic_of(counter, "rows")
    assert launch["loads"] == launch["loads_16"] == counts(24, 24 * 13, 8 * 400 // 32, 24 * 400)


def test_stores_and_atomics(counter: ModuleType) -> None:
    """Two warps store a float4 per lane and add to one counter; their shared memory is no traffic."""
    launch = traffic_of(counter, "stores")
    assert launch["stores"] == launch["stores_16"] == counts(2, 32, 32, 1024)
    assert launch["atomics"] == counts(2, 2, 1, 256)
    assert launch["loads"] == NOTHING


def test_launches_are_named_and_kept_until_cleared(counter: ModuleType) -> None:
    counter.run_example("consecutive")
    counter.run_example("stores")
    assert ["load_float4" in launch["kernel"] for launch in counter.traffic()] == [True, False]
    assert "store_float4" in counter.traffic()[1]["kernel"]
    counter.clear_traffic()
    assert counter.traffic() == []


def test_counting_is_off_at_first_and_with_race_checking_alone() -> None:
    emulator = build.load_selftest("race")
    emulator.run_example("consecutive")
    assert emulator.traffic() == []


def test_counting_keeps_up_with_a_batch(counter: ModuleType) -> None:
    """As many accesses as a step on 10,000 pairs, which must not take minutes."""
    launch = traffic_of(counter, "many_rows")
    assert launch["loads_16"]["requests"] == 10_000 * 21
    assert launch["loads_16"]["bytes"] == 10_000 * 21 * 400
