"""What operators refuse: the reference and the kernels raise the same message, and nothing has changed then."""

from typing import Any

import pytest
import torch
from backends import REFERENCE, Backend
from faults import HINGE, SAMPLING, SEARCHES, SOFTMAX, TABLES, Fault, arguments_of, faults
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
            assert torch.equal(arguments[name], tensor), f"{name} has changed"
        return type(error), str(error).split("\nException raised from")[0]
    raise AssertionError(f"{fault.operator} took a wrong {fault.argument}")


FAULTS = faults()
WITHOUT_WAITING = ("cml_step_", "softmax_weights_")  # whose kernels on a GPU do not raise for ids


def assert_step_refuses(backend: Backend, arguments: dict[str, Any]) -> None:
    """Assert that nothing changes and NaN and -1 come back: a step that does not wait for the device cannot raise."""
    tables = {name: value.clone() for name, value in arguments.items() if name.startswith(("user_", "item_"))}
    loss, impostors, active = backend.run("cml_step_", **arguments)
    assert loss.isnan()
    assert (int(impostors), int(active)) == (-1, -1)
    for name, table in tables.items():
        assert torch.equal(arguments[name], table), f"{name} has changed"


def assert_weights_refuse(backend: Backend, arguments: dict[str, Any]) -> None:
    """Assert the same of what a step is made of: nothing changes, and sums are NaN."""
    before = arguments["products"].clone()
    for column in backend.run("softmax_weights_", **arguments):
        assert column.shape == (12,)
        assert column.isnan().all()
    assert torch.equal(arguments["products"], before)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.operator}-{fault.argument}-{FAULTS.index(fault)}")
def test_refuses(implementation: Backend, fault: Fault) -> None:
    if fault.operator in WITHOUT_WAITING and fault.error is IndexError and not implementation.steps_raise:
        refuses = assert_step_refuses if fault.operator == "cml_step_" else assert_weights_refuse
        refuses(implementation, faulty_arguments(fault))
        return
    error, message = attempt(implementation, fault)
    assert issubclass(error, fault.error), f"{error.__name__}: {message}"
    for part in fault.parts:
        assert part in message
    assert message == attempt(REFERENCE, fault)[1]


@pytest.mark.parametrize("operator", [*HINGE, *SAMPLING[::2], *SOFTMAX, "softmax_weights_", "adagrad_clip_", *SEARCHES])
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


@pytest.mark.parametrize("operator", ["warp_hinge_sampled", "cml_step_", "warp_hinge"])
def test_ids_beyond_a_table_that_the_matrix_describes(implementation: Backend, operator: str) -> None:
    """More users in the matrix, or items in the negatives, than in the table."""
    arguments = arguments_of(operator)
    table = "user_w" if operator == "cml_step_" else "user_vectors"
    arguments[table] = arguments[table][:4]
    if operator == "cml_step_":
        arguments["user_state"] = arguments["user_state"][:4]
    at = int((arguments["users"] >= 4).nonzero()[0])
    if operator == "cml_step_" and not implementation.steps_raise:
        assert_step_refuses(implementation, arguments)
        return
    message = f"users holds {int(arguments['users'][at])} at position {at}, but {table} has 4 rows"
    with pytest.raises(IndexError, match=message):
        implementation.run(operator, **arguments)


def test_more_items_than_can_be_drawn_from(implementation: Backend) -> None:
    """The largest table that is refused takes no memory here: all rows are one."""
    for operator in ("warp_hinge_sampled", "cml_step_"):
        arguments = arguments_of(operator)
        for name in arguments:
            if name.startswith("item"):
                arguments[name] = torch.zeros((1, 4)).expand(2**31, 4)
        with pytest.raises(ValueError, match=r"2147483648.*2147483647"):
            implementation.run(operator, **arguments)
