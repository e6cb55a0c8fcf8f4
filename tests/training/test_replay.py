"""Several steps in a call, and calls that are captured and replayed: the bits of single steps.

No capture runs here: a stand-in for CUDA graphs keeps the call, and makes it again on the same tensors.
"""

import logging
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from batches import Batch, assert_same, make_batch
from graphs import Graphs
from scipy import sparse
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from cmlfast import CML, build_info, ops
from cmlfast.ops import shared_softmax
from cmlfast.training import loop, replay
from cmlfast.training.loop import run_epoch
from cmlfast.training.pairs import Batches, Pairs
from cmlfast.training.replay import Call, Outputs, Replays
from cmlfast.training.schedule import Schedule
from cmlfast.training.settings import resolve
from cmlfast.training.step import fused_step
from cmlfast.training.tables import new_tables

pytestmark = pytest.mark.skipif(not build_info()["extension"], reason=str(build_info()["reason"]))
CPU = torch.device("cpu")
OPTIONS = {"n_negatives": 5, "eps": 1e-10, "max_norm": 1.0, "rank_weight": True, "seed": 3, "stochastic_rounding": True}


def call_of(batch: Batch, inputs: Outputs, options: dict = OPTIONS) -> Call:
    fixed = (*batch.tables, *batch.sampling[:2])

    def take(users: Tensor, positives: Tensor, margins: Tensor, lrs: Tensor, offsets: Tensor) -> Outputs:
        return ops.cml_steps_(*fixed, users, positives, margins=margins, lrs=lrs, offsets=offsets, **options)

    return Call(take, inputs, fixed, tuple(options.values()))


def plainly(call: Call) -> Outputs:
    return call.take(*call.inputs)


def steps(make: Callable[[Call], Outputs], batch: Batch, sizes: list[int]) -> list[Outputs]:
    """Take two steps on each next part of a batch, with other numbers; overwrite what was given afterwards."""
    returned, begin = [], 0
    for number, size in enumerate(sizes):
        pairs = [ids[begin : begin + size].clone() for ids in batch.sampling[2:]]
        at = torch.arange(2.0) + 2 * number
        inputs = (*pairs, 0.9 - at / 40, 0.2 / (1 + at), at.long() * 7)  # margins, rates, offsets
        returned.append(make(call_of(batch, inputs)))
        for tensor in inputs:
            tensor.zero_()
        begin += size
    return returned


SIZES = [60, 60, 59, 60, 59, 59, 60]


def assert_as_plain(replays: Replays, dtype: torch.dtype = torch.float32) -> None:
    mine, plain = (make_batch(33, sum(SIZES)).stored_as(dtype) for _ in range(2))
    # All are compared when all are done: what a replay returned must survive the next.
    for got, want in zip(steps(replays, mine, SIZES), steps(plainly, plain, SIZES), strict=True):
        for one, other in zip(got, want, strict=True):
            assert_same(one, other)
        assert want[2].min() > 0
    for one, other in zip(mine.tables, plain.tables, strict=True):
        assert_same(one, other)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_replays_are_true_steps(dtype: torch.dtype) -> None:
    graphs = Graphs()
    assert_as_plain(Replays(graphs), dtype)
    assert (graphs.captured, graphs.replayed) == (2, 5)  # the first of each size is a plain call


def test_other_tables_are_another_graph() -> None:
    graphs = Graphs()
    replays = Replays(graphs)
    for _ in range(2):
        assert_as_plain(replays)
    assert graphs.captured == 4


def test_other_options_are_another_graph() -> None:
    graphs, batch = Graphs(), make_batch(8, 120)
    replays = Replays(graphs)
    for options in (OPTIONS, {**OPTIONS, "max_norm": 0.5}):
        for _ in range(2):
            numbers = (torch.ones(1), torch.ones(1), torch.zeros(1).long())
            replays(call_of(batch, (*batch.sampling[2:], *numbers), options))
        # A rate of 1 throws rows at the ball's edge.
        assert batch.user_w[batch.users].norm(dim=1).median() == pytest.approx(options["max_norm"], rel=1e-6)
    assert graphs.captured == graphs.replayed == 2


def test_where_nothing_can_be_captured_steps_are_plain(caplog: pytest.LogCaptureFixture) -> None:
    def refuse(call: Callable[[], Outputs]) -> Callable[[], Outputs]:
        raise RuntimeError("operation not permitted when stream is capturing")

    with caplog.at_level(logging.WARNING, "cmlfast"):
        assert_as_plain(Replays(refuse))
    assert [record.message.rpartition(": ")[2] for record in caplog.records] == [
        "operation not permitted when stream is capturing"
    ] * 2  # once for each size


class Torch:
    """What a capture asks of torch, and what it was asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, ends_badly: bool = False) -> None:
        self.said: list[object] = []
        said, current = self.said, ["the caller's"]

        class Graph:
            def replay(self) -> None:
                said.append("replayed")

        class Capturing:
            def __init__(self, graph: Graph, pool: object, stream: object, capture_error_mode: str) -> None:
                said.append((pool, stream, capture_error_mode))
                self.stream = stream

            def __enter__(self) -> None:
                current[0] = self.stream

            def __exit__(self, *_: object) -> None:
                if ends_badly:  # as torch, which stays where it is then
                    raise RuntimeError("operation failed due to a previous error during capture")
                current[0] = "the caller's"

        streams = iter(("one", "another"))
        for name, value in {
            "CUDAGraph": Graph,
            "graph": Capturing,
            "Stream": lambda: next(streams),
            "graph_pool_handle": lambda: "memory",
            "current_stream": lambda: current[0],
            "set_stream": lambda stream: current.__setitem__(0, stream),
        }.items():
            monkeypatch.setattr(torch.cuda, name, value)
        self.current = current


def test_what_is_asked_of_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Captures of this thread alone, on one stream and in one memory; replays return what the graph fills."""
    asked, outputs, captures = Torch(monkeypatch), (torch.zeros(2),), replay.Captures()
    for _ in range(2):
        again = captures(lambda: asked.said.append(f"called on {asked.current[0]}") or outputs)
        assert asked.said == [("memory", "one", "thread_local"), "called on one"]
        assert again() is again() is outputs
        assert asked.said[2:] == ["replayed", "replayed"]
        asked.said.clear()
    replay.Captures()(lambda: outputs)  # of another training, maybe of another device
    assert asked.said == [("memory", "another", "thread_local")]


