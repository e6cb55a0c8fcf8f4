"""The check on a GPU, as far as it goes without one: what it selects, reads, judges, reports, and when it gives up."""

import json
import os
import re
import signal
import stat
import subprocess
import sys
import tarfile
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from batches import make_batch
from graphs import Graphs

from benchmarks import bench_cuda
from benchmarks.gpu.gpu_check import check, determinism, kernels, parts, programs, report, trainings
from benchmarks.gpu.gpu_check.pack import pack
from benchmarks.gpu.gpu_check.programs import (
    ROOT,
    Finished,
    Part,
    Program,
    Tally,
    read_junit,
    read_properties,
    run_part,
)
from benchmarks.kit import gpu, torch_gpu
from benchmarks.kit.case import active_rows
from benchmarks.kit.made_up import random_case
from cmlfast import reference
from cmlfast.ops.arithmetic import rank_weights

without_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")


# --- whether it can run


@pytest.mark.slow
@without_gpu
def test_without_a_gpu_it_says_so_and_what_to_type(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check.main(["--output", str(tmp_path)]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "finds no GPU" in told
    assert "`make test`" in told
    assert not (tmp_path / "report.md").exists()


@without_gpu
def test_benchmarks_are_skipped_without_a_gpu() -> None:
    skip = next(mark for mark in bench_cuda.pytestmark if mark.name == "skipif")
    assert skip.args == (True,)
    assert "finds no GPU" in skip.kwargs["reason"]


def test_each_reason_has_its_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    build: dict[str, Any] = {"extension": True, "reason": "", "cuda_kernels": True, "cuda_architectures": "80 90"}
    monkeypatch.setattr(gpu, "build_info", lambda: build)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (9, 0))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "NVIDIA H100")
    assert gpu.why_not() == ""
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (7, 5))
    assert "kernels for 80 90, none of which runs on NVIDIA H100 (75)" in gpu.why_not()
    assert "CMLFAST_CUDA_ARCHITECTURES=75 make gpu-check" in gpu.why_not()
    build["cuda_kernels"] = False
    assert "CMLFAST_CUDA=1 make gpu-check" in gpu.why_not()
    build.update(extension=False, reason="not built")
    assert gpu.why_not() == "The extension is missing: not built."
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    assert "finds no GPU; `nvidia-smi`" in gpu.why_not()
    monkeypatch.setattr(torch.version, "cuda", None)
    assert "a build without CUDA" in gpu.why_not()


@pytest.mark.parametrize(
    ("architectures", "capability", "served"),
    [
        ("80 90", (9, 0), True),
        ("80 90", (8, 9), True),  # sm_80's code
        ("86 90", (8, 0), False),
        ("90", (8, 9), False),
        ("80 90", (12, 0), True),  # from the PTX of 90
        ("90 100 120", (10, 3), True),
        ("120", (10, 0), False),
        ("", (9, 0), False),
    ],
)
def test_which_gpus_a_build_serves(architectures: str, capability: tuple[int, int], served: bool) -> None:
    assert gpu.serves(architectures, capability) == served


# --- which tests it runs

# Stands for torch with a GPU while tests are collected; notes what was not selected, and what the sample would be.
PRETEND = """
import torch
from benchmarks.gpu.gpu_check.selection import selects
from cmlfast.ops import extension
torch.cuda.is_available = lambda: True
extension.has_cuda_kernels = lambda: True

def write(path, items):
    open(path, "w").writelines(item.nodeid + "\\n" for item in items)

def pytest_deselected(items):
    write("{folder}/others", items)

def pytest_collection_finish(session):
    write("{folder}/all", session.items)
    write("{folder}/sample", [item for item in session.items if selects("sample", item)])
"""


@pytest.fixture(scope="module")
def collected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """Collect the operators' tests where torch claims to have a GPU; return all, the sample and the others."""
    folder = tmp_path_factory.mktemp("collected")
    (folder / "pretend_gpu.py").write_text(PRETEND.format(folder=folder))
    tests = parts.selected("all", parts.test_files())
    command = parts.pytest_command("x", folder, "-p", "pretend_gpu", "--collect-only", "-qqq", *tests)
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    found = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment)
    assert found.returncode == 0, found.stdout + found.stderr
    return {name: (folder / name).read_text().splitlines() for name in ("all", "sample", "others")}


