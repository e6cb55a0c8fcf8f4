"""Several processes that run one command, as ``torchrun -m cmlfast ...`` starts them."""

from __future__ import annotations

import argparse
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist

from cmlfast.ops import backend

KNOW_HOW = ("train", "recommend")
STARTED = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")  # what torchrun tells each process


def check_alone(options: argparse.Namespace) -> None:
    """Raise ``ValueError`` if several processes run a command that they cannot share."""
    if _size() > 1 and options.command not in KNOW_HOW:
        raise ValueError(
            f"torchrun runs {_size()} processes, but {options.command} is for one; {' and '.join(KNOW_HOW)} alone "
            "share their work"
        )


@contextmanager
def shared(options: argparse.Namespace) -> Iterator[Any]:
    """Join the processes that were started together; only the first one says what it does.

    Yields
    ------
    torch.distributed.ProcessGroup or None
        None where this process was started alone.
    """
    if _size() == 0:
        yield None
        return
    on_gpu = backend.choose("auto", "auto")[1].type == "cuda"
    if on_gpu:
        number, n_gpus = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if number >= n_gpus:
            raise ValueError(f"torchrun has started more processes here than there are GPUs, {n_gpus}: one takes one")
        torch.cuda.set_device(number)
    dist.init_process_group("nccl" if on_gpu else "gloo")
    try:
        if dist.get_rank() > 0:
            options.quiet = True
            logging.getLogger("cmlfast").setLevel(logging.ERROR)
        yield dist.group.WORLD
    finally:
        dist.destroy_process_group()


def is_first(group: Any) -> bool:
    """Whether this process is alone, or the first of a group: the one that writes what there is one of."""
    return group is None or dist.get_rank(group) == 0


def _size() -> int:
    """Return how many processes were started together; 0 if this one was not."""
    return int(os.environ["WORLD_SIZE"]) if all(name in os.environ for name in STARTED) else 0
