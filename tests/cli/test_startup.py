"""What starting the package and its command imports, seen from fresh processes."""

import subprocess
import sys

import pytest

import cmlfast

# They take long to import, and kernels alone need none of them. (That torch imports one of them is not our doing.)
HEAVY = ("scipy", "pyarrow", "pandas", "polars", "tqdm", "pooch", "safetensors")


def fresh(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)


@pytest.mark.slow
def test_importing_the_package_imports_nothing_heavy_that_torch_does_not() -> None:
    found = fresh(
        "import sys, torch; before = set(sys.modules); import cmlfast; "
        f"print(*sorted({set(HEAVY)} & (set(sys.modules) - before)))"
    )
    assert (found.stdout, found.stderr) == ("\n", "")


@pytest.mark.slow
@pytest.mark.skipif(not cmlfast.build_info()["extension"], reason="no compiled extension")
def test_importing_the_package_registers_the_operators() -> None:
    names = cmlfast.ops.__all__
    found = fresh(f"import cmlfast, torch; print([hasattr(torch.ops.cmlfast, name) for name in {names}])")
    assert found.stdout == f"{[True] * len(names)}\n", found.stderr


@pytest.mark.slow
def test_each_name_is_there_when_it_is_the_first_one_asked_for() -> None:
    """Each in a child of a process that has imported the package and asked it for nothing: torch takes seconds."""
    found = fresh("""
import os, cmlfast
for name in cmlfast.__all__:
    child = os.fork()
    if child == 0:
        assert name in dir(cmlfast)
        print(getattr(cmlfast, name), flush=True)
        exec(f"from cmlfast import {name}")
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0, name
""")
    assert found.returncode == 0, found.stderr
    for name, line in zip(cmlfast.__all__, found.stdout.splitlines(), strict=True):
        assert name.lower() in line.lower()


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'cmlfast' has no attribute 'nothing'"):
        cmlfast.nothing  # noqa: B018


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["--help"], 0, "a first session"),
        (["--version"], 0, "cmlfast "),
        (["train", "--help"], 0, "--n-negatives"),
        (["fly"], 2, "invalid choice"),
        (["recommend", "m", "-n", "0"], 2, "-n is 0"),
        (["tune", "--help"], 0, "--trials"),
        (["tune", "likes.csv", "--trials", "0"], 2, "--trials is 0"),
        (["tune", "likes.csv", "--learning-rate", "1"], 2, "unrecognized arguments: --learning-rate 1"),
        (["evaluate", "likes.csv", "--exclude", "x"], 2, "--exclude goes with --model"),
    ],
)
def test_the_command_answers_where_torch_cannot_be_imported(arguments: list[str], code: int, text: str) -> None:
    start = "import sys; sys.modules['torch'] = sys.modules['numpy'] = None; from cmlfast_cli import main; "
    found = fresh(start + "sys.exit(main())", *arguments)
    assert found.returncode == code
    assert text in found.stdout + found.stderr
    assert "Traceback" not in found.stderr
