"""Somebody's own module with ClippedAdagrad, eager and compiled, trains to the bits of the reference's steps."""

import shutil
from functools import lru_cache

import pytest
import torch
from batches import Batch, assert_same, make_batch
from torch import Tensor
from torch.nn import Embedding

from cmlfast import ops, reference
from cmlfast.ops import extension
from cmlfast.ops.optim import ClippedAdagrad

N_STEPS, LR, SEED = 50, 0.1, 7
DEVICES = ("cpu", "cuda") if torch.cuda.is_available() and extension.has_cuda_kernels() else ("cpu",)

pytestmark = pytest.mark.skipif(not extension.has_extension(), reason=extension.why_no_extension())


class Model(torch.nn.Module):
    """Two embeddings and the loss of drawn negatives, as somebody's own code would have it."""

    def __init__(self, batch: Batch, sparse: bool) -> None:
        super().__init__()
        self.users = Embedding.from_pretrained(batch.user_w.clone(), freeze=False)
        self.items = Embedding.from_pretrained(batch.item_w.clone(), freeze=False)
        self.sparse = sparse

    def forward(self, indptr: Tensor, indices: Tensor, users: Tensor, positives: Tensor, offset: int) -> Tensor:
        loss, _, _ = ops.warp_hinge_sampled(
            self.users.weight, self.items.weight, indptr, indices, users, positives, n_negatives=5, margin=0.5,
            seed=SEED, offset=offset, sparse_grad=self.sparse,
        )  # fmt: skip
        return loss.sum()


class ModelOfGivenNegatives(Model):
    """The same loss in two parts; only the second is the model's."""

    def forward(self, users: Tensor, positives: Tensor, negatives: Tensor) -> Tensor:
        user_table, item_table = self.users.weight, self.items.weight
        loss, _, _ = ops.warp_hinge(
            user_table, item_table, users, positives, negatives, 0.5, len(item_table), sparse_grad=self.sparse
        )
        return loss.sum()


def batches(n_steps: int, device: str = "cpu") -> list[tuple[Tensor, ...]]:
    """Return indptr, indices, users and positives of every step: one matrix, pairs of many."""
    drawn = [make_batch(33, 200, seed=step) for step in range(n_steps)]
    return [tuple(part.to(device) for part in (*drawn[0].sampling[:2], *each.sampling[2:])) for each in drawn]


@lru_cache
def by_training_steps(n_steps: int) -> tuple[Tensor, ...]:
    """Return the tables and accumulators after the reference's own steps."""
    batch = make_batch(33, 200)
    tables = batch.user_w, batch.item_w, torch.zeros_like(batch.user_w), torch.zeros_like(batch.item_w)
    for offset, pairs in enumerate(batches(n_steps)):
        reference.cml_step_(*tables, *pairs, 5, 0.5, LR, 1e-10, 1.0, True, SEED, offset)
    return tables


def assert_trained(model: Model, optimizer: ClippedAdagrad, n_steps: int) -> None:
    tables = model.users.weight, model.items.weight
    sums = tuple(optimizer.state[table]["sum"] for table in tables)
    for got, want in zip((*tables, *sums), by_training_steps(n_steps), strict=True):
        assert_same(got.detach().cpu(), want)


@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
@pytest.mark.parametrize("device", DEVICES)
def test_trains_to_the_bits_of_the_training_step(device: str, sparse: bool) -> None:
    model = Model(make_batch(33, 200), sparse).to(device)
    optimizer = ClippedAdagrad(model.parameters(), lr=LR)
    for offset, pairs in enumerate(batches(N_STEPS, device)):
        optimizer.zero_grad()
        model(*pairs, offset).backward()
        assert model.items.weight.grad.is_sparse == sparse
        optimizer.step()
    assert_trained(model, optimizer, N_STEPS)


@pytest.mark.slow
@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
@pytest.mark.parametrize("compiler", ["aot_eager", "inductor"])
def test_a_compiled_loss_trains_to_the_same_bits(compiler: str, sparse: bool) -> None:
    if compiler == "inductor" and not (shutil.which("g++") or shutil.which("clang++")):
        pytest.skip("no C++ compiler")
    torch._dynamo.reset()
    model = ModelOfGivenNegatives(make_batch(33, 200), sparse)
    compiled = torch.compile(model, fullgraph=True, backend=compiler)
    optimizer = ClippedAdagrad(model.parameters(), lr=LR)
    for offset, pairs in enumerate(batches(N_STEPS)):
        negatives = ops.sample_negatives(*pairs, len(model.items.weight), 5, SEED, offset)
        optimizer.zero_grad()
        compiled(*pairs[2:], negatives).backward()
        optimizer.step()
    assert_trained(model, optimizer, N_STEPS)


@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
def test_a_compiled_loss_may_draw_its_negatives(sparse: bool) -> None:
    """One graph serves all offsets: torch would give up after eight recompilations."""
    torch._dynamo.reset()
    model = Model(make_batch(33, 200), sparse)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    optimizer = ClippedAdagrad(model.parameters(), lr=LR)
    for offset, pairs in enumerate(batches(N_STEPS)):
        optimizer.zero_grad()
        compiled(*pairs, offset).backward()
        optimizer.step()
    assert_trained(model, optimizer, N_STEPS)
