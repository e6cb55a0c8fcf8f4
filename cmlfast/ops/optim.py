"""Collaborative Metric Learning's optimizer for your own modules: AdaGrad on the rows with a gradient, then a clip."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.optimizer import ParamsT

from cmlfast.ops import checks
from cmlfast.ops.backend import choose

__all__ = ["ClippedAdagrad"]


class ClippedAdagrad(Optimizer):
    """AdaGrad on the rows of embedding tables that have a gradient, each clipped into the ball afterwards.

    A row's occurrences in the gradient are summed to g, then ``G += g g``, ``y -= lr g / (sqrt(G) + eps)`` and
    ``y *= min(1, max_norm / |y|)`` (:func:`cmlfast.ops.adagrad_clip_`). All other rows stay as they are, also those
    outside the ball.

    Parameters
    ----------
    params : iterable
        Tables, as in ``torch.nn.Embedding.weight``, or dicts of parameter groups: of two dimensions, float32, bfloat16
        or float16. Other parameters of the module need an optimizer of their own beside this one.
    lr : float
        Learning rate.
    eps : float
        Keeps the division finite.
    max_norm : float
        Radius of the ball; ``math.inf`` clips nothing.
    initial_accumulator_value : float
        Where G starts.
    rowwise : bool
        Keep one G for each row, which grows by the mean of g g: state of a number for a row.
    seed : int
        From 0 to 2**32 - 1. Tables of 16 bits round a new row up or down by chance, so that small steps are not lost: a
        pure function of the seed, the table's position in the optimizer, the number of its step, row and column.

    Raises
    ------
    ValueError
        For a parameter that is no such table, or a number out of its range.

    Notes
    -----
    A sparse gradient (``torch.nn.Embedding(sparse=True)``, ``warp_hinge_sampled(sparse_grad=True)``) need not be
    coalesced, and names its rows itself: a row that it names counts even if its numbers are all 0; then G stays, but
    the clip is made. A dense gradient names the rows with a number other than 0, found by a pass over the whole table.

    With float32 tables, the gradient of ``warp_hinge_sampled(...)[0].sum()`` and this step give the bits of
    :func:`cmlfast.ops.cml_step_`. With 16-bit tables they do not: autograd hands gradients over in the table's type.

    State: ``"sum"`` is G, always float32 and of the table's shape, or [rows, 1] with ``rowwise``; ``"step"`` counts the
    table's steps.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float,
        eps: float = 1e-10,
        max_norm: float = 1.0,
        initial_accumulator_value: float = 0.0,
        seed: int = 0,
        rowwise: bool = False,
    ) -> None:
        names = ("lr", "eps", "max_norm", "initial_accumulator_value", "seed", "rowwise")
        numbers = (lr, eps, max_norm, initial_accumulator_value, seed, rowwise)
        super().__init__(params, dict(zip(names, numbers, strict=True)))

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group of tables, with its own numbers where it names any.

        Parameters
        ----------
        param_group : dict
            ``params`` and, if others than the optimizer's, ``lr``, ``eps``, ``max_norm``, ``seed``, ``rowwise``.
        """
        super().add_param_group(param_group)
        try:
            _check_group(self.param_groups[-1])
        except ValueError:
            self.param_groups.pop()
            raise

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every table that has a gradient.

        Parameters
        ----------
        closure : callable, optional
            Computes the gradients anew and returns the loss.

        Returns
        -------
        The loss, or None without a closure.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        tables = ((group, table) for group in self.param_groups for table in group["params"])
        for position, (group, table) in enumerate(tables):
            if table.grad is None:
                continue
            state = self.state[table]
            if not state:
                state["step"] = 0
                of_rows = table[:, :1] if group.get("rowwise") else table  # older state dicts do not say it
                state["sum"] = torch.full_like(of_rows, group["initial_accumulator_value"], dtype=torch.float32)
            rows, gradients = _named_rows(table.grad)
            kernels, _ = choose("auto", table.device)
            kernels.adagrad_clip_(
                table, state["sum"], rows, gradients, float(group["lr"]), group["eps"], group["max_norm"],
                True, group["seed"] + (position << 32), state["step"],  # a stream of draws for each table
            )  # fmt: skip
            state["step"] += 1
        return loss

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load what ``state_dict`` returned; accumulators are copied.

        Parameters
        ----------
        state_dict : dict
            Of an optimizer of the same tables.
        """
        super().load_state_dict(state_dict)
        numbers = (number for group in state_dict["param_groups"] for number in group["params"])
        tables = (table for group in self.param_groups for table in group["params"])
        for number, table in zip(numbers, tables, strict=True):
            if number in state_dict["state"]:  # torch has rounded it to the table's type
                saved = state_dict["state"][number]["sum"]
                self.state[table]["sum"] = saved.to(table.device, torch.float32, copy=True)


def _check_group(group: dict[str, Any]) -> None:
    for name, table in zip(group.get("param_names", range(len(group["params"]))), group["params"], strict=True):
        checks.check_value(
            table.dim() == 2 and table.dtype in checks.STORAGE,
            f"params[{name!r}] has shape {list(table.shape)} and type {table.dtype}; it must have 2 dimensions and be "
            "float32, bfloat16 or float16: give it to another optimizer, such as torch.optim.Adagrad, beside this one",
        )
    checks.check_optimizer(float(group["lr"]), group["eps"], group["max_norm"])
    start, seed = group["initial_accumulator_value"], group["seed"]
    checks.check_value(
        0 <= start <= checks.MAX_FLOAT, f"initial_accumulator_value is {start:g}; it must be finite and not negative"
    )
    checks.check_value(0 <= seed < 2**32, f"seed is {seed}; it must lie in 0 to 2**32 - 1, take it % 2**32")


def _named_rows(gradient: Tensor) -> tuple[Tensor, Tensor]:
    """Return the rows that a gradient names, [P], and what it adds to each, [P, r]."""
    if gradient.is_sparse and gradient.sparse_dim() == 1:
        return gradient._indices()[0], gradient._values().float()
    dense = gradient.to_dense()  # [I, r]
    rows = dense.abs().amax(1).nonzero()[:, 0]  # faster than any(1); a NaN counts
    return rows, dense[rows].float()