@pytest.mark.slow
def test_exactly_the_tests_of_the_cuda_kernels_are_selected(collected: dict[str, list[str]], tmp_path: Path) -> None:
    chosen, others = collected["all"], collected["others"]
    configuration = re.compile(r"[\[-]cuda[\]-]")
    assert len(chosen) > parts.operators(tmp_path, []).least
    assert all(configuration.search(test) for test in chosen)
    assert not [test for test in others if configuration.search(test)]
    assert any("emulated" in test for test in others)
    with_kernels = {test.split("::")[0] for test in others if "[cpu" in test or "-cpu" in test}
    assert with_kernels == {test.split("::")[0] for test in chosen}


def test_the_sample_has_every_operator_and_dimension(collected: dict[str, list[str]]) -> None:
    chosen = collected["sample"]
    for operator in ("adagrad_clip", "cml_step", "sample_negatives", "topk", "warp_hinge", "warp_hinge_backward"):
        tests = [test for test in chosen if f"_{operator}.py::test_equals_reference[cuda" in test]
        assert tests, operator
        dimensions = {int(number) for test in tests for number in re.findall(r"\d+", test.split("[")[1])}
        assert operator == "sample_negatives" or {3, 33, 100, 300} <= dimensions, operator
    assert any("test_many_occurrences_of_a_row" in test for test in chosen)
    assert any("test_storage.py" in test for test in chosen)
    assert 20 < len(chosen) < 100


# --- a machine that has little

# What a machine without a package index is known to have.
THERE = (
    "torch", "torchgen", "functorch", "typing_extensions", "sympy", "mpmath", "networkx", "jinja2", "markupsafe",
    "filelock", "fsspec", "setuptools", "_distutils_hack", "pkg_resources", "numpy", "numpy.libs", "scipy",
    "scipy.libs", "pyarrow", "pyarrow.libs", "py", "pytest", "_pytest", "pluggy", "iniconfig", "packaging", "pygments",
)  # fmt: skip


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """Unpack the archive; return the tree, and an environment in which Python finds these packages alone."""
    folder = tmp_path_factory.mktemp("bare")
    try:
        told = pack(folder / "check.tar.gz")
    except FileNotFoundError as error:
        pytest.skip(str(error))
    assert "commit" in told
    with tarfile.open(folder / "check.tar.gz") as archive:
        archive.extractall(folder / "tree", filter="data")
    site, packages = Path(pytest.__file__).parents[1], folder / "site"
    packages.mkdir()
    for name in THERE:
        for found in (*site.glob(name), *site.glob(f"{name}.py"), *site.glob(f"{name}-*.dist-info")):
            (packages / found.name).symlink_to(found)
    return folder / "tree", {"PATH": os.environ["PATH"], "PYTHONPATH": str(packages), "HOME": str(folder / "home")}


def on_bare(bare: tuple[Path, dict[str, str]], *words: str) -> subprocess.CompletedProcess[str]:
    tree, environment = bare
    command = [sys.executable, "-S", *words]
    return subprocess.run(command, capture_output=True, text=True, cwd=tree, env=environment, timeout=300)


@pytest.mark.slow
def test_a_bare_machine_lacks_what_the_archive_brings(bare: tuple[Path, dict[str, str]]) -> None:
    for module in ("hypothesis", "pytest_benchmark", "pooch", "optuna", "implicit", "tqdm", "safetensors"):
        assert on_bare(bare, "-c", f"import {module}").returncode, module
    assert on_bare(bare, "-c", "import torch, pytest, numpy, scipy.sparse, pyarrow").returncode == 0
    done = on_bare(bare, "-c", "from benchmarks.gpu.gpu_check.programs import carried; print(*carried())")
    assert {Path(one).name for one in done.stdout.split()} >= {"hypothesis", "pytest-benchmark", "tqdm", "safetensors"}


