"""The memory that one training needs, in a process of its own: ``python -m benchmarks.peers.memory NAME FILE``.

FILE is the training matrix as SciPy stores it. Prints the peaks in MB, after the imports and after the training.
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path

from scipy import sparse

from benchmarks.peers.libraries import PEERS, Factors, Peer, Setting

EPOCHS = 2  # the second finds all memory that the first took: more epochs have the same peak
THREADS = 2


def fit_torch(train: sparse.csr_matrix, setting: Setting, threads: int) -> Factors:
    """Train CML with its default settings by the tuned torch step."""
    import torch

    from benchmarks.kit import torch_cml
    from cmlfast import CML
    from cmlfast._arithmetic import rank_weights
    from cmlfast.settings import resolve
    from cmlfast.training import EPSILON, Pairs, new_tables

    torch.set_num_threads(threads)
    settings = resolve({**CML().get_params(), "random_state": 0}, train.nnz, *train.shape)
    tables = new_tables(*train.shape, settings, torch.device("cpu"))
    pairs = Pairs.of(train, train, torch.device("cpu"))
    sampler = torch_cml.Sampler(pairs.indptr, pairs.indices, pairs.n_items)
    weights = torch.tensor(rank_weights(pairs.n_items, settings.n_negatives, True))
    for epoch in range(setting["epochs"]):
        for chosen in pairs.order(settings.seed, epoch, settings.balance).split(settings.batch_size):
            users, positives = pairs.users[chosen], pairs.items[chosen]
            torch_cml.step_(
                *tables.all(),
                users,
                positives,
                sampler.draw(users, settings.n_negatives),
                settings.margin[0],
                settings.learning_rate,
                EPSILON,
                settings.max_norm,
                weights,
            )
    return Factors(tables.user.numpy(), tables.item.numpy(), "sqeuclidean")


DEFAULT = PEERS["cmlfast_cml"]
TRAININGS: dict[str, Peer] = {
    **PEERS,
    "reference": replace(DEFAULT, method="CML, the reference", setting={"backend": "reference"}),
    "torch": replace(DEFAULT, method="CML, tuned torch step", fit=fit_torch),
}


def peak_mb() -> float:
    """Return the peak of this process's resident memory."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage counts what the process was before exec too: a copy of its parent
        high = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(high.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # macOS, which counts bytes


def main(arguments: Sequence[str]) -> None:
    """Run the command."""
    name, file = arguments
    training = TRAININGS[name]
    import_module(training.module)
    floor = peak_mb()
    training.fit(sparse.load_npz(file), {**training.setting, "epochs": EPOCHS}, THREADS)
    print(json.dumps({"floor_rss_mb": floor, "peak_rss_mb": peak_mb()}))


if __name__ == "__main__":
    main(sys.argv[1:])
