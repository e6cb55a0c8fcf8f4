"""The reference against an oracle in plain Python and float64: draws, losses, gradients, whole steps, rankings.

Rounding may flip a decision (which negative is nearest, whether a hinge is above 0), so pairs within a band of a
decision are left out of comparisons, and their share is asserted to be small. A tolerance is the largest error measured
over the test's own cases times 4.
"""

from functools import lru_cache
from typing import Any

import numpy as np
import oracle
import pytest
import torch
from backends import REFERENCE
from batches import Batch, assert_same, make_batch
from torch import Tensor

from cmlfast import reference
from cmlfast.ops import arithmetic

N_ITEMS, U, SEED, OFFSET = 90, 20, 2**40 + 17, 3
METRICS = ("sqeuclidean", "dot")
TYPES = (torch.float64, torch.float32)
DIMENSIONS = (1, 3, 33, 100)
# Largest error measured, times 4, in units of the tables' rounding: of losses, of gradients and of a step's rows.
LOSS, GRADIENT, STEP = 4 * 7.4, 4 * 13.9, 4 * 13.5
BAND = 100  # in the same units


def unit(dtype: torch.dtype) -> float:
    return torch.finfo(dtype).eps


def likes(batch: Batch, user: int) -> set[int]:
    return set(batch.indices[batch.indptr[user] : batch.indptr[user + 1]].tolist())


def evaluated(batch: Batch, margin: float, rank_weight: bool, metric: str) -> list[tuple[int, int, oracle.Pair]]:
    """Return each pair's ids and what the oracle makes of it."""
    users, items = batch.user_w.double().numpy(), batch.item_w.double().numpy()
    result = []
    for i, j in zip(batch.users.tolist(), batch.positives.tolist(), strict=True):
        negatives = oracle.draw(likes(batch, i), i, j, N_ITEMS, U, SEED, OFFSET)
        result.append((i, j, oracle.pair(users[i], items, j, negatives, margin, N_ITEMS, rank_weight, metric)))
    return result


@lru_cache
def _decided(r: int, dtype: torch.dtype, rank_weight: bool, metric: str) -> tuple[Batch, Any]:
    """Return a batch without the pairs whose decisions rounding may flip, and the oracle's results."""
    batch = make_batch(r, 150, n_items=N_ITEMS)
    for name in ("user_w", "item_w", "user_state", "item_state"):
        setattr(batch, name, getattr(batch, name).to(dtype))
    pairs = evaluated(batch, 0.4, rank_weight, metric)
    safe = [result.safety > BAND * unit(dtype) for *_, result in pairs]
    assert sum(safe) >= 0.9 * len(safe)
    batch.users, batch.positives = batch.users[safe], batch.positives[safe]
    return batch, [each for each, good in zip(pairs, safe, strict=True) if good]


def decided(r: int, dtype: torch.dtype, rank_weight: bool, metric: str) -> tuple[Batch, Any]:
    batch, pairs = _decided(r, dtype, rank_weight, metric)
    return batch.clone(), pairs


def close(got: Tensor, want: Any, units: float) -> None:
    """Assert |got - want| <= units x the type's rounding x max(1, |want|)."""
    want = torch.as_tensor(np.asarray(want, dtype=np.float64))
    error = ((got.double() - want).abs() / want.abs().clamp(min=1)).max() / unit(got.dtype)
    assert error <= units, f"off by {float(error):.1f} units of rounding, {units} are allowed"


KNOWN = (
    ((0, 0), (0, 0, 0, 0), "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ((2**32 - 1,) * 2, (2**32 - 1,) * 4, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    (
        (0xA4093822, 0x299F31D0),
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        "d16cfe09 94fdcceb 5001e420 24126ea1",
    ),
)


@pytest.mark.parametrize(("key", "counter", "words"), KNOWN)
def test_philox_gives_the_published_words(key: tuple[int, int], counter: Any, words: str) -> None:
    """Known answers of Random123 (kat_vectors, philox4x32 with 10 rounds)."""
    want = [int(word, 16) for word in words.split()]
    assert oracle.philox(key, counter) == want
    got = arithmetic.philox(key[0] | key[1] << 32, tuple(torch.tensor(word) for word in counter))
    assert got.tolist() == want


@pytest.mark.parametrize(("seed", "offset"), [(0, 0), (SEED, OFFSET), (-1, -1), (2**63 - 1, 2**32 - 1)])
@pytest.mark.parametrize("n_negatives", [1, 4, 5, 20])
def test_draws_from_the_list_of_other_items(seed: int, offset: int, n_negatives: int) -> None:
    batch = make_batch(1, 120, n_items=N_ITEMS)
    got = reference.sample_negatives(*batch.sampling, N_ITEMS, n_negatives, seed, offset)
    for i, j, row in zip(batch.users.tolist(), batch.positives.tolist(), got.tolist(), strict=True):
        assert row == oracle.draw(likes(batch, i), i, j, N_ITEMS, n_negatives, seed, offset)


