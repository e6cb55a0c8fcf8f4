"""Find a data set's files: in the folder CMLFAST_DATA, in the user's cache, or at their publisher's.

Every file is known by its SHA-256, and none is used without it. pooch downloads to a temporary name and moves
the file to its own only when the hash is right, so an interrupted download leaves nothing behind.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

ENVIRONMENT_VARIABLE = "CMLFAST_DATA"


class DatasetUnavailableError(OSError):
    """A data set is neither on this machine nor to be had."""


@dataclass(frozen=True)
class File:
    """A file, and where it is to be had.

    Parameters
    ----------
    name : str
        Its name in folders.
    sha256 : str
        The hash of its content, in hexadecimal.
    address : str
        Where it comes from: what `download` takes.
    download : callable, optional
        ``download(address, path, None)`` writes the file to `path`. By default pooch's, for web addresses.
    """

    name: str
    sha256: str
    address: str
    download: Callable[[str, str, Any], None] | None = None


def fetch(dataset: str, files: Sequence[File]) -> tuple[File, Path]:
    """Find the first of several files that serve equally, or get it from where it is to be had.

    Parameters
    ----------
    dataset : str
        The data set's name, which is the name of its sub-folder.
    files : sequence of File
        In order of preference.

    Returns
    -------
    file : File
        The one that was found.
    path : Path
        Where it is.

    Raises
    ------
    ValueError
        If a file in CMLFAST_DATA has another content than it must have.
    DatasetUnavailableError
        If none was found, and none could be downloaded; says what was tried.
    """
    for file in files:
        path = find_local(dataset, file.name, file.sha256)
        if path is not None:
            return file, path
    cache = _cache_folder() / dataset
    for file in files:
        path = cache / file.name
        if path.is_file() and _pooch().file_hash(str(path)) == file.sha256:
            return file, path
    failures = []
    for file in files:
        try:
            path = _pooch().retrieve(
                file.address,
                known_hash=f"sha256:{file.sha256}",
                fname=file.name,
                path=cache,
                downloader=file.download,
                progressbar=file.download is None and sys.stderr.isatty(),
            )
        except (
            OSError,
            ValueError,
        ) as error:  # no network (requests' errors are OSErrors), wrong hash, no disk
            failures.append(f"  {file.address}: {error}")
        else:
            return file, Path(path)
    names = " or ".join(f"{file.name} (SHA-256 {file.sha256})" for file in files)
    raise DatasetUnavailableError(
        f"{dataset} is not on this machine and could not be downloaded. Tried:\n"
        + "\n".join(failures)
        + f"\nPlace the file by hand: put {names} into a folder and set {ENVIRONMENT_VARIABLE} to it."
    )


def find_local(dataset: str, name: str, sha256: str) -> Path | None:
    """Return a file's path in the folder CMLFAST_DATA, its sub-folder `dataset` first; None if it is in neither.

    Raises
    ------
    ValueError
        If CMLFAST_DATA names no folder, or the file's SHA-256 is not `sha256`.
    """
    folder = local_folder()
    if folder is None:
        return None
    # Its own folder first: other data sets have files of the same names.
    for path in (folder / dataset / name, folder / name):
        if path.is_file():
            found = _pooch().file_hash(str(path))
            if found != sha256:
                raise ValueError(
                    f"{path} has the SHA-256 {found}, but the {name} of {dataset} has {sha256}: "
                    "remove the file or replace it by the original"
                )
            return path
    return None


def local_folder() -> Path | None:
    """Return the folder that CMLFAST_DATA names, if it is set; raise ``ValueError`` if it names none."""
    setting = os.environ.get(ENVIRONMENT_VARIABLE)
    if not setting:
        return None
    folder = Path(setting).expanduser()
    if not folder.is_dir():
        raise ValueError(f"{ENVIRONMENT_VARIABLE}={setting!r} is not a folder: set it to one, or unset it")
    return folder


def download_with_pip(requirement: str, path: str, _: Any) -> None:
    """Write the wheel of a package to `path`, taken from the user's own package index; nothing is installed.

    Parameters
    ----------
    requirement : str
        The package with its version, "name==1.0".
    path : str
        Where to write the file.

    Raises
    ------
    OSError
        If there is no pip, no such wheel, or no way to the index.
    """
    options = ["--no-deps", "--only-binary=:all:", "--disable-pip-version-check", "--no-input", "--quiet"]
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", *options, "--dest", folder, requirement]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        wheels = list(Path(folder).glob("*.whl"))
        if run.returncode or not wheels:
            reason = run.stderr.strip().splitlines()[-1:] or ["it wrote no file"]
            raise OSError(f"pip download failed: {reason[0]}")
        shutil.copyfile(wheels[0], path)


def _pooch() -> ModuleType:
    """Return pooch, which only a data set's files need: a GPU machine without a package index may lack it."""
    return import_module("pooch")


def _cache_folder() -> Path:
    return Path(_pooch().os_cache("cmlfast"))
