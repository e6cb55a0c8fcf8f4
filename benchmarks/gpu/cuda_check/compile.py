"""Compiles the CUDA sources to one cubin per architecture and disassembles them; unchanged work is not done again."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sysconfig
import tempfile
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parents[3]
SOURCES = ROOT / "csrc"
CACHE = ROOT / "build" / "cuda-check"
ARCHITECTURES = (75, 80, 86, 90, 100, 120)


class MissingToolError(Exception):
    """A program that the check needs is not installed."""


class CompileError(Exception):
    """The sources do not compile; the text is what nvcc said."""


@dataclass(frozen=True)
class Tools:
    """Paths of the programs, and a text that names their versions."""

    nvcc: str
    nvdisasm: str
    versions: str


@dataclass(frozen=True)
class Build:
    """The texts that one compilation left behind."""

    source: Path
    arch: int
    ptxas: str
    ptx: str
    sass: str


def nvcc_flags() -> list[str]:
    """Return the flags of the project's CUDA sources, without architecture and optimisation report."""
    from torch.utils.cpp_extension import include_paths

    return [
        *(SOURCES / "cuda" / "nvcc.flags").read_text().split(),
        "-DTORCH_TARGET_VERSION=0x020A000000000000",
        f"-I{SOURCES}",
        *(f"-isystem={path}" for path in include_paths()),
    ]


def output(command: Sequence[str]) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def find_tools() -> Tools:
    """Find nvcc on the path, and nvdisasm in the environment's packages or else on the path."""
    nvcc = shutil.which("nvcc")
    if nvcc is None:
        raise MissingToolError("nvcc is not on the PATH: install the CUDA toolkit (13.0 or newer)")
    # The wheel puts its program beside the libraries, not on the path. It may be newer than nvcc, never older.
    packaged = sorted(Path(sysconfig.get_path("purelib")).glob("nvidia/*/bin/nvdisasm"))
    nvdisasm = str(packaged[-1]) if packaged else shutil.which("nvdisasm")
    if nvdisasm is None:
        raise MissingToolError('nvdisasm is not there: pip install "nvidia-cuda-nvdisasm>=13.2"')
    return Tools(nvcc, nvdisasm, output([nvcc, "--version"]) + output([nvdisasm, "--version"]))


def known_architectures(tools: Tools, wanted: Iterable[int] = ARCHITECTURES) -> list[int]:
    """Return those of the wanted architectures that this nvcc compiles for."""
    known = output([tools.nvcc, "--list-gpu-code"]).split()
    return [arch for arch in wanted if f"sm_{arch}" in known]


def fingerprint(tools: Tools, flags: Sequence[str], source: Path) -> str:
    """Hash what a compilation depends on: the source, all that it might include, flags, the tools' versions."""
    digest = hashlib.sha256("\0".join([tools.versions, version("torch"), *flags]).encode())
    headers = (path for ending in ("h", "cuh", "inl") for path in SOURCES.rglob(f"*.{ending}"))
    for path in (source, *sorted(headers)):
        digest.update(f"\0{path}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def compile_one(tools: Tools, flags: Sequence[str], source: Path, arch: int, kept: Path) -> Build:
    """Compile one source for one architecture, or read what an equal compilation left in the folder ``kept``."""
    if not kept.is_dir():
        kept.parent.mkdir(parents=True, exist_ok=True)
        # Made beside its final place and renamed when complete, so an interrupted run leaves nothing half-done.
        with tempfile.TemporaryDirectory(dir=kept.parent, prefix=f".{kept.name}-") as scratch:
            work = Path(scratch, "files")
            work.mkdir()
            cubin = work / "kernels.cubin"
            # --keep leaves the intermediate PTX.
            command = [tools.nvcc, *flags, "-Xptxas", "-v", f"-arch=sm_{arch}", "-cubin", "--keep"]
            done = subprocess.run(
                [*command, "--keep-dir", scratch, str(source), "-o", str(cubin)], capture_output=True, text=True
            )
            if done.returncode:
                raise CompileError(f"{source.name} does not compile for sm_{arch}:\n{done.stderr.strip()}")
            (work / "ptxas.txt").write_text(done.stderr)
            shutil.move(Path(scratch, f"{source.stem}.ptx"), work / "kernels.ptx")
            (work / "kernels.sass").write_text(output([tools.nvdisasm, "-c", str(cubin)]))
            for old in kept.parent.glob(f"{kept.name.rpartition('-')[0]}-*"):
                shutil.rmtree(old)
            work.rename(kept)
    texts = [(kept / name).read_text() for name in ("ptxas.txt", "kernels.ptx", "kernels.sass")]
    return Build(source, arch, *texts)


def compile_all(
    tools: Tools, sources: Sequence[Path], architectures: Sequence[int], cache: Path = CACHE
) -> list[Build]:
    """Compile all sources for all architectures (such as 90 for sm_90) on all cores, and keep what that gives."""
    flags = nvcc_flags()
    states = {source: fingerprint(tools, flags, source) for source in sources}

    def job(source: Path, arch: int) -> Build:
        return compile_one(tools, flags, source, arch, cache / f"{source.stem}-sm_{arch}-{states[source]}")

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        jobs = [pool.submit(job, source, arch) for source in sources for arch in architectures]
        return [done.result() for done in jobs]
