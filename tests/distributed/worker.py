"""What a process of a distributed training does in the tests: cases, one after the other, whose models it keeps."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from scipy import sparse

from cmlfast import CML
from cmlfast.distributed.ranks import LostRankError, Ranks
from cmlfast.evaluation import evaluate

N_USERS, N_ITEMS = 130, 90
PLAIN: dict[str, Any] = {"n_components": 12, "n_epochs": 4, "batch_size": 300, "random_state": 7}
CASES: dict[str, dict[str, Any]] = {
    "warp": {"loss": "warp"},
    "warp, every pair once": {"loss": "warp", "balance": None, "n_negatives": 3},
    "warp, no rank weight, small batches": {"loss": "warp", "rank_weight": False, "batch_size": 17, "n_epochs": 2},
    "warp by the reference": {"loss": "warp", "backend": "reference", "n_epochs": 2},
    "warp, stopped early": {"loss": "warp", "n_epochs": 60, "patience": 1, "learning_rate": 0.5},
    "warp, row-wise": {"loss": "warp", "rowwise_adagrad": True, "n_epochs": 2},
    "warp in bfloat16": {"loss": "warp", "dtype": "bfloat16"},
    "softmax": {"loss": "softmax"},
    "softmax, few negatives": {"loss": "softmax", "n_negatives": 16, "balance": 5.0},
    "softmax, stopped early": {"loss": "softmax", "n_epochs": 40, "patience": 1, "learning_rate": 1.0},
}
BROKEN_OFF = {"loss": "warp", "n_epochs": 6}


def likes() -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
    """Draw what users like, some much more than others: one everything, some nothing; and what is held out."""
    rng = np.random.default_rng(1)
    chance = np.clip(rng.pareto(1.5, N_USERS) / 20, 0.01, 0.5)
    drawn = rng.random((N_USERS, N_ITEMS)) < chance[:, None]
    held = drawn & (rng.random(drawn.shape) < 0.2)
    drawn[3], held[3] = True, False
    drawn[50:53], held[50:53] = False, False
    return sparse.csr_matrix((drawn & ~held).astype(np.float32)), sparse.csr_matrix(held.astype(np.float32))


def fit(case: dict[str, Any], **how: Any) -> CML:
    """Train a case; with validation where it may stop early."""
    train, held = likes()
    return CML(**{**PLAIN, **case}).fit(train, validation=held if "patience" in case else None, **how)


def all_cases(folder: Path, size: int) -> None:
    """Train every case, items with everybody and shared out; keep the first rank's models, and of one case all."""
    for shard in (False, True):
        for name, case in CASES.items():
            model = fit(case, process_group=dist.group.WORLD, shard_items=shard)
            if dist.get_rank() == 0 or (name, shard) == ("warp", False):
                save(model, folder / f"{name}-{shard}-{dist.get_rank()}-of-{size}")
    evaluate.LOOKED_AT = 20  # users, whom the seed chooses
    unseeded = fit({"random_state": None, "loss": "warp", "patience": 9}, process_group=dist.group.WORLD)
    save(unseeded, folder / f"unseeded-{dist.get_rank()}")


def save(model: CML, path: Path) -> None:
    """Write what is compared."""
    record = [{name: value for name, value in one.items() if name != "seconds"} for one in model.history_]
    torch.save((model.user_embedding_, model.item_embedding_, record, model.skipped_), path)


def broken_off(folder: Path, size: int, how: str) -> None:
    """Begin a training with checkpoints; in its third epoch the last rank ends, or all are told to."""

    def callback(record: dict[str, float]) -> bool:
        if record["epoch"] == 3 and dist.get_rank() == size - 1:
            if how == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            os.kill(os.getpid(), signal.SIGINT)
        return False

    said = "went to its end"
    try:
        fit(BROKEN_OFF, process_group=dist.group.WORLD, callback=callback, checkpoint_dir=folder / "checkpoints")
    except (LostRankError, KeyboardInterrupt) as error:
        said = f"{type(error).__name__}: {error}"
    (folder / f"said-{dist.get_rank()}").write_text(said)


def go_on(folder: Path, size: int, shard: bool) -> None:
    """Go on with that training."""
    model = fit(
        BROKEN_OFF, process_group=dist.group.WORLD, checkpoint_dir=folder / "checkpoints", shard_items=shard
    )  # fmt: skip
    if dist.get_rank() == 0:
        save(model, folder / f"went-on-{size}")


def refused(folder: Path, size: int) -> None:
    """Call what must be refused, of which every rank learns."""
    group, train = dist.group.WORLD, likes()[0]
    first = dist.get_rank() == 0
    if first:
        part = folder / "of-0" / "part-0-of-1"
        part.mkdir(parents=True)
        (part / "checkpoint-000001-00000000.safetensors").touch()
    said = []
    for call in (
        lambda: CML(**PLAIN, n_negatives=5 if first else 6).fit(train, process_group=group),
        lambda: CML(**PLAIN).fit(train if first else train[:, ::-1], process_group=group),
        lambda: CML(**PLAIN).fit(train, item_features=np.eye(N_ITEMS), process_group=group),
        lambda: CML(**PLAIN, covariance_weight=1.0).fit(train, process_group=group),
        lambda: CML(**PLAIN).fit(train[:1], process_group=group),
        lambda: CML(**PLAIN, loss="warp" if first else "softmax").fit(train, process_group=group),
        lambda: CML(**PLAIN).fit(train, process_group=group, shard_items=first),
        lambda: CML(**PLAIN).fit(train, process_group=group, checkpoint_dir=folder / "kept" if first else None),
        lambda: CML(**PLAIN).fit(train, process_group=group, checkpoint_dir=folder / f"of-{dist.get_rank()}"),
        lambda: CML(**PLAIN).fit(train, process_group=dist.new_group([0])),
    ):
        try:
            call()
            said.append("went to its end")
        except ValueError as error:
            said.append(str(error))
    torch.save(said, folder / f"refused-{dist.get_rank()}")


def run(size: int, folder: Path, work: Callable[..., None], *more: Any, lose: int = 0) -> None:
    """Have ``size`` processes do the same work; raise if one fails, of which ``lose`` may be killed."""
    context = mp.get_context("spawn")
    store = folder / f"store-{work.__name__}-{size}"
    processes = [
        context.Process(target=_join, args=(rank, size, str(store), folder, work, more)) for rank in range(size)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(300)
    codes = sorted(process.exitcode or 0 for process in processes)
    assert codes == [-signal.SIGKILL] * lose + [0] * (size - lose), codes


def _join(rank: int, size: int, store: str, folder: Path, work: Callable[..., None], more: tuple[Any, ...]) -> None:
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's job in the background may ignore
    gc.disable()
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=size)
    work(folder, size, *more)
    dist.destroy_process_group()
    # One that is held in a cycle holds the group, whose threads then meet the end of Python, and abort.
    assert not [each for each in gc.get_objects() if type(each) is Ranks]