@pytest.mark.slow
@without_gpu
def test_the_check_runs_on_a_bare_machine_and_writes_into_one_folder(bare: tuple[Path, dict[str, str]]) -> None:
    """Its programs, with a plugin that takes the GPU's place; the real command ends where it finds no GPU."""
    tree, _ = bare
    done = on_bare(bare, "-m", "benchmarks.gpu.gpu_check", "--output", "found", "speeds")
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    assert "finds no GPU" in done.stderr
    (tree / "found").mkdir(exist_ok=True)
    (tree / "found" / "smaller.py").write_text(SMALLER)
    before = {path: path.stat().st_mtime_ns for path in tree.rglob("*") if "found" not in path.parts}
    pretend = (
        "import sys\nfrom benchmarks.gpu.gpu_check import check\n"
        "sys.exit(check.main(sys.argv[1:], look=lambda folder: (True, '- GPU: none')))"
    )
    bare[1].update(PYTEST_PLUGINS="smaller", PYTHONPATH=f"{bare[1]['PYTHONPATH']}:{tree / 'found'}")
    done = on_bare(bare, "-B", "-c", pretend, "--output", "found", "--minutes", "3", "speeds")
    assert done.returncode == 0, done.stdout + done.stderr + (tree / "found" / "speeds.log").read_text()
    text = (tree / "found" / "report.md").read_text()
    assert "- speeds: passed" in text
    assert "determinism" not in text
    assert {path: path.stat().st_mtime_ns for path in tree.rglob("*") if "found" not in path.parts} == before
    assert not (tree.parent / "home").exists()


def test_unknown_parts_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        check.main(["speed"])
    assert "no part 'speed', only operators, determinism, kernels, speeds, compute-sanitizer" in capsys.readouterr().err
    assert [part.name for part in parts.all_parts(Path())] == list(parts.NAMES)


# --- limits, crashes and interrupts


def python(name: str, code: str, **environment: str) -> Program:
    return Program(name, [sys.executable, "-c", code], environment)


SLEEPS = "import time; time.sleep(60)"


