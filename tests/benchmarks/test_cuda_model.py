"""The model of what the CUDA step moves, against hands, against sense, and against what the emulator counts.

Run as a program, this file counts small steps and prints them: the emulator's variant that counts needs a process of
its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.gpu.cuda_model import model, traffic
from benchmarks.gpu.cuda_model.model import moved
from benchmarks.kit.case import Case
from benchmarks.kit.floor import CITEULIKE, LARGE, least, least_bytes
from benchmarks.kit.internals import Tables
from benchmarks.kit.shape import Shape, row_requests

ROOT = Path(__file__).parents[2]
# r, U, 16-bit tables, 64-bit ids
CASES = [
    (8, 5, False, False),
    (32, 20, False, True),
    (33, 5, False, False),
    (64, 1, False, False),
    (100, 20, False, False),
    (100, 7, True, True),
    (128, 9, False, False),
    (200, 5, False, False),
]
# How far counted sectors may be from the formula's: twice the largest difference seen in these cases.
TOLERANCE = {
    "scan_pairs": 0.045,
    "sum_runs, users": 0.06,
    "sum_runs, items": 0.06,
    "store_fresh_rows": 0.015,
    "check_pairs_kernel": 0.13,
}
HAND = Shape(
    n_pairs=1024,
    n_negatives=3,
    r=32,
    n_users=100,
    n_items=100,
    active=1.0,
    distinct_users=0.5,
    distinct_items=1.0,
    steps=(1.0,),
)


def count_case(counter: Any, r: int, n_negatives: int, half: bool, wide: bool) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(r)
    n_users, n_items, n_pairs, dtype = 2000, 3000, 512, torch.int64 if wide else torch.int32
    liked = torch.rand(n_users, n_items, generator=generator) < torch.rand(n_users, 1, generator=generator) * 0.02
    indptr = torch.cat([torch.zeros(1, dtype=torch.int64), liked.sum(1).cumsum(0)]).to(dtype)
    indices = liked.nonzero()[:, 1].to(dtype)
    users = torch.randint(n_users, (n_pairs,), generator=generator)
    positives = (n_items * torch.rand(n_pairs, generator=generator) ** 2).long()  # some more often than others
    tables = [torch.randn(n, r, generator=generator) / r**0.5 * 2 for n in (n_users, n_items)]
    tables[0][users[::3]] = tables[1][positives[::3]]  # a third of the pairs are not active
    tables += [torch.full_like(each, 0.1) for each in tables]
    if half:
        tables[:2] = [each.bfloat16() for each in tables[:2]]
    sampling = indptr, indices, users.to(dtype), positives.to(dtype)
    shape, counted = traffic.count_step(counter, Case("made up", Tables(*tables), *sampling), n_negatives)
    return {"shape": asdict(shape), "counted": {name: asdict(each) for name, each in counted.items()}}


@cache
def counted_cases() -> list[dict[str, Any]]:
    try:
        done = subprocess.run(
            [sys.executable, __file__],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},  # where benchmarks is
            capture_output=True,
            text=True,
            check=True,
        )
    except subprocess.CalledProcessError as error:
        pytest.fail(error.stderr)
    answer = json.loads(done.stdout)
    if isinstance(answer, str):
        pytest.skip(answer)
    return answer


@pytest.mark.parametrize("case", range(len(CASES)), ids=lambda case: "-".join(map(str, CASES[case])))
def test_formulas_meet_the_counter(case: int) -> None:
    answer = counted_cases()[case]
    predicted = moved(Shape(**{**answer["shape"], "steps": tuple(answer["shape"]["steps"])}))
    assert 0.5 < answer["shape"]["active"] < 1.0
    differences = {name: answer["counted"][name]["asked"] / predicted[name].asked - 1 for name in TOLERANCE}
    assert {name: off for name, off in differences.items() if abs(off) > TOLERANCE[name]} == {}


def test_rows_by_hand() -> None:
    assert row_requests(32, 4, 32, 4) == 4  # 128 bytes at multiples of 128
    assert row_requests(100, 4, 32, 4) == (13 + 16) / 2  # 3 x 4 + 1, and in mid-sector 3 x 5 + 1
    assert row_requests(8, 4, 32, 1) == 4  # four requests for one number of each of two threads, in one sector
    assert Shape(r=100).touched(4) == 13
    assert Shape(r=33).touched(4) == 5
    assert Shape(r=104).touched(4) == Shape(r=104).asked(4) == 13


def test_a_step_by_hand() -> None:
    """U = 3, r = 32, users who like nothing: rows of 128 bytes, 4 sectors, and one round of negatives."""
    assert least(HAND, reread=False) == {
        "rows of the pairs, read once a pair": 5 * 128,
        "ids, row ends, searched positives": 4 * 4,
        "loss and impostors": 8,
        "distinct rows, weights and accumulators read and written": 1.5 * 4 * 128,
    }
    assert sum(least(HAND).values()) == 640 + 16 + 8 + 768 + 4 * 128 + 40
    step = moved(HAND)
    # Five rows; of narrow loads 2 row ends and 5 quarters; 10 numbers stored in quarters of a sector.
    assert step["scan_pairs"].asked == 32 * (5 * 4 + 2 + 5 / 4 + 10 / 4)
    # Weight and accumulator of half a row, two rows; keys of a warp, 15 of 16 with a run; notes; both stored.
    assert step["sum_runs, users"].asked == 32 * (0.5 * 8 + 2 * 4 + 5 / 8 + 7 / 4 * 15 / 16 + 3 + 0.5 * 8)
    assert step["sort"].asked == 3 * (4 + 16)  # 201 keys, 8 bits, one pass
    assert least_bytes(HAND) == 1024 * 1984


@pytest.mark.parametrize("shape", [CITEULIKE, LARGE, HAND, replace(CITEULIKE, r=33), replace(CITEULIKE, storage=2)])
def test_least_is_least(shape: Shape) -> None:
    step = moved(shape)
    assert all(each.passed <= each.asked for each in step.values())
    assert sum(least(shape, reread=False).values()) < sum(least(shape).values()) < sum(x.passed for x in step.values())


@pytest.mark.parametrize(
    "more", [{"n_negatives": 21}, {"r": 108}, {"active": 0.999}, {"distinct_items": 1.5}, {"id_bytes": 8}]
)
def test_more_work_moves_more(more: dict[str, Any]) -> None:
    shape = replace(CITEULIKE, **more)
    assert sum(least(shape).values()) > sum(least(CITEULIKE).values())
    assert sum(x.passed for x in moved(shape).values()) > sum(x.passed for x in moved(CITEULIKE).values())


def test_targets_on_citeulike() -> None:
    step = sum(each.passed for each in moved(CITEULIKE).values())
    assert step <= 1.15 * sum(least(CITEULIKE).values())
    for r in (96, 104, 128):
        assert Shape(r=r).row_bytes(4) / 32 / Shape(r=r).asked(4) >= 15 / 16


def test_the_steps_kernels_have_names() -> None:
    layout = "Layout<float, true, true>"
    assert model.model_name(f"scan_pairs<{layout}, (Metric)0>") == "scan_pairs"
    assert model.model_name(f"sum_runs<{layout}, ItemShares<~>, Update<~>>") == "sum_runs, items"
    others = f"sum_runs<{layout}, GivenShares<~>, Update<~>>", f"sum_runs<{layout}, UserShares<~>, StoreGradient<~>>"
    assert [model.model_name(name) for name in (*others, "mask_seen")] == [None] * 3


def test_the_commands_tables(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["cuda_model"])
    model.main()
    assert "| scan_pairs |" in capsys.readouterr().out


if __name__ == "__main__":
    try:
        emulator = traffic.load_counter()
    except traffic.UnavailableError as error:
        print(json.dumps(str(error)))
    else:
        print(json.dumps([count_case(emulator, *case) for case in CASES]))
