"""What the pairs of a rank ask of users, which are here, and of items, which may be with others: a function a loss."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple

import torch
from torch import Tensor

from cmlfast.distributed.items import Items, Message
from cmlfast.ops.arithmetic import widen
from cmlfast.ops.autograd import active_pairs
from cmlfast.training.loss import Totals
from cmlfast.training.pairs import Batch, Pairs
from cmlfast.training.settings import Settings
from cmlfast.training.softmax import Softmax, shared_negatives
from cmlfast.training.tables import Tables
from cmlfast.training.warp import Warp


class Asked(NamedTuple):
    """What a batch asks."""

    totals: Totals
    users: Tensor  # [P], rows here
    by_user: Tensor  # [P, r]
    message: Message


def of_warp(kernels: ModuleType, tables: Tables, items: Items, pairs: Pairs, batch: Batch, settings: Settings) -> Asked:
    """Return what the hinge asks: rows of users go to where the items are, which make gradients of them there.

    A gradient is ``factor * (item - user)``, of which a user's row serves all its entries. Entries are not summed up
    before they are sent, so that sums have the order, and the bits, that they have in one process.
    """
    loss: Warp = settings.loss  # type: ignore[assignment]
    n_items, u = pairs.n_items, loss.n_negatives
    negatives = kernels.sample_negatives(
        pairs.indptr, pairs.indices, batch.users, batch.items, n_items, u, settings.seed, batch.offset, pairs.first_user
    )  # [N, U]
    # Who likes every item has no negative; any item stands for it until its pair is left out.
    named = torch.cat((batch.items[:, None], negatives.clamp_min(0)), 1)  # [N, 1 + U]
    table, places = items.fetch(tables.item, named)
    places = places.to(batch.users.dtype)
    positives, drawn = places[:, 0].contiguous(), torch.where(negatives < 0, negatives, places[:, 1:])
    hinge, hardest, impostors = kernels.warp_hinge(
        tables.user, table, batch.users, positives, drawn, loss.margin.at(batch.progress), n_items, loss.rank_weight,
    )  # fmt: skip
    active, factors = active_pairs(tables.user, hardest, impostors, u, n_items, loss.rank_weight, "sqeuclidean")  # [P]
    users, near, far = (ids[active].long() for ids in (batch.users, positives, hardest))
    by_user = factors[:, None] * (widen(table[far]) - widen(table[near]))
    distinct, slots = users.unique(return_inverse=True)
    # The item's own number: of the hardest negative, by where it was among those that were drawn.
    place = (drawn[active] == hardest[active][:, None]).int().argmax(1)
    pair_items = torch.stack((batch.items[active].long(), negatives[active, place].long()), 1)  # [P, 2]
    message = Message(
        tables.user.index_select(0, distinct),
        slots.repeat_interleave(2),
        pair_items.flatten(),
        torch.stack((factors, -factors), 1).flatten(),
    )
    totals = hinge.double().sum(), impostors.sum(), hinge.new_tensor(len(active))
    return Asked(totals, users, by_user, message)


def of_softmax(
    kernels: ModuleType, tables: Tables, items: Items, pairs: Pairs, batch: Batch, settings: Settings
) -> Asked:
    """Return what the softmax asks: sums of its gradients, for each distinct positive and for each shared negative."""
    loss: Softmax = settings.loss  # type: ignore[assignment]
    n, device = len(batch.items), tables.item.device
    negatives = shared_negatives(kernels, pairs.n_items, loss.n_negatives, settings.seed, batch.step).to(device)  # [S]
    table, places = items.fetch(tables.item, torch.cat((batch.items.long(), negatives)))
    total, by_user, by_item = loss.row_gradients(kernels, tables.user, table, batch.users, places.to(batch.users.dtype))
    by_positive, by_negative = by_item.tensor_split((n,))
    distinct, place = batch.items.long().unique(return_inverse=True)
    sums = torch.zeros((len(distinct), by_positive.shape[1]), dtype=torch.float32, device=device)
    sums.index_add_(0, place, by_positive)
    ids = torch.arange(len(distinct), device=device)
    message = Message(sums, ids, distinct, sums.new_ones(len(distinct)), by_negative.contiguous(), negatives)
    return Asked((total,), batch.users, by_user, message)


Ask = Callable[[ModuleType, Tables, Items, Pairs, Batch, Settings], Asked]
ASKS: dict[type[Any], Ask] = {Warp: of_warp, Softmax: of_softmax}


def gradients_of(loss: Any, got: Message, table: Tensor) -> tuple[Tensor, Tensor]:
    """Return which rows of a table of items entries ask, [E], and what of them, [E, r].

    Of the hinge a user's row is what was sent, of the softmax the gradient.
    """
    rows = got.rows.index_select(0, got.slots)
    if isinstance(loss, Warp):
        return got.items, got.factors[:, None] * (widen(table.index_select(0, got.items)) - widen(rows))
    if got.shared is None or got.shared_items is None:
        return got.items, rows
    return torch.cat((got.items, got.shared_items)), torch.cat((rows, got.shared))
