"""What a process that was forked must do: work on one thread.

OpenMP's threads, which torch and the kernels share, do not come along in a fork: the first parallel loop of a child
whose parent has had one would wait for them for ever. A single thread waits for nobody, and the results are the same.
"""

from __future__ import annotations

import logging
import os

import torch

LOG = logging.getLogger("cmlfast")
_told = True


def tell_once() -> None:
    """Say, where the process is a fork and this was not said yet, that it works on one thread, and what helps."""
    global _told
    if not _told:
        _told = True
        LOG.warning(
            "this process (%d) was forked from one that had loaded cmlfast: threads do not outlive a fork, so it works "
            "on one. For more, load the model after the fork, or start processes with 'spawn' or 'forkserver'; "
            "OMP_NUM_THREADS=1 or torch.set_num_threads(1) before says that one is wanted",
            os.getpid(),
        )


def _after_fork_in_child() -> None:
    global _told
    _told = torch.get_num_threads() == 1
    torch.set_num_threads(1)


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=_after_fork_in_child)
