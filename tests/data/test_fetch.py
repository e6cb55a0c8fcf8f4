"""Both MovieLens readers, and files that are wrong, missing or cut off on the way."""

import hashlib
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from small_movielens import RATINGS, atomic, original, write_zip

from cmlfast.data.datasets import DatasetUnavailableError, fetch, load, movielens


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """Replace the two MovieLens sources by small archives here, and downloading by counted copying."""
    served = tmp_path / "served"
    served.mkdir()
    wheel = served / movielens.WHEEL.name
    archive = served / movielens.ARCHIVE.name
    prefix = "recbole/dataset_example/ml-100k/"
    hashes = [
        write_zip(wheel, {prefix + name: content for name, content in atomic().items()}),
        write_zip(archive, original()),
    ]
    calls = []

    def download(address, path, _):
        calls.append(address)
        Path(path).write_bytes((served / address).read_bytes())

    for name, file, digest in zip(("WHEEL", "ARCHIVE"), (wheel, archive), hashes, strict=True):
        fake = replace(getattr(movielens, name), sha256=digest, address=file.name, download=download)
        monkeypatch.setattr(movielens, name, fake)
    members = {name: hashlib.sha256(content).hexdigest() for name, content in atomic().items()}
    monkeypatch.setattr(movielens, "MEMBERS", members)
    monkeypatch.setattr(fetch, "_cache_folder", lambda: tmp_path / "cache")
    monkeypatch.delenv("CMLFAST_DATA", raising=False)
    return served, calls


def cached_files(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "cache").rglob("*") if path.is_file())


def check(dataset) -> None:
    interactions = dataset.interactions
    assert interactions.shape == (943, 1682)
    assert interactions.user_ids.tolist() == list(range(1, 944))
    rows, columns = interactions.matrix.nonzero()
    liked = set(zip((rows + 1).tolist(), (columns + 1).tolist(), strict=True))
    assert liked == {(user, item) for user, item, rating in RATINGS if rating >= 4}
    assert interactions.n_dropped == 1
    titles = dataset.item_titles[interactions.item_index([1, 267, 543, 1412, 1682])]
    assert titles.tolist() == [
        "Toy Story (1995)",
        "unknown",
        "Mis\u00e9rables, Les (1995)",
        "Land Before Time III: The Time of the Great Giving (1995) (V)",
        "Film 1682 (1990)",
    ]
    genres = dataset.item_features[interactions.item_index([1, 2, 267])]
    assert genres.indices.tolist() == [3, 4, 5, 8, 0]
    assert genres.indptr.tolist() == [0, 3, 4, 5]
    assert dataset.item_features.shape == (1682, 19)
    assert "GroupLens" in dataset.description
    assert "commercial" in dataset.terms


def test_movielens_is_downloaded_once(mirror, tmp_path):
    _, calls = mirror
    check(load("movielens-100k"))
    check(load("movielens-100k"))
    assert calls == [movielens.WHEEL.address]
    assert cached_files(tmp_path) == [movielens.WHEEL.name]


@pytest.mark.parametrize("sub_folder", ["", "movielens-100k"])
@pytest.mark.parametrize("kind", ["wheel", "archive", "members"])
def test_movielens_from_a_folder(mirror, tmp_path, monkeypatch, kind, sub_folder):
    served, calls = mirror
    folder = tmp_path / "data" / sub_folder
    folder.mkdir(parents=True)
    if kind == "members":
        for name, content in atomic().items():
            (folder / name).write_bytes(content)
    else:
        name = movielens.WHEEL.name if kind == "wheel" else movielens.ARCHIVE.name
        (folder / name).write_bytes((served / name).read_bytes())
    monkeypatch.setenv("CMLFAST_DATA", str(tmp_path / "data"))
    check(load("movielens-100k"))
    assert calls == []


def test_second_source_serves_when_the_first_fails(mirror, tmp_path):
    served, calls = mirror
    (served / movielens.WHEEL.name).write_bytes(b"something else")
    check(load("movielens-100k"))
    check(load("movielens-100k"))
    assert calls == [movielens.WHEEL.address, movielens.ARCHIVE.address]
    assert cached_files(tmp_path) == [movielens.ARCHIVE.name]


def test_without_pip_the_second_source_serves(mirror, monkeypatch):
    _, calls = mirror
    pip = replace(movielens.WHEEL, address="recbole==1.2.1", download=fetch.download_with_pip)
    monkeypatch.setattr(movielens, "WHEEL", pip)
    commands = []

    def run(command, **_):
        commands.append(command)
        return subprocess.CompletedProcess(command, 1, "", "python: No module named pip\n")

    monkeypatch.setattr(subprocess, "run", run)
    check(load("movielens-100k"))
    assert calls == [movielens.ARCHIVE.address]
    [command] = commands
    assert command[:4] == [sys.executable, "-m", "pip", "download"]
    assert {"--no-deps", "--only-binary=:all:", "recbole==1.2.1"} <= set(command)
    assert "install" not in command


def test_pip_download(tmp_path, monkeypatch):
    def run(command, **_):
        folder = Path(command[command.index("--dest") + 1])
        (folder / "recbole-1.2.1-py3-none-any.whl").write_bytes(b"wheel")
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", run)
    fetch.download_with_pip("recbole==1.2.1", str(tmp_path / "file"), None)
    assert (tmp_path / "file").read_bytes() == b"wheel"


def test_everything_fails(mirror, tmp_path):
    served, _ = mirror
    (served / movielens.WHEEL.name).write_bytes(b"something else")
    (served / movielens.ARCHIVE.name).unlink()
    with pytest.raises(DatasetUnavailableError) as caught:
        load("movielens-100k")
    message = str(caught.value)
    for part in (
        "does not match",  # what pooch says of the hash
        "No such file",
        movielens.WHEEL.name,
        movielens.WHEEL.sha256,
        movielens.ARCHIVE.name,
        movielens.ARCHIVE.sha256,
        "CMLFAST_DATA",
    ):
        assert part in message
    assert cached_files(tmp_path) == []


def test_interrupted_download_leaves_nothing(mirror, tmp_path, monkeypatch):
    def download(address, path, _):
        Path(path).write_bytes(b"half of")
        raise KeyboardInterrupt

    monkeypatch.setattr(movielens, "WHEEL", replace(movielens.WHEEL, download=download))
    with pytest.raises(KeyboardInterrupt):
        load("movielens-100k")
    assert cached_files(tmp_path) == []


def test_damaged_cache_is_replaced(mirror, tmp_path):
    _, calls = mirror
    check(load("movielens-100k"))
    cached = tmp_path / "cache" / "movielens-100k" / movielens.WHEEL.name
    cached.write_bytes(b"damaged")
    check(load("movielens-100k"))
    assert calls == [movielens.WHEEL.address] * 2


def test_wrong_file_in_the_folder(mirror, tmp_path, monkeypatch):
    monkeypatch.setenv("CMLFAST_DATA", str(tmp_path))
    wrong = tmp_path / movielens.ARCHIVE.name
    wrong.write_bytes(b"wrong")
    with pytest.raises(ValueError, match="SHA-256") as caught:
        load("movielens-100k")
    for part in (str(wrong), hashlib.sha256(b"wrong").hexdigest(), movielens.ARCHIVE.sha256, "replace"):
        assert part in str(caught.value)
    monkeypatch.setenv("CMLFAST_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(ValueError, match="nowhere' is not a folder"):
        load("movielens-100k")
