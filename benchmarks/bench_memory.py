"""Peak resident memory of a training, of cmlfast and of others, each in a fresh process; the time is that process's.

The floor is the peak right after the imports. Two epochs suffice: the peak does not depend on their number.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from scipy import sparse

from benchmarks.kit.data import load_split
from benchmarks.kit.measure import require_extension
from benchmarks.peers.libraries import PEERS
from benchmarks.peers.memory import EPOCHS, THREADS


@pytest.fixture(scope="module")
def train(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    name, (interactions, _, _) = load_split()
    file = tmp_path_factory.mktemp("memory") / "train.npz"
    sparse.save_npz(file, interactions.matrix)
    return name, file


@pytest.mark.benchmark(group="memory")
@pytest.mark.parametrize("name", PEERS)
def test_memory(benchmark: Any, train: tuple[str, Path], name: str) -> None:
    peer = PEERS[name]
    pytest.importorskip(peer.module, reason=f"{peer.library} is not installed: pip install {peer.library}")
    if peer.library == "cmlfast":
        require_extension()
    data, file = train
    command = [sys.executable, "-m", "benchmarks.peers.memory", name, str(file)]
    done = benchmark.pedantic(
        subprocess.run, (command,), {"check": True, "capture_output": True, "text": True}, rounds=1
    )
    benchmark.extra_info.update(
        json.loads(done.stdout),
        data=data,
        library=peer.library,
        method=peer.method,
        epochs=EPOCHS,
        threads=THREADS,
    )
