"""The check on a GPU, as far as it goes without one: what it selects, reads, judges, reports, and when it gives up."""

import json
import os
import re
import signal
import stat
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from batches import make_batch
from benchmarks.gpu_check import check, determinism, look, operator_tests, parts, torch_step
from benchmarks.gpu_check.part import Context, Outcome, Part, Run, run_parts
from benchmarks.gpu_check.process import ROOT, Command, Finished, run_all
from benchmarks.gpu_check.results import (
    Tally,
    parse_benchmarks,
    parse_junit,
    sanitizer_errors,
    sanitizer_lines,
    speed_table,
)

from cmlfast import reference
from cmlfast._arithmetic import rank_weights

BUILD = {"extension": True, "reason": "", "cuda_kernels": True, "cuda_architectures": "80 90", "version": "1"}
FACTS: dict[str, Any] = {
    "torch": "2.13.0",
    "torch_cuda": "12.8",
    "toolkit": "release 12.8",
    "compute_sanitizer": None,
    "build": BUILD,
    "cpus": 8,
    "gpu": {
        "name": "NVIDIA H100 80GB HBM3",
        "capability": (9, 0),
        "memory": 80 * 2**30,
        "l2": 50 * 2**20,
        "multiprocessors": 132,
        "count": 1,
        "smi": {"driver_version": "570.1", "clocks.sm": "1980 MHz"},
    },
}
PASSES = Part("good", lambda _: Outcome("passed", "all well", "the body", ["this: no time"]), 5)

JUNIT = """<?xml version="1.0" encoding="utf-8"?><testsuites><testsuite name="pytest" tests="4">
<testcase classname="tests.test_a" name="test_good[cuda-3]" time="0.1" />
<testcase classname="tests.test_a" name="test_bad[cuda-3]" time="0.1"><failure message="AssertionError: 3 differ">long
</failure></testcase>
<testcase classname="tests.test_a" name="test_broken[cuda]" time="0.1"><error message="on setup">x</error></testcase>
<testcase classname="tests.test_a" name="test_idle[cuda]" time="0.1"><skipped message="no data">x</skipped></testcase>
</testsuite></testsuites>"""

# Stands for torch with a GPU while tests are collected; notes what was not selected.
PRETEND = """
import torch
from cmlfast import _extension
torch.cuda.is_available = lambda: True
_extension.has_cuda_kernels = lambda: True

def pytest_deselected(items):
    with open("{deselected}", "a") as file:
        file.writelines(item.nodeid + "\\n" for item in items)
"""


# --- whether it can run


