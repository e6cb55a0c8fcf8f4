"""Processes that load one model share its tables: their pages are the file's, until somebody writes to them."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import sparse

from cmlfast import CML

pytestmark = pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="no /proc tells of mappings here")

LOADED = """
import sys
from cmlfast import CML
model = CML.load(sys.argv[1])
model.recommend(list(range(50)), N=10)
float(model.user_embedding_.sum())
print("ready", flush=True)
sys.stdin.readline()
"""


def kibibytes(pid: int, file: Path) -> dict[str, int]:
    """Return what a process's mappings of a file hold, by the names in smaps."""
    found: dict[str, int] = {}
    inside = False
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        name, _, rest = line.partition(":")
        if "-" in line.split(" ")[0]:  # a mapping begins
            inside = line.endswith(str(file))
        elif inside and rest.endswith("kB"):
            found[name] = found.get(name, 0) + int(rest.split()[0])
    return found


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return a model of some 13 MB."""
    likes = sparse.random(40_000, 12_000, 0.0002, format="csr", rng=np.random.default_rng(0))
    path = tmp_path / "a.model"
    CML(64, "warp", n_epochs=1, random_state=0).fit(likes).save(path)
    return path


@pytest.mark.slow
def test_two_processes_share_a_models_pages(file: Path) -> None:
    started = [
        subprocess.Popen(
            [sys.executable, "-c", LOADED, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    try:
        for each in started:
            assert each.stdout
            assert each.stdout.readline() == "ready\n"
        size = file.stat().st_size / 1024
        for each in started:
            held = kibibytes(each.pid, file)
            assert held["Rss"] > 0.5 * size  # pages come when they are looked at
            assert held["Pss"] < 0.6 * held["Rss"]
            assert held["Private_Dirty"] < 0.05 * size
    finally:
        for each in started:
            each.communicate("\n")


def test_what_is_written_is_the_writers_alone(file: Path) -> None:
    before = file.read_bytes()
    model = CML.load(file)
    with torch.no_grad():
        model.user_embedding_.add_(1)
    model.partial_fit(model.user_items_)
    assert file.read_bytes() == before
