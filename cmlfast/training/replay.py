"""Steps on a GPU as CUDA graphs: what the host would launch again and again, it launches once for each shape."""

from __future__ import annotations

import logging
from collections.abc import Callable
from types import ModuleType
from typing import Any, TypeAlias

import torch
from torch import Tensor

LOG = logging.getLogger("cmlfast")

Outputs: TypeAlias = tuple[Tensor, ...]
# Turns a call, which it does not carry out, into one that does the same whenever it is made, and returns the same
# tensors every time.
Capture: TypeAlias = Callable[[Callable[[], Outputs]], Callable[[], Outputs]]

N_FIXED = 6  # arguments of cml_steps_: tables, accumulators and the matrix, which a graph knows by their place
NUMBERS = ("margins", "lrs", "offsets")  # with the pairs, what differs from call to call


def capture(call: Callable[[], Outputs]) -> Callable[[], Outputs]:
    """Capture a call into a CUDA graph."""
    graph = torch.cuda.CUDAGraph()
    # Of this thread alone, so that others may use the GPU meanwhile. The memory is the graph's own.
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        outputs = call()

    def replay() -> Outputs:
        graph.replay()
        return outputs

    return replay


class Replayed:
    """The operators; ``cml_steps_`` is captured when the same shapes come again, and replayed from then on.

    A graph reads its pairs and numbers from tensors of its own, which are filled before each replay: every replay is a
    true step, to the bit. The first call is a plain one: it loads the kernels, for which a capture is no place. Where
    capturing fails, all calls are plain ones.
    """

    def __init__(self, kernels: ModuleType, capture: Capture = capture) -> None:
        self._kernels, self._capture = kernels, capture
        self._graphs: dict[Any, tuple[Outputs, Callable[[], Outputs]] | None] = {}  # None: seen once

    def __getattr__(self, name: str) -> Any:
        return getattr(self._kernels, name)

    def cml_steps_(self, *tensors: Tensor, **options: Any) -> Outputs:
        """Take the steps: the operator's arguments, the tensors before its numbers by place, all others by name."""
        given = (*tensors[N_FIXED:], *(options.pop(name) for name in NUMBERS))

        def steps(*changing: Tensor) -> Outputs:
            pairs, numbers = changing[: -len(NUMBERS)], dict(zip(NUMBERS, changing[-len(NUMBERS) :], strict=True))
            result: Outputs = self._kernels.cml_steps_(*tensors[:N_FIXED], *pairs, **numbers, **options)
            return result

        # Places stay taken: the graph's call keeps its tensors.
        places = tuple((each.data_ptr(), each.shape, each.dtype) for each in tensors[:N_FIXED])
        key = (places, tuple((each.shape, each.dtype) for each in given), tuple(options.items()))
        if key not in self._graphs:
            self._graphs[key] = None
            return steps(*given)
        with torch.cuda.device_of(tensors[0]):
            found = self._graphs[key] or self._captured(steps, given)
            self._graphs[key] = found
            inputs, replay = found
            for mine, theirs in zip(inputs, given, strict=True):
                mine.copy_(theirs)
            # Clones, for the next replay fills the same tensors.
            return tuple(each.clone() for each in replay())

    def _captured(self, steps: Callable[..., Outputs], given: Outputs) -> tuple[Outputs, Callable[[], Outputs]]:
        inputs = tuple(each.clone() for each in given)
        try:
            return inputs, self._capture(lambda: steps(*inputs))
        except RuntimeError as error:
            LOG.warning("fit: steps are launched one by one, for a CUDA graph of them could not be captured: %s", error)
            return inputs, lambda: steps(*inputs)
