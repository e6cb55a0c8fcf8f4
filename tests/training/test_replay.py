"""Several steps in a call, and calls that are captured and replayed: the bits of single steps.

No capture runs here: a stand-in for CUDA graphs keeps the call, and makes it again on the same tensors.
"""

import logging
from collections.abc import Callable

import pytest
import torch
from batches import Batch, assert_same, make_batch
from graphs import Graphs
from scipy import sparse
from torch import Tensor

from cmlfast import CML, build_info, ops
from cmlfast.training import loop, replay
from cmlfast.training.loop import run_epoch
from cmlfast.training.pairs import Pairs
from cmlfast.training.replay import Outputs, Replayed
from cmlfast.training.schedule import Schedule
from cmlfast.training.settings import resolve
from cmlfast.training.step import fused_step
from cmlfast.training.tables import new_tables

pytestmark = pytest.mark.skipif(not build_info()["extension"], reason=str(build_info()["reason"]))
CPU = torch.device("cpu")
OPTIONS = {"n_negatives": 5, "eps": 1e-10, "max_norm": 1.0, "rank_weight": True, "seed": 3, "stochastic_rounding": True}


def steps(kernels: object, batch: Batch, sizes: list[int]) -> list[Outputs]:
    """Take two steps on each next part of a batch, with other numbers; overwrite what was given afterwards."""
    returned, begin = [], 0
    for number, size in enumerate(sizes):
        pairs = [ids[begin : begin + size].clone() for ids in batch.sampling[2:]]
        at = torch.arange(2.0) + 2 * number
        numbers = {"margins": 0.9 - at / 40, "lrs": 0.2 / (1 + at), "offsets": at.long() * 7}
        returned.append(kernels.cml_steps_(*batch.tables, *batch.sampling[:2], *pairs, **numbers, **OPTIONS))
        for tensor in (*pairs, *numbers.values()):
            tensor.zero_()
        begin += size
    return returned


SIZES = [60, 60, 59, 60, 59, 59, 60]


def assert_as_plain(kernels: Replayed, dtype: torch.dtype = torch.float32) -> None:
    mine, plain = (make_batch(33, sum(SIZES)).stored_as(dtype) for _ in range(2))
    # All are compared when all are done: what a replay returned must survive the next.
    for got, want in zip(steps(kernels, mine, SIZES), steps(ops, plain, SIZES), strict=True):
        for one, other in zip(got, want, strict=True):
            assert_same(one, other)
        assert want[2].min() > 0
    for one, other in zip(mine.tables, plain.tables, strict=True):
        assert_same(one, other)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_replays_are_true_steps(dtype: torch.dtype) -> None:
    graphs = Graphs()
    assert_as_plain(Replayed(ops, graphs), dtype)
    assert (graphs.captured, graphs.replayed) == (2, 5)  # the first of each size is a plain call


def test_other_tables_are_another_graph() -> None:
    graphs = Graphs()
    kernels = Replayed(ops, graphs)
    for _ in range(2):
        assert_as_plain(kernels)
    assert graphs.captured == 4


def test_other_options_are_another_graph() -> None:
    graphs, batch = Graphs(), make_batch(8, 120)
    kernels = Replayed(ops, graphs)
    for options in (OPTIONS, {**OPTIONS, "max_norm": 0.5}):
        for _ in range(2):
            numbers = {"margins": torch.ones(1), "lrs": torch.ones(1), "offsets": torch.zeros(1).long()}
            kernels.cml_steps_(*batch.tables, *batch.sampling, **numbers, **options)
        # A rate of 1 throws rows at the ball's edge.
        assert batch.user_w[batch.users].norm(dim=1).median() == pytest.approx(options["max_norm"], rel=1e-6)
    assert graphs.captured == graphs.replayed == 2


def test_where_nothing_can_be_captured_steps_are_plain(caplog: pytest.LogCaptureFixture) -> None:
    def refuse(call: Callable[[], Outputs]) -> Callable[[], Outputs]:
        raise RuntimeError("operation not permitted when stream is capturing")

    with caplog.at_level(logging.WARNING, "cmlfast"):
        assert_as_plain(Replayed(ops, refuse))
    assert [record.message.rpartition(": ")[2] for record in caplog.records] == [
        "operation not permitted when stream is capturing"
    ] * 2  # once for each size


def test_what_is_asked_of_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """A capture of this thread alone, and replays that return the tensors that the graph fills."""
    said: list[object] = []

    class Graph:
        def replay(self) -> None:
            said.append("replayed")

    class Capturing:
        def __init__(self, graph: Graph, **options: object) -> None:
            said.append(options)

        def __enter__(self) -> None:
            said.append("begun")

        def __exit__(self, *_: object) -> None:
            said.append("ended")

    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph", Capturing)
    outputs = (torch.zeros(2),)
    again = replay.capture(lambda: said.append("called") or outputs)
    assert said == [{"capture_error_mode": "thread_local"}, "begun", "called", "ended"]
    assert again() is again() is outputs
    assert said[4:] == ["replayed", "replayed"]


def trained(at_once: int, kernels: object, monkeypatch: pytest.MonkeyPatch, **params: object) -> list[object]:
    """Train for some epochs; return the tables and what was seen."""
    monkeypatch.setitem(loop.STEPS_AT_ONCE, "cpu", at_once)
    likes = sparse.random(50, 70, 0.2, format="csr", rng=7)
    model = CML(n_components=12, random_state=1, batch_size=64, **params)
    settings = resolve(model.get_params(), likes.nnz, *likes.shape)
    pairs = Pairs.of(likes, likes, CPU, ops)
    tables, step = new_tables(*likes.shape, settings, CPU), fused_step(kernels)
    records = [
        run_epoch(step, tables, pairs, settings, epoch, Schedule(epoch / 4, (epoch + 1) / 4)) for epoch in range(4)
    ]
    for record in records:
        del record["seconds"]
    return [*tables.all(), *records]


@pytest.mark.parametrize(
    "params",
    [{"loss": "warp"}, {"loss": "warp", "balance": None}, {"loss": "softmax"}, {"loss": "warp", "dtype": "bfloat16"}],
    ids=str,
)
def test_epochs_of_several_steps_at_once(monkeypatch: pytest.MonkeyPatch, params: dict) -> None:
    """Eleven batches of two sizes, four at a time: also the last three, and through a graph."""
    graphs = Graphs()
    want = trained(1, ops, monkeypatch, **params)
    for kernels in (ops, Replayed(ops, graphs)):
        for one, other in zip(trained(4, kernels, monkeypatch, **params), want, strict=True):
            assert torch.equal(one, other) if isinstance(one, Tensor) else one == other
    assert graphs.captured == (0 if "softmax" in params.values() else 3)


def test_it_is_asked_whether_it_is_enough_after_each_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(loop.STEPS_AT_ONCE, "cpu", 4)
    likes = sparse.random(50, 70, 0.2, format="csr", rng=7)
    settings = resolve(CML(n_components=4, random_state=1, batch_size=64).get_params(), likes.nnz, *likes.shape)
    pairs = Pairs.of(likes, likes, CPU, ops)
    tables, course = new_tables(*likes.shape, settings, CPU), loop.Course.start(1)
    done = []
    while not loop.go_on(fused_step(ops), tables, pairs, settings, 0, Schedule(0, 1), course, lambda: True):
        done.append(course.n_batches)
    assert done == [4, 8]
    assert len(course.totals) == course.n_batches == 11
