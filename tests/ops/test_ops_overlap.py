"""In-place arguments that overlap, each other or themselves: refused by name, and nothing has changed."""

import itertools

import pytest
import torch
from backends import Backend
from faults import STEPS, arguments_of
from torch import Tensor

CHANGED = {
    "cml_step_": ("user_w", "item_w", "user_state", "item_state"),
    "cml_steps_": ("user_w", "item_w", "user_state", "item_state"),
    "adagrad_clip_": ("weight", "state"),
    "softmax_weights_": ("products",),
}


def on_this_machine(backend: Backend) -> None:
    if backend.device != "cpu":
        pytest.skip("tensors are copied to the device one by one, where they share nothing")


def square(operator: str) -> dict:
    """Return valid arguments whose tables have as many rows as each other, so that one may stand for another."""
    arguments = arguments_of(operator)
    if operator in STEPS:
        for name in ("user_w", "user_state"):
            arguments[name] = torch.cat((arguments[name], arguments[name]))[:10]
        for name in ("item_w", "item_state"):
            arguments[name] = torch.cat((arguments[name], arguments[name]))[:10]
    return arguments


def refused(backend: Backend, operator: str, arguments: dict, message: str) -> None:
    before = {name: value.clone() for name, value in arguments.items() if isinstance(value, Tensor)}
    with pytest.raises(ValueError, match=message):
        backend.run(operator, **arguments)
    for name, value in before.items():
        assert torch.equal(arguments[name], value), name


@pytest.mark.parametrize("operator", CHANGED)
def test_one_tensor_in_two_places(implementation: Backend, operator: str) -> None:
    on_this_machine(implementation)
    for one in CHANGED[operator]:
        arguments = square(operator)
        alike = [
            other for other, value in arguments.items()
            if other != one and isinstance(value, Tensor) and value.shape == arguments[one].shape
            and value.dtype == arguments[one].dtype
        ]  # fmt: skip
        assert alike or operator == "softmax_weights_"
        for other in alike:
            first, second = (one, other) if list(arguments).index(one) < list(arguments).index(other) else (other, one)
            names = {first, second}
            whole = {**arguments, other: arguments[one]}
            refused(implementation, operator, whole, "share memory, and .* changes in place; clone one of them")
            with pytest.raises(ValueError, match="share memory") as told:
                implementation.run(operator, **whole)
            assert set(str(told.value).split(" share")[0].split(" and ")) == names


@pytest.mark.parametrize("operator", [*STEPS, "adagrad_clip_"])
def test_views_of_one_tensor(implementation: Backend, operator: str) -> None:
    on_this_machine(implementation)
    one, other = CHANGED[operator][:1] + CHANGED[operator][-1:]
    reference = square(operator)
    n, r = reference[one].shape
    rest = len(reference[other])

    def views(kind: str) -> tuple[Tensor, Tensor]:
        if kind == "rows that overlap by one":
            both = torch.rand(n + rest - 1, r)
            return both[:n], both[n - 1 :]
        if kind == "columns that overlap by one":
            both = torch.rand(max(n, rest), 2 * r - 1)
            return both[:n, :r], both[:rest, r - 1 :]
        if kind == "shifted by a row and a column":
            both = torch.rand(max(n, rest) + 1, r + 1)
            return both[:n, :r], both[1 : rest + 1, 1:]
        if kind == "rows":
            both = torch.rand(n + rest, r)
            return both[:n], both[n:]
        if kind == "columns":
            both = torch.rand(max(n, rest), 2 * r)
            return both[:n, :r], both[:rest, r:]
        both = torch.rand(2 * max(n, rest), r)  # every second row
        return both[::2][:n], both[1::2][:rest]

    for kind in ("rows that overlap by one", "columns that overlap by one", "shifted by a row and a column"):
        arguments = square(operator)
        arguments[one], arguments[other] = views(kind)
        refused(implementation, operator, arguments, f"{one} and {other} share memory")
    for kind in ("rows", "columns", "every second row"):
        arguments, apart = square(operator), square(operator)
        arguments[one], arguments[other] = views(kind)
        apart |= {name: arguments[name].clone() for name in (one, other)}
        implementation.run(operator, **arguments)
        implementation.run(operator, **apart)
        assert torch.equal(arguments[one], apart[one])
        assert torch.equal(arguments[other], apart[other])


@pytest.mark.parametrize("operator", CHANGED)
def test_elements_that_lie_at_one_place(implementation: Backend, operator: str) -> None:
    on_this_machine(implementation)
    for name in CHANGED[operator]:
        valid = arguments_of(operator)[name]
        n, r = valid.shape
        for view, strides in (
            (valid[:1].clone().expand(n, r), "[0, 1]"),
            (valid[:, :1].clone().expand(n, r), "[1, 0]"),
            (torch.rand(n + r).as_strided((n, r), (1, 1)), "[1, 1]"),
            (torch.rand(2 * n + r).as_strided((n, r), (2, 1)), "[2, 1]"),
        ):
            arguments = arguments_of(operator) | {name: view}
            strides = strides.replace("[", r"\[").replace("]", r"\]")
            refused(implementation, operator, arguments, f"{name} changes in place, but some .* strides are {strides}")


@pytest.mark.parametrize("operator", CHANGED)
def test_any_layout_without_overlap_is_taken(implementation: Backend, operator: str) -> None:
    on_this_machine(implementation)
    for name, kind in itertools.product(CHANGED[operator], ("transposed", "wide", "sparse rows")):
        plain, laid = arguments_of(operator), arguments_of(operator)
        n, r = plain[name].shape
        if kind == "transposed":
            laid[name] = plain[name].t().contiguous().t()
        elif kind == "wide":
            laid[name] = torch.cat((plain[name], plain[name]), 1)[:, :r]
        else:
            laid[name] = torch.cat((plain[name], plain[name]), 1).view(2 * n, r)[::2]
        implementation.run(operator, **plain)
        implementation.run(operator, **laid)
        assert torch.equal(plain[name], laid[name])
