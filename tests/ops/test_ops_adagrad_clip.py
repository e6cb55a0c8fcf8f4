"""adagrad_clip_ on every backend: the reference's tables and accumulators, and what a step must and must not do."""

from contextlib import nullcontext
from functools import lru_cache

import pytest
import torch
from backends import REFERENCE, Backend
from batches import DIMENSIONS, ID_TYPES, assert_same, strided
from torch import Tensor

N_ROWS = 50
NUMBERS = ((0.1, 1e-10, 1.0), (0.7, 1e-3, 0.7), (0.01, 1.0, 1e9), (1.0, 1e-10, 1e-3), (0.0, 1e-10, 1.1))


def step_input(
    r: int, dtype: torch.dtype = torch.int64, kind: str = "mixed", rowwise: bool = False
) -> tuple[Tensor, ...]:
    """Return weight, state, rows, grads; more occurrences of some rows than two runs hold."""
    generator = torch.Generator().manual_seed(r)
    n = min(max(16384 // r, 300), 2000)  # three threads share the sums
    rows = torch.randint(N_ROWS // 2, (n,), generator=generator) * 2  # odd rows are not named
    if kind == "mixed":
        rows[torch.randperm(n, generator=generator)[:140]] = 6
    else:
        rows[:] = 6
    weight = torch.randn((N_ROWS, r), generator=generator) * r**-0.5
    state = torch.rand((N_ROWS, r), generator=generator)
    state = state[:, :1].clone() if rowwise else state
    return weight, state, rows.to(dtype), torch.randn((n, r), generator=generator)


def after(backend: Backend, given: tuple[Tensor, ...], *numbers: float) -> tuple[Tensor, Tensor]:
    """Return the table and accumulator after a step; the given ones stay."""
    weight, state = given[0].clone(), given[1].clone()
    assert backend.run("adagrad_clip_", weight, state, *given[2:], *numbers) is None
    return weight, state


@lru_cache
def wanted(r: int, kind: str, numbers: tuple[float, ...], rowwise: bool = False) -> tuple[Tensor, Tensor]:
    return after(REFERENCE, step_input(r, kind=kind, rowwise=rowwise), *numbers)


def assert_both(got: tuple[Tensor, Tensor], want: tuple[Tensor, Tensor], what: str = "") -> None:
    assert_same(got[1], want[1], f"accumulator {what}")
    assert_same(got[0], want[0], f"table {what}")


@pytest.mark.parametrize("r", DIMENSIONS)
def test_equals_reference(kernel: Backend, r: int) -> None:
    for dtype in ID_TYPES:
        given = step_input(r, dtype)
        for numbers in NUMBERS if dtype == torch.int64 else NUMBERS[:2]:
            assert_both(after(kernel, given, *numbers), wanted(r, "mixed", numbers), f"{dtype} {numbers}")


@pytest.mark.parametrize("r", DIMENSIONS)
def test_one_accumulator_for_a_row_equals_reference(kernel: Backend, r: int) -> None:
    for dtype in ID_TYPES:
        given = step_input(r, dtype, rowwise=True)
        for numbers in NUMBERS if dtype == torch.int64 else NUMBERS[:2]:
            assert_both(after(kernel, given, *numbers), wanted(r, "mixed", numbers, True), f"{dtype} {numbers}")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("r", [3, 33, 100])
def test_numbers_may_be_tensors(backend: Backend, r: int, dtype: torch.dtype) -> None:
    """Both, or one of them: the reference's bits by plain numbers."""
    weight, *rest = step_input(r)
    given = (weight.to(dtype), *rest)
    for lr, offset in ((0.1, 7), (0.0, 2**40 + 3), (2.5, 0)):
        want = after(REFERENCE, given, lr, 1e-10, 1.0, True, 5, offset)
        for numbers in (
            (torch.tensor(lr), torch.tensor(offset)), (torch.tensor(lr), offset), (lr, torch.tensor(offset)),
            (torch.tensor([9.0, lr])[1], torch.tensor([4, offset])[1]),
            (torch.tensor(lr).double(), torch.tensor(offset)),
        ):  # fmt: skip
            got = after(backend, given, numbers[0], 1e-10, 1.0, True, 5, numbers[1])
            assert_both(got, want, f"{numbers}")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("rowwise", [False, True], ids=["", "rowwise"])
@pytest.mark.parametrize("r", [33, 300])
def test_with_tensors_a_wrong_row_changes_nothing(
    implementation: Backend, r: int, rowwise: bool, dtype: torch.dtype
) -> None:
    weight, state, rows, grads = step_input(r, rowwise=rowwise)
    for row in (-1, N_ROWS, 2**31, -(2**40)):
        for at in (0, 150, -1):
            wrong = rows.clone()
            wrong[at] = row
            given = (weight.to(dtype), state, wrong, grads)
            assert_nothing_changes(implementation, given, 0.1, IndexError, f"rows holds {row} at")


@pytest.mark.parametrize("lr", [-0.1, float("nan"), float("inf")])
def test_with_tensors_a_wrong_rate_changes_nothing(implementation: Backend, lr: float) -> None:
    assert_nothing_changes(implementation, step_input(33), lr, ValueError, f"lr is {lr:g}")


def assert_nothing_changes(
    backend: Backend, given: tuple[Tensor, ...], lr: float, error: type[Exception], message: str
) -> None:
    """Assert that; and that it is said where the host waits."""
    weight, state = given[0].clone(), given[1].clone()
    raises = pytest.raises(error, match=message) if backend.steps_raise else nullcontext()
    with raises:
        backend.run("adagrad_clip_", weight, state, *given[2:], torch.tensor(lr), offset=torch.tensor(0))
    assert_both((weight, state), (given[0], given[1]))


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"lr": torch.tensor([0.1])}, r"lr has shape \[1\]; it must have 0"),
        ({"lr": 0.1, "offset": torch.tensor([3])}, r"offset has shape \[1\]; it must have 0"),
        ({"lr": torch.tensor(0.1), "offset": torch.tensor(3.0)}, "offset must be int64"),
        ({"lr": -0.1, "offset": torch.tensor(3)}, "lr is -0.1; it must be finite and not negative"),
        ({"lr": 1e39, "offset": torch.tensor(3)}, r"lr is 1e\+39; it must be finite and not negative"),
    ],
)
def test_tensors_that_are_no_numbers(implementation: Backend, numbers: dict, message: str) -> None:
    weight, state, *rest = step_input(3)
    with pytest.raises(ValueError, match=message):
        implementation.run("adagrad_clip_", weight, state, *rest, **numbers)


