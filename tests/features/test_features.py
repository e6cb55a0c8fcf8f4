"""Features and the network on them: whatever they come as, the same rows; errors by name; sparse as dense."""

import numpy as np
import pytest
import torch
from scipy import sparse
from torch import Tensor, nn

from cmlfast.features.network import SCALE, FeatureMLP, _SparseTimesDense
from cmlfast.features.rows import Features

CPU = torch.device("cpu")
# Two duplicates that make 3, an empty row, a negative number.
COO = sparse.coo_matrix(([1, 2, -4, 5], ([0, 0, 1, 3], [2, 2, 0, 1])), shape=(4, 3))
DENSE = torch.tensor([[0.0, 0, 3], [-4, 0, 0], [0, 0, 0], [0, 5, 0]])


def torch_coo(dtype: torch.dtype) -> Tensor:
    places = torch.tensor(np.stack((COO.row, COO.col)), dtype=torch.int64)
    return torch.sparse_coo_tensor(places, torch.tensor(COO.data, dtype=dtype), COO.shape, check_invariants=True)


FORMS = {
    "coo": COO,
    "csr": sparse.csr_matrix((COO.data, COO.col, [0, 2, 3, 3, 4]), shape=COO.shape),  # duplicates and all
    "csc": COO.tocsc(),
    "csr_array": sparse.csr_array(COO),
    "coo_array of bytes": sparse.coo_array(COO.astype(np.int8)),
    "torch coo": torch_coo(torch.float32),
    "torch coo of integers": torch_coo(torch.int64),
    "torch csr": DENSE.double().to_sparse_csr(),
    "torch csc": DENSE.to_sparse_csc(),
    "array": DENSE.numpy(),
    "array of integers": DENSE.numpy().astype(np.int64),
    "columns first": np.asfortranarray(DENSE.double().numpy()),
    "tensor": DENSE,
    "tensor of halves": DENSE.half(),
    "tensor with a gradient": DENSE.clone().requires_grad_(),
}


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_the_same_features(form: str) -> None:
    given = FORMS[form]
    features = Features.of(given, 4, "item_features", CPU)
    is_sparse = sparse.issparse(given) or (isinstance(given, Tensor) and given.layout != torch.strided)
    assert features.rows.layout == (torch.sparse_csr if is_sparse else torch.strided)
    assert features.rows.dtype == torch.float32
    assert not features.rows.requires_grad
    assert (len(features), features.n_columns) == (4, 3)
    assert torch.equal(features.rows.to_dense(), DENSE)
    for places in ([3, 0, 0, 2, 1], [2], [2, 2], []):
        taken = features.take(torch.tensor(places, dtype=torch.int64))
        assert taken.layout == features.rows.layout
        assert torch.equal(taken.to_dense(), DENSE[places])


def test_what_the_caller_gave_is_left_alone() -> None:
    matrix = sparse.csr_matrix(
        (np.ones(3, np.float32), np.array([2, 1, 2], np.int32), np.array([0, 3], np.int32)), shape=(1, 3)
    )
    parts = (matrix.data, matrix.indices, matrix.indptr)
    before = [part.copy() for part in parts]
    assert Features.of(matrix, 1, "f", CPU).rows.to_dense().tolist() == [[0, 1, 2]]
    for part, old in zip(parts, before, strict=True):
        assert np.array_equal(part, old)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ([[1.0]], TypeError, "item_features is a list; give a SciPy sparse matrix, a NumPy array"),
        (None, TypeError, "item_features is a NoneType; give"),
        (np.ones(4), ValueError, r"item_features has shape \(4,\); it must have 4 rows"),
        (sparse.coo_array(np.ones(4)), ValueError, r"item_features has shape \(4,\); it must have 4 rows"),
        (torch.ones(4, 2, 2), ValueError, r"item_features has shape \(4, 2, 2\)"),
        (np.ones((3, 2)), ValueError, r"item_features has shape \(3, 2\); it must have 4 rows and at least one column"),
        (np.ones((4, 0)), ValueError, r"item_features has shape \(4, 0\); .* at least one column"),
        (np.full((4, 1), np.nan), ValueError, "item_features contains nan; replace"),
        (torch.full((4, 1), 1e39, dtype=torch.float64), ValueError, "item_features contains inf; replace"),
        (COO * np.float64("-inf"), ValueError, "item_features contains -inf; replace"),
        (np.full((4, 1), "x"), TypeError, "item_features of type <U1 does not become rows of numbers.*convert it"),
        (np.full((4, 1), 1j), TypeError, "item_features has values of type complex128; give real numbers"),
        (COO * 1j, TypeError, "item_features has values of type complex128; give real numbers"),
        (torch.ones(4, 1) * 1j, TypeError, "item_features has values of type torch.complex64; give real"),
        (torch.eye(4).to_sparse_bsr((2, 2)), TypeError, "item_features of type torch.sparse_bsr does not.*convert it"),
    ],
)
def test_errors_name_the_argument_its_value_and_the_remedy(given, error, message) -> None:
    with pytest.raises(error, match=message):
        Features.of(given, 4, "item_features", CPU)


