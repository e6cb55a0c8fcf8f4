"""The losses in other people's models: each line of docs/own_model.md's table, against plain autograd."""

import subprocess
import sys

import numpy as np
import pytest
import torch
import torch._dynamo.exc
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from cmlfast import build_info, ops, optim

pytestmark = pytest.mark.skipif(not build_info()["extension"], reason="no compiled extension")

N_USERS, N_ITEMS, R, N = 12, 20, 8, 30
rng = torch.Generator().manual_seed(0)
USERS = torch.randint(N_USERS, (N,), generator=rng)
POSITIVES = torch.randint(N_ITEMS, (N,), generator=rng)
NEGATIVES = torch.randint(N_ITEMS, (N, 4), generator=rng)
INDPTR = torch.zeros(N_USERS + 1, dtype=torch.int64)
NOTHING = torch.zeros(0, dtype=torch.int64)
VECTORS = torch.randn(N_USERS, R, generator=rng), torch.randn(N_ITEMS, R, generator=rng)

LOSSES = {
    "warp_hinge": lambda u, i, **more: ops.warp_hinge(u, i, USERS, POSITIVES, NEGATIVES, 1.0, N_ITEMS, **more)[0],
    "warp_hinge_sampled": lambda u, i, **more: ops.warp_hinge_sampled(
        u, i, INDPTR, NOTHING, USERS, POSITIVES, 4, 1.0, 3, 5, **more
    )[0],
    "sampled_softmax": lambda u, i, **more: ops.sampled_softmax(u, i, USERS, POSITIVES, NEGATIVES[:, 0], 0.5, **more),
}


def plain(loss, *vectors: Tensor) -> tuple[Tensor, ...]:
    """Return the gradients of the sum of a loss by torch's autograd."""
    leaves = [one.clone().requires_grad_() for one in vectors]
    return torch.autograd.grad(loss(*leaves).sum(), leaves)


@pytest.mark.filterwarnings("ignore:There is a performance drop")
@pytest.mark.parametrize("name", LOSSES)
def test_function_transforms(name):
    loss = LOSSES[name]
    expected = plain(loss, *VECTORS)
    found = torch.func.grad(lambda u, i: loss(u, i).sum(), argnums=(0, 1))(*VECTORS)
    for mine, wanted in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, wanted, rtol=0, atol=0)
    value, back = torch.func.vjp(loss, *VECTORS)
    assert torch.equal(value, loss(*VECTORS))
    for mine, wanted in zip(back(torch.ones(N)), expected, strict=True):
        torch.testing.assert_close(mine, wanted, rtol=0, atol=0)
    # A row of the Jacobian is the gradient of one pair's loss.
    jacobian = torch.func.jacrev(lambda u: loss(u, VECTORS[1]))(VECTORS[0])  # [N, I, r]
    for pair in (0, 7):
        wanted = plain(lambda u, i, pair=pair: loss(u, i)[pair], *VECTORS)[0]
        torch.testing.assert_close(jacobian[pair], wanted, rtol=1e-5, atol=1e-6)  # sums of BLAS over one pair
    with pytest.raises(RuntimeError, match="cannot be differentiated again"):
        torch.func.grad(lambda u: torch.func.grad(lambda v: loss(v, VECTORS[1]).sum())(u).sum())(VECTORS[0])
    with pytest.raises(ValueError, match=r"sparse_grad is True, but torch\.func has no sparse"):
        torch.func.grad(lambda u: loss(u, VECTORS[1], sparse_grad=True).sum())(VECTORS[0])


@pytest.mark.filterwarnings("ignore:There is a performance drop")
@pytest.mark.parametrize("name", LOSSES)
def test_vmap_is_a_call_for_each_slice(name):
    loss, stack = LOSSES[name], torch.stack([VECTORS[0] * scale for scale in (1, 2, 3)])
    found = torch.func.vmap(lambda u: loss(u, VECTORS[1]))(stack)
    assert torch.equal(found, torch.stack([loss(one, VECTORS[1]) for one in stack]))


@pytest.mark.parametrize("name", LOSSES)
def test_autocast_widens_the_narrower(name):
    loss = LOSSES[name]
    tower = nn.Linear(R, R)
    table = VECTORS[1].clone().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        users = tower(VECTORS[0])
        assert users.dtype == torch.bfloat16
        found = loss(users, table)
        swapped = loss(table[:N_USERS], torch.cat((users, users))[:N_ITEMS])
    assert found.dtype == swapped.dtype == torch.float32
    assert torch.equal(found, loss(users.float(), table))
    assert torch.equal(swapped, loss(table[:N_USERS], torch.cat((users, users))[:N_ITEMS].float()))
    found.sum().backward()
    expected = plain(loss, users.float().detach(), table.detach())[1]
    assert torch.equal(table.grad, expected)
    assert tower.weight.grad.abs().sum() > 0
    with torch.autocast("cpu", torch.bfloat16):  # of one type they stay as they are stored
        half = [one.bfloat16() for one in VECTORS]
        assert torch.equal(loss(*half), half_loss(name, half))
    with pytest.raises(ValueError, match="user_vectors and item_vectors are of different types"):
        loss(users, table)


def half_loss(name: str, tables: list[Tensor]) -> Tensor:
    with torch.autocast("cpu", enabled=False):
        return LOSSES[name](*tables)


