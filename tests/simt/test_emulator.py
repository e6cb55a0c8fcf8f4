"""The emulator runs right kernels right, in every schedule of every variant, and outlives wrong ones."""

import threading
from types import ModuleType

import pytest

from simt import build, sanitized

pytestmark = pytest.mark.skipif(bool(build.why_not()), reason=build.why_not())

SCHEDULES = [("forward", 0), ("reverse", 0), ("random", 1), ("random", 2), ("random", 3)]
EXAMPLES = ["philox", "softmax", "sparse_draws", "block_scan"]


@pytest.fixture(params=["plain", "race"])
def emulator(request: pytest.FixtureRequest) -> ModuleType:
    return build.load_selftest(request.param)


@pytest.mark.parametrize(("order", "seed"), SCHEDULES)
@pytest.mark.parametrize("name", EXAMPLES)
def test_example_is_right(emulator: ModuleType, name: str, order: str, seed: int) -> None:
    assert emulator.run_example(name, order, seed) == ""


def test_examples_and_twins_pass_the_sanitizers() -> None:
    """In one process, for the sanitizers end it at the first error; so an Error's abandoned fibers come last."""
    program = f"""
from simt import build
emulator = build.load_selftest("asan")
for order, seed in {SCHEDULES}:
    for name in {EXAMPLES}:
        assert emulator.run_example(name, order, seed) == "", name
    for name in emulator.fault_names():
        assert emulator.run_fault(name, order, seed, correct=True) == "", name
for name in ("deadlock", "divergent_barrier", "exit_before_collective"):
    assert emulator.run_fault(name) != "", name
    assert emulator.run_example("softmax") == "", name
print("done")
"""
    build.build("asan", build.SELFTEST)
    done = sanitized.run(["-c", program])
    assert done.stdout == "done\n", done.stderr


def test_sanitized_variant_says_what_it_needs() -> None:
    with pytest.raises(RuntimeError, match="sanitized"):
        build.load_selftest("asan")


def order_of(emulator: ModuleType, order: str, seed: int = 0) -> list[int]:
    return [int(turn) for turn in emulator.run_example("order", order, seed).removeprefix("order:").split()]


def test_schedules_order_threads(emulator: ModuleType) -> None:
    forward = order_of(emulator, "forward")
    assert forward == list(range(256))
    assert order_of(emulator, "reverse") == forward[::-1]
    assert sorted(order_of(emulator, "random", 1)) == forward


def test_random_schedule_follows_from_its_seed(emulator: ModuleType) -> None:
    assert order_of(emulator, "random", 1) == order_of(emulator, "random", 1)
    assert order_of(emulator, "random", 1) != order_of(emulator, "random", 2)


def test_set_schedule_holds_until_the_next(emulator: ModuleType) -> None:
    emulator.set_schedule("random", 1)
    try:
        chosen = order_of(emulator, "")
        assert chosen == order_of(emulator, "random", 1)
        order_of(emulator, "forward")  # of this run alone
        assert order_of(emulator, "") == chosen
    finally:
        emulator.set_schedule("forward")
    assert order_of(emulator, "") == list(range(256))


def test_unknown_names_are_refused(emulator: ModuleType) -> None:
    with pytest.raises(ValueError, match="sideways"):
        emulator.set_schedule("sideways")
    with pytest.raises(ValueError, match="no_such_kernel"):
        emulator.run_fault("no_such_kernel")


def test_a_fault_leaves_the_emulator_usable(emulator: ModuleType) -> None:
    for name in ("deadlock", "divergent_barrier", "exit_before_collective", "too_many_threads"):
        for order in ("forward", "reverse", "random"):
            assert emulator.run_fault(name, order) != ""
            assert emulator.run_example("softmax", order) == ""


def test_launches_of_several_threads_take_turns(emulator: ModuleType) -> None:
    messages: list[str] = []

    def work() -> None:
        for _ in range(5):
            messages.append(emulator.run_example("block_scan"))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert messages == [""] * 20
