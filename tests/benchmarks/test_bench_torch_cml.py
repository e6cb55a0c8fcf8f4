"""The benchmarks' peer in plain torch computes what the reference computes: else it would be no peer."""

from functools import partial
from typing import Any

import pytest
import torch
from batches import Batch, make_batch

from benchmarks.kit import torch_cml, torch_compiled
from cmlfast import reference
from cmlfast.ops.arithmetic import rank_weights

N_NEGATIVES, MARGIN, LR, EPS, MAX_NORM, SEED, OFFSET = 7, 0.5, 0.1, 1e-10, 1.0, 3, 1
# Some eight times the largest difference seen (5e-7, 7e-7, 5e-4, 1.2e-3); states reach 2,000. The loss: 3e-8 seen.
TOLERANCE = {"user_w": 5e-6, "item_w": 5e-6, "user_state": 4e-3, "item_state": 1e-2}


# "compiled" is what torch.compile gets, not compiled: that the compiler keeps it is torch's own matter.
PARTS: dict[str, dict[str, Any]] = {
    "expansion": {},
    "differences": {"scan": partial(torch_cml.scan, distance=torch_cml.by_differences)},
    "compiled": {
        "scan": partial(torch_cml.scan, distance=torch_compiled.gathered),
        "update_": torch_compiled.update_,
    },
}


def with_negatives(batch: Batch) -> Batch:
    """Leave out the users who like every item, whom the peer does not know."""
    kept = batch.indptr.diff()[batch.users.long()] < len(batch.item_w)
    return Batch(*batch.tables, batch.indptr, batch.indices, batch.users[kept], batch.positives[kept])


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32])
@pytest.mark.parametrize("parts", PARTS.values(), ids=PARTS)
def test_a_step_agrees_with_the_reference(parts: dict[str, Any], dtype: torch.dtype) -> None:
    got = with_negatives(make_batch(100, 500, dtype))
    want = got.clone()
    n_items = len(got.item_w)
    negatives = reference.sample_negatives(*got.sampling, n_items, N_NEGATIVES, SEED, OFFSET)
    weights = torch.tensor(rank_weights(n_items, N_NEGATIVES, True))
    counts = torch_cml.step_(
        *got.tables, got.users, got.positives, negatives, MARGIN, LR, EPS, MAX_NORM, weights, **parts
    )
    expected = reference.cml_step_(
        *want.tables, *want.sampling, N_NEGATIVES, MARGIN, LR, EPS, MAX_NORM, True, SEED, OFFSET
    )
    assert 0 < int(expected[2]) < len(got.users), "the case must have pairs with and without a loss"
    assert [int(count) for count in counts[1:]] == [int(count) for count in expected[1:]]
    torch.testing.assert_close(counts[0], expected[0], rtol=3e-7, atol=0)
    for name, tolerance in TOLERANCE.items():
        torch.testing.assert_close(getattr(got, name), getattr(want, name), rtol=0, atol=tolerance, msg=name)
    assert not torch.equal(got.user_w, make_batch(100, 500, dtype).user_w)


def test_negatives_are_uniform_over_the_items_not_liked() -> None:
    liked = [0, 2, 3, 9]
    sampler = torch_cml.Sampler(torch.tensor([0, 0, 4, 5]), torch.tensor([*liked, 4]), 10)
    torch.manual_seed(0)
    n = 60_000
    drawn = sampler.draw(torch.tensor([1]).expand(n), 2)
    assert drawn.shape == (n, 2)
    counts = torch.bincount(drawn.flatten().long(), minlength=10)
    assert not counts[liked].any()
    others = [item for item in range(10) if item not in liked]
    # 20,000 each, of which the deviation is 129: five of them
    assert (counts[others] - 20_000).abs().max() < 5 * 129


def test_a_user_who_likes_every_item_is_refused() -> None:
    with pytest.raises(ValueError, match="likes every item"):
        torch_cml.Sampler(torch.tensor([0, 2]), torch.tensor([0, 1]), 2)


def test_the_nearest_agree_with_the_reference() -> None:
    generator = torch.Generator().manual_seed(0)
    queries, items = (torch.randn(n, 9, generator=generator) for n in (5, 40))
    indptr, indices = torch.tensor([0, 2, 2, 3, 3, 40]), torch.tensor([3, 7, 0, *range(37)])
    rows = torch.repeat_interleave(torch.arange(5), indptr.diff())
    ids, values = torch_compiled.nearest(queries, items, 6, rows, indices)
    want_ids, want_values = reference.topk(queries, items, 6, indptr, indices)
    listed = want_ids >= 0
    assert (~listed).sum() == 3
    assert torch.equal(ids[listed], want_ids[listed])
    # Distances of some 20 by expansion: eight times the largest difference seen (4e-6)
    torch.testing.assert_close(values, want_values, rtol=0, atol=3e-5)


def test_the_nearest_of_some_agree_with_the_reference() -> None:
    generator = torch.Generator().manual_seed(0)
    queries, items = (torch.randn(n, 9, generator=generator) for n in (5, 40))
    found = torch.stack([torch.randperm(40, generator=generator)[:12] for _ in range(5)])
    ids, values = torch_compiled.nearest_among(queries, items, 6, found)
    want_ids, want_values = reference.topk_among(queries, items, 6, found)
    assert torch.equal(ids, want_ids)
    # Sums of nine squares in another order: four times the largest relative difference seen (2e-7)
    torch.testing.assert_close(values, want_values, rtol=8e-7, atol=0)


def test_gradients_are_summed_by_row() -> None:
    rows, grads = torch.tensor([4, 1, 4, 4]), torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [7.0, 8.0]])
    distinct, sums = torch_cml.coalesced(rows, grads)
    assert distinct.tolist() == [1, 4]
    assert sums.tolist() == [[3.0, 4.0], [13.0, 16.0]]
