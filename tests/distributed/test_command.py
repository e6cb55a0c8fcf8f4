"""The command by several processes, as torchrun starts them."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from distributed.worker import likes

from cmlfast import CML
from cmlfast_cli import main

pytestmark = pytest.mark.slow


def torchrun(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "cmlfast"]
    root = Path(__file__).parents[2]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(root)}
    return subprocess.run(
        [*command, *words], cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=300
    )


def test_train_and_recommend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    users, items = likes()[0].nonzero()
    rows = "".join(f"u{user},i{item}\n" for user, item in zip(users, items, strict=True))
    (tmp_path / "likes.csv").write_text(f"user,item\n{rows}")
    train = ("train", "likes.csv", "--loss", "warp", "--n-epochs", "3", "--n-components", "8")
    done = torchrun(tmp_path, *train, "--model", "two.cml", "--checkpoint", "kept")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("wrote two.cml") == 1
    assert done.stderr.count("user from 'user'") == 1
    monkeypatch.chdir(tmp_path)
    assert main([*train, "--model", "one.cml"]) == 0
    one, two = CML.load("one.cml"), CML.load("two.cml")
    assert np.array_equal(one.user_embedding_, two.user_embedding_)

    done = torchrun(tmp_path, "recommend", "two.cml", "-n", "3", "-o", "everyone.csv")
    assert done.returncode == 0, done.stderr
    assert main(["recommend", "one.cml", "-n", "3", "-o", "whole.csv"]) == 0
    first, second = ((tmp_path / f"everyone-{rank}-of-2.csv").read_text().splitlines() for rank in range(2))
    assert [*first, *second[1:]] == (tmp_path / "whole.csv").read_text().splitlines()
    assert abs(len(first) - len(second)) <= 3


@pytest.mark.parametrize(
    ("size", "words", "complaint"),
    [
        (2, ("info", "x.cml"), "torchrun runs 2 processes, but info is for one"),
        (1, ("recommend", "x.cml", "u1"), "torchrun is for recommendations to all users"),
        (1, ("recommend", "x.cml"), "torchrun is for recommendations to all users"),
    ],
)
def test_what_processes_cannot_share(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    size: int,
    words: tuple[str, ...],
    complaint: str,
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    told = {"RANK": 0, "LOCAL_RANK": 0, "WORLD_SIZE": size, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    for name, value in told.items():
        monkeypatch.setenv(name, str(value))
    assert main([*words]) == 3
    assert capsys.readouterr().err.startswith(f"cmlfast: error: {complaint}")
