"""What an epoch visits, and in which batches."""

import numpy as np
import pytest
import torch
from scipy import sparse

from cmlfast import ops, reference
from cmlfast.training.pairs import Pairs, sizes_of, stable_order
from cmlfast.training.words import ROW, WORD, draw_words

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def train() -> sparse.csr_matrix:
    return sparse.random(300, 400, 0.1, format="csr", rng=np.random.default_rng(0))


def batches_of(pairs, seed, epoch, balance, n_batches):
    """Return users and items of each batch."""
    *visited, sizes = pairs.visited(seed, epoch, balance, n_batches)
    return list(zip(*(ids.split(sizes) for ids in visited), strict=True))


@pytest.mark.parametrize("n_batches", [1, 7, 120, 12_000])
def test_every_pair_comes_once_in_batches_of_one_size(train, n_batches) -> None:
    pairs = Pairs.of(train, train, CPU, ops)
    batches = batches_of(pairs, 3, 5, None, n_batches)
    assert len(batches) == n_batches
    sizes = {len(users) for users, _ in batches}
    assert max(sizes) - min(sizes) <= 1
    users, items = (torch.cat(column).numpy() for column in zip(*batches, strict=True))
    seen = sparse.coo_matrix((np.ones(len(users)), (users, items)), shape=train.shape).tocsr()
    assert (seen != (train > 0)).nnz == 0


@pytest.mark.parametrize("balance", [None, 4.0])
def test_order_is_a_function_of_seed_and_epoch_on_both_backends(train, balance) -> None:
    pairs, twin = (Pairs.of(train, train, CPU, kernels) for kernels in (ops, reference))
    order = pairs.order(3, 5, balance, 7)[0]
    for other in (pairs.order(3, 5, balance, 7)[0], twin.order(3, 5, balance, 7)[0]):
        assert torch.equal(order, other)
    for seed, epoch in ((3, 6), (4, 5), (3, 5 + 2**32)):
        assert not torch.equal(order, pairs.order(seed, epoch, balance, 7)[0])


def test_pairs_meet_as_often_as_chance_has_it(train) -> None:
    """Over epochs, in how many a pair is in the same batch as its neighbour, and in which batch a pair is.

    Not for the first and last pairs: where stretches differ in size, those are who comes a batch early, or late.
    """
    pairs, n_batches, epochs = Pairs.of(train, train, CPU, ops), 6, 200
    batch_of = torch.repeat_interleave(torch.arange(n_batches), torch.tensor(sizes_of(len(pairs), n_batches)))
    places = torch.stack(
        [
            torch.empty_like(batch_of).scatter_(0, pairs.order(1, epoch, None, n_batches)[0], batch_of)
            for epoch in range(epochs)
        ]
    )  # [epochs, N]
    places = places[:, len(pairs) // 10 : -len(pairs) // 10]
    # Standard errors over `epochs` draws of each of 9,600 pairs: 4.9 of them are passed by chance in 0.9% of runs.
    share, deviation = 1 / n_batches, (1 / n_batches * (1 - 1 / n_batches) / epochs) ** 0.5
    for batch in range(n_batches):
        assert ((places == batch).double().mean(0) - share).abs().max() < 4.9 * deviation
    assert ((places[:, 1:] == places[:, :-1]).double().mean(0) - share).abs().max() < 4.9 * deviation


def test_repeats_come_in_other_batches(train) -> None:
    """But for the few where batches of one size cut stretches of different sizes."""
    pairs = Pairs.of(train, train, CPU, ops)
    n_batches, met = 6, 0
    for epoch in range(20):
        for users, items in batches_of(pairs, 2, epoch, 0.5, n_batches):
            keys = users.long() * train.shape[1] + items
            met += len(keys) - len(keys.unique())
    repeated = sum(
        len(order) - len(order.unique()) for order in (pairs.order(2, epoch, 0.5, 6)[0] for epoch in range(20))
    )
    assert repeated > 1000
    assert met < 0.05 * repeated


@pytest.mark.parametrize("balance", [None, 0.5])
def test_users_of_a_batch_are_read_in_their_order(train, balance) -> None:
    pairs = Pairs.of(train, train, CPU, ops)
    for users, _ in batches_of(pairs, 0, 0, balance, 9):
        assert (users.diff() >= 0).all()


def test_users_without_pairs_have_no_weight_at_any_balance(train) -> None:
    with_empty = sparse.vstack([train[:5] * 0, train, train[:2] * 0]).tocsr()
    with_empty.eliminate_zeros()
    alone, among = (Pairs.of(one, one, CPU, ops) for one in (train, with_empty))
    assert (np.diff(with_empty.indptr) == 0).sum() >= 7
    for balance in (0.0, 4.0):
        order, sizes = among.order(3, 5, balance, 7)
        assert torch.equal(order, alone.order(3, 5, balance, 7)[0])
        assert sum(sizes) == train.nnz


@pytest.mark.parametrize("n_levels", [1, 300, 70_000])
def test_stable_order(n_levels) -> None:
    levels = torch.randint(n_levels, (5000,), generator=torch.Generator().manual_seed(0))
    assert torch.equal(stable_order(levels, n_levels), torch.sort(levels, stable=True).indices)


def test_words_are_a_function_of_their_numbers() -> None:
    whole = draw_words(ops, 0, 1000, 9, 4, CPU)
    assert whole.min() >= 0
    assert whole.max() < WORD
    for first, n in ((0, 1), (63, 2), (64, 64), (70, 500), (999, 1), (5, 0)):
        assert torch.equal(draw_words(ops, first, n, 9, 4, CPU), whole[first : first + n])
    assert len(draw_words(ops, 2**32, ROW, 9, 4, CPU)) == ROW


def test_sizes_are_those_of_tensor_split_wherever_some_batches_begin() -> None:
    """So that several steps in a call cut their pairs where single steps do."""
    for n, n_batches in ((100, 13), (13, 13), (5, 7), (26, 13)):
        sizes = sizes_of(n, n_batches)
        assert sum(sizes) == n
        for first in range(n_batches):
            for stop in range(first + 1, n_batches + 1):
                own = sizes[first:stop]
                assert [len(part) for part in torch.arange(sum(own)).tensor_split(stop - first)] == own
