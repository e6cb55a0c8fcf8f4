"""The step that is counted, to be run under callgrind, which counts only what lies between the two switches."""

from __future__ import annotations

import os
import subprocess

import torch

from cmlfast import ops

USERS, ITEMS, RANK, PAIRS, NEGATIVES = 500, 500, 100, 1000, 10


def switch(state: str) -> None:
    """Turn callgrind's counting of this process on or off."""
    subprocess.run(["callgrind_control", "-i", state, str(os.getpid())], check=True, stdout=subprocess.DEVNULL)


def main() -> None:
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    user_vectors = torch.randn(USERS, RANK, generator=generator) / 10
    item_vectors = torch.randn(ITEMS, RANK, generator=generator) / 10
    user_state, item_state = torch.zeros_like(user_vectors), torch.zeros_like(item_vectors)
    indptr = torch.arange(0, 2 * USERS + 1, 2)
    indices = (torch.arange(USERS)[:, None] % 400 + torch.tensor([0, 50])).flatten()  # two positives a user
    users = torch.randint(USERS, (PAIRS,), generator=generator)
    positives = indices[2 * users]

    def step(offset: int) -> None:
        tables = user_vectors, item_vectors, user_state, item_state
        ops.cml_step_(
            *tables, indptr, indices, users, positives, NEGATIVES, 1.0, 0.1, 1e-10, 1.0, True, seed=0, offset=offset
        )

    step(0)  # what only a first call does is no part of a step
    switch("on")
    step(1)
    switch("off")


if __name__ == "__main__":
    main()
