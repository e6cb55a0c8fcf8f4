"""What a checkpoint holds of a training, as tensors: taken, and put back into one that begins and is like it.

Nothing is put back that is not of the type and shape of what is there: a file may have a right checksum, and say
anything.
"""

from __future__ import annotations

import torch
from torch import Tensor

from cmlfast.data.tensor_file import require, under
from cmlfast.training.side_information import JointTables
from cmlfast.training.tables import TABLES


def state_of(tables: JointTables, with_optimizer: bool = True) -> dict[str, Tensor]:
    """Return all tensors that training changes, by name."""
    found = dict(zip(TABLES, tables.all(), strict=True))
    for kind, side in zip(("user", "item"), tables.sides(), strict=True):
        if side is not None:
            found |= {f"{kind}_network.{name}": one for name, one in side.encoder.network.state_dict().items()}
            if with_optimizer:
                found |= {f"{kind}_optimizer.{name}": one for name, one in side.encoder.optimizer_state().items()}
    return found


def restore_state(tables: JointTables, tensors: dict[str, Tensor], with_optimizer: bool = True) -> None:
    """Undo :func:`state_of`, in place; raise ``ValueError`` where a tensor is missing, or another than is there."""
    for name, own in state_of(tables, with_optimizer=False).items():
        check_like(name, tensors, own)
    for name, table in zip(TABLES, tables.all(), strict=True):
        table.copy_(tensors[name])
    for kind, side in zip(("user", "item"), tables.sides(), strict=True):
        if side is not None:
            side.encoder.network.load_state_dict(under(f"{kind}_network.", tensors))
            if with_optimizer:
                side.encoder.restore_optimizer(under(f"{kind}_optimizer.", tensors))


def check_like(name: str, tensors: dict[str, Tensor], own: Tensor) -> None:
    """Raise ``ValueError`` unless there is a tensor of a name, of the type and shape of one's own."""
    require(name in tensors, f"it lacks the tensor {name}")
    found = tensors[name]
    require(
        found.dtype == own.dtype and found.shape == own.shape,
        f"tensor {name} is {found.dtype} {list(found.shape)}; it must be {own.dtype} {list(own.shape)}",
    )


def random_states(device: torch.device) -> dict[str, Tensor]:
    """Return what networks that draw, as dropout does, draw next from."""
    found = {"random.cpu": torch.get_rng_state()}
    if device.type == "cuda":
        found["random.cuda"] = torch.cuda.get_rng_state(device)
    return found


def restore_random_states(tensors: dict[str, Tensor], device: torch.device) -> None:
    """Undo :func:`random_states`; raise ``ValueError`` or ``RuntimeError`` for what is no generator's state."""
    check_like("random.cpu", tensors, torch.get_rng_state())
    torch.set_rng_state(tensors["random.cpu"])
    if device.type == "cuda" and "random.cuda" in tensors:
        check_like("random.cuda", tensors, torch.cuda.get_rng_state(device))
        torch.cuda.set_rng_state(tensors["random.cuda"], device)
