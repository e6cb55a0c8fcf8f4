"""What stands for CUDA graphs where there is no GPU."""

from collections.abc import Callable

import torch
from torch import Tensor

from cmlfast.training.replay import Outputs


class Graphs:
    """Captures as CUDA does: not making the call, which writes into the same memory whenever it is made."""

    def __init__(self) -> None:
        self.captured = self.replayed = 0

    def __call__(self, call: Callable[[], Outputs]) -> Callable[[], Outputs]:
        self.captured += 1
        outputs: list[Tensor] = []

        def replay() -> Outputs:
            self.replayed += 1
            found = call()
            outputs.extend(torch.empty_like(each) for each in found[len(outputs) :])
            for mine, theirs in zip(outputs, found, strict=True):
                mine.copy_(theirs)
            return tuple(outputs)

        return replay
