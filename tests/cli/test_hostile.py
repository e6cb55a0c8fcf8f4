"""`cmlfast` under hostile shells: a whole model and exit code 0, or none, one line of complaint and another code."""

import csv
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from cmlfast import CML

pytestmark = pytest.mark.slow

CMLFAST = f"{sys.executable} -m cmlfast_cli"
TRAIN = f"{CMLFAST} train likes.csv --model m --n-components 8 --n-epochs 5"
WELL, BADLY = True, False
SHELLS = {
    # a command, what comes of it, its exit code; of pipes that of the first
    "reader leaves": (f"{TRAIN} | head -1", WELL, 0),
    "reader leaves at once": (f"{TRAIN} | true", WELL, 0),
    "reader has found it": (f"{TRAIN} | grep -q pairs", WELL, 0),
    "no standard output": (f"{TRAIN} >&-", WELL, 0),
    "no standard error": (f"{TRAIN} 2>&-", WELL, 0),
    "neither": (f"{TRAIN} >&- 2>&-", WELL, 0),
    "no standard input": (f"{TRAIN} <&-", WELL, 0),
    "none at all": (f"{TRAIN} <&- >&- 2>&-", WELL, 0),
    "full disk for the chatter": (f"{TRAIN} > /dev/full", WELL, 0),
    "full disk for the complaints": (f"{TRAIN} 2> /dev/full", WELL, 0),
    "full disk for both": (f"{TRAIN} > /dev/full 2>&1", WELL, 0),
    "full disk for the model": (f"ulimit -f 4; {TRAIN}", BADLY, 3),
    "folder that takes nothing": (f"{TRAIN.replace('--model m', '--model /proc/m')}", BADLY, 3),
    "C locale": (f"LC_ALL=C PYTHONCOERCECLOCALE=0 PYTHONUTF8=0 {TRAIN}", WELL, 0),
    "Latin-1": (f"PYTHONIOENCODING=latin-1 {TRAIN}", WELL, 0),
    "no home, no temporary folder": (f"env -u HOME TMPDIR=/nowhere {TRAIN}", WELL, 0),
    "no hangup": (f"nohup {TRAIN} > out 2>&1 & wait $!", WELL, 0),
    "standard input is the data": (f"cat likes.csv | {TRAIN.replace('likes.csv', '-')}", WELL, 0),
    "a process is the data": (f"{TRAIN.replace('likes.csv', '<(cat likes.csv)')}", WELL, 0),
    "strict": (f"set -euo pipefail; {TRAIN} | grep -q likes || true", WELL, 0),
    "quiet": (f"{TRAIN} -q > out 2>&1 && [ ! -s out ]", WELL, 0),
}


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    with open(tmp_path / "likes.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("user", "item"))
        writer.writerows((f"zoë{u}", f"名{i}") for u in range(40) for i in range(30) if rng.random() < 0.3)
    return tmp_path


def shell(command: str, folder: Path) -> tuple[int, list[str]]:
    """Return the exit code of a command, or of the first of a pipe, and what it says on standard error."""
    script = f"{command}; exit ${{PIPESTATUS[0]}}" if " | " in command and "cat " not in command else command
    done = subprocess.run(["bash", "-c", script], cwd=folder, capture_output=True, text=True)
    return done.returncode, [
        line for line in done.stderr.splitlines() if "nohup" not in line and ": user from" not in line
    ]


@pytest.mark.parametrize("name", SHELLS)
def test_training(name, folder):
    command, outcome, code = SHELLS[name]
    found, complaints = shell(command, folder)
    assert found == code, complaints
    assert not list(folder.glob(".cmlfast*"))
    if outcome is WELL:
        assert complaints == []
        ids, _ = CML.load(folder / "m").recommend("zoë1", N=3)
        assert all(one.startswith("名") for one in ids)
    else:
        assert len(complaints) == 1, complaints
        assert re.match("cmlfast: error: ", complaints[0])
        assert not (folder / "m").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
@pytest.mark.parametrize("ignored", [False, True])
def test_signals_in_a_training(number, ignored, folder):
    """A signal ends it at once and leaves nothing; where the caller ignores the signal, as nohup does, it goes on."""
    epochs = 40 if ignored else 100_000
    command = [*TRAIN.split(), "--n-epochs", str(epochs)]
    handler = signal.SIG_IGN if ignored else signal.SIG_DFL
    process = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(number, handler),
    )  # fmt: skip
    assert "likes" in process.stdout.readline()  # the training is next
    time.sleep(0.0 if ignored else 0.5)
    process.send_signal(number)
    _, told = process.communicate(timeout=60)
    if ignored:
        assert process.returncode == 0, told
        assert len(CML.load(folder / "m").history_) == epochs
    else:
        assert process.returncode == 128 + number
        assert told.splitlines()[-1] in ("cmlfast: terminated", "cmlfast: interrupted")
        assert "Traceback" not in told
        assert [one.name for one in folder.iterdir()] == ["likes.csv"]


def test_the_umask_says_who_reads_a_model(folder):
    for mask, mode in (("022", 0o644), ("077", 0o600), ("002", 0o664)):
        assert shell(f"umask {mask}; rm -f m; {TRAIN}", folder)[0] == 0
        assert (folder / "m").stat().st_mode & 0o777 == mode
    (folder / "m").chmod(0o640)  # one that is there already keeps its own
    assert shell(TRAIN, folder)[0] == 0
    assert (folder / "m").stat().st_mode & 0o777 == 0o640


def test_answers(folder):
    assert shell(TRAIN, folder)[0] == 0
    ask = f"{CMLFAST} recommend m -n 30"
    assert shell(f"{ask} | head -1", folder) == (0, [])
    for closed, code in ((">&-", 1), ("> /dev/full", 1)):
        found, complaints = shell(f"{ask} {closed}", folder)
        assert found == code
        assert len(complaints) == 1
        assert "standard output" in complaints[0]
    assert shell(f"{ask} 2>&- > answers", folder) == (0, [])
    assert shell(f"{ask} >&- -o answers.csv", folder) == (0, [])
    assert (folder / "answers").read_text() == (folder / "answers.csv").read_text()
    assert shell(f"LC_ALL=C PYTHONCOERCECLOCALE=0 PYTHONUTF8=0 {ask} > c", folder) == (0, [])
    assert (folder / "c").read_text(encoding="utf-8") == (folder / "answers").read_text(encoding="utf-8")
    one = f"LC_ALL=C PYTHONCOERCECLOCALE=0 PYTHONUTF8=0 {CMLFAST} recommend m zoë1 -n 3"
    assert shell(f"{one} > one", folder) == (0, [])
    assert (folder / "one").read_text(encoding="utf-8").count("zoë1") == 3
    assert shell(f"ulimit -f 1; {ask} -o answers.csv", folder)[0] == 3
    assert (folder / "answers.csv").read_text() == (folder / "answers").read_text()


def test_environment_of_these_tests():
    """The shells above are only hostile if /dev/full is there, as it is on Linux."""
    assert os.path.exists("/dev/full")
