"""``python -m benchmarks.all_users``: recommendations for everybody at the size of EchoNest, to Parquet.

766,882 users and 260,417 items (the paper's Table 1), made up: vectors of unit length, and as many likes as asked for
by --likes, which the answers leave out. Prints the time, users a second, the file's size and the process's peak memory.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from scipy import sparse

from cmlfast import CML


def main() -> None:
    """Write the answers and print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[2])
    parser.add_argument("--users", type=int, default=766_882)
    parser.add_argument("--items", type=int, default=260_417)
    parser.add_argument("--likes", type=int, default=25, help="of each user, in the mean")
    parser.add_argument("-n", type=int, default=50, help="items for each user")
    parser.add_argument("--components", type=int, default=100)
    options = parser.parse_args()
    model = made_up(options.users, options.items, options.likes, options.components)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "everybody.parquet"
        began = time.perf_counter()
        model.write_recommendations(path, options.n, show_progress=True)
        seconds = time.perf_counter() - began
        size = path.stat().st_size
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"{options.users:,} users x {options.items:,} items, top {options.n}: {seconds:.0f} s on "
        f"{torch.get_num_threads()} threads, {options.users / seconds:,.0f} users a second; "
        f"{size / 2**20:,.0f} MiB of Parquet; {peak:.2f} GiB at the peak"
    )


def made_up(n_users: int, n_items: int, n_likes: int, r: int) -> CML:
    """Return a model whose vectors are drawn, not learned: a search takes as long for them."""
    rng = np.random.default_rng(0)
    users = np.repeat(np.arange(n_users, dtype=np.int32), rng.poisson(n_likes, n_users) + 1)
    # Popular items have small numbers, as a square of what is drawn has.
    items = (rng.random(len(users), dtype=np.float32) ** 2 * n_items).astype(np.int32)
    ones = np.ones(len(users), dtype=np.int8)
    likes = sparse.csr_matrix((ones, (users, items)), shape=(n_users, n_items))
    del users, items, ones
    model = CML(n_components=r, loss="warp", n_epochs=1, n_negatives=1, learning_rate=1e-9, random_state=0)
    model.fit(likes, show_progress=False)
    return model


if __name__ == "__main__":
    main()
