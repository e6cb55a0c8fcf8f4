"""Fixtures that several test files use."""

import os
import signal

# Threads that wait in a loop stand in each other's way on a busy machine. OpenMP reads this when torch loads it.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from backends import backend, implementation, kernel  # noqa: F401  (fixtures)

from cmlfast.data.datasets import fetch

# Tables are small here, so that threads would mostly wait for each other; tests of threads set their own number.
torch.set_num_threads(1)


@pytest.fixture
def shared_data(monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of real data, set as CMLFAST_DATA; skip where it, or what a test needs, is not."""
    folder = Path(os.environ.get("CMLFAST_DATA") or Path(__file__).parents[2] / "shared" / "data")
    if not folder.is_dir():
        pytest.skip("no real data here: set CMLFAST_DATA to a folder that has it")
    monkeypatch.setenv("CMLFAST_DATA", str(folder))

    def no_download(address: str, **_: object) -> str:
        pytest.skip(f"not in {folder}, and tests do not download: {address}")

    monkeypatch.setattr(fetch._pooch(), "retrieve", no_download)
    return folder


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Let SIGINT raise ``KeyboardInterrupt``, which a shell's background jobs ignore."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
