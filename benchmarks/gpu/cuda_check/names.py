"""Readable names of kernels."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence

LIBRARIES = ("cub", "thrust")
SHORTER = {
    "(anonymous namespace)::": "",
    "<unnamed>::": "",
    "__nv_bfloat16": "bf16",
    "__half": "half",
    "(bool)0": "false",
    "(bool)1": "true",
}


def demangle(mangled: Sequence[str]) -> list[str]:
    """Demangle with cu++filt or c++filt; without either, names stay as they are."""
    program = shutil.which("cu++filt") or shutil.which("c++filt")
    if program is None or not mangled:
        return list(mangled)
    done = subprocess.run([program], input="\n".join(mangled), capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def outside(text: str, pattern: str) -> int:
    """Return where a character of ``pattern`` last stands outside all brackets, or -1."""
    depth = 0
    for at in range(len(text) - 1, -1, -1):
        depth += (text[at] in ">)") - (text[at] in "<(")
        if depth == 0 and text[at] in pattern:
            return at
    return -1


def qualified(demangled: str) -> str:
    """Drop the parameters and the return type, keep the namespaces and template arguments."""
    for long, short in SHORTER.items():
        demangled = demangled.replace(long, short)
    if demangled.endswith(")"):
        demangled = demangled[: outside(demangled, "(")]
    return demangled[outside(demangled, " ") + 1 :]


def short(demangled: str) -> str:
    """Drop also the namespaces and the types of numeric template arguments, and name no argument twice.

    ``sum_rows<bf16, 4>``, and ``add<Layout<float, 4>, Rows<~>>`` where the rows have the layout named before.
    """
    name = re.sub(r"\b\w+::", "", qualified(demangled))
    name = re.sub(r"\((?:unsigned )?(?:int|long|short|char)\)(?=-?\d)", "", name)
    name = re.sub(r"\b(\d+)[ul]+(?=[,>])", r"\1", name).replace("> >", ">>").replace("> >", ">>")
    argument = re.search(r"(?<=<)\w+<[^<>]*>", name)
    return name[: argument.end()] + name[argument.end() :].replace(argument[0], "~") if argument else name


def library(demangled: str) -> str | None:
    """Return the library that a kernel belongs to, or None for one of the project."""
    first = qualified(demangled).split("::")[0]
    return first if first in LIBRARIES else None