@pytest.mark.slow
def test_programs_end_with_their_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "GRACE", 1)
    stubborn = f"import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); print('here', flush=True); {SLEEPS}"
    polite = "import time\ntry: time.sleep(60)\nexcept KeyboardInterrupt: print('results written')"
    part = Part(
        "limited",
        [
            python("quick", "import os; print(os.environ['TOLD'])", TOLD="told"),
            python("bad", "raise SystemExit(3)"),
            python("stubborn", stubborn),
            python("polite", polite),
            python("late", SLEEPS),
        ],
        seconds=2.0,
        least=0,
        at_once=2,
    )
    found: dict[str, Finished] = {}
    began = time.monotonic()
    run_part(part, tmp_path, began + 60, lambda run: found.update({run.program.name: run}))
    assert time.monotonic() - began < 10
    assert {name: run.status for name, run in found.items()} == {
        "quick": 0, "bad": 3, "stubborn": -9, "polite": 124, "late": None,
    }  # fmt: skip
    assert (found["quick"].printed, found["polite"].printed) == ("told\n", "results written\n")
    assert [found[name].ending for name in ("bad", "polite")] == ["exit status 3", "ran out of time"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_the_programs_and_leaves_a_report(tmp_path: Path, number: signal.Signals) -> None:
    path, begun, mark = tmp_path / "report.md", tmp_path / "begun", tmp_path / "survived"
    interrupted = Program("interrupted", ["sh", "-c", f"touch {begun}; sleep 3; touch {mark}"])
    part = Part("broken off", [python("quick", ""), interrupted, python("never", "")], 60, least=0)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it

    def interrupt() -> None:
        while not begun.exists():
            time.sleep(0.05)
        os.kill(os.getpid(), number)

    threading.Thread(target=interrupt, daemon=True).start()
    try:
        assert check.main(["--output", str(tmp_path)], lambda _: [part], lambda _: (True, "a machine")) == 1
    finally:
        signal.signal(signal.SIGINT, before)
    text = path.read_text()
    assert "**Interrupted.**" in text
    assert "2 programs did not end" in text
    assert "| quick |" in text
    assert not subprocess.run(["pgrep", "-f", str(mark)], capture_output=True).stdout
    assert not mark.exists()


# --- what it reads


JUNIT = """<?xml version="1.0" encoding="utf-8"?><testsuites><testsuite name="pytest" tests="4">
<testcase classname="tests.test_a" name="test_good[cuda-3]" time="0.1" />
<testcase classname="tests.test_a" name="test_bad[cuda-3]" time="0.1"><failure message="AssertionError: 3 differ">long
</failure></testcase>
<testcase classname="tests.test_a" name="test_broken[cuda]" time="0.1"><error message="on setup">x</error></testcase>
<testcase classname="tests.test_a" name="test_idle[cuda]" time="0.1"><skipped message="no data">x</skipped></testcase>
</testsuite></testsuites>"""


def test_junit(tmp_path: Path) -> None:
    path = tmp_path / "x.xml"
    assert read_junit(path) is None
    path.write_text(JUNIT[:300])
    assert read_junit(path) is None
    path.write_text(JUNIT)
    tests = read_junit(path)
    assert tests is not None
    assert str(tests) == "1 passed, 2 failed, 1 skipped"
    assert tests.failures[0] == ("tests.test_a::test_bad[cuda-3]", "AssertionError: 3 differ")
    assert tests.skipped == [("tests.test_a::test_idle[cuda]", "no data")]


def test_what_a_sanitizer_says() -> None:
    assert report.sanitizer_errors("========= COMPUTE-SANITIZER\n========= ERROR SUMMARY: 0 errors\n") == 0
    assert report.sanitizer_errors("========= ERROR SUMMARY: 1 error\n========= ERROR SUMMARY: 12 errors") == 13
    assert report.sanitizer_errors("========= RACECHECK SUMMARY: 2 hazards displayed (1 error, 1 warning)") == 2
    assert report.sanitizer_errors("========= Error: no device supported") is None
    text = "========= Invalid __global__ read of size 4 bytes\n=========     Host Frame: x\nother\n========= at k+0x10"
    assert report.sanitizer_lines(text) == ["Invalid __global__ read of size 4 bytes", "at k+0x10"]


# --- how it judges

GOOD = Finished(Program("one", ()), 0, 2.0, Tally(passed=1), "the last line")
SANITIZED = replace(GOOD, program=Program("tool", (), sanitizer=True), sanitizer_report="= ERROR SUMMARY: 0 errors")


@pytest.mark.parametrize(
    ("run", "said"),
    [
        (GOOD, ""),
        (replace(GOOD, tests=Tally(failures=[("a", "b")]), status=1), "1 failed"),
        (replace(GOOD, tests=Tally(skipped=[("a", "b")])), "no test passed"),
        (replace(GOOD, tests=Tally(skipped=[("a", "b")]), status=5), "exit status 5"),
        (replace(GOOD, tests=Tally(), status=5), ""),  # a file without a test for the GPU
        (replace(GOOD, tests=None), "exit status 0, no results"),
        (replace(GOOD, tests=None, status=None), "not begun, no time was left, no results"),
        (replace(GOOD, status=124), "ran out of time"),
        (replace(GOOD, status=-11), "exit status -11"),
        (SANITIZED, ""),
        (replace(SANITIZED, sanitizer_report="= ERROR SUMMARY: 2 errors", status=86), "2 errors"),
        (replace(SANITIZED, sanitizer_report=""), "no summary of the sanitizer"),
        (replace(SANITIZED, tests=Tally(), status=5), "exit status 5"),
        (replace(SANITIZED, tests=Tally()), "no test passed"),
    ],
)
def test_a_run_is_judged(run: Finished, said: str) -> None:
    assert report.fault(run) == said


def test_a_part_needs_as_many_tests_as_are_known() -> None:
    part = Part("tests", [GOOD.program], 10, least=2)
    assert report.verdict(part, [replace(GOOD, tests=Tally(passed=2))]) == "passed"
    assert report.verdict(part, [GOOD]) == "failed: 1 tests passed, at least 2 were expected"
    assert report.verdict(part, []).startswith("failed: 1 programs did not end")
    assert report.verdict(replace(part, programs=[], missing="no tool"), []) == "not run: no tool"


TOY = """
import pytest
class Backend:
    def __init__(self, device): self.device = device
@pytest.mark.parametrize("kernel", [Backend("cuda"), Backend("cpu")])
def test_it(kernel):
    assert kernel.device == "cuda", "not for the GPU"
"""


@pytest.mark.slow
def test_the_operators_tests_are_run_and_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [tmp_path / f"test_{name}.py" for name in ("good", "bad", "broken")]
    files[0].write_text(TOY)
    files[1].write_text(TOY.replace('== "cuda", "not', '!= "cuda", "not'))
    files[2].write_text("import os; os._exit(3)")
    path = tmp_path / "build" / "check" / "report.md"

    def make_parts(folder: Path) -> list[Part]:
        return [
            replace(parts.operators(folder, files[:1]), name="all well", least=1),
            replace(parts.operators(folder, files[1:]), least=1, at_once=2),
            Part("idle", [], 5, 0, missing="no tool"),
        ]

    assert check.main(["--output", str(path.parent)], make_parts, lambda _: (True, "- GPU: one")) == 1
    text = path.read_text()
    for shown in (
        "- GPU: one",
        "- all well: passed\n",
        "- operators: failed: test_bad: 1 failed; test_broken: exit status 3, no results; 0 tests passed, at least 1",
        "- idle: not run: no tool\n",
        "| test_good | 1 passed, 0 failed, 0 skipped | exit status 0 |",
        "not for the GPU",
        "The end of its output:",
    ):
        assert shown in text, shown
    assert str(path) in capsys.readouterr().out


SANITIZER = """\
import os, sys
options = dict(zip(sys.argv[1::2], sys.argv[2::2]))
tool = options["--tool"]
assert os.environ["PYTORCH_NO_CUDA_MEMORY_CACHING"] == "1"
junit = next(each.split("=", 1)[1] for each in sys.argv if each.startswith("--junit-xml="))
open(junit, "w").write("<testsuites><testsuite><testcase classname='a' name='b'/></testsuite></testsuites>")
text = {"memcheck": "========= ERROR SUMMARY: 0 errors",
        "racecheck": "========= Race reported\\n========= RACECHECK SUMMARY: 1 hazard displayed (1 error)",
        "initcheck": "nothing"}[tool]
open(options["--log-file"], "w").write(text)
sys.exit(86 if tool == "racecheck" else 0)
"""


def test_sanitizers_are_run_and_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a program that finds an error with one tool, says nothing with another, and has no fault with the third."""
    program = tmp_path / "compute-sanitizer"
    program.write_text(f"#!{sys.executable}\n{SANITIZER}")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(parts, "find_tool", lambda name: str(program))
    part, found = parts.sanitizers(tmp_path, []), list[Finished]()
    run_part(part, tmp_path, time.monotonic() + 60, found.append)
    faults = {run.program.name: report.fault(run) for run in found}
    assert faults == {"memcheck": "", "racecheck": "1 errors", "initcheck": "no summary of the sanitizer"}
    assert "Race reported" in report.report("", [part], found, tmp_path)
    assert report.verdict(part, found).startswith("failed")


def test_a_missing_sanitizer_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "find_tool", lambda name: None)
    assert report.verdict(parts.sanitizers(tmp_path, []), []).startswith("not run: compute-sanitizer was found neither")


# --- determinism


def test_checks_of_determinism_hold_here() -> None:
    """What they compare is compared; on the CPU's kernels, which give the same bits too."""
    determinism.test_steps_repeat_and_are_the_references("cpu", 33, torch.bfloat16)
    determinism.test_operators_repeat("cpu", (300, 400, 500))
    one, other = torch.tensor([1.0, 0.0]), torch.tensor([1.0, -0.0])
    assert determinism.different([one, one], [one, other]) == "1 of 2 tensors differ, the first is number 1"


def test_another_bit_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = iter(range(1000))
    step = determinism.step_
    monkeypatch.setattr(determinism, "step_", lambda *given, **more: step(*given[:4], next(steps), **more))
    with pytest.raises(AssertionError, match="tensors differ"):
        determinism.test_steps_repeat_and_are_the_references("cpu", 33, torch.float32)
    with pytest.raises(AssertionError, match="tensors differ"):
        determinism.test_operators_repeat("cpu", (300, 400, 500))


def test_a_graph_is_compared_replay_by_replay(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the graph's place taken by what it stands for, once right, once with another offset."""

    class Replays:
        def __init__(self, step: Any, counts: Any) -> None:
            self.step, self.counts = step, counts

        def replay(self) -> None:
            for mine, new in zip(self.counts, self.step(), strict=True):
                mine.copy_(new)

    def capture(step: Any) -> Any:
        counts = step()
        return Replays(step, counts), counts

    monkeypatch.setattr(determinism, "capture", capture)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    case = determinism.random_case(50, 100, 200, 8, "cpu")
    determinism.test_a_graph_gives_the_same(case)
    offsets = iter(range(100))
    step = determinism.step_
    monkeypatch.setattr(determinism, "step_", lambda *given: step(*given[:-1], next(offsets)))
    with pytest.raises(AssertionError, match="replay 0"):
        determinism.test_a_graph_gives_the_same(case)


def test_checks_of_trainings_hold_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small, with a graph's place taken by what it stands for; then by one that is no step again."""
    monkeypatch.setattr(trainings, "Captures", Graphs)
    monkeypatch.setattr(trainings, "LARGE", (300, 400, 160))
    monkeypatch.setattr(trainings, "GOWALLA", (90, 120, 700, 200))
    monkeypatch.setattr(trainings, "device_time", time.perf_counter)
    monkeypatch.setattr(trainings, "profiled", lambda call: call() or {"scan_pairs": 1e-6, "add_up": 2e-6})
    trainings.test_replays_are_the_steps_of_the_cpu("cpu", torch.bfloat16)
    trainings.test_replays_of_the_softmax_are_its_single_steps("cpu", monkeypatch)
    trainings.test_a_fit_is_the_cpus("cpu")
    recorded: list[Any] = []
    trainings.test_time_of_replayed_steps("cpu", 8, lambda _, row: recorded.append(json.loads(row)))
    for loss in ("softmax", "warp"):
        trainings.test_time_of_an_epoch("cpu", loss, lambda _, row: recorded.append(json.loads(row)))
    assert [row["kernel"] for row in recorded] == [
        "in a call each", "16 in a call", "16 in a call, replayed", *(2 * ["by the host's clock", "kernels together"]),
    ]  # fmt: skip
    assert recorded[-1]["measured"] == pytest.approx(3)

    def only_once(call: Any) -> Any:
        outputs = call()
        return lambda: outputs

    monkeypatch.setattr(trainings, "Captures", lambda: only_once)
    with pytest.raises(AssertionError, match=r"replays: .* tensors differ"):
        trainings.test_replays_are_the_steps_of_the_cpu("cpu", torch.float32)
    with pytest.raises(AssertionError, match=r"replays of the softmax: .* tensors differ"):
        trainings.test_replays_of_the_softmax_are_its_single_steps("cpu", monkeypatch)


# --- what it measures


def test_kernels_are_told_beside_their_prediction(tmp_path: Path) -> None:
    works = {"scan_pairs": kernels.Work(2e6), "find_near": kernels.Work(1e6, 6e6), "add_up": kernels.Work(10)}
    found = {"scan_pairs<Layout<float, true, true>>": 4e-6, "find_near<float>": 8e-6, "add_up": 5e-6, "other": 1e-6}
    rows = kernels.compared("a step", found, works, bandwidth=1e12, lanes=1e12)
    # 6e6 instructions are 6 us, 2e6 bytes 2 us, and 10 bytes a launch.
    assert [(row.kernel, row.predicted, row.measured) for row in rows] == [
        ("find_near<float>", pytest.approx(6), pytest.approx(8)),
        ("add_up", pytest.approx(2), pytest.approx(5)),
        ("scan_pairs<Layout<float, true, true>>", pytest.approx(2), pytest.approx(4)),
        ("other", None, pytest.approx(1)),
    ]
    recorded: list[str] = []
    kernels.record(rows, lambda name, value: recorded.append(str(value)))
    table = report.kernel_table(recorded)
    assert "| **a step** |  | **18.0** |  |" in table
    assert "| `find_near<float>` | 6.0 | 8.0 | 75% |" in table
    assert "| `other` | - | 1.0 | - |" in table
    path = tmp_path / "kernels.xml"
    path.write_text("<a><testcase><properties><property name='kernel' value='{}'/></properties></testcase></a>")
    assert read_properties(path, "kernel") == ["{}"]
    assert read_properties(tmp_path / "none.xml", "kernel") == []


def test_the_model_counts_a_steps_rows() -> None:
    """Every pair active, no row twice: 22 rows a pair are scanned, and each sum reads two and moves four."""
    case = random_case(3000, 40_000, 100, 128, "cpu")
    works = kernels.work_of_step(case)
    active, users, items = active_rows(case, 20)
    assert works["scan_pairs"].bytes == 100 * (22 * 512 + 256)
    assert works["sum_runs<.*UserShares"].bytes == 512 * (2 * active + 4 * users)
    assert works["sum_runs<.*ItemShares"].bytes == 512 * (2 * active + 4 * items)
    assert kernels.row_bytes(100) == 416, "a row of 400 bytes begins in the middle of a sector, or not: 13 or 14"
    assert kernels.row_bytes(96) == 384


def test_kernels_are_profiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests, small, with what the profiler would have found."""
    for name, value in {"ROWS": 3000, "N_QUERIES": 5, "K": 3, "SEEN": 2}.items():
        monkeypatch.setattr(kernels, name, value)
    for name in ("copy_bandwidth", "lanes_a_second"):
        monkeypatch.setattr(kernels, name, lambda: 1e12)
    called: list[Any] = []

    def profiled(call: Any) -> dict[str, float]:
        called.append(call())
        return dict.fromkeys(("scan_pairs<L>", "add_up", "find_near<float, true, 8>", "keep_nearest<L>"), 1e-5)

    monkeypatch.setattr(kernels, "profiled", profiled)
    recorded: list[Any] = []
    kernels.test_step("cpu", 100, 50, lambda *one: recorded.append(one))
    kernels.test_search("cpu", 100, lambda *one: recorded.append(one))
    assert len(called) == 2
    assert len(recorded) == 8


def test_the_peer_for_gpus_agrees_with_the_reference() -> None:
    got = make_batch(100, 500)
    kept = got.indptr.diff()[got.users] < len(got.item_w)
    got.users, got.positives = got.users[kept], got.positives[kept]
    want = got.clone()
    n_items = len(got.item_w)
    negatives = reference.sample_negatives(*got.sampling, n_items, 7, 3, 1)
    weights = torch.tensor(rank_weights(n_items, 7, True))
    none = torch.zeros_like(negatives, dtype=torch.bool)
    pairs = (got.users, got.positives, negatives, none)
    counts = torch_gpu.step_(*got.tables, *pairs, 0.5, 0.1, 1e-10, 1.0, weights)
    expected = reference.cml_step_(*want.tables, *want.sampling, 7, 0.5, 0.1, 1e-10, 1.0, True, 3, 1)
    assert 0 < int(expected[2]) < len(got.users)
    assert [int(count) for count in counts[1:]] == [int(count) for count in expected[1:]]
    torch.testing.assert_close(counts[0], expected[0], rtol=3e-7, atol=0)
    for mine, theirs in zip(got.tables, want.tables, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-5)
    drawn, liked = torch_gpu.Sampler(got.indptr, got.indices, n_items).draw(got.users, 50)
    for user, items, marks in zip(got.users.tolist(), drawn.tolist(), liked.tolist(), strict=True):
        of_user = set(got.indices[got.indptr[user] : got.indptr[user + 1]].tolist())
        assert marks == [item in of_user for item in items]


SMALLER = """
import torch
from benchmarks.kit import case, gpu, gpu_calls, made_up, operators
torch.cuda.synchronize = lambda: None
torch.cuda.mem_get_info = lambda: (1e12, 1e12)
torch.cuda.get_device_name = lambda: "NVIDIA L4"
gpu.why_not = lambda: ""
gpu_calls.DEVICE, gpu_calls.ROUNDS, gpu_calls.CALLS, gpu_calls.COPY_BYTES = "cpu", 2, 2, 4000
gpu_calls.GATHERED, gpu_calls.LARGE, gpu_calls.BATCHES, operators.N_QUERIES = 100, 3_000, (200, 500), 5
case.make_case = lambda: made_up.random_case(30, 200, 200, 100, "cpu")

class Graph:
    def __init__(self, step): self.replay = step

gpu_calls.capture = lambda step: (Graph(step), step())
"""


@pytest.mark.slow
def test_speeds_are_measured_and_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All benchmarks, small and on the CPU, by a plugin that takes the GPU's place."""
    (tmp_path / "smaller.py").write_text(SMALLER)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("PYTEST_PLUGINS", "smaller")
    part, found = parts.speeds(tmp_path), list[Finished]()
    run_part(part, tmp_path, time.monotonic() + 120, found.append)
    assert report.verdict(part, found) == "passed", found[0].printed
    assert str(found[0].tests) == "63 passed, 0 failed, 2 skipped"
    text = report.report("", [part], found, tmp_path)
    steps = [line.split(" | ") for line in text.splitlines() if line.startswith("| `step[")]
    assert len(steps) == 14
    assert all(line[column].endswith("%") for line in steps for column in (4, 5))
    assert "the reference takes the small batch only" in text
