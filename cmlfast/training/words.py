"""Random numbers that a training draws by the operators' generator: the same bits wherever they are drawn."""

from __future__ import annotations

from types import ModuleType

import torch
from torch import Tensor

WORD = 2**31 - 1  # what is drawn is uniform below
ROW = 64  # words that are drawn together; the first of them are numbered by 31 bits


def draw_words(kernels: ModuleType, first: int, n: int, seed: int, offset: int, device: torch.device) -> Tensor:
    """Draw the words with the numbers ``first`` to ``first + n - 1`` of a stream of (seed, offset).

    A word is a function of its number and the stream alone, so that whoever needs some draws these.

    Returns
    -------
    Tensor
        Shape [n], int32, uniform in [0, ``WORD``).
    """
    skipped = first % ROW
    rows = torch.arange(first // ROW, (first + n - 1) // ROW + 1, dtype=torch.int32, device=device)
    nobody = torch.zeros(2, dtype=torch.int32, device=device)
    # Of a user without likes, from a catalogue as large as can be: 31 random bits each.
    drawn: Tensor = kernels.sample_negatives(
        nobody, nobody[:0], nobody[:1].expand(len(rows)), rows, WORD, ROW, seed, offset
    )
    return drawn.view(-1)[skipped : skipped + n]
