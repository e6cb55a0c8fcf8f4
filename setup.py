"""Builds the extension ``cmlfast._C`` ahead of time, or nothing at all with ``CMLFAST_NO_EXTENSION=1``.

The extension uses torch's stable ABI and Python's limited API: one binary serves every torch from 2.10 on and every
CPython from 3.10 on. CUDA kernels are part of it wherever nvcc is found, with or without a GPU, whatever torch's own
build; ``CMLFAST_CUDA=0`` leaves them out, ``CMLFAST_CUDA=1`` makes a missing nvcc an error. They are compiled for the
architectures in ``CMLFAST_CUDA_ARCHITECTURES``: numbers ("80 90"), "native" (this machine's GPUs, or one architecture
where there is none) or "all" (those below that nvcc knows; also without the variable). PTX of the last serves what is
newer.
"""

import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

from setuptools import setup

PYTHON_ABI = "0x030A0000"  # CPython 3.10
TORCH_ABI = "0x020A000000000000"  # torch 2.10
ARCHITECTURES = ("75", "80", "86", "90", "100", "120")  # from Turing on: T4, A100, A10/RTX 30, H100, B200, RTX 50
FOR_NO_GPU = "90"
OLDEST_TOOLKIT = (12, 0)
CUDA = Path("csrc/cuda")


def switch(name):
    """Return an environment variable as True, False or None where it is not set."""
    value = os.environ.get(name, "")
    return None if value == "" else value != "0"


def output(*command):
    """Return what a command prints, "" if it is not there or fails."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def find_nvcc():
    """Return the path of nvcc, or None where CUDA kernels are not to be built."""
    if switch("CMLFAST_CUDA") is False:
        return None
    for home in (os.environ.get("CUDA_HOME"), os.environ.get("CUDA_PATH")):
        if home and (Path(home) / "bin" / "nvcc").exists():
            return str(Path(home) / "bin" / "nvcc")
    nvcc = shutil.which("nvcc")
    wanted = "CMLFAST_CUDA is 1, but"
    if nvcc is None and switch("CMLFAST_CUDA"):
        raise SystemExit(f"{wanted} nvcc is neither in CUDA_HOME nor on PATH; install the CUDA toolkit")
    if nvcc and toolkit(nvcc) < OLDEST_TOOLKIT:
        found = (
            f"{nvcc} is of CUDA {'.'.join(map(str, toolkit(nvcc)))}; the kernels need {OLDEST_TOOLKIT[0]}.0 or newer"
        )
        if switch("CMLFAST_CUDA"):
            raise SystemExit(f"{wanted} {found}")
        print(f"without CUDA kernels: {found}", flush=True)
        return None
    return nvcc


def toolkit(nvcc):
    """Return the CUDA toolkit's version, as in (13, 0)."""
    found = re.search(r"release (\d+)\.(\d+)", output(nvcc, "--version"))
    return tuple(map(int, found.groups())) if found else (0, 0)


def architectures(nvcc):
    """Return the architectures to compile for."""
    known = re.findall(r"sm_(\d+)", output(nvcc, "--list-gpu-code"))
    chosen = os.environ.get("CMLFAST_CUDA_ARCHITECTURES") or "all"
    if chosen == "all":
        return [each for each in ARCHITECTURES if each in known]
    if chosen == "native":
        chosen = output("nvidia-smi", "--query-gpu=compute_cap", "--format=csv,noheader") or FOR_NO_GPU
    chosen = set(chosen.replace(",", " ").replace(".", "").split())
    for each in chosen:
        if each not in known:
            raise SystemExit(f"CMLFAST_CUDA_ARCHITECTURES names {each}; this nvcc knows {' '.join(known)}")
    return sorted(chosen, key=int)