def test_a_capture_that_fails_leaves_the_stream_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Torch(monkeypatch, ends_badly=True)
    with pytest.raises(RuntimeError, match="previous error"):
        replay.Captures()(lambda: ())
    assert asked.current == ["the caller's"]


def trained(
    at_once: int, kernels: object, replays: Replays | None, monkeypatch: pytest.MonkeyPatch, **params: object
) -> list[object]:
    """Train for some epochs; return the tables and what was seen."""
    monkeypatch.setitem(loop.STEPS_AT_ONCE, "cpu", at_once)
    likes = sparse.random(50, 70, 0.2, format="csr", rng=7)
    model = CML(n_components=12, random_state=1, batch_size=64, **params)
    settings = resolve(model.get_params(), likes.nnz, *likes.shape)
    pairs = Pairs.of(likes, likes, CPU, ops)
    tables, step = new_tables(*likes.shape, settings, CPU), fused_step(kernels, replays)
    records = [
        run_epoch(step, tables, pairs, settings, epoch, Schedule(epoch / 4, (epoch + 1) / 4)) for epoch in range(4)
    ]
    for record in records:
        del record["seconds"]
    return [*tables.all(), *records]


@pytest.mark.parametrize(
    "params",
    [
        {"loss": "warp"},
        {"loss": "warp", "balance": None},
        {"loss": "warp", "dtype": "bfloat16"},
        {"loss": "softmax", "n_negatives": 30},
        {"loss": "softmax", "n_negatives": 100},  # all items
        {"loss": "softmax", "n_negatives": 30, "dtype": "bfloat16"},
        {"loss": "softmax", "n_negatives": 30, "rowwise_adagrad": True},
    ],
    ids=str,
)
def test_epochs_of_several_steps_at_once(monkeypatch: pytest.MonkeyPatch, params: dict) -> None:
    """Eleven batches of two sizes, four at a time: also the last three, and through a graph."""
    graphs = Graphs()
    want = trained(1, ops, None, monkeypatch, **params)
    for replays in (None, Replays(graphs)):
        for one, other in zip(trained(4, ops, replays, monkeypatch, **params), want, strict=True):
            assert torch.equal(one, other) if isinstance(one, Tensor) else one == other
    assert graphs.captured == 3


NEVER_WAIT = ("cml_steps_.default", "adagrad_clip_.Tensor", "softmax_weights_.default")


class Recording(TorchDispatchMode):
    """Notes the operators that are called, and those that take something from the host."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.from_host: set[str] = set()

    def __torch_dispatch__(
        self, operator: object, types: object, args: tuple = (), kwargs: dict | None = None
    ) -> object:
        self.names.add(str(operator))
        given = tree_leaves((args, kwargs))
        if any(isinstance(each, Tensor) and each.device == CPU for each in given):
            self.from_host.add(str(operator))
        return operator(*args, **(kwargs or {}))


@pytest.mark.parametrize("loss", ["warp", "softmax"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_nothing_is_asked_of_what_the_tables_hold(monkeypatch: pytest.MonkeyPatch, loss: str, dtype: str) -> None:
    """On tensors without numbers, where any question raises: on a GPU it would wait, and could not be captured.

    Those of our own operators would not raise there, so they are looked at by name; nor would copies from the host.
    """
    monkeypatch.setattr(shared_softmax, "TILE_PER_THREAD", 90)  # several tiles
    model = CML(n_components=12, loss=loss, n_negatives=30, batch_size=8, dtype=dtype)
    settings, device = resolve(model.get_params(), 600, 50, 70), torch.device("meta")
    pairs = Pairs.of(sparse.csr_matrix((50, 70)), sparse.csr_matrix((50, 70)), CPU, ops)
    pairs = replace(pairs, indptr=pairs.indptr.to(device), indices=pairs.indices.to(device))
    tables = new_tables(50, 70, settings, CPU)
    tables = type(tables)(*(table.to(device) for table in tables.all()))
    ids = torch.zeros(17, dtype=torch.int32, device=device)
    call = settings.loss.steps(
        ops, tables, pairs, Batches(ids, ids, [9, 8], [0.1, 0.1], [0.0, 0.1], [0, 1], [0, 1]), settings
    )
    with Recording() as called:
        totals = call.take(*call.inputs)
    own = {name for name in called.names if name.startswith("cmlfast")}
    assert own
    assert called.from_host == set()
    assert own <= {f"cmlfast.{name}" for name in NEVER_WAIT}
    assert len(totals) == (3 if loss == "warp" else 1)
    assert all(each.shape == (2,) and each.device == device for each in totals)
    with pytest.raises(RuntimeError, match="meta"):
        totals[0].tolist()


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
