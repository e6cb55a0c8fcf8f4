"""What an installation says when something that it needs is missing: one sentence with the remedy."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
WITHOUT_TORCH = """
import runpy, sys
sys.modules["torch"] = None
sys.argv = ["setup.py", "--version"]
runpy.run_path("setup.py")
"""


@pytest.mark.slow
def test_without_torch():
    done = subprocess.run([sys.executable, "-c", WITHOUT_TORCH], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode != 0
    assert done.stderr.splitlines()[-1].startswith(
        "cmlfast compiles against the torch that is there, and there is none:"
    )
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_without_a_compiler(tmp_path):
    command = [sys.executable, "setup.py", "build_ext", "--build-lib", str(tmp_path), "--build-temp", str(tmp_path)]
    environment = {**os.environ, "CXX": "/nowhere/g++", "CMLFAST_CUDA": "0"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode != 0
    assert "cmlfast needs a C++ compiler, and /nowhere/g++ is not there: install one" in done.stderr
    assert "CMLFAST_NO_EXTENSION=1" in done.stderr
    assert list(tmp_path.rglob("*.so")) == []