def test_without_a_gpu_it_says_so_and_what_to_type(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    report = tmp_path / "report.md"
    assert check.main(["--output", str(report)]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "finds no GPU" in told
    assert "`make test`" in told
    assert not report.exists()


def test_benchmarks_are_skipped_without_a_gpu() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    command = [sys.executable, "-m", "pytest", "-q", "-rs", "--benchmark-only", "benchmarks/bench_cuda.py"]
    found = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert found.returncode == 0, found.stdout
    assert re.search(r"^\d+ skipped", found.stdout.splitlines()[-1])
    assert "finds no GPU" in found.stdout


def changed(build: dict[str, Any] | None = None, gpu: dict[str, Any] | None = None, **facts: Any) -> dict[str, Any]:
    """Return the facts of a machine that differs from the usual one."""
    return {**FACTS, "build": {**BUILD, **(build or {})}, "gpu": {**FACTS["gpu"], **(gpu or {})}, **facts}


def test_each_reason_has_its_sentence() -> None:
    assert look.problem(FACTS) == ""
    assert look.problem({**FACTS, "gpu": None}).startswith("torch 2.13.0 finds no GPU; `nvidia-smi`")
    assert "a build without CUDA" in look.problem({**FACTS, "gpu": None, "torch_cuda": None})
    assert "not built" in look.problem(changed({"extension": False, "reason": "not built"}))
    assert "CMLFAST_CUDA=1 make gpu-check" in look.problem(changed({"cuda_kernels": False}))
    told = look.problem(changed(gpu={"capability": (7, 5)}))
    assert "kernels for 80 90, none of which runs on NVIDIA H100 80GB HBM3 (75)" in told
    assert "CMLFAST_CUDA_ARCHITECTURES=75 make gpu-check" in told


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
    assert look.serves(architectures, capability) == served


def test_a_look_that_fails_ends_with_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    def look() -> dict[str, Any]:
        raise check.LookError("the driver hangs.")

    assert check.main([], [PASSES], look) == 2
    assert capsys.readouterr().err == "The GPU cannot be checked. the driver hangs.\n"


# --- which tests it runs


def collect(tmp_path: Path, which: str) -> tuple[list[str], list[str]]:
    """Collect the operators' tests where torch claims to have a GPU; return those selected and the others."""
    deselected = tmp_path / "deselected"
    (tmp_path / "pretend_gpu.py").write_text(PRETEND.format(deselected=deselected))
    command = operator_tests.pytest_command(
        operator_tests.test_files(), which, tmp_path / "x.xml", "--collect-only", "-qq"
    )
    command = [*command[:3], "-p", "pretend_gpu", *command[3:]]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    found = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment)
    assert found.returncode == 0, found.stdout + found.stderr
    return [line for line in found.stdout.splitlines() if "::" in line], deselected.read_text().splitlines()


def test_exactly_the_tests_of_the_cuda_kernels_are_selected(tmp_path: Path) -> None:
    chosen, others = collect(tmp_path, "all")
    configuration = re.compile(r"[\[-]cuda[\]-]")
    assert len(chosen) > 400
    assert all(configuration.search(test) for test in chosen)
    assert not [test for test in others if configuration.search(test)]
    assert any("emulated" in test for test in others)
    with_kernels = {test.split("::")[0] for test in others if "[cpu" in test or "-cpu" in test}
    assert with_kernels == {test.split("::")[0] for test in chosen}


def test_the_sample_has_every_operator_and_dimension(tmp_path: Path) -> None:
    chosen, _ = collect(tmp_path, "sample")
    operators = ("adagrad_clip", "cml_step", "sample_negatives", "topk", "warp_hinge", "warp_hinge_backward")
    for operator in operators:
        tests = [test for test in chosen if f"/test_ops_{operator}.py::test_equals_reference[cuda" in test]
        assert tests, operator
        dimensions = {int(number) for test in tests for number in re.findall(r"\d+", test.split("[")[1])}
        assert operator == "sample_negatives" or {3, 33, 100, 300} <= dimensions, operator
    assert any("test_many_occurrences_of_a_row" in test for test in chosen)
    assert any("test_storage.py" in test for test in chosen)
    assert len(chosen) < 100


# --- limits, crashes and interrupts


def finish(*parts: Part, folder: Path, seconds: float = 30.0) -> tuple[Run, list[int]]:
    """Run parts; return the run and how many outcomes each look at it showed."""
    looks: list[int] = []
    run = run_parts(parts, folder, time.monotonic() + seconds, lambda run: looks.append(len(run.outcomes)))
    return run, looks


def test_a_part_that_takes_too_long_or_crashes_does_not_stop_the_next(tmp_path: Path) -> None:
    def crash(_: Context) -> Outcome:
        raise ValueError("no such thing")

    slow = Part("slow", lambda _: time.sleep(30), 0.2)  # type: ignore[arg-type,return-value]
    began = time.monotonic()
    run, looks = finish(slow, Part("crash", crash, 5), PASSES, folder=tmp_path)
    assert time.monotonic() - began < 10
    assert [one.status for one in run.outcomes] == ["failed", "failed", "passed"]
    assert "its limit" in run.outcomes[0].summary
    assert "ValueError: no such thing" in run.outcomes[1].summary
    assert "Traceback" in run.outcomes[1].body
    assert looks == [1, 2, 3]
    assert run.failed


def test_the_whole_has_a_limit(tmp_path: Path) -> None:
    slow = Part("slow", lambda _: time.sleep(30), 20)  # type: ignore[arg-type,return-value]
    run, _ = finish(slow, PASSES, folder=tmp_path, seconds=0.3)
    assert [one.status for one in run.outcomes] == ["failed", "not run"]
    assert "no time was left" in run.outcomes[1].summary


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_leaves_a_report(tmp_path: Path, number: signal.Signals) -> None:
    def interrupted(_: Context) -> Outcome:
        os.kill(os.getpid(), number)
        time.sleep(10)
        raise AssertionError("not interrupted")

    report = tmp_path / "report.md"
    parts = [PASSES, Part("broken off", interrupted, 60), PASSES]
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    try:
        assert check.main(["--output", str(report)], parts, lambda: FACTS) == 1
    finally:
        signal.signal(signal.SIGINT, before)
    text = report.read_text()
    assert "**Interrupted.**" in text
    assert "| good | passed |" in text
    assert "| broken off | failed |" in text
    assert "| good | not run |" in text


def test_programs_end_with_their_time(tmp_path: Path) -> None:
    stubborn = (
        "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); print('here', flush=True); time.sleep(60)"
    )
    polite = "import time\ntry: time.sleep(60)\nexcept KeyboardInterrupt: print('results written')"
    commands = [
        Command(
            "quick", [sys.executable, "-c", "import os; print(os.environ['TOLD'])"], tmp_path / "1", {"TOLD": "told"}
        ),
        Command("stubborn", [sys.executable, "-c", stubborn], tmp_path / "2"),
        Command("polite", [sys.executable, "-c", polite], tmp_path / "3"),
        Command("bad", [sys.executable, "-c", "raise SystemExit(3)"], tmp_path / "4"),
    ]
    began = time.monotonic()
    quick, stubborn_run, polite_run, bad = run_all(commands, began + 3, at_once=4)
    assert time.monotonic() - began < 20
    assert [run.status for run in (quick, stubborn_run, polite_run, bad)] == [0, None, None, 3]
    assert (quick.tail(), polite_run.tail()) == ("told", "results written")
    assert bad.ending == "exit status 3"
    late = run_all(commands[:1], time.monotonic() - 1)
    assert late[0].status is None


# --- what it reads


def test_junit(tmp_path: Path) -> None:
    path = tmp_path / "x.xml"
    assert parse_junit(path) is None
    path.write_text(JUNIT[:300])
    assert parse_junit(path) is None
    path.write_text(JUNIT)
    tests = parse_junit(path)
    assert tests is not None
    assert str(tests) == "1 passed, 2 failed, 1 skipped"
    assert tests.failures[0] == ("tests.test_a::test_bad[cuda-3]", "AssertionError: 3 differ")
    assert tests.skipped == [("tests.test_a::test_idle[cuda]", "no data")]


def benchmark_json(**info: Any) -> str:
    stats = {"median": 2e-4, "iqr": 1e-5, "rounds": 20, "mean": 1.0}
    return json.dumps({"benchmarks": [{"name": "test_step[x]", "group": "step", "stats": stats, "extra_info": info}]})


def test_benchmark_results(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    assert parse_benchmarks(path) == []
    path.write_text('{"benchmarks": [')
    assert parse_benchmarks(path) == []
    path.write_text(benchmark_json(pairs_per_second=5e7, gb_per_second=1234.5, of_measured_floor=0.456))
    table = speed_table(parse_benchmarks(path)).splitlines()
    assert table[2] == "| step | step[x] | 0.2 | 0.01 | 50 | 1234 | 45.6% |  |"
    assert len({line.count("|") for line in table}) == 1


def test_what_a_sanitizer_says() -> None:
    assert sanitizer_errors("========= COMPUTE-SANITIZER\n========= ERROR SUMMARY: 0 errors\n") == 0
    assert sanitizer_errors("========= ERROR SUMMARY: 1 error\n========= ERROR SUMMARY: 12 errors") == 13
    assert sanitizer_errors("========= RACECHECK SUMMARY: 2 hazards displayed (1 error, 1 warning)") == 2
    assert sanitizer_errors("========= Error: no device supported") is None
    text = "========= Invalid __global__ read of size 4 bytes\n=========     Host Frame: x\nother\n========= at k+0x10"
    assert sanitizer_lines(text) == "Invalid __global__ read of size 4 bytes\nat k+0x10"


# --- how it judges


def ended(status: int | None, tmp_path: Path, name: str = "one") -> Finished:
    log = tmp_path / "log"
    log.write_text("the last line")
    return Finished(name, status, 2.0, log)


def test_the_operators_tests_are_run_and_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = """
import pytest
class Backend:
    def __init__(self, device): self.device = device
@pytest.mark.parametrize("kernel", [Backend("cuda"), Backend("cpu")])
def test_it(kernel):
    assert kernel.device == "cuda", "not for the GPU"
"""
    files = [tmp_path / f"test_{name}.py" for name in ("good", "bad", "other", "broken")]
    files[0].write_text(source)
    files[1].write_text(source.replace('== "cuda", "not', '!= "cuda", "not'))
    files[2].write_text("def test_it(): raise AssertionError('not to be run')")
    files[3].write_text("import os; os._exit(3)")
    monkeypatch.setattr(operator_tests, "test_files", lambda: files[:1])
    context = Context(tmp_path / "results", time.monotonic() + 60)
    good = operator_tests.operator_tests(context)
    assert (good.status, good.summary) == ("passed", "1 passed, 0 failed, 0 skipped")
    monkeypatch.setattr(operator_tests, "test_files", lambda: files)
    bad = operator_tests.operator_tests(context)
    assert (bad.status, bad.summary) == (
        "failed",
        "1 passed, 1 failed, 0 skipped; 1 of 4 files were not run to their end",
    )
    assert "not for the GPU" in bad.body
    assert "`test_broken` exit status 3" in bad.body


def test_tests_that_did_not_run_are_no_success(tmp_path: Path) -> None:
    assert operator_tests.judge_tests([(ended(5, tmp_path), Tally())]).status == "failed"
    assert operator_tests.judge_tests([(ended(0, tmp_path), None)]).status == "failed"
    assert operator_tests.judge_tests([(ended(None, tmp_path), Tally(passed=9))]).status == "failed"
    assert (
        operator_tests.judge_tests([(ended(5, tmp_path), Tally()), (ended(0, tmp_path), Tally(passed=9))]).status
        == "passed"
    )


def test_a_missing_sanitizer_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operator_tests, "find_tool", lambda name: None)
    outcome = operator_tests.sanitized_tests(Context(tmp_path, time.monotonic() + 60))
    assert outcome.status == "not run"
    assert [line.split(":")[0] for line in outcome.missing] == ["memcheck", "racecheck", "initcheck"]


def test_sanitizers_are_run_and_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a program that finds an error with one tool, says nothing with another, and has no fault with the third."""
    program = tmp_path / "compute-sanitizer"
    program.write_text(f"""#!{sys.executable}
import os, sys
options = dict(zip(sys.argv[1::2], sys.argv[2::2]))
tool = options["--tool"]
assert os.environ["PYTORCH_NO_CUDA_MEMORY_CACHING"] == "1"
junit = next(each.split("=", 1)[1] for each in sys.argv if each.startswith("--junit-xml="))
open(junit, "w").write("<testsuites><testsuite><testcase classname='a' name='b'/></testsuite></testsuites>")
text = {{"memcheck": "========= ERROR SUMMARY: 0 errors",
        "racecheck": "========= Race reported\\n========= RACECHECK SUMMARY: 1 hazard displayed (1 error)",
        "initcheck": "nothing"}}[tool]
open(options["--log-file"], "w").write(text)
sys.exit(86 if tool == "racecheck" else 0)
""")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(operator_tests, "find_tool", lambda name: str(program))
    outcome = operator_tests.sanitized_tests(Context(tmp_path, time.monotonic() + 60))
    assert outcome.status == "failed"
    assert outcome.summary == "1 of 3 tools found nothing; not racecheck, initcheck"
    assert "Race reported" in outcome.body
    assert "| memcheck | 0 errors | 1 passed" in outcome.body
    assert "| initcheck | no summary" in outcome.body


def test_a_sanitizer_that_saw_no_test_proves_nothing(tmp_path: Path) -> None:
    clean = "========= ERROR SUMMARY: 0 errors"
    for status, tests in ((0, Tally()), (0, None), (5, Tally(passed=1)), (None, Tally(passed=1))):
        assert operator_tests.judge_sanitizers([(ended(status, tmp_path), tests, clean)]).status == "failed"
    assert operator_tests.judge_sanitizers([(ended(0, tmp_path), Tally(passed=1), clean)]).status == "passed"


def test_determinism_is_judged(tmp_path: Path) -> None:
    results = tmp_path / "x.json"
    found = {"good": lambda: "", "bad": lambda: "2 of 3 tensors differ", "worse": lambda: str(1 // 0)}
    determinism.run_checks(found, results)
    outcome = parts.judge_determinism(ended(1, tmp_path), json.loads(results.read_text()))
    assert (outcome.status, outcome.summary) == ("failed", "1 of 3 checks passed")
    assert "ZeroDivisionError" in outcome.body
    done = [{"name": "good", "passed": True, "detail": "", "seconds": 1.0}]
    assert parts.judge_determinism(ended(0, tmp_path), {"planned": 1, "checks": done}).status == "passed"
    for status, planned, checks in ((-11, 2, done), (0, 0, []), (None, 2, done)):
        judged = parts.judge_determinism(ended(status, tmp_path), {"planned": planned, "checks": checks})
        assert judged.status == "failed"
        assert "the last line" in judged.body


def test_checks_of_determinism_hold_here() -> None:
    """What they compare is compared; on the CPU's kernels, which give the same bits too."""
    assert determinism.steps_repeat("cpu", 33, torch.bfloat16) == ""
    assert determinism.operators_repeat("cpu", (300, 400, 500)) == ""
    one, other = torch.tensor([1.0, 0.0]), torch.tensor([1.0, -0.0])
    assert determinism.different([one, one], [one, other]) == "1 of 2 tensors differ, the first is number 1"
    checks = determinism.checks("cuda")
    assert len(checks) == 8
    assert "a graph gives the same" in checks


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
    assert determinism.a_graph_gives_the_same(case) == ""
    offsets = iter(range(100))
    step = determinism.step_
    monkeypatch.setattr(determinism, "step_", lambda *given: step(*given[:-1], next(offsets)))
    assert determinism.a_graph_gives_the_same(case).startswith("replay 0: ")


# --- what it measures


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
    counts = torch_step.step_(*got.tables, *pairs, 0.5, 0.1, 1e-10, 1.0, weights)
    expected = reference.cml_step_(*want.tables, *want.sampling, 7, 0.5, 0.1, 1e-10, 1.0, True, 3, 1)
    assert 0 < int(expected[2]) < len(got.users)
    assert [int(count) for count in counts[1:]] == [int(count) for count in expected[1:]]
    torch.testing.assert_close(counts[0], expected[0], rtol=3e-7, atol=0)
    for mine, theirs in zip(got.tables, want.tables, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-5)
    drawn, liked = torch_step.Sampler(got.indptr, got.indices, n_items).draw(got.users, 50)
    for user, items, marks in zip(got.users.tolist(), drawn.tolist(), liked.tolist(), strict=True):
        of_user = set(got.indices[got.indptr[user] : got.indptr[user + 1]].tolist())
        assert marks == [item in of_user for item in items]


SMALLER = """
import torch
from benchmarks import case
from benchmarks.gpu_check import case as gpu_case
from benchmarks.gpu_check import look, sizes
torch.cuda.synchronize = lambda: None
torch.cuda.mem_get_info = lambda: (1e12, 1e12)
torch.cuda.get_device_name = lambda: "NVIDIA L4"
look.problem = lambda facts: ""
sizes.DEVICE, sizes.ROUNDS, sizes.CALLS, sizes.COPY_BYTES = "cpu", 2, 2, 4000
sizes.GATHERED, sizes.LARGE, sizes.BATCHES, sizes.N_QUERIES = 100, 3_000, (200, 500), 5
case.make_case = lambda: gpu_case.random_case(30, 200, 200, 100, "cpu")

class Graph:
    def __init__(self, step): self.replay = step

def capture(step):
    return Graph(step), step()

gpu_case.capture = capture
"""


def test_speeds_are_measured_and_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All benchmarks, small and on the CPU, by a plugin that takes the GPU's place."""
    (tmp_path / "smaller.py").write_text(SMALLER)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("PYTEST_PLUGINS", "smaller")
    outcome = parts.speeds(Context(tmp_path, time.monotonic() + 120))
    assert outcome.status == "passed", outcome
    assert outcome.summary == "33 measured, 0 failed, 2 skipped"
    steps = [line.split(" | ") for line in outcome.body.splitlines() if " | step[" in line]
    assert len(steps) == 14
    assert all("%" in line[-1] and "%" in line[-2] for line in steps)
    assert "the reference takes the small batch only" in outcome.missing[0]


def test_speeds_that_were_not_measured_are_no_success(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text(benchmark_json())
    found = parse_benchmarks(path)
    assert parts.judge_speeds(ended(0, tmp_path), Tally(passed=1), found).status == "passed"
    assert parts.judge_speeds(ended(0, tmp_path), Tally(), []).status == "failed"
    assert parts.judge_speeds(ended(None, tmp_path), None, found).status == "failed"
    failed = Tally(failures=[("step", "out of memory")])
    assert "out of memory" in parts.judge_speeds(ended(1, tmp_path), failed, found).body


# --- the report


def test_the_report_of_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = tmp_path / "build" / "report.md"
    idle = Part("idle", lambda _: Outcome("not run", "no tool", missing=["a: no tool", "b: no tool"]), 5)
    assert check.main(["--output", str(report), "--minutes", "2"], [PASSES, idle], lambda: FACTS) == 0
    text = report.read_text()
    for part in (
        "**Nothing failed**, but not run: idle.",
        "of at most 120 s.",
        "- GPU: NVIDIA H100 80GB HBM3, compute capability 9.0",
        "- memory, L2, multiprocessors: 80.0 GiB, 50 MiB, 132",
        "- driver: 570.1",
        "- state at the start: clocks.sm 1980 MHz",
        "- compute-sanitizer: not found",
        "| good | passed | 0 | all well |",
        "## Good\n\npassed: all well\n\nthe body\n",
        "- this: no time\n- a, b: no tool\n",
    ):
        assert part in text, part
    assert str(report) in capsys.readouterr().out
    bad = replace(PASSES, name="bad", function=lambda _: Outcome("failed", "2 differ"))
    assert check.main(["--output", str(report)], [bad, PASSES], lambda: FACTS) == 1
    assert "**Failed**: bad." in report.read_text()
