"""An archive of all that the check needs on a machine that has a GPU and no package index."""

from __future__ import annotations

import io
import tarfile
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path, PurePosixPath

from benchmarks.gpu.gpu_check.programs import OWN, ROOT
from benchmarks.gpu.gpu_check.tools import output

COMMIT = "COMMIT"  # a file that says what the tree is of
# What the check needs beside torch, pytest, NumPy, SciPy and pyarrow: in Python alone, or for any CPython.
PACKAGES = {
    "hypothesis": "hypothesis",
    "pooch": "pooch",
    "platformdirs": "platformdirs",
    "py-cpuinfo": "cpuinfo",
    "pytest-benchmark": "pytest_benchmark",
    "safetensors": "safetensors",
    "sortedcontainers": "sortedcontainers",
    "tqdm": "tqdm",
}


def commit() -> str:
    """Return the commit of the tree, by git or as :func:`pack` has noted it."""
    noted = ROOT / COMMIT
    if noted.is_file():
        return noted.read_text().strip()
    return output("git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=12") or "unknown"


def pack(path: Path) -> str:
    """Write the archive; return what is in it, in a sentence.

    Raises
    ------
    FileNotFoundError
        If the extension is not built, or the tree is not one of git.
    """
    names = output("git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard").splitlines()
    if not names:
        raise FileNotFoundError(f"{ROOT} is no clone that git knows; make the archive in one")
    built = sorted((ROOT / "cmlfast").glob("_C*"))
    if not built:
        raise FileNotFoundError(
            "the extension is not built; compile it for the card that is there first, such as "
            'CMLFAST_CUDA=1 CMLFAST_CUDA_ARCHITECTURES="90" python setup.py build_ext --inplace'
        )
    missing = []
    with tarfile.open(path, "w:gz") as archive:
        for file in (*(ROOT / name for name in names), *built):
            if file.is_file():
                archive.add(file, str(file.relative_to(ROOT)))
        _add(archive, COMMIT, commit())
        for name, module in PACKAGES.items():
            try:
                _add_package(archive, distribution(name), module)
            except PackageNotFoundError:
                missing.append(name)
    left_out = f", without {', '.join(missing)}, which this environment lacks" if missing else ""
    return f"wrote {path}, {path.stat().st_size / 2**20:.1f} MiB: commit {commit()}, {built[0].name}{left_out}"


def _add(archive: tarfile.TarFile, name: str, text: str) -> None:
    content = text.encode()
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    archive.addfile(entry, io.BytesIO(content))


def _add_package(archive: tarfile.TarFile, found: Distribution, module: str) -> None:
    """Add an installed package as a folder for PYTHONPATH, with what pytest finds its plugins by."""
    folder = PurePosixPath(OWN) / found.metadata["Name"]
    _add(archive, str(folder / "MODULES"), module)
    for file in found.files or []:
        source = Path(str(found.locate_file(file)))
        if ".." not in file.parts and "__pycache__" not in file.parts and source.is_file():
            archive.add(source, str(folder / file))
