"""Who has what: shares of users and of pairs, whatever their number, are together what one process has."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from scipy import sparse

from cmlfast import ops
from cmlfast.distributed.pairs import SharedPairs
from cmlfast.distributed.ranks import as_bytes, of_bytes
from cmlfast.distributed.shares import Shares, by_weight, lengths
from cmlfast.training.pairs import Pairs

CPU = torch.device("cpu")


class TogetherError(Exception):
    """Carries what a rank would say."""


class AskedLater:
    """Ranks that run one after the other: the first time each only tells what it says, then all are answered."""

    def __init__(self, rank: int, said: list[torch.Tensor]) -> None:
        self.rank, self.said = rank, said

    def gather(self, tensor: torch.Tensor) -> torch.Tensor:
        if len(self.said) <= self.rank:
            raise TogetherError(tensor)
        return torch.stack(self.said)


def batches(pairs: Pairs, balance: float | None, n_batches: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    users, items, sizes = pairs.visited(3, 4, balance, n_batches)
    return list(zip(users.split(sizes), items.split(sizes), strict=True))


@pytest.fixture(scope="module")
def train() -> sparse.csr_matrix:
    """Return likes of 60 users, some of whom like nothing, the last one too."""
    rng = np.random.default_rng(0)
    drawn = rng.random((60, 80)) < np.clip(rng.pareto(1.2, 60) / 10, 0, 0.6)[:, None]
    drawn[[0, 1, 30, 59]] = False
    return sparse.csr_matrix(drawn.astype(np.float32))


@pytest.mark.parametrize("balance", [None, 0.5, 30.0])
@pytest.mark.parametrize("n_batches", [1, 5, 40, 300])
@pytest.mark.parametrize("n_ranks", [1, 2, 3, 7, 59, 60])
def test_batches_of_all_ranks_are_those_of_one(train: Any, n_ranks: int, n_batches: int, balance: float | None) -> None:
    whole = batches(Pairs.of(train, train, CPU, ops), balance, n_batches)
    shares, said = Shares.of(train, n_ranks, balance), list[torch.Tensor]()
    parts = []
    for rank in range(n_ranks):
        users = slice(shares.users[rank], shares.users[rank + 1])
        ranks: Any = AskedLater(rank, said)
        parts.append(SharedPairs.of(train, train, CPU, ops, users, ranks=ranks))
        with pytest.raises(TogetherError) as told:
            batches(parts[-1], balance, n_batches)
        said.append(told.value.args[0])
    got = [batches(part, balance, n_batches) for part in parts]
    for batch, (users, items) in enumerate(whole):
        of_ranks = [own[batch] for own in got]
        found = [one + part.first_user for (one, _), part in zip(of_ranks, parts, strict=True)]
        assert torch.equal(torch.cat(found), users)
        assert torch.equal(torch.cat([one for _, one in of_ranks]), items)


@pytest.mark.parametrize("n_ranks", [1, 2, 5, 8])
def test_users_are_dealt_by_weight_and_nobody_goes_without(n_ranks: int) -> None:
    rng = np.random.default_rng(0)
    weights = rng.pareto(1.5, 1000)
    bounds = by_weight(weights, n_ranks)
    assert bounds[0] == 0
    assert bounds[-1] == 1000
    sums = [weights[begin:end].sum() for begin, end in pairwise(bounds)]
    assert max(sums) - weights.sum() / n_ranks <= weights.max()
    for skewed in (np.array([9.0, 0, 0, 0, 0, 0, 0, 0]), np.array([0, 0, 0, 0, 0, 0, 0, 9.0]), np.zeros(8)):
        assert min(lengths(by_weight(skewed, n_ranks))) >= 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int64])
@pytest.mark.parametrize("shape", [(5, 3), (0, 3), (4, 0), (1, 1)])
def test_rows_as_bytes_and_back(shape: tuple[int, int], dtype: torch.dtype) -> None:
    rows = torch.arange(shape[0] * shape[1]).view(shape).to(dtype)
    assert torch.equal(of_bytes(as_bytes(rows), rows), rows)
    padded = as_bytes(rows, 7)
    assert len(padded) == 7
    assert torch.equal(of_bytes(padded[: shape[0]], rows), rows)
    assert of_bytes(padded, rows).shape == (7, shape[1])
