"""The sampled softmax in plain torch that ours is measured against computes the same."""

import pytest
import torch
from batches import make_batch
from ops.faults import arguments_of

from benchmarks.kit import torch_softmax
from cmlfast import reference


def test_the_usual_loss_agrees_with_the_reference() -> None:
    batch = make_batch(8, 30)
    tables = [table.double().requires_grad_() for table in batch.tables[:2]]
    ids = batch.users, batch.positives, batch.positives[:20]
    mine = torch_softmax.usual_loss(*tables, *ids, 0.5)
    theirs = reference.sampled_softmax(*tables, *ids, 0.5).sum()
    torch.testing.assert_close(mine, theirs)
    for one, other in zip(*(torch.autograd.grad(loss, tables) for loss in (mine, theirs)), strict=True):
        torch.testing.assert_close(one, other)
        assert one.abs().max() > 0


@pytest.mark.parametrize("decoupled", [False, True])
def test_the_chain_of_operators_agrees_with_the_reference(decoupled: bool) -> None:
    mine, theirs = (list(arguments_of("softmax_weights_").values()) for _ in range(2))
    got, want = torch_softmax.softmax_weights_(*mine, decoupled), reference.softmax_weights_(*theirs, decoupled)
    for one, other in zip((mine[0], *got), (theirs[0], *want), strict=True):
        torch.testing.assert_close(one, other)
    assert mine[0].abs().max() > 0
