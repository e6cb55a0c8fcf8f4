"""What processes say to each other: the collectives of a torch.distributed group, and the bytes that they send."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


class LostRankError(RuntimeError):
    """Another process of a distributed training is gone."""


class Ranks:
    """The processes of a group, of which this is one.

    Attributes
    ----------
    rank, size : int
        The number of this one, and of all.
    sent : int
        Bytes that this one has sent, to all others together: what it gave, once for each that needs it. Padding counts,
        what the transport adds does not.
    """

    def __init__(self, group: Any) -> None:
        self.group = group
        self.rank, self.size = place_in(group)
        self.sent = 0

    def gather(self, tensor: Tensor) -> Tensor:
        """Return everybody's tensor, which all have one shape: [ranks, ...]."""
        if self.size == 1:
            return tensor[None]
        parts = [torch.empty_like(tensor) for _ in range(self.size)]
        self.sent += tensor.nbytes * (self.size - 1)
        with self._told():
            dist.all_gather(parts, tensor.contiguous(), group=self.group)
        return torch.stack(parts)

    def gather_rows(self, rows: Tensor, counts: Sequence[int]) -> list[Tensor]:
        """Return everybody's rows, of which rank k has ``counts[k]``."""
        most = max(counts)
        padded = as_bytes(rows, most)
        return [of_bytes(part[:n], rows) for part, n in zip(self.gather(padded), counts, strict=True)]

    def exchange(self, rows: Tensor, to: Sequence[int], back: Sequence[int]) -> Tensor:
        """Send rows to everybody, in the order of ranks and ``to[k]`` of them to rank k; return what all send here."""
        if self.size == 1:
            return rows
        sent = as_bytes(rows)
        got = sent.new_empty((sum(back), sent.shape[1]))
        width = sent.shape[1]
        self.sent += width * (sum(to) - to[self.rank])
        with self._told():
            dist.all_to_all_single(
                got.view(-1), sent.reshape(-1), [n * width for n in back], [n * width for n in to], group=self.group
            )
        return of_bytes(got, rows)

    def sum(self, tensor: Tensor) -> Tensor:
        """Return the sum of everybody's tensor, the same bits everywhere; the tensor may be its place."""
        if self.size == 1:
            return tensor
        self.sent += 2 * tensor.nbytes * (self.size - 1) // self.size
        with self._told():
            dist.all_reduce(tensor, group=self.group)
        return tensor

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            raise LostRankError(
                f"rank {self.rank} of {self.size} can no longer reach the others: one of these processes has ended or "
                "was called otherwise, or their network failed; what it said stands above. With a checkpoint_dir, the "
                "same command goes on from the last checkpoint, with any number of ranks "
                f"({str(error).partition(chr(10))[0]})"
            ) from error


def place_in(group: Any) -> tuple[int, int]:
    """Return this process's number in a group, and how many there are.

    Raises
    ------
    ValueError
        If it is not in the group.
    """
    rank, size = dist.get_rank(group), dist.get_world_size(group)
    if rank < 0:
        raise ValueError("process_group is one that this process is not in; let those that are in it make the call")
    return rank, size


def as_bytes(rows: Tensor, n: int | None = None) -> Tensor:
    """Return rows [m, ...] as bytes [m, b]; as ``n`` rows, of which the last mean nothing, if that is more."""
    given = rows.contiguous().reshape(len(rows), rows.shape[1:].numel())
    found = given.view(torch.uint8) if given.numel() else given.new_empty((len(rows), _width(rows)), dtype=torch.uint8)
    if n is None or n == len(found):
        return found
    padded = found.new_zeros((n, found.shape[1]))
    padded[: len(found)] = found
    return padded


def of_bytes(found: Tensor, like: Tensor) -> Tensor:
    """Undo :func:`as_bytes`; ``like`` says of what type and shape a row is."""
    flat = found.contiguous().view(-1)
    return (
        flat.view(like.dtype).view(len(found), *like.shape[1:])
        if flat.numel()
        else like[:0].new_empty((len(found), *like.shape[1:]))
    )


def _width(rows: Tensor) -> int:
    return rows.shape[1:].numel() * rows.element_size()
