"""Checkpoints: a training that is broken off anywhere goes on to the same bits, or says why it does not."""

import errno
import json
import logging
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from scipy import sparse
from torch import nn

from cmlfast import CML, Interactions
from cmlfast.data.tensor_file import write
from cmlfast.training import checkpoint, checkpoint_file, interrupts, loop
from cmlfast.training.checkpoint import Every

RNG = np.random.default_rng(0)
LIKES = sparse.random(120, 200, 0.05, format="csr", rng=RNG)
LATER = sparse.random(120, 200, 0.02, format="csr", rng=RNG)
HELD = (LATER - LATER.multiply(LIKES > 0)).tocsr()
HELD.eliminate_zeros()
TAGS = sparse.random(200, 30, 0.1, format="csr", rng=RNG)
PEOPLE = RNG.standard_normal((120, 5)).astype(np.float32)


class Dropping(nn.Module):
    """A network that draws, and that keeps means and counts."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Linear(5, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 6))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        placed: torch.Tensor = self.layers(features)
        return placed


KINDS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "warp": ({"loss": "warp"}, {}),
    "softmax": ({"loss": "softmax"}, {}),
    "balance": ({"loss": "warp", "balance": 4.0, "margin": (2.0, 0.5)}, {}),
    "bfloat16": ({"loss": "warp", "dtype": "bfloat16"}, {}),
    "rowwise": ({"loss": "warp", "rowwise_adagrad": True}, {"validation": HELD}),
    "covariance": ({"loss": "softmax", "covariance_weight": 10.0}, {}),
    "validation": ({"loss": "warp", "patience": 2, "n_epochs": 30}, {"validation": HELD}),
    "tags": ({"loss": "warp"}, {"item_features": TAGS, "validation": HELD}),
    "networks": (
        {"loss": "softmax", "user_network": Dropping()},
        {"item_features": TAGS, "user_features": PEOPLE, "validation": HELD},
    ),
}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def model_of(kind: str, **changes: Any) -> CML:
    return CML(6, **{"n_epochs": 10, "batch_size": 100, "random_state": 3, **KINDS[kind][0], **changes})


def fitted(kind: str, **how: Any) -> CML:
    return model_of(kind).fit(LIKES, **KINDS[kind][1], **how)


def everything(model: CML) -> list[torch.Tensor]:
    assert model._fitted is not None
    tensors = list(model._fitted.tables.all())
    for network in (model.user_network_, model.item_network_):
        tensors += [] if network is None else list(network.state_dict().values())
    return tensors


def assert_same(one: CML, other: CML) -> None:
    for mine, theirs in zip(everything(one), everything(other), strict=True):
        assert torch.equal(mine, theirs)
    mine, theirs = ([{**record, "seconds": 0} for record in model.history_] for model in (one, other))
    assert mine == theirs


class BrokenOffError(Exception):
    pass


def break_off_after(n_steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the training die before the n-th step from now on, as a kill would: nobody writes anything any more."""
    choose = loop.Batches
    left = [n_steps]

    def counted(*given: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            raise BrokenOffError
        return choose(*given)

    monkeypatch.setattr(loop, "Batches", counted)


def steps_of(kind: str, monkeypatch: pytest.MonkeyPatch) -> int:
    counts: list[int] = []
    with monkeypatch.context() as patch:
        made = loop.Batches
        patch.setattr(loop, "Batches", lambda *given: counts.append(1) or made(*given))
        fitted(kind)
    return len(counts)


@pytest.mark.parametrize("every", [1, 3, "0.00001 minutes"], ids=["each epoch", "third epochs", "each step"])
def test_what_was_broken_off_ends_with_the_same_bits(
    kind: str, every: int | str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, n_steps = fitted(kind), steps_of(kind, monkeypatch)
    rng, tries = np.random.default_rng(5), 0
    while True:
        tries += 1
        with monkeypatch.context() as patch:
            if tries <= 6:
                break_off_after(int(rng.integers(1, max(2, n_steps // 2))), patch)
            try:
                found = fitted(kind, checkpoint_dir=tmp_path, checkpoint_every=every)
                break
            except BrokenOffError:
                continue
    assert tries > 1
    assert_same(found, expected)
    assert len(list(tmp_path.iterdir())) <= 2
    # Once more: there is nothing left to do.
    with monkeypatch.context() as patch:
        break_off_after(0, patch)
        assert_same(fitted(kind, checkpoint_dir=tmp_path, checkpoint_every=every), expected)


def test_networks_begin_where_they_were_not_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the optimizers' and the random numbers' states the bits would be others."""

    def trained(folder: Path | None) -> CML:
        return model_of("networks").fit(LIKES, TAGS, PEOPLE, checkpoint_dir=folder)

    expected = trained(None)
    for lost in ("optimizer", "random."):
        folder = tmp_path / lost
        with monkeypatch.context() as patch:
            break_off_after(40, patch)
            with pytest.raises(BrokenOffError):
                trained(folder)
        with monkeypatch.context() as patch:
            if lost == "optimizer":
                patch.setattr("cmlfast.features.encoder.Encoder.restore_optimizer", lambda *_: None)
            else:
                patch.setattr(checkpoint, "restore_random_states", lambda *_: None)
            other = trained(folder)
        assert not torch.equal(other.user_embedding_, expected.user_embedding_)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"learning_rate": 0.05}, r"learning_rate was 0\.1 and is 0\.05"),
        ({"n_epochs": 11}, "n_epochs was 10 and is 11"),
        ({"margin": 1.0}, r"margin was \[3\.0, 1\.0\] and is \[1\.0, 1\.0\]"),
        ({"random_state": 4}, "seed was 3 and is 4"),
        ({"dtype": "bfloat16"}, "dtype was 'torch.float32' and is 'torch.bfloat16'"),
        ({"loss": "softmax"}, "loss was 'warp' and is 'softmax'"),
    ],
)
def test_another_training_is_refused(change: dict[str, Any], told: str, tmp_path: Path) -> None:
    fitted("warp", checkpoint_dir=tmp_path)
    before = contents(tmp_path)
    with pytest.raises(ValueError, match=f"another training: .*{told}"):
        model_of("warp", **change).fit(LIKES, checkpoint_dir=tmp_path)
    assert contents(tmp_path) == before


def test_other_data_are_refused_by_name(tmp_path: Path) -> None:
    given = {"item_features": TAGS, "validation": HELD}
    model_of("tags").fit(LIKES, **given, checkpoint_dir=tmp_path)
    fewer, other = LIKES.copy().tolil(), TAGS.copy()
    fewer[0] = 0
    other.data[0] += 1
    for changed, name in (
        ((fewer.tocsr(), given), "user_items"),
        ((LIKES, {**given, "item_features": other}), "item_features"),
        ((LIKES, {**given, "validation": HELD[::-1].tocsr()[::-1][:, ::-1]}), "validation"),
        ((LIKES, {"item_features": TAGS}), "validation"),
    ):
        with pytest.raises(ValueError, match=f"another training: {name} differs"):
            model_of("tags").fit(changed[0], **changed[1], checkpoint_dir=tmp_path)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.slow
def test_damage_is_seen_wherever_it_is_and_the_older_one_stays(tmp_path: Path) -> None:
    expected = fitted("tags", checkpoint_dir=tmp_path)
    older, last = sorted(tmp_path.iterdir())
    whole = last.read_bytes()
    rng = np.random.default_rng(0)
    for attempt in range(100):
        at = int(rng.integers(len(whole)))
        damaged = bytearray(whole)
        if attempt % 2:
            damaged[at] ^= 1 << int(rng.integers(8))
        else:
            del damaged[at:]
        last.write_bytes(damaged)
        before = contents(tmp_path)
        with pytest.raises(ValueError, match=rf"{last.name}.* is damaged.*remove it to go on from {older.name}"):
            fitted("tags", checkpoint_dir=tmp_path)
        assert contents(tmp_path) == before
    last.unlink()
    assert_same(fitted("tags", checkpoint_dir=tmp_path), expected)


def test_a_model_is_no_checkpoint_and_a_checkpoint_no_model(tmp_path: Path) -> None:
    fitted("warp", checkpoint_dir=tmp_path)
    with pytest.raises(ValueError, match=r"it is a checkpoint: pass its folder to fit\(checkpoint_dir"):
        CML.load(max(tmp_path.iterdir()))
    other = tmp_path / "other"
    other.mkdir()
    fitted("warp").save(other / "checkpoint-000004-00000000.safetensors")
    with pytest.raises(ValueError, match="is damaged"):
        fitted("warp", checkpoint_dir=other)


def test_a_full_disk_stops_the_training_and_costs_nothing_that_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = fitted("warp")
    written = [0]
    complete = checkpoint.complete

    def fills_up(path: Path) -> None:
        written[0] += 1
        if written[0] > 4:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        complete(path)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "complete", fills_up)
        with pytest.raises(OSError, match=r"could not be written \(No space left.*earlier ones are unchanged"):
            fitted("warp", checkpoint_dir=tmp_path)
    assert len(contents(tmp_path)) == 2
    assert_same(fitted("warp", checkpoint_dir=tmp_path), expected)


def test_files_of_others_stay_and_those_of_a_killed_write_do_not(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "checkpoint-of-something.safetensors").write_text("else")
    (tmp_path / ".cmlfast-checkpoint-0123456789abcdef.part").write_text("half")
    (tmp_path / ".cmlfast-0123456789abcdef.part").write_text("of somebody who writes a model here")
    fitted("warp", checkpoint_dir=tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert len(list(tmp_path.iterdir())) == 5
    assert not (tmp_path / ".cmlfast-checkpoint-0123456789abcdef.part").exists()


def test_no_code_is_in_a_checkpoint(tmp_path: Path) -> None:
    fitted("networks", checkpoint_dir=tmp_path)
    tensors = load_file(max(tmp_path.iterdir()))
    assert {"user", "item_state", "user_optimizer.0.exp_avg", "item_network.weight", "random.cpu"} <= tensors.keys()


@pytest.mark.parametrize(
    ("value", "every"),
    [(1, Every(epochs=1)), (7, Every(epochs=7)), ("10 minutes", Every(seconds=600)), ("1.5min", Every(seconds=90))],
)
def test_how_often(value: int | str, every: Every) -> None:
    assert Every.of(value) == every


@pytest.mark.parametrize("value", [0, -1, 1.5, True, None, "", "ten", "0 min", "5", "5 hours"])
def test_how_often_not(value: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="checkpoint_every is"):
        fitted("warp", checkpoint_dir=tmp_path / "new", checkpoint_every=value)
    assert not (tmp_path / "new").exists()


def test_folders_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError, match="checkpoint_dir is"):
        fitted("warp", checkpoint_dir=tmp_path / "file")
    with pytest.raises(ValueError, match="random_state is None; give an integer"):
        model_of("warp", random_state=None).fit(LIKES, checkpoint_dir=tmp_path / "new")


# --- signals


def at_step(n: int, act: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made = loop.Batches
    left = [n]

    def counted(*given: Any) -> Any:
        left[0] -= 1
        if left[0] == 0:
            act()
        return made(*given)

    monkeypatch.setattr(loop, "Batches", counted)


def test_ctrl_c_leaves_a_model_and_a_checkpoint(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    expected, n_steps = fitted(kind), steps_of(kind, monkeypatch)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    try:
        model = model_of(kind)
        with monkeypatch.context() as patch, caplog.at_level(logging.WARNING, "cmlfast"):
            at_step(n_steps // 2 + 1, lambda: os.kill(os.getpid(), signal.SIGINT), patch)
            with pytest.raises(KeyboardInterrupt):
                model.fit(LIKES, **KINDS[kind][1], checkpoint_dir=tmp_path, checkpoint_every=1000)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert "interrupted in epoch" in caplog.text
    assert 0 < len(model.history_) < len(expected.history_) + 1
    assert len(model.recommend(0, N=5)[0]) == 5
    assert len(list(tmp_path.iterdir())) == 1
    assert_same(fitted(kind, checkpoint_dir=tmp_path, checkpoint_every=1000), expected)


def test_ctrl_c_in_the_first_epoch_leaves_the_old_model(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        model, new = fitted("warp"), model_of("warp")
        old = model.item_embedding_
        at_step(1, lambda: os.kill(os.getpid(), signal.SIGINT), monkeypatch)
        with pytest.raises(KeyboardInterrupt):
            model.fit(LIKES)
        assert model.item_embedding_ is old
        monkeypatch.undo()
        at_step(1, lambda: os.kill(os.getpid(), signal.SIGINT), monkeypatch)
        with pytest.raises(KeyboardInterrupt):
            new.fit(LIKES)
        assert not new.__sklearn_is_fitted__()
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_second_signal_acts_at_once_and_others_handlers_come_back() -> None:
    seen: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: seen.append(number))
    try:
        waiting = interrupts.Interrupts()
        with waiting.deferred():
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.01)
            assert (waiting.arrived, seen) == (signal.SIGTERM, [])
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.01)
            assert seen == [signal.SIGTERM]
        assert seen == [signal.SIGTERM] * 2
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        with interrupts.Interrupts().deferred():
            assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_signal_is_not_lost_where_something_fails_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: seen.append(number))

    def fail() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        raise BrokenOffError

    try:
        at_step(3, fail, monkeypatch)
        with pytest.raises(BrokenOffError):
            fitted("warp")
        assert seen == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)


def test_layers_may_share_weights(tmp_path: Path) -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.first = nn.Linear(5, 6)
            self.second = nn.Linear(5, 6)
            self.second.weight = self.first.weight

        def forward(self, features: torch.Tensor) -> torch.Tensor:
            return self.first(features) + self.second(features)

    def trained(folder: Path | None) -> CML:
        model = CML(6, "warp", n_epochs=4, random_state=0, user_network=Tied())
        return model.fit(LIKES, user_features=PEOPLE, validation=HELD, checkpoint_dir=folder)

    expected = trained(None)
    assert_same(trained(tmp_path), expected)
    max(tmp_path.iterdir()).unlink()
    assert_same(trained(tmp_path), expected)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_process_that_is_ended_is_taken_up_by_another(number: signal.Signals, tmp_path: Path) -> None:
    script = """
import sys
import numpy as np
from scipy import sparse
from cmlfast import CML
likes = sparse.random(120, 200, 0.05, format="csr", rng=np.random.default_rng(0))
model = CML(6, "warp", n_epochs=int(sys.argv[2]), batch_size=100, random_state=3)
model.fit(likes, checkpoint_dir=sys.argv[1], callback=lambda record: print(record["epoch"], flush=True))
np.save(sys.argv[3], model.item_embedding_.numpy())
"""
    command = [sys.executable, "-c", script, str(tmp_path / "kept"), "400", str(tmp_path / "found.npy")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    while int(process.stdout.readline()) < 20:
        pass
    process.send_signal(number)
    process.stdout.close()
    assert process.wait(60) == -number
    assert not (tmp_path / "found.npy").exists()
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=120)
    assert int(done.stdout.split()[0]) > 18
    likes = sparse.random(120, 200, 0.05, format="csr", rng=np.random.default_rng(0))
    expected = CML(6, "warp", n_epochs=400, batch_size=100, random_state=3).fit(likes)
    assert np.array_equal(np.load(tmp_path / "found.npy"), expected.item_embedding_.numpy())


@pytest.mark.slow
def test_the_command_goes_on(tmp_path: Path) -> None:
    pairs = Interactions(LIKES).matrix.tocoo()
    rows = "".join(f"u{user},i{item}\n" for user, item in zip(pairs.row, pairs.col, strict=True))
    (tmp_path / "likes.csv").write_text("user,item\n" + rows)
    command = [
        sys.executable, "-m", "cmlfast", "train", "likes.csv", "--n-components", "6", "--n-epochs", "1000", "--loss",
        "warp", "--batch-size", "100",
    ]  # fmt: skip
    kept = [*command, "--model", "kept.model", "--checkpoint", "kept", "--checkpoint-every", "50"]
    process = subprocess.Popen(kept, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    while not (tmp_path / "kept").is_dir() or not any((tmp_path / "kept").iterdir()):
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    told = process.communicate(timeout=60)[1]
    assert process.returncode == 143
    assert "kept keeps what was learned; the same command goes on from it" in told
    assert not (tmp_path / "kept.model").exists()
    done = subprocess.run(kept, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=True)
    assert "goes on from a checkpoint" in done.stderr
    subprocess.run([*command, "--model", "whole.model"], cwd=tmp_path, check=True, capture_output=True, timeout=120)
    kept_model, whole = (CML.load(tmp_path / f"{name}.model") for name in ("kept", "whole"))
    assert_same(kept_model, whole)


def test_headers_are_plain_json(tmp_path: Path) -> None:
    fitted("networks", checkpoint_dir=tmp_path)
    content = max(tmp_path.iterdir()).read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])["__metadata__"]["cmlfast"]
    found = json.loads(header)["checkpoint"]
    assert found["of"]["n_epochs"] == 10
    assert found["course"]["left"] == 0


def test_each_epoch_has_its_checkpoint_however_slow_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected, seen, complete = fitted("warp"), list[int](), checkpoint.complete

    def slow(path: Path) -> None:
        time.sleep(0.05)
        complete(path)
        seen.append(path.stat().st_ino)

    monkeypatch.setattr(checkpoint, "complete", slow)
    model = fitted("warp", checkpoint_dir=tmp_path)
    assert_same(model, expected)
    assert len(seen) == len(model.history_) > 4
    assert len(set(seen)) == 3  # from then on each is written over the one that was retired
    assert len(list(tmp_path.iterdir())) == 2


def test_what_is_written_over_a_longer_file_is_whole(tmp_path: Path) -> None:
    path, tensors = tmp_path / "a", {"wide": torch.arange(5), "empty": torch.zeros(0, 3), "narrow": torch.ones(3, 1)}
    tensors |= {"b": torch.tensor([True, False, True]), "half": torch.ones(3, dtype=torch.bfloat16)}
    path.write_bytes(b"x" * 10_000)
    for header in ({"course": "long " * 40}, {"course": "short"}):
        checkpoint_file.put(path, tensors, header)
        with pytest.raises(ValueError, match="content has changed"):
            checkpoint_file.checked(path)
        checkpoint_file.complete(path)
        found, told = checkpoint_file.checked(path)
        assert told == header
        assert found.keys() == tensors.keys()
        assert all(torch.equal(found[name], tensors[name]) for name in tensors)
        assert all(found[name].dtype == tensors[name].dtype for name in tensors)
    with pytest.raises(ValueError, match=r"c is of type torch\.complex64"):
        checkpoint_file.put(path, {"c": torch.zeros(1, dtype=torch.complex64)}, {})


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_device_that_is_full(tmp_path: Path) -> None:
    (tmp_path / "part").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        checkpoint_file.put(tmp_path / "part", {"a": torch.ones(9)}, {})
    assert not (tmp_path / "part").exists()


@pytest.fixture
def written_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the thread be ready when a callback looks into the folder."""
    save = checkpoint.Checkpoints.save

    def save_and_wait(self: checkpoint.Checkpoints, *given: Any) -> None:
        save(self, *given)
        self.finish()

    monkeypatch.setattr(checkpoint.Checkpoints, "save", save_and_wait)


@pytest.mark.usefixtures("written_at_once")
def test_what_somebody_kept_is_not_written_over(tmp_path: Path) -> None:
    """A copy by hard links, as ``cp -l`` makes, and a checkpoint that now lies elsewhere, in whose place a link is."""
    kept, folder = tmp_path / "kept", tmp_path / "checkpoints"
    kept.mkdir()

    def keep(record: dict[str, Any]) -> None:
        if record["epoch"] == 4:
            first, second = sorted(folder.iterdir())[-2:]
            os.link(first, kept / first.name)
            os.replace(second, kept / second.name)
            second.symlink_to(kept / second.name)
            before.update(contents(kept))

    before = dict[str, bytes]()
    assert_same(fitted("warp", checkpoint_dir=folder, callback=keep), fitted("warp"))
    assert len(before) == 2
    assert contents(kept) == before
    assert len(list(folder.iterdir())) == 2
    assert not any(path.is_symlink() for path in folder.iterdir())


@pytest.mark.usefixtures("written_at_once")
def test_a_retired_file_that_may_not_be_written_to_stays_out_of_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = list[Path]()

    def as_others_may(path: Path, mode: str, **how: Any) -> Any:  # root may write to anything
        if "+" in mode and not path.stat().st_mode & stat.S_IWUSR:
            refused.append(path)
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return open(path, mode, **how)

    monkeypatch.setattr(checkpoint_file, "open", as_others_may, raising=False)

    def protect(record: dict[str, Any]) -> None:
        if record["epoch"] == 4:
            min(path for path in tmp_path.iterdir() if checkpoint.NAME.fullmatch(path.name)).chmod(0o444)

    assert_same(fitted("warp", checkpoint_dir=tmp_path, callback=protect), fitted("warp"))
    assert len(refused) == 1
    assert len(list(tmp_path.iterdir())) == 2


def test_a_checkpoint_of_the_earlier_layout_is_not_called_damaged(tmp_path: Path) -> None:
    fitted("warp", checkpoint_dir=tmp_path)
    for path in tmp_path.iterdir():
        tensors, header = checkpoint_file.checked(path)
        write(path, tensors, {"checkpoint": header, "sha256": "0" * 64})
    before = contents(tmp_path)
    with pytest.raises(
        ValueError, match=r"was written by an earlier cmlfast; finish it with that.*or begin anew"
    ) as told:
        fitted("warp", checkpoint_dir=tmp_path)
    assert max(tmp_path.iterdir()).name in str(told.value)
    assert "damaged" not in str(told.value)
    assert "remove" not in str(told.value)
    assert contents(tmp_path) == before


def test_a_full_disk_hides_nothing_that_was_raised_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A training that diverged keeps its report, although its last checkpoint could not be written."""

    def diverges(record: Any, *_: Any) -> None:
        if record.get("epoch") == 3:
            raise loop.DivergedError("not finite")

    def full(path: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(loop, "check_finite", diverges)
    calls = iter([checkpoint.complete, full])
    monkeypatch.setattr(checkpoint, "complete", lambda path: next(calls)(path))
    with caplog.at_level(logging.WARNING, "cmlfast"), pytest.raises(loop.DivergedError, match="not finite") as told:
        model_of("warp").fit(LIKES, checkpoint_dir=tmp_path)
    assert len(told.value.history) == 2
    assert "could not be written (No space left" in caplog.text
    assert "make room" in caplog.text
    assert len(contents(tmp_path)) == 1


@pytest.mark.usefixtures("written_at_once")
@pytest.mark.parametrize(("call", "failed"), [("replace", "could not be written"), ("rename", "could not be removed")])
def test_names_that_cannot_be_changed_come_with_a_remedy(
    call: str, failed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = fitted("warp")

    def refuses(*_: Any) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    def protect(record: dict[str, Any]) -> None:
        if record["epoch"] == 4:
            monkeypatch.setattr(*((os, call) if call == "replace" else (Path, call)), refuses)

    with pytest.raises(OSError, match=rf"{failed} \(Operation not.*earlier ones.*mend that, and call the same") as told:
        fitted("warp", checkpoint_dir=tmp_path, callback=protect)
    assert told.value.errno == errno.EPERM
    assert checkpoint.NAME.fullmatch(Path(told.value.filename).name)
    monkeypatch.undo()
    assert_same(fitted("warp", checkpoint_dir=tmp_path), expected)
