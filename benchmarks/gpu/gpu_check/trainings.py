"""Steps that a training replays: the bits that they are to have, their time, how much of an epoch the GPU works.

Tests for a machine with a GPU; ``pytest benchmarks/gpu/gpu_check/trainings.py`` runs them.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy import sparse
from torch import Tensor

from benchmarks.gpu.gpu_check.determinism import assert_same
from benchmarks.gpu.gpu_check.kernels import Row, profiled, record
from benchmarks.kit.case import EPS, MAX_NORM, N_NEGATIVES, SEED, Case
from benchmarks.kit.gpu_calls import device_time
from benchmarks.kit.made_up import random_case
from cmlfast import CML, ops
from cmlfast.ops import backend
from cmlfast.training.course import Course
from cmlfast.training.loop import STEPS_AT_ONCE, go_on
from cmlfast.training.pairs import Pairs, sizes_of
from cmlfast.training.replay import Call, Capture, Captures, Outputs, Replays
from cmlfast.training.schedule import Schedule
from cmlfast.training.settings import resolve
from cmlfast.training.step import fused_step
from cmlfast.training.tables import Tables, new_tables

N_STEPS, CALLS = 5, 6  # steps in a call, and calls; of these all but the first of a size are replays
SMALL, LARGE = (300, 2_000, 31 * N_STEPS * CALLS + 2), (1_000_000, 1_000_000, 10_000 * STEPS_AT_ONCE["cuda"])
GOWALLA = (29_858, 40_988, 727_000, 10_000)  # users, items, pairs and pairs in a batch, about
SECOND = 1e6  # microseconds


def numbers_of(n_steps: int, first: int, device: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Return margins, rates and offsets that no two steps share."""
    at = torch.arange(first, first + n_steps, device=device)
    return 1.5 - at / 90, 0.1 / (1 + at / 7), 2**32 - 9 + 3 * at


def call_of(case: Case, tables: Tables, inputs: Outputs) -> Call:
    """Return the call that takes steps on tables: of users, positives, margins, rates and offsets."""
    fixed = (*tables.all(), case.indptr, case.indices)

    def take(users: Tensor, positives: Tensor, margins: Tensor, lrs: Tensor, offsets: Tensor) -> Outputs:
        return ops.cml_steps_(
            *fixed, users, positives, n_negatives=N_NEGATIVES, margins=margins, lrs=lrs, eps=EPS, max_norm=MAX_NORM,
            rank_weight=True, seed=SEED, offsets=offsets,
        )  # fmt: skip

    return Call(take, inputs, fixed, None)


def plainly(call: Call) -> Outputs:
    """Make a call as it is."""
    return call.take(*call.inputs)


def steps(make: Callable[[Call], Outputs], case: Case, n_calls: int, n_steps: int) -> list[Tensor]:
    """Take steps on copies of the tables, each call on its part of the batch; return what they gave, and the tables."""
    tables, returned = case.tables.clone(), []
    parts = zip(case.users.tensor_split(n_calls), case.positives.tensor_split(n_calls), strict=True)
    for number, (users, positives) in enumerate(parts):
        numbers = numbers_of(n_steps, number * n_steps, users.device)
        returned += make(call_of(case, tables, (users, positives, *numbers)))
    return [*returned, *tables.all()]


class Counted:
    """A capture that counts: a training goes on, slower, where capturing fails."""

    def __init__(self, capture: Capture) -> None:
        self.capture, self.count = capture, 0

    def __call__(self, call: Callable[[], Outputs]) -> Callable[[], Outputs]:
        """Capture a call."""
        graph = self.capture(call)
        self.count += 1
        return graph


@pytest.fixture
def device() -> str:
    return "cuda"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_replays_are_the_steps_of_the_cpu(device: str, dtype: torch.dtype) -> None:
    """Each with other pairs, margins, rates and offsets; calls are of two sizes."""
    case = random_case(*SMALL, 100, "cpu", dtype)
    counted = Counted(Captures())
    got = steps(Replays(counted), case.to(device), CALLS, N_STEPS)
    assert counted.count == 2
    assert_same(got, steps(plainly, case, CALLS, N_STEPS), "replays")
    assert int(got[-5].min()), "no pair is active in the last step: the case proves nothing"


