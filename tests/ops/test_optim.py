"""ClippedAdagrad: what it does to tables, what it keeps in its state, and what it refuses."""

import io
import math
import warnings
from typing import Any

import pytest
import torch
from batches import NARROW, assert_same
from torch import Tensor
from torch.nn import Embedding, Parameter

from cmlfast import ops, reference
from cmlfast.ops import backend
from cmlfast.ops.optim import ClippedAdagrad

LR, SEED = 0.1, 7


def gradient(n_rows: int, step: int, r: int = 33, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return a sparse gradient that names some rows, and some of those often."""
    generator = torch.Generator().manual_seed(step)
    rows = torch.randint(n_rows // 2, (3 * n_rows,), generator=generator) * 2  # odd rows are never named
    values = torch.randn((len(rows), r), generator=generator).to(dtype)
    return torch.sparse_coo_tensor(rows[None], values, (n_rows, r), check_invariants=True)


def table(dtype: torch.dtype = torch.float32, n_rows: int = 40) -> Parameter:
    """Return a table with rows inside and outside the ball."""
    weight = torch.randn((n_rows, 33), generator=torch.Generator().manual_seed(99)) * 0.2
    return Parameter(weight.to(dtype))


def train(optimizer: Any, steps: range, dense: bool = False) -> None:
    for step in steps:
        for weight in (weight for group in optimizer.param_groups for weight in group["params"]):
            entries = gradient(*weight.shape[:1], step, dtype=weight.dtype)
            weight.grad = entries.to_dense() if dense else entries
        optimizer.step()


@pytest.mark.parametrize("dense", [False, True], ids=["sparse", "dense"])
@pytest.mark.parametrize("dtype", [torch.float32, *NARROW], ids=str)
def test_equals_the_reference(dtype: torch.dtype, dense: bool) -> None:
    """Each table draws its own rounding, in every step anew."""
    mine = [table(dtype), table(dtype)]
    optimizer = ClippedAdagrad(mine, LR, 1e-3, 0.7, initial_accumulator_value=0.1, seed=SEED)
    train(optimizer, range(5), dense)
    for position, got in enumerate(mine):
        want = table(dtype).detach()
        state = torch.full(want.shape, 0.1)
        for step in range(5):
            entries = gradient(len(want), step, dtype=dtype)
            if dense:
                entries = entries.to_dense().to_sparse(1)
            rows, values = entries._indices()[0], entries._values().float()
            key = SEED + position * 2**32
            reference.adagrad_clip_(want, state, rows, values, LR, 1e-3, 0.7, True, key, step)
        assert_same(got.detach(), want)
        assert_same(optimizer.state[got]["sum"], state)
    assert torch.equal(*mine) == (dtype == torch.float32)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_one_accumulator_for_a_row(dtype: torch.dtype) -> None:
    """Of a group that says so; it is kept in the state, and goes on from there."""
    rowwise, whole = table(dtype), table(dtype)
    groups = [{"params": [rowwise], "rowwise": True}, {"params": [whole]}]
    optimizer = ClippedAdagrad(groups, LR, 1e-3, 0.7, initial_accumulator_value=0.1, seed=SEED)
    train(optimizer, range(3))
    again = ClippedAdagrad([{"params": [rowwise]}, {"params": [whole]}], 0.5)
    again.load_state_dict(optimizer.state_dict())
    train(again, range(3, 5))
    want, state = table(dtype).detach(), torch.full((40, 1), 0.1)
    for step in range(5):
        entries = gradient(40, step, dtype=dtype)
        rows, values = entries._indices()[0], entries._values().float()
        reference.adagrad_clip_(want, state, rows, values, LR, 1e-3, 0.7, True, SEED, step)
    assert_same(rowwise.detach(), want)
    assert_same(again.state[rowwise]["sum"], state)
    assert again.state[whole]["sum"].shape == whole.shape


@pytest.mark.parametrize("dense", [False, True], ids=["sparse", "dense"])
def test_equals_its_definition(dense: bool) -> None:
    """In float64 and row by row."""
    got = table()
    train(ClippedAdagrad([got], LR, 1e-3, 0.7, initial_accumulator_value=0.1), range(5), dense)
    want, state = table().detach().double(), torch.full((40, 33), 0.1).double()
    for step in range(5):
        for row, g in enumerate(gradient(40, step).double().to_dense()):
            if g.any():
                state[row] += g.square()
                want[row] -= LR * g / (state[row].sqrt() + 1e-3)
                want[row] *= min(1.0, 0.7 / math.dist(want[row], torch.zeros(33)))
    error = (got.detach() - want).abs().max()
    assert error < 4 * 5.4e-8, f"{error:g}"
    assert (want.norm(dim=1) > 0.7).any()  # of rows without a gradient


@pytest.mark.parametrize("dense", [False, True], ids=["sparse", "dense"])
def test_without_a_ball_it_is_adagrad(dense: bool) -> None:
    mine, theirs = table(), table()
    train(ClippedAdagrad([mine], LR, max_norm=math.inf), range(20), dense)
    train(torch.optim.Adagrad([theirs], LR), range(20), dense)
    error = (mine - theirs).detach().abs().max()  # torch rounds some roots, and sums in another order
    assert error < 4 * 1.5e-7, f"{error:g}"
    assert (mine - table()).abs().max() > LR


def test_gradients_of_a_lookup() -> None:
    """What torch.nn.Embedding itself gives, of two backward passes."""
    ids = torch.tensor([[3, 1, 3], [7, 3, 1]])
    outcomes = []
    for sparse in (True, False):
        embedding = Embedding.from_pretrained(table().detach(), freeze=False, sparse=sparse)
        optimizer = ClippedAdagrad(embedding.parameters(), LR)
        for part in ids:
            embedding(part).sin().sum().backward()
        optimizer.step()
        outcomes.append(embedding.weight.detach())
    torch.testing.assert_close(*outcomes, rtol=0, atol=0)
    changed = (outcomes[0] != table()).any(1).nonzero()[:, 0]
    assert changed.tolist() == [1, 3, 7]


def test_a_row_of_zeros_is_named_by_a_sparse_gradient_only() -> None:
    zeros = torch.zeros((2, 2))
    named = torch.sparse_coo_tensor(torch.tensor([[0, 2]]), zeros, (3, 2))
    for given, want in ((named, [[0.6, 0.8], [3.0, 4.0], [0.6, 0.8]]), (named.to_dense(), [[3.0, 4.0]] * 3)):
        weight = Parameter(torch.tensor([[3.0, 4.0]]).repeat(3, 1))
        weight.grad = given
        ClippedAdagrad([weight], LR).step()
        torch.testing.assert_close(weight.detach(), torch.tensor(want), rtol=1e-6, atol=0)


def test_what_is_not_a_number_is_not_hidden() -> None:
    weight = Parameter(torch.zeros((3, 2)))
    weight.grad = torch.tensor([[0.0, 0.0], [0.0, math.nan], [0.0, -1.0]])
    ClippedAdagrad([weight], LR).step()
    assert weight.isnan().any(1).tolist() == [False, True, False]


def test_a_gradient_that_is_sparse_in_both_dimensions() -> None:
    mine, theirs = table(), table()
    mine.grad = gradient(40, 0).to_dense().to_sparse()
    theirs.grad = gradient(40, 0).to_dense()
    for weight in (mine, theirs):
        ClippedAdagrad([weight], LR).step()
    assert_same(mine.detach(), theirs.detach())


@pytest.mark.parametrize("dtype", [torch.float32, *NARROW], ids=str)
def test_goes_on_from_a_saved_state(dtype: torch.dtype) -> None:
    through, stopped = [table(dtype), table(dtype, 20)], [table(dtype), table(dtype, 20)]
    train(ClippedAdagrad(through, LR, seed=SEED), range(9))
    first = ClippedAdagrad(stopped, LR, seed=SEED)
    train(first, range(4))
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    assert set(saved["state"][0]) == {"sum", "step"}
    for _ in range(2):  # what was loaded once is still there
        resumed = [Parameter(weight.detach().clone()) for weight in stopped]
        optimizer = ClippedAdagrad(resumed, 0.5)
        optimizer.load_state_dict(saved)
        train(optimizer, range(4, 9))
        for got, want in zip(resumed, through, strict=True):
            assert_same(got.detach(), want.detach())


def test_groups_schedulers_and_tables_without_a_gradient() -> None:
    """A group's own numbers count, and the rate of the moment."""
    first, second, idle = table(), table(), table()
    optimizer = ClippedAdagrad([{"params": [idle]}, {"params": [first], "max_norm": 0.5}], torch.tensor(LR))
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    optimizer.add_param_group({"params": second, "lr": 0.3, "eps": 1.0})
    for step in range(3):
        first.grad, second.grad = gradient(40, step), gradient(40, step)
        optimizer.step()
        scheduler.step()
    for got, lr, eps, max_norm in ((first, LR, 1e-10, 0.5), (second, 0.3, 1.0, 1.0)):
        want, state = table().detach(), torch.zeros((40, 33))
        for step in range(3):
            entries = gradient(40, step)
            rate = (float(torch.tensor(lr)) if got is first else lr) * 0.5**step
            reference.adagrad_clip_(want, state, entries._indices()[0], entries._values(), rate, eps, max_norm)
        assert_same(got.detach(), want)
    assert_same(idle.detach(), table().detach())
    assert idle not in optimizer.state


def test_a_closure_gives_the_gradient_and_the_loss() -> None:
    weight = table()
    optimizer = ClippedAdagrad([weight], LR)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = weight[3].square().sum()
        loss.backward()
        return loss

    losses = [optimizer.step(closure).item() for _ in range(3)]
    assert losses[0] == table()[3].square().sum().item()
    assert losses == sorted(losses, reverse=True)
    assert losses[2] < losses[0]


def test_without_the_kernels_the_reference_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    mine, theirs = table(), table()
    train(ClippedAdagrad([mine], LR), range(2))
    monkeypatch.setattr(backend, "has_extension", lambda: False)
    monkeypatch.setattr(ops, "adagrad_clip_", None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        train(ClippedAdagrad([theirs], LR), range(2))
    assert_same(mine.detach(), theirs.detach())


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"lr": -0.1}, "lr is -0.1; it must be finite and not negative"),
        ({"lr": math.inf}, "lr is inf"),
        ({"eps": 0.0}, "eps is 0; it must be positive"),
        ({"max_norm": 0.0}, "max_norm is 0; it must be positive"),
        ({"max_norm": math.nan}, "max_norm is nan"),
        ({"initial_accumulator_value": -1.0}, "initial_accumulator_value is -1; it must be finite and not negative"),
        ({"seed": 2**32}, r"seed is 4294967296; it must lie in 0 to 2\*\*32 - 1, take it % 2\*\*32"),
    ],
)
def test_numbers_out_of_range(numbers: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ClippedAdagrad([table()], **{"lr": LR, **numbers})


def test_other_parameters_need_another_optimizer() -> None:
    """A group that is refused is not there."""
    remedy = "it must have 2 dimensions and be .* torch.optim.Adagrad, beside this one"
    optimizer = ClippedAdagrad([table()], LR)
    for other in (torch.zeros(3), torch.zeros((2, 3, 4)), torch.zeros((2, 3), dtype=torch.float64)):
        with pytest.raises(ValueError, match=remedy) as raised:
            optimizer.add_param_group({"params": [table(), Parameter(other)]})
        assert f"params[1] has shape {list(other.shape)} and type {other.dtype}" in str(raised.value)
    assert len(optimizer.param_groups) == 1
    with pytest.raises(ValueError, match=r"params\['bias'\] has shape \[2\]"):
        ClippedAdagrad(torch.nn.Linear(3, 2).named_parameters(), LR)