def compile_cuda(nvcc, sources, folder, flags):
    """Compile sources to objects, as many at a time as there are cores; return the objects."""
    folder.mkdir(parents=True, exist_ok=True)
    stamp = folder / "flags.txt"
    command = [nvcc, *flags]
    made_with = " ".join([*command, output(nvcc, "--version"), version("torch")])
    read = [*CUDA.iterdir(), *Path("csrc").glob("*.h")]
    newest = max(path.stat().st_mtime for path in read)
    unchanged = stamp.exists() and stamp.read_text() == made_with
    stamp.unlink(missing_ok=True)  # an interrupted build leaves objects of two kinds

    def compile_one(source):
        target = folder / f"{source.stem}.{source.suffix[1:]}.o"
        if not (unchanged and target.exists() and target.stat().st_mtime > newest):
            print(" ".join([*command, "-c", str(source), "-o", str(target)]), flush=True)
            if subprocess.run([*command, "-c", str(source), "-o", str(target)]).returncode:
                raise SystemExit(f"{source} does not compile with {nvcc}; CMLFAST_CUDA=0 builds without CUDA kernels")
        return str(target)

    with ThreadPoolExecutor(int(os.environ.get("MAX_JOBS") or os.cpu_count())) as pool:
        objects = list(pool.map(compile_one, sources))
    stamp.write_text(made_with)
    return objects


def library_folders(nvcc):
    """Return where the toolkit keeps its libraries."""
    shown = subprocess.run([nvcc, "--dryrun", "-shared", "x.o", "-o", "x.so"], capture_output=True, text=True).stderr
    return re.findall(r'"-L([^"]+)"', shown)


if switch("CMLFAST_NO_EXTENSION"):
    setup()
else:
    try:
        from torch.utils.cpp_extension import BuildExtension, CppExtension, include_paths
    except ImportError as error:
        raise SystemExit(
            "cmlfast compiles against the torch that is there, and there is none: install torch (2.10 or newer) and "
            '"setuptools>=77" first, then cmlfast with pip install --no-build-isolation'
        ) from error

    macros = [("Py_LIMITED_API", PYTHON_ABI), ("TORCH_TARGET_VERSION", TORCH_ABI)]
    nvcc = find_nvcc()

    class Build(BuildExtension):
        """Compiles the CUDA sources, then the rest."""

        def build_extensions(self):
            """Hand the CUDA sources' objects to the linker."""
            compiler = os.environ.get("CXX") or self.compiler.compiler_cxx[0]
            if shutil.which(compiler.split()[0]) is None:
                raise SystemExit(
                    f"cmlfast needs a C++ compiler, and {compiler} is not there: install one (Debian's package g++), "
                    "or set CMLFAST_NO_EXTENSION=1 to install without one: plain torch gives the same, slower"
                )
            self.force = True  # setuptools alone would not see that an environment variable has changed
            if nvcc:
                chosen = architectures(nvcc)
                codes = [f"-gencode=arch=compute_{each},code=sm_{each}" for each in chosen]
                codes.append(f"-gencode=arch=compute_{chosen[-1]},code=compute_{chosen[-1]}")
                flags = [*(CUDA / "nvcc.flags").read_text().split(), *codes, f"-DTORCH_TARGET_VERSION={TORCH_ABI}"]
                flags += ["-Xcompiler=-fPIC,-fvisibility=hidden,-ffp-contract=off"]
                flags += [f"-I{folder}" for folder in include_paths()]
                sources = sorted([*CUDA.glob("*.cu"), *CUDA.glob("*.cpp")])
                (extension,) = self.extensions
                extension.extra_objects += compile_cuda(nvcc, sources, Path("build/cuda"), flags)
                extension.define_macros.append(("CMLFAST_CUDA_ARCHITECTURES", f'"{" ".join(chosen)}"'))
                extension.library_dirs += library_folders(nvcc)
                extension.libraries += ["cudart_static", "dl", "pthread", "rt"]
            super().build_extensions()

    extension = CppExtension(
        "cmlfast._C",
        sorted(str(path) for path in [*Path("csrc").glob("*.cpp"), *Path("csrc/cpu").glob("*.cpp")]),
        depends=sorted(str(path) for path in Path("csrc").rglob("*") if path.is_file()),
        define_macros=macros,
        py_limited_api=True,
        extra_compile_args=[
            "-O3",
            "-std=c++17",
            "-fvisibility=hidden",
            # Every backend rounds each operation on its own, so no fused multiply-add.
            "-ffp-contract=off",
            # Lets sqrtf be one instruction; changes no value.
            "-fno-math-errno",
            "-fno-trapping-math",
            "-Wall",
            "-Wno-unused-function",
            "-Wno-uninitialized",  # GCC warns of its own AVX-512 header
            "-Wno-maybe-uninitialized",
        ],
        extra_link_args=["-Wl,-s"] if sys.platform == "linux" else [],
    )
    setup(
        ext_modules=[extension],
        cmdclass={"build_ext": Build},
        options={"bdist_wheel": {"py_limited_api": "cp310"}},
    )
