"""Checkpoints with a right checksum that hold something else: each is refused by what is wrong, the older one stays."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from training import test_checkpoint as whole

from cmlfast.training import checkpoint_file

Change = Callable[[dict[str, Tensor], dict[str, Any]], object]


@pytest.fixture(scope="module")
def broken_off(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Two checkpoints of a training that was broken off within an epoch, when it had networks and best tables."""
    folder, patch = tmp_path_factory.mktemp("kept"), pytest.MonkeyPatch()
    whole.break_off_after(40, patch)
    try:
        with pytest.raises(whole.BrokenOffError):
            trained(folder)
    finally:
        patch.undo()
    _, header = checkpoint_file.checked(max(folder.iterdir()))
    assert header["course"]["best_score"] > 0
    assert header["course"]["n_batches"] > 0
    return whole.contents(folder)


def trained(folder: Path) -> Any:
    return whole.fitted("networks", checkpoint_dir=folder, checkpoint_every="0.00001 minutes")


def course(**values: Any) -> Change:
    return lambda _, header: header["course"].update(values)


def of(**values: Any) -> Change:
    return lambda _, header: header["of"].update(values)


def tensor(name: str, made: Callable[[Tensor], Tensor]) -> Change:
    return lambda tensors, _: tensors.update({name: made(tensors[name])})


def without(*names: str) -> Change:
    return lambda tensors, _: [tensors.pop(one) for one in list(tensors) if one.startswith(names)]


HUGE = 10**30
COUNT = "user_network.layers.1.num_batches_tracked"  # of batches, by its batch norm
CASES: dict[str, tuple[Change, str]] = {
    "one row for all": (tensor("user", lambda one: one[:1]), r"tensor user is torch.float32 \[1, 6\]; it must be"),
    "other columns": (tensor("item_state", lambda one: one[:, :3]), r"tensor item_state is torch.float32 \[\d+, 3\]"),
    "another type": (tensor("item", lambda one: one.double()), "tensor item is torch.float64"),
    "no table": (without("user_state"), "it lacks the tensor user_state"),
    "no network": (without("item_network."), "it lacks the tensor item_network.weight"),
    "another network": (tensor("item_network.bias", lambda one: one[:3]), r"item_network.bias is torch.float32 \[3\]"),
    "a count that is none": (tensor(COUNT, lambda one: one[None].half()), "float16"),
    "no optimizer": (without("item_optimizer."), "the optimizer's state is of other parameters"),
    "half an optimizer": (without("item_optimizer.0.exp_avg_sq"), "network's parameter 0 does not fit it"),
    "another optimizer": (tensor("item_optimizer.1.exp_avg", lambda one: one[:1]), "parameter 1 does not fit it"),
    "more of an optimizer": (
        lambda tensors, _: tensors.update({"item_optimizer.99.step": torch.ones(())}), "state is of other parameters",
    ),
    "a name that is none": (
        lambda tensors, _: tensors.update({"item_optimizer.x": torch.ones(())}), "state is of other parameters",
    ),
    "no random numbers": (without("random."), "it lacks the tensor random.cpu"),
    "few random numbers": (tensor("random.cpu", lambda one: one[:99]), r"tensor random.cpu is torch.uint8 \[99\]"),
    "no generator": (tensor("random.cpu", lambda one: one.fill_(255)), "mt19937"),
    "best of another size": (tensor("best.item", lambda one: one[1:]), "tensor item is"),
    "no best": (without("best."), "best tables and score do not go together"),
    "some best": (without("best.user"), "it lacks the tensor user"),
    "best without a score": (course(best_score=None), "best tables and score do not go together"),
    "no course": (lambda _, header: header.pop("course"), "its course is not one of"),
    "a list as course": (lambda _, header: header.update(course=[]), "its course is not one of"),
    "less of a course": (lambda _, header: header["course"].pop("waited"), "its course is not one of"),
    "more of a course": (course(run="x"), "its course is not one of"),
    "epochs without end": (course(left=10**9), "it tells of more than 10 epochs"),
    "huge": (course(left=HUGE), "it tells of more than 10 epochs"),
    "negative": (course(left=-1), "its left is no number of times"),
    "true": (course(waited=True), "its waited is no number of times"),
    "a fraction": (course(n_batches=0.5), "its n_batches is no number of times"),
    "batches without end": (course(n_batches=10**4, totals=[[0.0]] * 10**4), "batches of an epoch"),
    "a rate beyond": (course(done=1e9), "its progress goes beyond the end"),
    "no number": (course(stride=float("nan")), "its stride is not finite and positive"),
    "infinite": (course(seconds=float("inf")), "its seconds is not finite"),
    "a word": (course(done="x"), "its done is not finite"),
    "a score": (course(best_score=[1]), "its best_score is no number"),
    "history": (course(history={}), "its history is none"),
    "an epoch": (course(history=[[]]), "its history is none"),
    "words in it": (course(history=[{"loss": "x", "seconds": 1}]), "its history holds something else than numbers"),
    "nothing in it": (course(history=[{}]), "its history lacks loss or seconds"),
    "no totals": (course(totals=[]), "its totals are others"),
    "totals of words": (course(n_batches=1, totals=[["x"]]), "its totals are no numbers"),
    "totals unlike": (course(n_batches=2, totals=[[1.0], [1.0, 2.0]]), "its totals are no numbers, as many"),
    "of nothing": (lambda _, header: header.pop("of"), "does not say what it is of"),
    "of a list": (lambda _, header: header.update(of=[]), "does not say what it is of"),
    "of another rate": (of(learning_rate=float("nan")), "another training: learning_rate was nan and is 0.3"),
    "of too much": (of(seed="x" * 10**6), r"another training: seed was 'x+\.\.\. and is 3"),
    "of a strange name": (of(**{"\x1b[2J" * 99: 1}), r"another training: '(\\x1b\[2J)+\S*\.\.\. was 1"),
    "of less": (lambda _, header: header["of"].pop("loss"), "another training: loss was None and is 'softmax'"),
    "of fewer users": (of(**{"users and items": [1, HUGE]}), "another training: users and items was"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "told"), CASES.values(), ids=CASES.keys())
