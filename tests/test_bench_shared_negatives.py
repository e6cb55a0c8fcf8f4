"""The simulation of shared negatives: what blocks share, and that its step is otherwise that of ``cml_step_``."""

import sys
from pathlib import Path

import pytest
import torch
from cmlfast.settings import resolve
from scipy import sparse

from cmlfast import CML, build_info, datasets, ops
from cmlfast.training import Pairs, new_tables

sys.path.insert(0, str(Path(__file__).parents[1]))  # benchmarks/ is not installed
shared_negatives = pytest.importorskip("benchmarks.shared_negatives", reason="implicit is not installed")


def test_blocks_share_their_draws() -> None:
    draws = shared_negatives.shared_draws(10, 4, 3, 1000, seed=0, offset=5)
    assert draws.shape == (10, 3)
    for block in draws.split(4):
        assert (block == block[0]).all()
    assert len(draws.unique()) == 9
    assert not torch.equal(draws, shared_negatives.shared_draws(10, 4, 3, 1000, seed=0, offset=6))


def test_liked_items_are_found() -> None:
    likes = sparse.csr_matrix([[1, 0, 1], [0, 0, 0], [0, 1, 0]])
    indptr, indices = torch.from_numpy(likes.indptr), torch.from_numpy(likes.indices)
    items = torch.tensor([[0, 1, 2]] * 3)
    found = shared_negatives.liked_by(torch.tensor([2, 0, 1]), items, indptr, indices, 3)
    assert found.int().tolist() == [[0, 1, 0], [1, 0, 1], [0, 0, 0]]


@pytest.mark.skipif(not build_info()["extension"], reason=str(build_info()["reason"]))
def test_with_own_draws_the_step_is_that_of_cml_step(monkeypatch) -> None:
    likes = datasets.synthetic(n_users=100, n_items=200, n_pairs=3000, n_groups=8, seed=5).interactions.matrix
    settings = resolve(CML(n_components=16, random_state=0).get_params(), likes.nnz, *likes.shape)
    pairs = Pairs.of(likes, likes, torch.device("cpu"))
    shared, expected = (new_tables(*likes.shape, settings, torch.device("cpu")) for _ in range(2))
    own = ops.sample_negatives(pairs.indptr, pairs.indices, pairs.users, pairs.items, 200, 7, 3, 1)
    monkeypatch.setattr(shared_negatives, "shared_draws", lambda *_, **__: own.long())
    rest = (pairs.indptr, pairs.indices, pairs.users, pairs.items, 7, 1.0, 0.1, 1e-10, 1.0, True, 3, 1)
    found = shared_negatives.shared_step(4, *shared.all(), *rest)
    wanted = ops.cml_step_(*expected.all(), *rest)
    assert [one.item() for one in found[1:]] == [one.item() for one in wanted[1:]]
    assert found[0].item() == pytest.approx(wanted[0].item(), rel=1e-6)
    for one, other in zip(shared.all(), expected.all(), strict=True):
        # Sums in another order; states reach thousands. Not moved, the tables would differ by .1.
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-4)
