"""What operators refuse: the reference and the kernels raise the same message, and nothing has changed then."""

from typing import Any

import pytest
import torch
from backends import REFERENCE, Backend
from batches import assert_same
from faults import HINGE, SAMPLING, SEARCHES, SOFTMAX, STEPS, TABLES, Fault, arguments_of, faults
from torch import Tensor


def faulty_arguments(fault: Fault) -> dict[str, Any]:
    arguments = arguments_of(fault.operator)
    valid = arguments[fault.argument]
    arguments[fault.argument] = fault.change(valid) if callable(fault.change) else fault.change
    return arguments


def attempt(backend: Backend, fault: Fault) -> tuple[type[BaseException], str]:
    """Return the error and its message, having seen that no tensor changed."""
    arguments = faulty_arguments(fault)
    before = {name: value.clone() for name, value in arguments.items() if isinstance(value, Tensor)}
    try:
        backend.run(fault.operator, **arguments)
    except Exception as error:
        for name, tensor in before.items():
            assert_same(arguments[name], tensor, f"{name} has changed")
        return type(error), str(error).split("\nException raised from")[0]
    raise AssertionError(f"{fault.operator} took a wrong {fault.argument}")


FAULTS = faults()


def read_later(fault: Fault) -> bool:
    """Whether a GPU finds the fault when the host has gone on."""
    return fault.error is IndexError or (fault.argument == "lrs" and "position" in fault.parts[1])


def assert_step_refuses(backend: Backend, arguments: dict[str, Any]) -> None:
    """Assert that nothing changes and NaN and -1 come back: a step that does not wait for the device cannot raise."""
    tables = {name: value.clone() for name, value in arguments.items() if name.startswith(("user_", "item_"))}
    loss, impostors, active = backend.run("cml_step_", **arguments)
    assert loss.isnan()
    assert (int(impostors), int(active)) == (-1, -1)
    for name, table in tables.items():
        assert torch.equal(arguments[name], table), f"{name} has changed"


def assert_steps_refuse(backend: Backend, arguments: dict[str, Any]) -> None:
    """Assert that a step that names what it may not changes nothing, and that those before and after it are taken."""
    expected = {name: value.clone() if isinstance(value, Tensor) else value for name, value in arguments.items()}
    lrs, margins, offsets = (arguments[name].tolist() for name in ("lrs", "margins", "offsets"))
    pairs = zip(*(arguments[name].tensor_split(len(lrs)) for name in ("users", "positives")), strict=True)
    want = []
    for (users, positives), lr, margin, offset in zip(pairs, lrs, margins, offsets, strict=True):
        one = {**expected, "users": users, "positives": positives, "lr": lr, "margin": margin, "offset": offset}
        for name in ("lrs", "margins", "offsets"):
            del one[name]
        try:
            want.append([float(part) for part in REFERENCE.run("cml_step_", **one)])
        except (IndexError, ValueError):
            want.append([float("nan"), -1.0, -1.0])
    got = torch.stack([part.double() for part in backend.run("cml_steps_", **arguments)], 1)
    assert torch.equal(got.nan_to_num(-1.0), torch.tensor(want, dtype=torch.float64).nan_to_num(-1.0))
    assert got[:, 0].isnan().any()
    for name in ("user_w", "item_w", "user_state", "item_state"):
        assert torch.equal(arguments[name], expected[name]), name


def assert_weights_refuse(backend: Backend, arguments: dict[str, Any]) -> None:
    """Assert the same of what a step is made of: nothing changes, and sums are NaN."""
    before = arguments["products"].clone()
    for column in backend.run("softmax_weights_", **arguments):
        assert column.shape == (12,)
        assert column.isnan().all()
    assert torch.equal(arguments["products"], before)