def test_a_rate_that_the_step_would_write_over(implementation: Backend) -> None:
    weight, state, *rest = step_input(3)
    if implementation.device != "cpu":
        pytest.skip("what is moved to a device is no view there")
    with pytest.raises(ValueError, match="weight and lr share memory"):
        implementation.run("adagrad_clip_", weight, state, *rest, weight[0, 0])


@pytest.mark.parametrize("rowwise", [False, True], ids=["", "rowwise"])
@pytest.mark.parametrize("r", [1, 33, 300])
def test_one_row_named_by_all(kernel: Backend, r: int, rowwise: bool) -> None:
    for n in (1, 63, 64, 65, 127, 128, 129, 192, 193, 300):
        weight, state, rows, grads = step_input(r, kind="one row", rowwise=rowwise)
        given = (weight, state, rows[:n], grads[:n])
        want = after(REFERENCE, given, *NUMBERS[0])
        assert_both(after(kernel, given, *NUMBERS[0]), want, f"{n} occurrences")


@pytest.mark.parametrize("rowwise", [False, True], ids=["", "rowwise"])
@pytest.mark.parametrize("r", [3, 100])
def test_changes_tables_with_gaps_between_elements(backend: Backend, r: int, rowwise: bool) -> None:
    given = step_input(r, torch.int32, rowwise=rowwise)
    want = wanted(r, "mixed", NUMBERS[1], rowwise)
    layouts = {"gaps": strided, "columns": lambda tensor: tensor.t().contiguous().t()}
    for name, layout in layouts.items():
        weight, state = layout(given[0]), layout(given[1])
        storage = weight.untyped_storage().data_ptr()
        backend.run("adagrad_clip_", weight, state, strided(given[2]), layout(given[3]), *NUMBERS[1])
        assert not weight.is_contiguous()
        assert weight.untyped_storage().data_ptr() == storage
        assert_both((weight, state), want, name)


def test_one_table_may_have_gaps_and_the_other_none(backend: Backend) -> None:
    given = step_input(33)
    want = wanted(33, "mixed", NUMBERS[0])
    for spread in (0, 1):
        tables = [strided(table) if at == spread else table.clone() for at, table in enumerate(given[:2])]
        backend.run("adagrad_clip_", *tables, *given[2:], *NUMBERS[0])
        assert_both((tables[0], tables[1]), want, f"gaps in {spread}")


def test_a_slice_of_a_larger_table(backend: Backend) -> None:
    """The rows around it stay."""
    given = step_input(33)
    whole = torch.full((N_ROWS + 2, 33), 5.0)
    whole[1:-1] = given[0]
    state = given[1].clone()
    backend.run("adagrad_clip_", whole[1:-1], state, *given[2:], *NUMBERS[0])
    assert_both((whole[1:-1], state), wanted(33, "mixed", NUMBERS[0]))
    assert (whole[[0, -1]] == 5).all()


def test_defaults(backend: Backend) -> None:
    assert_both(after(backend, step_input(32), 0.1), wanted(32, "mixed", (0.1, 1e-10, 1.0)))


@pytest.mark.parametrize("dtype", ID_TYPES, ids=str)
def test_no_rows(backend: Backend, dtype: torch.dtype) -> None:
    given = step_input(5)
    empty = (*given[:2], torch.zeros(0, dtype=dtype), torch.zeros((0, 5)))
    assert_both(after(backend, empty, 0.1), given[:2])
    nothing = torch.zeros((0, 5))
    assert_both(after(backend, (nothing, nothing, *empty[2:]), 0.1), (nothing, nothing))


