"""The memory that one training needs, in a process of its own: ``python -m benchmarks.peers.memory NAME FILE``.

FILE is the training matrix as SciPy stores it. Prints the peaks in MB, after the imports and after the training.
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from scipy import sparse

from benchmarks.peers.libraries import PEERS

EPOCHS = 2  # the second finds all memory that the first took: more epochs have the same peak
THREADS = 2


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
    peer = PEERS[name]
    import_module(peer.module)
    floor = peak_mb()
    peer.fit(sparse.load_npz(file), {**peer.setting, "epochs": EPOCHS}, THREADS)
    print(json.dumps({"floor_rss_mb": floor, "peak_rss_mb": peak_mb()}))


if __name__ == "__main__":
    main(sys.argv[1:])
