"""What `data.guided` begins with is read, what is not such is refused, and without Atheris it says so."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest
from data import fuzz, guided


def test_inputs_to_begin_with_are_read_and_others_refused(tmp_path: Path) -> None:
    targets = guided.targets(tmp_path)
    assert len(targets) == 6
    for begin, reads in targets.values():
        for content in begin:
            reads(content)
        with pytest.raises(fuzz.CLEAN):
            reads(b"{}")


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="Atheris is not installed")
def test_it_sees_what_is_reached() -> None:
    how = ["--kind", "a checkpoint's course", "--minutes", "0.01"]
    command = [sys.executable, "-m", "data.guided", *how]
    done = subprocess.run(command, cwd=Path(guided.__file__).parents[1], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "inputs in 0.0 minutes" in done.stdout
    assert "Instrumenting cmlfast.training.course" in done.stderr
    assert "Is the code instrumented" not in done.stderr


def test_without_atheris_it_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    monkeypatch.setattr(sys, "argv", ["guided"])
    assert guided.main() == 0
    assert "Atheris is not installed (make .venv/fuzz)" in capsys.readouterr().out
