"""Steps on a GPU as CUDA graphs: what the host would launch again and again, it launches once for each shape."""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor

LOG = logging.getLogger("cmlfast")

Outputs: TypeAlias = tuple[Tensor, ...]
# Turns a call, which it does not carry out, into one that does the same whenever it is made, and returns the same
# tensors every time.
Capture: TypeAlias = Callable[[Callable[[], Outputs]], Callable[[], Outputs]]


class Call(NamedTuple):
    """What is done again and again with other tensors of the same shapes; it never waits for a GPU."""

    take: Callable[..., Outputs]
    inputs: Outputs  # what it takes, other tensors every time
    fixed: Outputs  # what else it works on, known by its place: whatever lies there, a graph of the call works on
    options: Hashable  # all else that makes it what it is


class Captures:
    """Captures calls into CUDA graphs of one device.

    All are captured on one stream and share their memory, which is safe where replays come one after the other and
    nobody looks at what one returned after the next has begun.
    """

    def __init__(self) -> None:
        self._stream: Any = None
        self._memory: Any = None

    def __call__(self, call: Callable[[], Outputs]) -> Callable[[], Outputs]:
        """Return what replays a call."""
        if self._stream is None:  # torch's own is of the device that was the first to capture anything
            self._stream, self._memory = torch.cuda.Stream(), torch.cuda.graph_pool_handle()
        graph, before = torch.cuda.CUDAGraph(), torch.cuda.current_stream()
        try:
            # Of this thread alone, so that others may use the GPU meanwhile.
            with torch.cuda.graph(graph, self._memory, self._stream, capture_error_mode="thread_local"):
                outputs = call()
        finally:
            torch.cuda.set_stream(before)  # where a capture fails, torch stays on its own

        def replay() -> Outputs:
            graph.replay()
            return outputs

        return replay


class Replays:
    """Makes calls; one whose like was made before is captured, and replayed from then on.

    A graph reads its inputs from tensors of its own, which are filled before each replay: every replay is a true step,
    to the bit. The first call is a plain one: it loads the kernels, for which a capture is no place. Where capturing
    fails, all calls are plain ones.
    """

    def __init__(self, capture: Capture | None = None) -> None:
        self._capture = capture or Captures()
        self._graphs: dict[Any, tuple[Outputs, Callable[[], Outputs]] | None] = {}  # None: seen once

    def __call__(self, call: Call) -> Outputs:
        """Return what the call returns."""
        places = tuple((each.data_ptr(), each.shape, each.dtype) for each in call.fixed)
        key = (places, tuple((each.shape, each.dtype) for each in call.inputs), call.options)
        if key not in self._graphs:
            self._graphs[key] = None
            return call.take(*call.inputs)
        with torch.cuda.device_of(call.fixed[0]):
            found = self._graphs[key] or self._captured(call)
            self._graphs[key] = found
            inputs, replay = found
            for mine, theirs in zip(inputs, call.inputs, strict=True):
                mine.copy_(theirs)
            # Clones, for the next replay fills the same tensors.
            return tuple(each.clone() for each in replay())

    def _captured(self, call: Call) -> tuple[Outputs, Callable[[], Outputs]]:
        take, inputs = call.take, tuple(each.clone() for each in call.inputs)
        try:
            return inputs, self._capture(lambda: take(*inputs))
        except RuntimeError as error:
            LOG.warning("fit: steps are launched one by one, for a CUDA graph of them could not be captured: %s", error)
            return inputs, lambda: take(*inputs)
