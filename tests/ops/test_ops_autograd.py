"""Autograd's book-keeping: it sees changes in place, and refuses a second derivative rather than give a wrong one."""

import pytest
import torch
from backends import Backend
from batches import make_batch
from faults import arguments_of


@pytest.mark.parametrize("operator", ["adagrad_clip_", "cml_step_"])
def test_changes_in_place_are_seen(implementation: Backend, operator: str) -> None:
    arguments = arguments_of(operator)
    table = arguments["weight" if operator == "adagrad_clip_" else "item_w"]
    before = table._version
    implementation._function(operator)(**arguments)
    assert table._version > before


def test_backward_after_a_change_raises(implementation: Backend) -> None:
    batch = make_batch(4, 12, n_users=10, n_items=9)
    tables = [table.clone().requires_grad_() for table in (batch.user_w, batch.item_w)]
    negatives = torch.arange(36).reshape(12, 3) % 9
    loss = implementation._function("warp_hinge")(*tables, batch.users, batch.positives, negatives, 2.0, 9)[0].sum()
    with torch.no_grad():
        rows = torch.tensor([0])
        implementation._function("adagrad_clip_")(tables[1], torch.zeros(9, 4), rows, torch.ones(1, 4), 0.1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_a_parameter_is_not_changed_behind_autograds_back(implementation: Backend) -> None:
    weight = torch.zeros(3, 4, requires_grad=True)
    with pytest.raises((ValueError, RuntimeError), match=r"in-place|in place"):
        implementation._function("adagrad_clip_")(weight, torch.zeros(3, 4), torch.tensor([0]), torch.ones(1, 4), 0.1)


def test_second_derivative_raises(implementation: Backend) -> None:
    batch = make_batch(4, 12, n_users=10, n_items=9)
    tables = [table.clone().requires_grad_() for table in (batch.user_w, batch.item_w)]
    negatives = torch.arange(36).reshape(12, 3) % 9
    loss = implementation._function("warp_hinge")(*tables, batch.users, batch.positives, negatives, 2.0, 9)[0].sum()
    (gradient,) = torch.autograd.grad(loss, tables[1], create_graph=True)
    with pytest.raises(RuntimeError, match=r"differentiat|does not require grad"):
        gradient.square().sum().backward()
