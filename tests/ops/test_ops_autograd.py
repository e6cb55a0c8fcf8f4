"""Autograd's book-keeping: it sees changes in place, and refuses a second derivative rather than give a wrong one."""

import pytest
import torch
from backends import Backend
from batches import make_batch
from faults import arguments_of


@pytest.mark.parametrize(
    ("operator", "name"), [("adagrad_clip_", "weight"), ("cml_step_", "item_w"), ("softmax_weights_", "products")]
)
def test_changes_in_place_are_seen(implementation: Backend, operator: str, name: str) -> None:
    arguments = arguments_of(operator)
    table = arguments[name]
    before = table._version
    implementation._function(operator)(**arguments)
    assert table._version > before


def loss_of(implementation: Backend, operator: str, tables: list[torch.Tensor]) -> torch.Tensor:
    batch = make_batch(4, 12, n_users=10, n_items=9)
    if operator == "sampled_softmax":
        negatives = torch.arange(7)
        loss = implementation._function(operator)(*tables, batch.users, batch.positives, negatives, 0.5)
    else:
        negatives = torch.arange(36).reshape(12, 3) % 9
        loss = implementation._function(operator)(*tables, batch.users, batch.positives, negatives, 2.0, 9)[0]
    return loss.sum()


def leaves() -> list[torch.Tensor]:
    batch = make_batch(4, 12, n_users=10, n_items=9)
    return [table.clone().requires_grad_() for table in (batch.user_w, batch.item_w)]


@pytest.mark.parametrize("operator", ["warp_hinge", "sampled_softmax"])
def test_backward_after_a_change_raises(implementation: Backend, operator: str) -> None:
    tables = leaves()
    loss = loss_of(implementation, operator, tables)
    with torch.no_grad():
        rows = torch.tensor([0])
        implementation._function("adagrad_clip_")(tables[1], torch.zeros(9, 4), rows, torch.ones(1, 4), 0.1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_a_parameter_is_not_changed_behind_autograds_back(implementation: Backend) -> None:
    weight = torch.zeros(3, 4, requires_grad=True)
    with pytest.raises((ValueError, RuntimeError), match=r"in-place|in place"):
        implementation._function("adagrad_clip_")(weight, torch.zeros(3, 4), torch.tensor([0]), torch.ones(1, 4), 0.1)
    softmax = torch.zeros(4), torch.arange(4), torch.arange(3), torch.zeros(3), torch.ones(3), 1.0
    with pytest.raises((ValueError, RuntimeError), match=r"in-place|in place"):
        implementation._function("softmax_weights_")(weight, *softmax)


@pytest.mark.parametrize("operator", ["warp_hinge", "sampled_softmax"])
def test_second_derivative_raises(implementation: Backend, operator: str) -> None:
    tables = leaves()
    loss = loss_of(implementation, operator, tables)
    (gradient,) = torch.autograd.grad(loss, tables[1], create_graph=True)
    with pytest.raises(RuntimeError, match=r"differentiat|does not require grad"):
        gradient.square().sum().backward()