def test_rows_that_are_not_named_stay(backend: Backend) -> None:
    """Also where they lie outside the ball or hold NaN."""
    given = step_input(33)
    given[0][1], given[0][3], given[1][5] = 100.0, float("nan"), float("inf")
    weight, state = after(backend, given, *NUMBERS[0])
    assert_same(weight[1::2].contiguous(), given[0][1::2].contiguous())
    assert_same(state[1::2].contiguous(), given[1][1::2].contiguous())
    assert (weight[::2] != given[0][::2]).any(1).all()


def test_named_rows_end_in_the_ball(backend: Backend) -> None:
    """A row on its boundary or inside is not scaled; clip after the update, not before."""
    given = step_input(100)
    weight, _ = after(backend, given, 0.5, 1e-10, 0.7)
    assert weight[::2].double().norm(dim=1).max() <= 0.7 * (1 + 4e-7)  # the root, the quotient and the product
    row = torch.tensor([[3.0, 4.0], [0.0, 0.0]])
    for max_norm, want in ((5.0, [3.0, 4.0]), (10.0, [3.0, 4.0]), (2.5, [1.5, 2.0])):
        table, state = row.clone(), torch.ones((2, 2))
        backend.run("adagrad_clip_", table, state, torch.tensor([0]), torch.zeros((1, 2)), 0.1, 1e-10, max_norm)
        assert table.tolist() == [want, [0.0, 0.0]]


def test_a_first_step_divides_by_eps(backend: Backend) -> None:
    """With an empty accumulator an element without gradient stays, and eps keeps 0 / 0 away."""
    weight, state = torch.zeros((1, 3)), torch.zeros((1, 3))
    grads = torch.tensor([[0.0, 2.0, -0.5]])
    backend.run("adagrad_clip_", weight, state, torch.tensor([0]), grads, 0.25)
    assert weight.tolist() == [[0.0, -0.25, 0.25]]
    assert state.tolist() == [[0.0, 4.0, 0.25]]


def test_one_accumulator_of_a_row_grows_by_the_mean_of_the_squares(backend: Backend) -> None:
    """The direction is the gradient's, and the first step of any row is as long as those of all its elements are."""
    weight, state = torch.zeros((2, 4)), torch.zeros((2, 1))
    grads = torch.tensor([[1.0, 0.0, 1.0, -2.0], [2.0, 2.0, 0.0, 0.0]])  # summed: 3, 2, 1, -2
    backend.run("adagrad_clip_", weight, state, torch.tensor([1, 1]), grads, 0.25, 1e-10, 9.0)
    assert state.tolist() == [[0.0], [4.5]]
    assert_same(weight[1], -(0.25 * torch.tensor([3.0, 2.0, 1.0, -2.0])) / torch.tensor(4.5).sqrt())
    assert not weight[0].any()
    assert float(weight[1].double().norm()) == pytest.approx(0.25 * 2, rel=1e-6)
    state[1] = 11.5
    backend.run("adagrad_clip_", weight.zero_(), state, torch.tensor([1, 1]), grads, 0.25, 1e-10, 0.125)
    assert state.tolist() == [[0.0], [16.0]]
    assert float(weight[1].double().norm()) == pytest.approx(0.125, rel=1e-6)


@pytest.mark.parametrize("rowwise", [False, True], ids=["", "rowwise"])
def test_broken_numbers_give_the_reference_results(kernel: Backend, rowwise: bool) -> None:
    given = step_input(33, rowwise=rowwise)
    weight, state, rows, grads = (tensor.clone() for tensor in given)
    weight[0, 5], weight[2, 0], state[4, -1] = float("nan"), float("inf"), float("inf")
    grads[rows == 8] = 1e38  # the sum overflows
    grads[(rows == 10).nonzero()[0, 0], 32] = float("nan")
    weight[12] = 1e30  # its norm overflows
    state[14, -1] = -1e9  # no square root
    grads[rows == 16] = 1e-30  # squares underflow
    broken = (weight, state, rows, grads)
    assert_both(after(kernel, broken, *NUMBERS[0]), after(REFERENCE, broken, *NUMBERS[0]))


@lru_cache
def rows_of_several_bytes(n_rows: int) -> tuple[tuple[Tensor, ...], tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(n_rows)
    rows = torch.tensor([0, 1, 255, 256, 257, 511, 512, 65279, 65535, 65536, 65537, 65792, 70000])
    rows = rows[rows < n_rows].repeat(70)
    rows = rows[torch.randperm(len(rows), generator=generator)]
    tables = torch.rand((n_rows, 2), generator=generator), torch.ones((n_rows, 2))
    given = (*tables, rows, torch.randn((len(rows), 2), generator=generator))
    return given, after(REFERENCE, given, 0.1)


@pytest.mark.parametrize("n_rows", [256, 257, 65536, 70001])
def test_ids_of_several_bytes(kernel: Backend, n_rows: int) -> None:
    """Rows whose ids differ in any one byte are different rows."""
    given, want = rows_of_several_bytes(n_rows)
    assert_both(after(kernel, given, 0.1), want)