def test_what_has_a_right_checksum_is_not_believed(
    change: Change, told: str, broken_off: dict[str, bytes], tmp_path: Path
) -> None:
    older, last = written(broken_off, tmp_path)
    tensors, header = checkpoint_file.checked(last)
    change(tensors, header)
    last.unlink()
    checkpoint_file.put(last, tensors, header)
    checkpoint_file.complete(last)
    before = whole.contents(tmp_path)
    with pytest.raises(ValueError, match=told) as refused:
        trained(tmp_path)
    if "another training" not in told:
        assert f"remove it to go on from {older.name}" in str(refused.value)
        assert last.name in str(refused.value)
    assert len(str(refused.value)) < 1500
    assert whole.contents(tmp_path) == before


def written(files: dict[str, bytes], folder: Path) -> list[Path]:
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return sorted(folder.iterdir())


def test_the_older_one_goes_on_to_the_same_bits(broken_off: dict[str, bytes], tmp_path: Path) -> None:
    older, last = written(broken_off, tmp_path)
    expected = trained(tmp_path)
    for path in tmp_path.iterdir():
        path.unlink()
    older.write_bytes(broken_off[older.name])
    whole.assert_same(trained(tmp_path), expected)
    assert not last.exists()


@pytest.mark.parametrize("text", ["[" * 100_000, "9" * 10_000, "{", "null", "[]", '{"format": []}', '{"format": 4}'])
def test_metadata_that_is_no_json_of_ours(text: str, broken_off: dict[str, bytes], tmp_path: Path) -> None:
    _, last = written(broken_off, tmp_path)
    tensors, _ = checkpoint_file.checked(last)
    last.unlink()
    save_file(tensors, last, metadata={"crc32": "0" * 8, "cmlfast": text})
    with pytest.raises(ValueError, match=rf"{last.name}.* is damaged .*remove it to go on from"):
        trained(tmp_path)