@pytest.mark.slow
@pytest.mark.parametrize("name", LOSSES)
def test_compilation_of_the_whole(name):
    torch._dynamo.reset()
    loss, tower = LOSSES[name], nn.Linear(R, R)

    def step(users: Tensor, items: Tensor) -> Tensor:
        return loss(tower(users), items).sum()

    compiled = torch.compile(step, fullgraph=True, backend="aot_eager")
    wanted = torch.autograd.grad(step(*VECTORS), tower.parameters())
    found = torch.autograd.grad(compiled(*VECTORS), tower.parameters())
    for mine, expected in zip(found, wanted, strict=True):
        torch.testing.assert_close(mine, expected)
    exported = torch.export.export(Wrapped(loss), VECTORS)
    assert torch.equal(exported.module()(*VECTORS), loss(*VECTORS))


class Wrapped(nn.Module):
    def __init__(self, loss):
        super().__init__()
        self.loss = loss

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        return self.loss(users, items)


@pytest.mark.slow
def test_a_margin_that_changes_is_kept_out_of_the_graph():
    torch._dynamo.reset()
    tower = torch.compile(nn.Linear(R, R), fullgraph=True, backend="aot_eager")

    def hinge(users: Tensor, margin: float) -> Tensor:
        return ops.warp_hinge(users, VECTORS[1], USERS, POSITIVES, NEGATIVES, margin, N_ITEMS)[0].sum()

    inside = torch.compile(hinge, fullgraph=True, backend="aot_eager")
    values = iter(range(12))
    with pytest.raises(torch._dynamo.exc.FailOnRecompileLimitHit, match="fullgraph=True"):
        [inside(VECTORS[0], 1.0 + step) for step in values]
    assert next(values) == 9
    outside = torch.compiler.disable(hinge)
    for step in range(12):
        users = tower(VECTORS[0])
        assert torch.equal(outside(users, 1.0 + step), hinge(users, 1.0 + step))


@pytest.mark.parametrize("name", LOSSES)
def test_functional_call_checkpoint_and_scaler(name):
    loss = LOSSES[name]
    module = Wrapped(lambda u, i: loss(u, i).sum())
    tower = nn.Linear(R, R)
    called = torch.func.functional_call(tower, {name: one * 2 for name, one in tower.named_parameters()}, VECTORS[0])
    assert loss(called, VECTORS[1]).isfinite().all()
    users = tower(VECTORS[0])
    wanted = torch.autograd.grad(module(users, VECTORS[1]), tower.weight)[0]
    again = checkpoint(module, tower(VECTORS[0]), VECTORS[1], use_reentrant=False)
    assert torch.equal(torch.autograd.grad(again, tower.weight)[0], wanted)
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    optimizer = torch.optim.SGD(tower.parameters(), lr=0.0)
    scaler.scale(module(tower(VECTORS[0]), VECTORS[1])).backward()
    scaler.unscale_(optimizer)
    torch.testing.assert_close(tower.weight.grad, wanted, rtol=1e-6, atol=0)
    assert nn.utils.clip_grad_norm_(tower.parameters(), 0.1) > 0.1


@pytest.mark.slow
def test_distributed_data_parallel(tmp_path):
    """One process is enough for DDP's hooks, which are what dense and sparse gradients differ in."""
    program = f"""
import torch, torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from cmlfast import ops
dist.init_process_group("gloo", init_method="file://{tmp_path / "rendezvous"}", rank=0, world_size=1)
users, positives, negatives = torch.arange(6), torch.arange(6), torch.arange(12).reshape(6, 2)
class Model(nn.Module):
    def __init__(self, sparse_module, sparse_grad):
        super().__init__()
        torch.manual_seed(0)
        self.users, self.items = (nn.Embedding(n, 4, sparse=sparse_module) for n in (8, 12))
        self.sparse_grad = sparse_grad
    def forward(self):
        return ops.warp_hinge(self.users.weight, self.items.weight, users, positives, negatives, 2.0, 12,
                              sparse_grad=self.sparse_grad)[0].sum()
def gradient(model):
    model().backward()
    return (model.module if hasattr(model, "module") else model).users.weight.grad.to_dense()
wanted = gradient(Model(False, False))
print(torch.equal(gradient(DistributedDataParallel(Model(False, False))), wanted))
print(torch.equal(gradient(DistributedDataParallel(Model(True, True))), wanted))
try:
    gradient(DistributedDataParallel(Model(False, True)))
    print("dense module: works")
except RuntimeError as error:
    print("dense module: fails")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert done.stdout.splitlines() == ["True", "True", "dense module: fails"], done.stderr


@pytest.mark.slow
def test_nobody_is_warned_of_sparse_gradients():
    program = """
import warnings
warnings.simplefilter("error")
import torch
from cmlfast import ops, optim
ids = torch.arange(6)
for make in (lambda tables: optim.ClippedAdagrad(tables, lr=0.1), torch.optim.SparseAdam):
    tables = [torch.rand(12, 4, requires_grad=True) for _ in range(2)]
    optimizer = make(tables)
    for loss in (
        lambda: ops.warp_hinge(*tables, ids, ids, ids[:, None] + 6, 1.0, 12, sparse_grad=True)[0],
        lambda: ops.sampled_softmax(*tables, ids, ids, ids + 6, 0.5, sparse_grad=True),
    ):
        optimizer.zero_grad()
        (loss().sum() + loss().sum()).backward()
        optimizer.step()
print("silent")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert (done.stdout, done.stderr) == ("silent\n", "")


def test_the_optimizer_takes_gradients_of_a_scaler():
    table = torch.rand(6, 4)
    table.requires_grad_()
    optimizer = optim.ClippedAdagrad([table], lr=0.1)
    table.grad = torch.ones_like(table)
    before = table.detach().clone()
    torch.amp.GradScaler("cpu", enabled=False).step(optimizer)
    assert not np.array_equal(before.numpy(), table.detach().numpy())
