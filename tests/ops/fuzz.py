"""Operators with random arguments, compared with the reference: ``python -m ops.fuzz --minutes 10`` in ``tests``.

A case is made of a seed alone: sizes, storage and id types, layouts (gaps, offsets, transposed, one row for all, pages
that cannot be written to), in-place arguments beside or over others, ids at and over the edges, values that are NaN,
infinite, denormal, huge or tied. Both must return the same bits, or refuse with an error of one kind (of several faults
either may name another) and leave every tensor as it was. `test_ops_fuzz.py` runs some.
"""

from __future__ import annotations

import mmap
import sys
import tempfile
import warnings
from collections.abc import Callable
from typing import Any

import torch
from fuzzing import command, in_turns
from torch import Tensor

from cmlfast import ops, reference

SPECIAL = (float("nan"), float("inf"), float("-inf"), 1e-40, -1e-42, 1e30, -1e38, 0.0, -0.0, 3e-39)
SIZES = (0, 1, 2, 3, 7, 9, 31, 33, 64, 65, 200)
DIMENSIONS = (1, 2, 3, 8, 31, 32, 33, 47, 64, 100, 129)
NARROW = (torch.bfloat16, torch.float16)


class Draw:
    """Random choices, all of one seed."""

    def __init__(self, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)

    def below(self, n: int) -> int:
        return int(torch.randint(n, (1,), generator=self.generator))

    def of(self, choices: Any) -> Any:
        return choices[self.below(len(choices))]

    def chance(self, of: int) -> bool:
        return self.below(of) == 0

    def floats(self, *shape: int, dtype: torch.dtype = torch.float32, changes: bool = False) -> Tensor:
        """Return normal numbers, or few different ones, and sometimes a few of those that break things.

        What changes in place may be written to.
        """
        values = torch.randn(shape, generator=self.generator)
        if self.chance(4):
            values = values.round()
        if self.chance(5):
            values = values * 10.0 ** (self.below(75) - 45)
        if values.numel() and self.chance(4):
            for _ in range(1 + self.below(3)):
                values.view(-1)[self.below(values.numel())] = self.of(SPECIAL)
        return self.laid_out(self.repeated(values.to(dtype)), changes)

    def ids(self, *shape: int, low: int, high: int, dtype: torch.dtype) -> Tensor:
        """Return ids of [low, high), and now and then one that lies outside."""
        made = torch.randint(low, max(high, low + 1), shape, generator=self.generator)
        if made.numel() and self.chance(12):
            made.view(-1)[self.below(made.numel())] = self.of((low - 1, high, high + 1, -(2**31), 2**31 - 1))
        return self.laid_out(self.repeated(made.to(dtype)))

    def repeated(self, tensor: Tensor) -> Tensor:
        """Return a tensor, or now and then one whose rows are all its first, one place in memory for all."""
        return tensor[:1].expand_as(tensor) if len(tensor) and self.chance(10) else tensor

    def laid_out(self, tensor: Tensor, changes: bool = False) -> Tensor:
        """Return the same values otherwise in memory."""
        how = self.below(7)
        if 0 in tensor.stride() and tensor.numel():
            return tensor
        if how == 0:  # gaps between elements
            wide = tensor.new_zeros((*tensor.shape[:-1], 2 * tensor.shape[-1]))
            wide[..., ::2] = tensor
            return wide[..., ::2]
        if how == 1:  # not at the start of its storage, and not aligned
            flat = tensor.new_zeros(tensor.numel() + 3)
            flat[3:] = tensor.reshape(-1)
            return flat[3:].view(tensor.shape)
        if how == 2 and tensor.dim() == 2:  # columns side by side
            return tensor.t().contiguous().t()
        if how == 3 and not changes and tensor.numel():
            return read_only(tensor)
        return tensor

    def csr(self, n_rows: int, n_columns: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Return ascending columns for each row, sometimes all; now and then offsets that lie."""
        rows = []
        for _ in range(n_rows):
            n = n_columns if self.chance(9) else self.below(min(n_columns, 12) + 1)
            rows.append(torch.randperm(n_columns, generator=self.generator)[:n].sort().values)
        ends = torch.tensor([0, *(len(row) for row in rows)]).cumsum(0)
        indices = torch.cat([*rows, torch.zeros(0, dtype=torch.int64)])
        if self.chance(15):
            ends[self.below(len(ends))] = self.of((-1, 10**6, 2**31 - 1))
        return self.laid_out(ends.to(dtype)), self.laid_out(indices.to(dtype))


def read_only(tensor: Tensor) -> Tensor:
    """Return a copy in pages that end the process when they are written to."""
    content = tensor.contiguous()
    with tempfile.TemporaryFile() as file:
        file.write(content.reshape(-1).view(torch.uint8).numpy().data)
        file.flush()
        pages = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of writing
        return torch.frombuffer(pages, dtype=tensor.dtype).view(tensor.shape)


def over_another(draw: Draw, arguments: dict[str, Any], changed: tuple[str, ...]) -> None:
    """Put an argument that changes in place and another of its columns and type into one tensor, apart or not."""
    one = draw.of(changed)
    others = [
        name for name, value in arguments.items()
        if name != one and isinstance(value, Tensor) and value.shape[1:] == arguments[one].shape[1:]
        and value.dtype == arguments[one].dtype
    ]  # fmt: skip
    if not others:
        return
    other = draw.of(others)
    first, second = arguments[one].clone(), arguments[other].clone()
    if draw.chance(2):  # one below the other
        begin = max(0, len(first) - draw.below(2))
        both = first.new_zeros(begin + max(len(first) - begin, len(second)), *first.shape[1:])
        arguments[one], arguments[other] = both[: len(first)], both[begin : begin + len(second)]
    else:  # beside it
        begin = max(0, first.shape[1] - draw.below(2))
        both = first.new_zeros(max(len(first), len(second)), begin + second.shape[1])
        arguments[one], arguments[other] = both[: len(first), : first.shape[1]], both[: len(second), begin:]
    arguments[one].copy_(first)
    arguments[other].copy_(second)


def tables(draw: Draw, narrow: bool = True) -> tuple[int, int, int, torch.dtype]:
    """Return numbers of users, items and columns, and how tables are stored."""
    stored = draw.of((torch.float32, torch.float32, *NARROW)) if narrow else torch.float32
    return max(1, draw.of(SIZES)), max(1, draw.of(SIZES)), draw.of(DIMENSIONS), stored


CHANGED = {
    "adagrad_clip_": ("weight", "state"),
    "cml_step_": ("user_w", "item_w", "user_state", "item_state"),
    "cml_steps_": ("user_w", "item_w", "user_state", "item_state"),
    "softmax_weights_": ("products",),
}


def case(operator: str, seed: int) -> dict[str, Any]:
    """Return an operator's arguments: every call makes new tensors, of the same bits and layouts."""
    draw = Draw(seed)
    arguments = separate(operator, draw)
    if operator in CHANGED and draw.chance(6):
        over_another(draw, arguments, CHANGED[operator])
    return arguments


def separate(operator: str, draw: Draw) -> dict[str, Any]:
    """Return an operator's arguments, each in memory of its own."""
    ids = draw.of((torch.int64, torch.int32))
    users, items, r, stored = tables(draw)
    n = draw.of(SIZES)

    def pairs(n_rows: int = users) -> dict[str, Tensor]:
        return {
            "users": draw.ids(n, low=0, high=n_rows, dtype=ids),
            "positives": draw.ids(n, low=0, high=items, dtype=ids),
        }

    def vectors(names: tuple[str, str]) -> dict[str, Tensor]:
        changes = operator in CHANGED
        return {
            name: draw.floats(rows, r, dtype=stored, changes=changes)
            for name, rows in zip(names, (users, items), strict=True)
        }

    def sampling() -> dict[str, Any]:
        indptr, indices = draw.csr(users, items, ids)
        return {"indptr": indptr, "indices": indices, **pairs()}

    negatives = 1 + draw.below(9)
    drawn = {"n_negatives": negatives, "seed": draw.below(2**31), "offset": draw.below(2**31)}
    metric = {"metric": draw.of(("sqeuclidean", "dot"))}
    hinge = {"margin": draw.of((0.5, 2.0, 0.0)), "rank_weight": draw.chance(2)}
    optimizer = {"lr": draw.of((0.1, 0.0, 1e3)), "eps": draw.of((1e-10, 1.0)), "max_norm": draw.of((1.0, 1e30))}
    rounding = {"stochastic_rounding": draw.chance(2), "seed": draw.below(99), "offset": draw.below(99)}

    def states(names: tuple[str, str]) -> dict[str, Tensor]:
        return {name: state(rows) for name, rows in zip(names, (users, items), strict=True)}

    def state(rows: int) -> Tensor:
        return draw.floats(rows, 1 if draw.chance(3) else r).square()  # which lays it out anew

    if operator == "sample_negatives":
        return {**sampling(), "n_items": items, **drawn, "first_user": draw.of((0, 5, 2**31, 2**32 - 3, 2**40 + 1))}
    if operator == "warp_hinge":
        given = draw.ids(n, negatives, low=0, high=items, dtype=ids)
        return {**vectors(("user_vectors", "item_vectors")), **pairs(), "negatives": given, **hinge,
                "n_items": max(items, draw.below(500)), **metric}  # fmt: skip
    if operator == "warp_hinge_sampled":
        return {**vectors(("user_vectors", "item_vectors")), **sampling(), **drawn, **hinge, **metric}
    if operator == "adagrad_clip_":
        rows = draw.ids(n, low=0, high=users, dtype=ids)
        table = {"weight": draw.floats(users, r, dtype=stored, changes=True), "state": state(users)}
        given = {**table, "rows": rows, "grads": draw.floats(n, r), **optimizer, **rounding}
        for name in ("lr", "offset"):
            if draw.chance(4):
                given[name] = torch.tensor(given[name])
        return given
    if operator == "cml_step_":
        numbers = {**drawn, **hinge, **optimizer, "stochastic_rounding": draw.chance(2)}
        return {**vectors(("user_w", "item_w")), **states(("user_state", "item_state")), **sampling(), **numbers}
    if operator == "cml_steps_":
        steps = 1 + draw.below(5)
        rates = torch.tensor([draw.of((0.1, 0.0, 1e3)) for _ in range(steps)])
        if draw.chance(30):
            rates[draw.below(steps)] = draw.of((-1.0, float("nan"), float("inf")))
        numbers = {
            "n_negatives": negatives,
            "margins": draw.laid_out(torch.tensor([draw.of((0.5, 2.0, 0.0)) for _ in range(steps)])),
            "lrs": draw.laid_out(rates),
            "eps": optimizer["eps"],
            "max_norm": optimizer["max_norm"],
            "rank_weight": hinge["rank_weight"],
            "seed": drawn["seed"],
            "offsets": draw.laid_out(torch.tensor([draw.below(2**31) for _ in range(steps)])),
            "stochastic_rounding": draw.chance(2),
        }
        return {**vectors(("user_w", "item_w")), **states(("user_state", "item_state")), **sampling(), **numbers}
    if operator in ("topk", "topk_among"):
        indptr, indices = draw.csr(users, items, ids) if draw.chance(2) else (None, None)
        among = {}
        if operator == "topk_among":
            among = {"candidates": draw.ids(users, draw.below(40), low=-1, high=items, dtype=ids)}
        return {**vectors(("queries", "items")), "k": 1 + draw.below(2 * items), **among, "seen_indptr": indptr,
                "seen_indices": indices, **metric}  # fmt: skip
    if operator == "softmax_weights_":
        s = max(1, draw.of(SIZES))
        return {"products": draw.floats(n, s, changes=True), "offsets": draw.floats(s),
                "negatives": draw.ids(s, low=0, high=items, dtype=ids),
                "positives": draw.ids(n, low=0, high=items, dtype=ids), "positive_logits": draw.floats(n),
                "weights": draw.floats(n), "scale": draw.of((1.5, -2.0, 0.0)), "decoupled": draw.chance(2)}  # fmt: skip
    raise KeyError(operator)


OPERATORS = (
    "sample_negatives", "warp_hinge", "warp_hinge_sampled", "adagrad_clip_", "cml_step_", "cml_steps_", "topk",
    "topk_among", "softmax_weights_",
)  # fmt: skip


def outcome(kernels: Any, operator: str, seed: int) -> tuple[str, list[Tensor]]:
    """Return the message of an error, "" without, and what was returned and is in the arguments then."""
    arguments = case(operator, seed)
    try:
        found = getattr(kernels, operator)(**arguments)
    except (ValueError, IndexError) as error:
        return f"{type(error).__name__}: {str(error).splitlines()[0]}", [*_tensors(arguments.values())]
    returned = found if isinstance(found, tuple) else () if found is None else (found,)
    return "", [*returned, *_tensors(arguments.values())]


def _tensors(values: Any) -> list[Tensor]:
    return [value for value in values if isinstance(value, Tensor)]


def difference(operator: str, seed: int, kernels: Any = ops) -> str:
    """Say in what an operator and its reference differ, "" if in nothing."""
    (mine, tensors), (theirs, expected) = (outcome(each, operator, seed) for each in (kernels, reference))
    if mine.partition(":")[0] != theirs.partition(":")[0]:
        return f"{operator}, seed {seed}: {mine or 'no error'}; the reference: {theirs or 'no error'}"
    if mine:  # nothing has changed
        expected = _tensors(case(operator, seed).values())
    for at, (one, other) in enumerate(zip(tensors, expected, strict=True)):
        if one.shape != other.shape or one.dtype != other.dtype or not same_bits(one, other):
            return f"{operator}, seed {seed}: tensor {at} differs"
    return ""


def same_bits(one: Tensor, other: Tensor) -> bool:
    """Compare bits, but any NaN is equal to any other."""

    def bits(tensor: Tensor) -> Tensor:
        packed = torch.empty(tensor.numel(), dtype=tensor.dtype).copy_(tensor.reshape(-1))
        return packed.view(torch.uint8).view(len(packed), tensor.element_size())

    equal = (bits(one) == bits(other)).all(1)
    if one.is_floating_point():
        equal |= one.isnan().reshape(-1) & other.isnan().reshape(-1)
    return bool(equal.all())


def search(minutes: float, first: int, tell: Callable[[str], None]) -> list[str]:
    """Try cases of all operators, for equal times, until the time is up; return what differs."""
    return in_turns(OPERATORS, minutes, first, difference, tell, "cases", "{kinds} operators, {findings} of them wrong")


if __name__ == "__main__":
    sys.exit(command("ops.fuzz", __doc__, search))
