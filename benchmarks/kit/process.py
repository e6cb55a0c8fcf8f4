"""Work in a process of its own, and the most memory that one had."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any


def python(code: str, *arguments: str) -> dict[str, Any]:
    """Run code in a process of its own and return what it printed, in JSON."""
    done = subprocess.run([sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def peak() -> int:
    """Return the bytes that this program held at most; getrusage also knows what was there before exec."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
