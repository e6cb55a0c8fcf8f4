"""The count of a step's instructions: how it is read, what is said of it, and when nothing is counted."""

import shutil
from pathlib import Path

import pytest

from benchmarks.instructions import check
from benchmarks.instructions.callgrind import compiler_of, own_instructions
from benchmarks.instructions.check import Budget

LIBRARY = "/package/cmlfast/_C.abi3.so"
GCC = "GCC: (Debian 12.2.0-14+deb12u1) 12.2.0"
BUDGET = Budget(GCC, tolerance=0.02, counts={"baseline": 10_000_000, "avx2": 4_000_000})

# Own costs of the library: 100 + 7 + 20 + 3. A callee's cost (5000) and another object's (900, 40) are not its own, and
# the library's number is given by a `cob=` first.
PROFILE = f"""\
# callgrind format
version: 1
positions: line
events: Ir
summary: 1070

ob=(1) /lib/libtorch.so
fl=(1) ???
fn=(1) call
0 900
cob=(2) {LIBRARY}
cfn=(2) step
calls=1 0
0 130

ob=(2)
fn=(2)
0 100
+3 7
cob=(3) /lib/libm.so.6
cfn=(3) logf
calls=12 0
* 5000
-2 20

fn=(4) other
* 3

ob=(3)
fn=(3)
0 40

totals: 1070
"""


@pytest.fixture
def build(monkeypatch, tmp_path):
    """Stand in for everything that needs valgrind or a certain compiler; return what may be changed."""
    path = tmp_path / "budget.json"
    BUDGET.save(path)
    counts = dict(BUDGET.counts)
    monkeypatch.setattr(check, "why_not", lambda: "")
    monkeypatch.setattr(check, "PATH", path)
    monkeypatch.setattr(check, "extension", lambda: Path(LIBRARY))
    monkeypatch.setattr(check, "compiler_of", lambda library: GCC)
    monkeypatch.setattr(check, "build_info", lambda: {"isa": "avx512"})
    monkeypatch.setattr(check, "count", lambda isa, library: counts[isa])
    return counts


def test_only_the_librarys_own_instructions_count():
    assert own_instructions(PROFILE.splitlines(), LIBRARY) == 130
    assert own_instructions(PROFILE.splitlines(), "/lib/libtorch.so") == 900


def test_the_compiler_is_that_of_the_extension_not_of_what_it_links(tmp_path):
    library = tmp_path / "library.so"

    def left_by(code):
        library.write_bytes(code)
        return compiler_of(library)

    cuda_runtime = b"GCC: (GNU) 8.5.0 20210514 (Red Hat 8.5.0-20)\0"
    assert left_by(b"\x7fELF\0" + GCC.encode() + b"\0" + cuda_runtime) == GCC
    assert left_by(GCC.encode() + b"\0Debian clang version 14.0.6\0") == "Debian clang version 14.0.6"
    assert left_by(b"\x7fELF") == "unknown"


@pytest.mark.parametrize(
    ("count", "status", "said"),
    [
        (4_000_000, 0, ""),
        (4_079_000, 0, ""),
        (4_081_000, 1, "over budget by more than 2.0%"),
        (3_921_000, 0, ""),
        (3_919_000, 0, "below budget: run --update"),
    ],
)
def test_a_count_beyond_the_tolerance_fails_and_a_gain_is_told(build, capsys, count, status, said):
    build["avx2"] = count
    assert check.main([]) == status
    line = capsys.readouterr().out.splitlines()[-1]
    assert f"{count:,}" in line
    assert said in line
    assert ("budget" in line) == bool(said)


def test_either_instruction_set_fails_alone(build):
    build["baseline"] *= 2
    assert check.main([]) == 1


def test_update_stores_what_is_counted(build, capsys):
    build["avx2"] = 5_000_000
    assert check.main(["--update"]) == 0
    assert Budget.load(check.PATH) == Budget(GCC, 0.02, {"baseline": 10_000_000, "avx2": 5_000_000})
    assert check.main([]) == 0


def test_update_keeps_a_budget_that_the_machine_cannot_count(build, capsys, monkeypatch):
    monkeypatch.setattr(check, "build_info", lambda: {"isa": "baseline"})
    assert check.main([]) == 0
    assert check.main(["--update"]) == 1
    assert "cannot count avx2" in capsys.readouterr().out
    assert Budget.load(check.PATH) == BUDGET


def test_another_compilers_build_is_skipped_with_the_reason(build, capsys, monkeypatch):
    build["avx2"] *= 2
    monkeypatch.setattr(check, "compiler_of", lambda library: "GCC: (GNU) 14.2.0")
    assert check.main([]) == 0
    assert f"not counted: this build is by GCC: (GNU) 14.2.0, the budget by {GCC}" in capsys.readouterr().out


def test_without_valgrind_nothing_is_counted_and_nothing_updated(monkeypatch, capsys):
    monkeypatch.setattr(shutil, "which", lambda tool: None)
    assert check.main([]) == 0
    assert "not counted: there is no valgrind; install valgrind" in capsys.readouterr().out
    assert check.main(["--update"]) == 1