# Operators whose kernels on a GPU do not wait for what they find, and what these do then.
REFUSE = {
    "cml_step_": assert_step_refuses,
    "cml_steps_": assert_steps_refuse,
    "softmax_weights_": assert_weights_refuse,
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.operator}-{fault.argument}-{FAULTS.index(fault)}")
def test_refuses(implementation: Backend, fault: Fault) -> None:
    if fault.operator in REFUSE and read_later(fault) and not implementation.steps_raise:
        REFUSE[fault.operator](implementation, faulty_arguments(fault))
        return
    error, message = attempt(implementation, fault)
    assert issubclass(error, fault.error), f"{error.__name__}: {message}"
    for part in fault.parts:
        assert part in message
    assert message == attempt(REFERENCE, fault)[1]


@pytest.mark.parametrize("operator", [*HINGE, *SAMPLING, *SOFTMAX, "softmax_weights_", "adagrad_clip_", *SEARCHES])
def test_takes_what_the_faults_are_made_of(implementation: Backend, operator: str) -> None:
    implementation.run(operator, **arguments_of(operator))


def floats_of(operator: str) -> list[str]:
    arguments = arguments_of(operator)
    return [name for name, value in arguments.items() if isinstance(value, Tensor) and value.is_floating_point()]


@pytest.mark.parametrize("operator", [*TABLES, "adagrad_clip_", "softmax_weights_"])
def test_float64_is_for_the_reference_alone(implementation: Backend, operator: str) -> None:
    wide = {name: arguments_of(operator)[name].double() for name in floats_of(operator)}
    if implementation.float64:
        implementation.run(operator, **{**arguments_of(operator), **wide})
        return
    with pytest.raises(ValueError, match=r"must be float32(, bfloat16 or float16)?; convert"):
        implementation.run(operator, **{**arguments_of(operator), **wide})


@pytest.mark.parametrize("operator", TABLES)
def test_two_16_bit_types_in_one_call(implementation: Backend, operator: str) -> None:
    arguments = arguments_of(operator)
    users, items = TABLES[operator]
    arguments[users], arguments[items] = arguments[users].half(), arguments[items].bfloat16()
    with pytest.raises(ValueError, match=f"{users} and {items} are of different types"):
        implementation.run(operator, **arguments)


@pytest.mark.parametrize(
    ("operator", "name"),
    [(each, name) for each in (*TABLES, "adagrad_clip_", "softmax_weights_") for name in floats_of(each)],
)
def test_one_float64_table_among_float32(implementation: Backend, operator: str, name: str) -> None:
    arguments = arguments_of(operator)
    arguments[name] = arguments[name].double()
    before = {key: arguments[key].clone() for key in floats_of(operator)}
    with pytest.raises(ValueError, match="float32"):
        implementation.run(operator, **arguments)
    for key, tensor in before.items():
        assert torch.equal(arguments[key], tensor), f"{key} has changed"


@pytest.mark.parametrize("operator", ["warp_hinge_sampled", *STEPS, "warp_hinge"])
def test_ids_beyond_a_table_that_the_matrix_describes(implementation: Backend, operator: str) -> None:
    """More users in the matrix, or items in the negatives, than in the table."""
    arguments = arguments_of(operator)
    table = "user_w" if operator in STEPS else "user_vectors"
    arguments[table] = arguments[table][:4]
    if operator in STEPS:
        arguments["user_state"] = arguments["user_state"][:4]
    at = int((arguments["users"] >= 4).nonzero()[0])
    if operator in STEPS and not implementation.steps_raise:
        REFUSE[operator](implementation, arguments)
        return
    message = f"users holds {int(arguments['users'][at])} at position {at}, but {table} has 4 rows"
    with pytest.raises(IndexError, match=message):
        implementation.run(operator, **arguments)


def test_more_items_than_can_be_drawn_from(implementation: Backend) -> None:
    """The largest table that is refused takes no memory here: all rows are one."""
    for operator in ("warp_hinge_sampled", *STEPS):
        arguments = arguments_of(operator)
        for name in arguments:
            if name.startswith("item"):
                arguments[name] = torch.zeros((1, 4)).expand(2**31, 4)
        with pytest.raises(ValueError, match=r"2147483648.*2147483647"):
            implementation.run(operator, **arguments)
