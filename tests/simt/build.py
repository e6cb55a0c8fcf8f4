"""Compile the emulator, and the kernels on it, into Python modules.

``load("plain")`` returns the module of the project's kernels, compiling what has changed. ``load_selftest`` is the
same emulator with the kernels of ``selftest/``, which does not depend on the project's. The variants:

- ``plain``: fast; errors of control flow are exceptions.
- ``asan``: with AddressSanitizer and UBSan, which end the process at an error; loads only under ``sanitized.run``.
- ``race``: also reports races and counts traffic.
"""

import fcntl
import functools
import importlib.machinery
import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from types import ModuleType

from simt.flags import COMMON, FLAGS, LINK_FLAGS, SIMT, WATCHED, project_flags, torch_folder, torch_headers

ROOT = SIMT.parents[1]
VARIANTS = ("plain", "asan", "race")
KERNELS, SELFTEST = "kernels", "selftest"


def why_not() -> str:
    """Return why nothing can be built here, or ""."""
    if sys.platform != "linux":
        return "the emulator needs Linux"
    for program in ("g++", "objcopy"):
        if shutil.which(program) is None:
            return f"the emulator needs {program}"
    return "" if ninja() is not None else "the emulator needs ninja"


def ninja() -> str | None:
    """Return the path of ninja: of this Python's environment, or of the system."""
    beside = Path(sys.executable).with_name("ninja")
    return str(beside) if beside.exists() else shutil.which("ninja")


def load(variant: str) -> ModuleType:
    """Return the emulator with the project's kernels, which register as torch.ops.cmlfast_emulated."""
    return _load(variant, KERNELS)


def load_selftest(variant: str) -> ModuleType:
    """Return the emulator with the planted faults and the examples."""
    return _load(variant, SELFTEST)


@functools.cache
def _load(variant: str, which: str) -> ModuleType:
    if variant == "asan" and "libasan" not in os.environ.get("LD_PRELOAD", ""):
        raise RuntimeError("the variant 'asan' loads only in a process that sanitized.run() started")
    path = build(variant, which)
    name = f"{variant}_{which}.cmlfast_simt"  # pybind11 takes modules of one full name for the same
    loader = importlib.machinery.ExtensionFileLoader(name, str(path))
    spec = importlib.util.spec_from_loader(name, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    if variant == "asan":
        module.guard_shared_memory(shared_variables(path))
    return module


def shared_variables(path: Path) -> list[tuple[int, int]]:
    """Return where each shared variable of a module lies in its section, and its size."""
    lines = subprocess.run(
        ["nm", "-S", "--defined-only", path], capture_output=True, text=True, check=True, env=plain_environment()
    ).stdout.splitlines()
    symbols = [line.split() for line in lines]
    ends = {name: int(address, 16) for address, *_, name in symbols if name.endswith("_simt_shared")}
    if not ends:
        return []  # no kernel has any
    start, stop = ends["__start_simt_shared"], ends["__stop_simt_shared"]
    sized = [(int(symbol[0], 16), int(symbol[1], 16)) for symbol in symbols if len(symbol) == 4]
    return sorted((address - start, size) for address, size in sized if start <= address < stop)


def plain_environment() -> dict[str, str]:
    """Return the environment for programs that a sanitizer must not be loaded into."""
    return {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}


def build(variant: str, which: str) -> Path:
    """Compile what is out of date, and return the module's path."""
    folder = ROOT / "build" / "simt" / variant
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        text = ninja_file(variant)
        file = folder / "build.ninja"
        if not file.exists() or file.read_text() != text:
            file.write_text(text)
        program = ninja()
        assert program is not None, why_not()
        done = subprocess.run(
            [program, "-C", folder, f"{which}.so"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=plain_environment(),
        )
        if done.returncode != 0:
            raise RuntimeError(f"the emulator's build failed:\n{done.stdout}")
    return folder / f"{which}.so"


def ninja_file(variant: str) -> str:
    """Return the text of the variant's ninja file."""
    runtime = sorted(SIMT.glob("runtime/*.cpp"))
    if variant == "race":
        runtime += sorted(SIMT.glob("watch/*.cpp"))
    selftest = sorted(SIMT.glob("selftest/*.cu"))
    # seams.cpp stands in for the library's sort
    kernels = sorted(set(ROOT.glob("csrc/cuda/*.cu")) - {ROOT / "csrc/cuda/sort.cu"})
    glue = []
    if kernels and (ROOT / "csrc" / "schemas.h").exists():
        glue = sorted(set(SIMT.glob("*.cpp")) - {SIMT / "module.cpp"})
    python_headers = [f"-isystem{sysconfig.get_paths()['include']}", *torch_headers()]  # torch brings pybind11
    torch = torch_folder() / "lib"
    emulated = WATCHED if variant == "race" else []
    flags = shlex.join([*COMMON, *FLAGS[variant]])
    link = shlex.join(["-shared", *LINK_FLAGS[variant]])
    link_torch = shlex.join([f"-L{torch}", f"-Wl,-rpath,{torch}", "-ltorch", "-ltorch_cpu", "-lc10"])
    lines = [
        # Parent and child may spell it differently; not resolved, for a virtual environment is known by its link.
        f"python = {os.path.normpath(sys.executable)}",
        f"flags = {flags}",
        "rule compile",
        "  command = g++ -MMD -MF $out.d $flags $more -c $in -o $out",
        "  depfile = $out.d",
        "  deps = gcc",
        "rule compile_kernels",
        "  command = g++ -MMD -MF $out.d -MT $out $flags $more -x c++ -c $in -o $out.raw && "
        f"$python {SIMT / 'mark_shared.py'} $out.raw $out",
        "  depfile = $out.d",
        "  deps = gcc",
        "rule link",
        f"  command = g++ {link} $in -o $out $more",
    ]
    objects: dict[str, list[str]] = {"runtime": [], KERNELS: [], SELFTEST: [], "module": []}

    def compile_all(group: str, sources: list[Path], rule: str, more: list[str]) -> None:
        for source in sources:
            target = f"{group}/{source.name}.o"
            objects[group].append(target)
            implicit = f" | {SIMT / 'mark_shared.py'}" if rule == "compile_kernels" else ""
            lines.extend([f"build {target}: {rule} {source}{implicit}", f"  more = {shlex.join(more)}"])

    compile_all("runtime", runtime, "compile", [])
    # Nothing in it to be checked, and pybind11 is slow to compile with all of that.
    compile_all("module", [SIMT / "module.cpp"], "compile", ["-O0", "-g0", "-fno-sanitize=all", *python_headers])
    compile_all(SELFTEST, selftest, "compile_kernels", emulated)
    compile_all(KERNELS, kernels, "compile_kernels", [*emulated, *project_flags()])
    compile_all(KERNELS, glue, "compile", project_flags())
    # The linker takes the first copy of an inline function: the runtime's, which tells no watcher, before the
    # kernels', and the module's, which is not checked, last.
    for which in (KERNELS, SELFTEST):
        inputs = [*objects["runtime"], *objects[which], *objects["module"]]
        more = link_torch if which == KERNELS and objects[KERNELS] else ""
        lines.extend([f"build {which}.so: link {' '.join(inputs)}", f"  more = {more}"])
    return "\n".join(lines) + "\n"
