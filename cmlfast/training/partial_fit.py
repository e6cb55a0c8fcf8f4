"""One epoch more, from where a fitted model stands, on new likes, with room for new users and items."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from cmlfast.data.csr import Counts, likes_of_items
from cmlfast.data.ids import Ids
from cmlfast.data.interactions import Interactions
from cmlfast.data.sides import Kind, Sides
from cmlfast.data.times import last_seen
from cmlfast.features.encoder import place_new
from cmlfast.features.rows import Features
from cmlfast.features.tags import rows_of
from cmlfast.training.course import Record
from cmlfast.training.fit import checked_pairs, skipped
from cmlfast.training.fitted import Fitted, Times
from cmlfast.training.loop import check_finite, run_epoch
from cmlfast.training.loss import Step
from cmlfast.training.pairs import Pairs
from cmlfast.training.schedule import Schedule
from cmlfast.training.settings import Settings
from cmlfast.training.side_information import JointTables
from cmlfast.training.step import choose_step
from cmlfast.training.tables import Tables, copied, new_tables


def partial_fit(
    fitted: Fitted,
    new: Interactions,
    liked: Interactions,
    features: Sides[Any],
    settings: Settings,
    kernels: ModuleType,
    device: torch.device,
    *,
    freeze_items: bool,
    keep_pairs: bool,
) -> Fitted:
    """Train one epoch on new likes.

    Parameters
    ----------
    fitted : Fitted
        Where to go on from; it stays as it is.
    new, liked : Interactions
        The new likes, and these together with what the model kept: of all users and items, the model's first.
    features : Sides
        Of new users and items, as ``CML.partial_fit`` takes them; None for none.
    settings, kernels, device
        As :func:`cmlfast.training.fit.fit` takes them.
    freeze_items : bool
        Leave items where they are.
    keep_pairs : bool
        Keep the training matrix, if the model has one.

    Raises
    ------
    ValueError
        If new items would be frozen at random places, there is nothing to learn from, or features do not fit.
    """
    grown, described = grown_tables(
        fitted.tables, new, features, fitted.tag_ids, fitted.networks, fitted.typical_lengths, settings, device
    )
    n_known = fitted.known.n_items
    n_new = new.n_items - n_known
    if freeze_items and n_new and features.item is None:
        raise ValueError(
            f"freeze_items is True, but user_items has {n_new} new items, which would stay at random places; give "
            "item_features to place them, or let items move"
        )
    history, pairs = fitted.history, None
    if new.nnz or (features.item is None and features.user is None):
        items = liked_items(liked, grown) if fitted.by_features else np.arange(liked.n_items)
        pairs = checked_pairs(new.matrix[:, items], liked.matrix[:, items], device, kernels)
        step = choose_step(kernels, settings, with_features=False, freeze_items=freeze_items)
        history = [*history, one_epoch(step, grown, items, pairs, settings, len(history))]
    counts = likes_of_items(liked.matrix)
    if freeze_items:
        counts[:n_known] = fitted.item_likes  # more likes would move the points at which items are searched
    else:
        # What was counted before need not be among the pairs: they were not kept, or their users were dropped. What is
        # among the pairs need not have been counted: items were frozen.
        added = counts[:n_known] - likes_of_items(fitted.known.matrix)
        counts[:n_known] = np.maximum(counts[:n_known], fitted.item_likes + added)
    placed = Sides(
        _placed(fitted.placed.user, described.user, np.diff(new.matrix.indptr)),
        _placed(fitted.placed.item, described.item, likes_of_items(new.matrix)),
    )
    grown.user[torch.from_numpy(~placed.user).to(device)] = 0
    keep = keep_pairs and fitted.has_pairs  # else there is but a part of the matrix
    return replace(
        fitted,
        tables=grown,
        known=liked,
        has_pairs=keep,
        item_likes=counts,
        placed=placed,
        last_seen=_last_seen(fitted, new),
        settings=settings,
        history=history,
        skipped=skipped(new, pairs),
    )


def _last_seen(fitted: Fitted, new: Interactions) -> Sides[Times | None]:
    """Return when all users, and items, were last seen."""
    now = last_seen(new.times, new.matrix)
    both: list[Times | None] = []
    for before, after, size in zip(fitted.last_seen, now or (None, None), new.shape, strict=True):
        if before is None and after is None:
            both.append(None)
            continue
        latest = np.full(size, np.nan)
        for some in (before, after):
            if some is not None:
                latest[: len(some)] = np.fmax(latest[: len(some)], some)
        both.append(latest)
    return Sides(*both)


def grown_tables(
    old: Tables,
    new: Interactions,
    features: Sides[Any],
    tag_ids: Sides[Ids | None],
    networks: Sides[nn.Module | None],
    lengths: Sides[Tensor],
    settings: Settings,
    device: torch.device,
) -> tuple[Tables, Sides[npt.NDArray[np.bool_]]]:
    """Return tables for all users and items of ``new``, the old rows first, and which new ones have features, [n_new].

    Parameters
    ----------
    old : Tables
        Of the model.
    new : Interactions
        With the model's users and items first.
    features, tag_ids, networks : Sides
        What was given for them, the names of its columns, and what places new rows by it. Without features they are
        random.
    lengths : Sides of Tensor
        How far from the centre trained rows are.
    """
    if new.shape == (len(old.user), len(old.item)):
        grown = Tables(*(copied(table, device) for table in old.all()))
    else:
        grown = new_tables(*new.shape, settings, device)
        for before, after in zip(old.all(), grown.all(), strict=True):
            after[: len(before)] = before
    both: tuple[tuple[Kind, Ids, Tensor, int], ...] = (
        ("user", new.user_ids, grown.user, len(old.user)),
        ("item", new.item_ids, grown.item, len(old.item)),
    )
    described = {
        "user": np.zeros(new.n_users - len(old.user), bool),
        "item": np.zeros(new.n_items - len(old.item), bool),
    }
    for kind, ids, table, n_old in both:
        if features[kind] is not None:
            name = f"{kind}_features"
            fresh = rows_of(features[kind], ids[n_old:], tag_ids[kind], name)
            if fresh is features[kind]:  # with a row for every one, the old ones too
                whole = Features.of(fresh, len(ids), name, device)
                fresh = Features(whole.take(torch.arange(n_old, len(ids), device=device)))
            rows = fresh if isinstance(fresh, Features) else Features.of(fresh, None, name, device)
            table[n_old:] = place_new(rows, networks[kind], lengths[kind].to(device), kind).to(table.dtype)
            described[kind] = rows.described().cpu().numpy()
    return grown, Sides(**described)


def _placed(before: npt.NDArray[np.bool_], described: npt.NDArray[np.bool_], n_likes: Counts) -> npt.NDArray[np.bool_]:
    """Tell of whom something is known: from before [n_old], by features [n_new], by likes [n_old + n_new]."""
    known: npt.NDArray[np.bool_] = np.concatenate((before, described)) | (n_likes > 0)
    return known


def liked_items(liked: Interactions, tables: Tables) -> npt.NDArray[np.integer]:
    """Return the items that anybody likes or once liked: as in fit, others that a network placed are no negatives.

    Those that were liked once show it by their accumulators, also where the matrix was not kept.
    """
    trained = tables.item_state.any(1).cpu().numpy()
    return np.union1d(liked.matrix.indices, np.flatnonzero(trained))


def one_epoch(
    step: Step,
    tables: Tables,
    items: npt.NDArray[np.integer],
    pairs: Pairs,
    settings: Settings,
    epoch: int,
) -> Record:
    """Train an epoch with the last margin; ``pairs`` count items by their place in ``items``. Return what was seen."""
    if len(items) == len(tables.item):  # all of them, in their order: no copy of what may be large
        part = JointTables(*tables.all())
    else:
        places = torch.from_numpy(items.astype(np.int64)).to(tables.item.device)
        part = JointTables(tables.user, tables.item[places], tables.user_state, tables.item_state[places])
    settings = replace(settings, loss=settings.loss.at_end())
    # The epoch's number, and so its draws, were not used before.
    record = run_epoch(step, part, pairs, settings, epoch, Schedule(0.0, 1.0))
    check_finite(record, settings, part)
    if part.item is not tables.item:
        tables.item[places], tables.item_state[places] = part.item, part.item_state
    return record