@pytest.mark.parametrize("r", DIMENSIONS)
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_loss_and_gradients(r: int, metric: str, dtype: torch.dtype) -> None:
    for rank_weight in (True, False):
        batch, pairs = decided(r, dtype, rank_weight, metric)
        tables = [table.requires_grad_() for table in batch.tables[:2]]
        tail = (U, 0.4, SEED, OFFSET, rank_weight, metric)
        loss, hardest, impostors = reference.warp_hinge_sampled(*tables, *batch.sampling, *tail)
        assert hardest.tolist() == [result.hardest for *_, result in pairs]
        assert impostors.tolist() == [result.impostors for *_, result in pairs]
        close(loss.detach(), [result.loss for *_, result in pairs], LOSS)

        above = torch.linspace(-1, 1, len(pairs), dtype=dtype)
        loss.backward(above)
        numbers = [table.detach().double().numpy() for table in tables]
        for table, rows in zip(tables, oracle.gradients(*numbers, pairs, metric, above.tolist()), strict=True):
            want = np.zeros(table.shape)
            for row, grad in rows.items():
                want[row] = grad
            close(table.grad, want, GRADIENT)


@pytest.mark.parametrize("r", DIMENSIONS)
@pytest.mark.parametrize("dtype", TYPES, ids=str)
@pytest.mark.parametrize("max_norm", [1.0, 0.7])
@pytest.mark.parametrize("rowwise", [False, True], ids=["", "rowwise"])
def test_a_whole_step(r: int, dtype: torch.dtype, max_norm: float, rowwise: bool) -> None:
    for rank_weight in (True, False):
        batch, pairs = decided(r, dtype, rank_weight, "sqeuclidean")
        batch = batch.rowwise() if rowwise else batch
        tables = [table.double().numpy().copy() for table in batch.tables]
        by_user, by_item = oracle.gradients(*tables[:2], pairs, "sqeuclidean", [1.0] * len(pairs))
        oracle.adagrad_clip(tables[0], tables[2], by_user, 0.1, 1e-6, max_norm)
        oracle.adagrad_clip(tables[1], tables[3], by_item, 0.1, 1e-6, max_norm)
        optimizer = (0.1, 1e-6, max_norm)
        got = reference.cml_step_(*batch.tables, *batch.sampling, U, 0.4, *optimizer, rank_weight, SEED, OFFSET)
        for mine, want in zip(batch.tables, tables, strict=True):
            close(mine, want, STEP)
        assert float(got[0]) == pytest.approx(sum(result.loss for *_, result in pairs), rel=LOSS * unit(dtype))
        assert int(got[1]) == sum(result.impostors for *_, result in pairs)
        assert int(got[2]) == sum(result.impostors > 0 for *_, result in pairs)


@pytest.mark.parametrize("metric", METRICS)
def test_ranking(metric: str) -> None:
    batch = make_batch(33, 0, n_users=20, n_items=N_ITEMS)
    queries, items = batch.user_w.double(), batch.item_w.double()
    items[7] = items[50]  # a tie
    assert (reference.topk(queries[:1], items, 40, batch.indptr[:2], batch.indices, metric)[0] == -1).all()
    ids, values = reference.topk(queries, items, 40, batch.indptr, batch.indices, metric)
    for query in range(1, 20):  # user 0 has seen everything
        left = [item for item in range(N_ITEMS) if item not in likes(batch, query)]
        far = {item: oracle.distance(queries[query].numpy(), items[item].numpy(), metric) for item in left}
        far[7] = far.get(50, far.get(7, 0.0))
        best = sorted(left, key=lambda item: (far[item], item))[:40]
        assert ids[query].tolist() == best + [-1] * (40 - len(best))
        sign = -1 if metric == "dot" else 1
        close(values[query, : len(best)], [sign * far[item] for item in best], LOSS)


def test_both_types_of_tables_are_one_function() -> None:
    """What float32 rounds is float64's result, so the reference's float64 path is no other model."""
    batch = make_batch(33, 100, n_items=N_ITEMS)
    tail = (U, 0.4, SEED, OFFSET)
    wide = REFERENCE.run("warp_hinge_sampled", *(table.double() for table in batch.tables[:2]), *batch.sampling, *tail)
    narrow = REFERENCE.run("warp_hinge_sampled", *batch.tables[:2], *batch.sampling, *tail)
    assert_same(narrow[1], wide[1])
    close(narrow[0], wide[0].numpy(), LOSS)
