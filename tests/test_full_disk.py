"""A disk that is really full: what is written fails with a reason, and what was there before stays whole.

Each test mounts a small file system in memory, which only root may do.
"""

import errno
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse

import cmlfast_cli
from cmlfast import CML

LIKES = sparse.random(800, 600, 0.02, format="csr", rng=np.random.default_rng(0))
KIBIBYTES = 1024


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a file system of a mebibyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={KIBIBYTES}k", "tmpfs", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("there is no mount")
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def fill(disk: Path, leave: int) -> None:
    """Leave so many kibibytes free."""
    held = sum(path.stat().st_size for path in disk.rglob("*") if path.is_file())
    with open(disk / "others", "wb") as file:
        file.write(b"\0" * (KIBIBYTES * (KIBIBYTES - leave) - held - 16 * KIBIBYTES))


def model(**changes: Any) -> CML:
    return CML(32, "warp", n_epochs=6, random_state=0, **changes)


def contents(disk: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in disk.iterdir() if path.name != "others"}


def test_save(disk: Path) -> None:
    old, new = model().fit(LIKES), model(margin=0.5).fit(LIKES)
    old.save(disk / "a.model")
    fill(disk, 100)
    before = contents(disk)
    with pytest.raises(OSError, match="No space left on device") as told:
        new.save(disk / "a.model")
    assert told.value.errno == errno.ENOSPC
    assert contents(disk) == before
    assert CML.load(disk / "a.model").recommend(3)[0].tolist() == old.recommend(3)[0].tolist()


def test_checkpoints(disk: Path) -> None:
    """The disk takes two checkpoints and a part of the third; with room again, the training goes on."""
    expected = model().fit(LIKES)
    fill(disk, 990)
    with pytest.raises(OSError, match=r"could not be written \(No space left.*earlier ones are unchanged") as told:
        model().fit(LIKES, checkpoint_dir=disk / "kept")
    assert told.value.errno == errno.ENOSPC
    assert len(list((disk / "kept").iterdir())) == 2
    (disk / "others").unlink()
    subprocess.run(["mount", "-o", "remount,size=8m", str(disk)], check=True)
    found = model().fit(LIKES, checkpoint_dir=disk / "kept")
    assert np.array_equal(found.user_embedding_, expected.user_embedding_)
    assert len(found.history_) == len(expected.history_)


def test_an_index(disk: Path) -> None:
    small = model().fit(LIKES)
    small.save(disk / "a.model")
    before = contents(disk)
    small.build_index("annoy", n_trees=200)
    fill(disk, 150)
    with pytest.raises(OSError, match="No space left on device"):
        small.save(disk / "a.model")
    assert contents(disk) == before
    CML.load(disk / "a.model").recommend(3)


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_recommendations(disk: Path, suffix: str) -> None:
    fitted = model().fit(LIKES)
    path = disk / f"all.{suffix}"
    fitted.write_recommendations(path, N=1)
    fill(disk, 8)
    before = contents(disk)
    with pytest.raises(OSError, match="No space left on device"):
        fitted.write_recommendations(path, N=100)
    assert contents(disk) == before


def test_the_command(disk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    coo = LIKES.tocoo()
    text = "\n".join(["user,item", *(f"{u},{i}" for u, i in zip(coo.row, coo.col, strict=True))])
    (tmp_path / "likes.csv").write_text(text)
    fill(disk, 60)
    train = ["train", str(tmp_path / "likes.csv"), "--model", str(disk / "m"), "--n-epochs", "1"]
    assert cmlfast_cli.main(train) == cmlfast_cli.BAD_INPUT
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert "error: " in said
    assert "No space left on device" in said
    assert contents(disk) == {}


@pytest.mark.skipif(sys.platform != "linux", reason="mounts as Linux does")
def test_the_disk_is_full(disk: Path) -> None:
    fill(disk, 8)
    with pytest.raises(OSError, match="No space left"):
        (disk / "more").write_bytes(b"x" * 30 * KIBIBYTES)