def test_replays_of_the_softmax_are_its_single_steps(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the bit, whatever order the products add in; the CPU's add in another."""
    likes = sparse.random(500, 700, 0.1, format="csr", rng=np.random.default_rng(SEED))
    params = CML(n_components=20, loss="softmax", batch_size=300, n_negatives=200, random_state=SEED).get_params()
    settings = resolve(params, likes.nnz, *likes.shape)
    kernels, where = backend.choose("extension", device)
    pairs, counted, found = Pairs.of(likes, likes, where, kernels), Counted(Captures()), []
    sizes = sizes_of(len(pairs), -(-len(pairs) // settings.batch_size))
    calls = [sizes[first : first + STEPS_AT_ONCE["cuda"]] for first in range(0, len(sizes), STEPS_AT_ONCE["cuda"])]
    for at_once, replays in ((1, None), (STEPS_AT_ONCE["cuda"], Replays(counted))):
        monkeypatch.setitem(STEPS_AT_ONCE, where.type, at_once)
        tables, step = new_tables(*likes.shape, settings, where), fused_step(kernels, replays)
        for epoch in range(3):
            go_on(step, tables, pairs, settings, epoch, Schedule(epoch / 3, (epoch + 1) / 3), Course.start(3))
        found.append([table.cpu() for table in tables.all()])
    assert counted.count == len({(sum(call), len(call)) for call in calls if len(call) > 1})
    assert_same(*found, "replays of the softmax")


def test_a_fit_is_the_cpus(device: str) -> None:
    """A whole training, as a model takes it, evaluation included."""
    likes = sparse.random(500, 700, 0.1, format="csr", rng=np.random.default_rng(SEED))
    rows = []
    for where in (device, "cpu"):
        model = CML(n_components=20, loss="warp", n_epochs=4, batch_size=300, random_state=SEED, device=where)
        model.fit(likes, validation=sparse.random(500, 700, 0.01, format="csr", rng=np.random.default_rng(1)))
        rows.append([model.user_embedding_, model.item_embedding_])
    assert_same(*rows, "the fit on the CPU")


def seconds_of(call: Callable[[], Any], rounds: int = 5, calls: int = 10) -> float:
    """Return the seconds of a call, the median over rounds of several."""
    for _ in range(3):  # kernels are loaded, and graphs captured
        call()
    found = []
    for _ in range(rounds):
        began = device_time()
        for _ in range(calls):
            call()
        found.append((device_time() - began) / calls)
    return statistics.median(found)


@pytest.mark.parametrize("r", [64, 100])
def test_time_of_replayed_steps(device: str, r: int, record_property: Callable[[str, object], None]) -> None:
    """Of 10,000 pairs: a step in a call, as many as a training takes in a call, and these replayed."""
    case = random_case(*LARGE, r, device)
    n_steps = STEPS_AT_ONCE["cuda"]
    tables, numbers = case.tables.clone(), numbers_of(n_steps, 0, device)
    margins, lrs, offsets = (each.tolist() for each in numbers)
    pairs = list(zip(case.users.tensor_split(n_steps), case.positives.tensor_split(n_steps), strict=True))
    shared = {"n_negatives": N_NEGATIVES, "eps": EPS, "max_norm": MAX_NORM, "rank_weight": True, "seed": SEED}
    head = (*tables.all(), case.indptr, case.indices)
    call = call_of(case, tables, (case.users, case.positives, numbers[0], 1e-6 * numbers[1], numbers[2]))

    def one_by_one() -> None:
        for (users, items), margin, offset in zip(pairs, margins, offsets, strict=True):
            ops.cml_step_(*head, users, items, margin=margin, lr=1e-6 * lrs[0], offset=offset, **shared)

    counted = Counted(Captures())
    replays = Replays(counted)
    calls = {
        "in a call each": one_by_one,
        f"{n_steps} in a call": lambda: plainly(call),
        f"{n_steps} in a call, replayed": lambda: replays(call),
    }
    what = f"a step of 10,000 pairs, r = {r}"
    record(
        [Row(what, name, None, SECOND * seconds_of(call) / n_steps) for name, call in calls.items()], record_property
    )
    assert counted.count == 1


@pytest.mark.parametrize("loss", ["warp", "softmax"])
def test_time_of_an_epoch(device: str, loss: str, record_property: Callable[[str, object], None]) -> None:
    """Of made-up likes, as many as Gowalla has: by the host's clock, and what the GPU works of it."""
    n_users, n_items, n_pairs, batch_size = GOWALLA
    rng = np.random.default_rng(SEED)
    drawn = np.unique(rng.integers(n_users, size=n_pairs) * n_items + rng.integers(n_items, size=n_pairs))
    likes = sparse.csr_matrix((np.ones(len(drawn), np.float32), np.divmod(drawn, n_items)), shape=(n_users, n_items))
    size = batch_size if loss == "warp" else "auto"
    params = CML(n_components=64, loss=loss, batch_size=size, random_state=SEED).get_params()
    settings = resolve(params, likes.nnz, *likes.shape)
    kernels, where = backend.choose("extension", device)
    pairs, step = Pairs.of(likes, likes, where, kernels), fused_step(kernels)
    tables, epochs = new_tables(*likes.shape, settings, where), iter(range(1_000))

    def epoch() -> None:
        go_on(step, tables, pairs, settings, next(epochs), Schedule(0.0, 0.1), Course.start(1))

    whole = SECOND * seconds_of(epoch, calls=3)
    worked = SECOND * sum(profiled(epoch).values())
    what = f"an epoch of {likes.nnz:,} pairs, {loss}, r = 64"
    record(
        [Row(what, "by the host's clock", None, whole), Row(what, "kernels together", None, worked)], record_property
    )
    assert worked > 0
