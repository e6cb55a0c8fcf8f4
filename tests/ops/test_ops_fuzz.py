"""Random cases of every operator on the CPU's kernels, as `ops.fuzz` makes them, and that a difference is seen."""

import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from backends import Backend
from ops import fuzz

from cmlfast import reference

SEEDS = range(10**6, 10**6 + 40)


@pytest.mark.parametrize("operator", fuzz.OPERATORS)
def test_random_cases(kernel: Backend, operator: str) -> None:
    if kernel.device != "cpu" or kernel.schedule:
        pytest.skip("layouts are the CPU's; the emulator and a GPU get tensors of their own")
    assert [told for seed in SEEDS if (told := fuzz.difference(operator, seed, kernel.functions))] == []


@pytest.mark.parametrize("operator", fuzz.OPERATORS)
def test_cases_are_of_all_kinds_and_repeat(operator: str) -> None:
    refused, repeated = 0, False
    layouts, kinds = set(), set()
    for seed in SEEDS:
        one, other = fuzz.case(operator, seed), fuzz.case(operator, seed)
        for mine, theirs in zip(fuzz._tensors(one.values()), fuzz._tensors(other.values()), strict=True):
            assert fuzz.same_bits(mine, theirs)
            assert (mine.stride(), mine.storage_offset()) == (theirs.stride(), theirs.storage_offset())
            layouts.add((mine.is_contiguous(), mine.storage_offset() > 0))
            kinds.add(mine.dtype)
            repeated |= 0 in mine.stride() and mine.numel() > 1
        refused += bool(fuzz.outcome(reference, operator, seed)[0])
    assert len(layouts) >= 3
    assert repeated
    assert {torch.int32, torch.int64} <= kinds
    assert 0 < refused < 0.6 * len(SEEDS)  # some 45% are


@pytest.mark.parametrize("operator", ["adagrad_clip_", "cml_step_"])
def test_arguments_lie_over_and_beside_others(operator: str) -> None:
    """Of those in one tensor some are refused, and some are not, for they have no element in common."""
    refused = set()
    for seed in range(200):
        tensors = fuzz._tensors(fuzz.case(operator, seed).values())
        places = [one.untyped_storage().data_ptr() for one in tensors if one.numel()]
        if len(set(places)) < len(places):
            message = fuzz.outcome(reference, operator, seed)[0]
            refused |= {True} if "share memory" in message else set() if message else {False}
    assert refused == {False, True}


def test_what_is_written_to_pages_that_are_read_only_ends_the_process() -> None:
    script = "import torch; from ops import fuzz; fuzz.read_only(torch.ones(3))[0] = 2"
    done = subprocess.run([sys.executable, "-c", script], cwd=Path(fuzz.__file__).parents[1])
    assert done.returncode == -signal.SIGSEGV


def test_a_difference_is_seen() -> None:
    def changed(found: Any) -> Any:
        ids, values = found
        return ids, torch.where(values.isfinite(), values * (1 + 2**-20), values)

    wrong = SimpleNamespace(topk=lambda **given: changed(reference.topk(**given)))
    assert any("tensor 1 differs" in fuzz.difference("topk", seed, wrong) for seed in SEEDS)
    silent = SimpleNamespace(topk=lambda **given: reference.topk(**{**given, "k": 1}))
    assert any(fuzz.difference("topk", seed, silent) for seed in SEEDS)