def random_rows(n: int = 40, d: int = 30) -> Features:
    rows = sparse.random(n, d, 0.1, format="lil", rng=np.random.default_rng(3))
    rows[[0, 7, n - 1]] = 0  # empty at both ends and within
    return Features.of(rows, n, "features", CPU)


def test_the_product_of_sparse_rows_and_its_gradient() -> None:
    csr = random_rows().rows
    weight = torch.randn((30, 5), generator=torch.Generator().manual_seed(0)).requires_grad_()
    wide = weight.detach().double().requires_grad_()
    above = torch.randn((40, 5), generator=torch.Generator().manual_seed(1))
    product = _SparseTimesDense.apply(csr, weight)
    product.backward(above)
    wanted = csr.to_dense().double() @ wide
    wanted.backward(above.double())
    # 6.6e-7 measured over 100 seeds, times 4.
    torch.testing.assert_close(product.double(), wanted, atol=2.6e-6, rtol=0)
    torch.testing.assert_close(weight.grad.double(), wide.grad, atol=2.6e-6, rtol=0)


def test_the_network_places_sparse_rows_as_dense_ones_and_as_it_says() -> None:
    csr, network = random_rows().rows, FeatureMLP(30, 6, seed=1)
    sparse_way, dense_way = network(csr), network(csr.to_dense())
    assert sparse_way.shape == (40, 6)
    wide = csr.to_dense().double()
    length = wide.norm(dim=1, keepdim=True)
    hidden = torch.where(length > 0, wide / length, 0) @ network.weight.double() + network.bias.double()
    wanted = SCALE * (hidden.clamp_min(0) @ network.output.weight.double().T + network.output.bias.double())
    for placed in (sparse_way, dense_way):
        # 4.9e-8 measured over 100 seeds, times 4.
        torch.testing.assert_close(placed.double(), wanted, atol=2e-7, rtol=0)
    grads = []
    for placed in (sparse_way, dense_way):
        network.zero_grad()
        placed.square().sum().backward()
        grads.append([parameter.grad.clone() for parameter in network.parameters()])
    for one, other in zip(*grads, strict=True):
        torch.testing.assert_close(one, other)


def test_the_length_of_a_row_does_not_matter_but_if_it_is_next_to_nothing() -> None:
    network = FeatureMLP(2, 4)
    for row in ([3.0, 4.0], [3e-9, 4e-9], [3e15, 4e15]):
        torch.testing.assert_close(network(torch.tensor([row])), network(torch.tensor([[0.6, 0.8]])))
        torch.testing.assert_close(network(torch.tensor([row]).to_sparse_csr()), network(torch.tensor([[0.6, 0.8]])))
    for row in ([0.0, 0.0], [1e-30, 1e-25], [1e-42, 0.0]):
        both = network(torch.tensor([row])), network(torch.tensor([row]).to_sparse_csr())
        torch.testing.assert_close(*both)
        torch.testing.assert_close(both[0], network(torch.zeros(1, 2)))


def test_a_network_is_a_function_of_its_seed_and_leaves_torchs_generator_alone() -> None:
    state = torch.random.get_rng_state()
    one, same, other = (FeatureMLP(5, 3, seed=seed) for seed in (4, 4, 5))
    assert torch.equal(torch.random.get_rng_state(), state)
    x = torch.eye(5)
    assert torch.equal(one(x), same(x))
    assert not torch.equal(one(x), other(x))


def test_dropout_acts_in_training_alone() -> None:
    network, x = FeatureMLP(5, 3, dropout=0.5), torch.eye(5)
    assert not torch.equal(network.train()(x), network(x))
    assert torch.equal(network.eval()(x), FeatureMLP(5, 3).eval()(x))
    assert isinstance(network.dropout, nn.Dropout)


@pytest.mark.parametrize("rows", [torch.ones(2, 7), torch.ones(2, 7).to_sparse_csr()])
def test_another_number_of_columns_is_told(rows: Tensor) -> None:
    with pytest.raises(ValueError, match="features has 7 columns, but this network was made for 5; give the same"):
        FeatureMLP(5, 3)(rows)


@pytest.mark.parametrize(("n_rows", "hinted"), [(None, True), (1, True), (4, False)])
def test_a_single_row_without_its_dimension_is_told_the_remedy(n_rows: int | None, hinted: bool) -> None:
    with pytest.raises(ValueError, match=r"has shape \(5,\); it must have .* column") as caught:
        Features.of(np.ones(5), n_rows, "user_features", CPU)
    assert str(caught.value).endswith("for a single row, reshape(1, -1)") == hinted
