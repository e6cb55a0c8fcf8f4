"""From likes to what was fitted: the order of everything in a training from scratch."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse
from torch import nn

from cmlfast.data.csr import Counts, likes_of_items
from cmlfast.data.ids import Ids
from cmlfast.data.interactions import Interactions
from cmlfast.data.sides import Sides
from cmlfast.data.times import last_seen
from cmlfast.features.rows import Features
from cmlfast.training.checkpoint import Checkpoints
from cmlfast.training.course import Record
from cmlfast.training.fitted import Fitted
from cmlfast.training.interrupts import Interrupts
from cmlfast.training.loop import fit_tables
from cmlfast.training.pairs import Pairs
from cmlfast.training.settings import Settings
from cmlfast.training.side_information import JointTables, Side
from cmlfast.training.step import choose_step
from cmlfast.training.tables import Tables, new_tables

NOTHING: Sides[Any] = Sides(None, None)


def fit(
    train: Interactions,
    features: Sides[Features | None],
    tag_ids: Sides[Ids | None],
    networks: Sides[nn.Module | None],
    settings: Settings,
    kernels: ModuleType,
    device: torch.device,
    *,
    keep_pairs: bool,
    score: Callable[[Tables], float] | None,
    show_progress: bool | None,
    callback: Callable[[Record], Any] | None,
    checkpoints: Checkpoints | None,
    interrupts: Interrupts,
) -> Fitted | None:
    """Train from scratch, or go on from a checkpoint.

    Parameters
    ----------
    train : Interactions
        All users and items, those that features alone name included.
    features : Sides of Features or None
        A row for each user, or item.
    tag_ids : Sides of ndarray or None
        The names of the features' columns.
    networks : Sides of nn.Module or None
        As ``CML`` takes them.
    settings : Settings
    kernels : module
        Where the operators are.
    device : torch.device
    keep_pairs : bool
        Keep the training matrix.
    score : callable, optional
        The recall of tables of all users and items on held-out likes, by which training stops.
    show_progress, callback
        As ``CML.fit`` takes them.
    checkpoints : Checkpoints, optional
        Where to go on from, and to write to.
    interrupts : Interrupts
        What ends the training before its time.

    Returns
    -------
    Fitted or None
        None where it was interrupted before there was an epoch.
    """
    likes = train.matrix
    item_likes, user_likes = likes_of_items(likes), np.diff(likes.indptr)
    users = Side.of(features.user, user_likes, networks.user, settings, "user")
    items = Side.of(features.item, item_likes, networks.item, settings, "item")
    if users:
        likes = likes[users.taking_part.cpu().numpy()]
    if items:
        likes = likes[:, items.taking_part.cpu().numpy()]
    pairs = checked_pairs(likes, likes, device, kernels)
    tables = JointTables(*new_tables(likes.shape[0], likes.shape[1], settings, device).all(), users, items)
    tables.start(settings)
    step = choose_step(kernels, settings, with_features=users is not None or items is not None)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(settings.seed)  # for networks that draw, as dropout does
        tables, history = fit_tables(
            step, tables, pairs, settings, score and (lambda joint: score(joint.whole())), show_progress, callback,
            checkpoints, interrupts,
        )  # fmt: skip
    if not history:
        return None
    learned = Learned(tables.whole(), history, skipped(train, pairs))
    networks = Sides(*(side.encoder.network.eval() if side else None for side in tables.sides()))
    return as_fitted(learned, train, settings, keep_pairs, features, tag_ids, networks)


class Learned(NamedTuple):
    """What a training found."""

    tables: Tables  # of all users and items
    history: list[Record]
    skipped: dict[str, int]


def as_fitted(
    learned: Learned,
    train: Interactions,
    settings: Settings,
    keep_pairs: bool,
    features: Sides[Features | None] = NOTHING,
    tag_ids: Sides[Ids | None] = NOTHING,
    networks: Sides[nn.Module | None] = NOTHING,
) -> Fitted:
    """Return all that a model keeps of a training; change the tables where nothing was learned."""
    item_likes, user_likes = likes_of_items(train.matrix), np.diff(train.matrix.indptr)
    placed = Sides(_placed(user_likes, features.user), _placed(item_likes, features.item))
    users = learned.tables.user
    # Who likes nothing is in the middle: as near to anybody as to others.
    users[torch.from_numpy(~placed.user).to(users.device)] = 0
    return Fitted(
        tables=learned.tables,
        known=train,
        has_pairs=keep_pairs,
        item_likes=item_likes,
        settings=settings,
        history=learned.history,
        skipped=learned.skipped,
        networks=networks,
        tag_ids=tag_ids,
        placed=placed,
        by_features=features.item is not None,
        last_seen=Sides(*(last_seen(train.times, train.matrix) or (None, None))),
    )


def _placed(n_likes: Counts, features: Features | None) -> npt.NDArray[np.bool_]:
    """Tell of which users, or items, something is known: likes, or features."""
    liked: npt.NDArray[np.bool_] = n_likes > 0
    return liked if features is None else liked | features.described().cpu().numpy()


def checked_pairs(new: sparse.csr_matrix, liked: sparse.csr_matrix, device: torch.device, kernels: ModuleType) -> Pairs:
    """Return the pairs to train on, or raise ``ValueError`` if there is nothing to learn from them."""
    check_some(new)
    pairs = Pairs.of(new, liked, device, kernels)
    check_learnable(pairs)
    return pairs


def check_learnable(pairs: Pairs) -> None:
    """Raise ``ValueError`` if no pair has an item that may be its negative."""
    if pairs.n_without_negatives == len(pairs):
        raise ValueError(
            "every user of user_items likes every item that anybody likes, so that nobody has an item to keep at a "
            "distance; give more users' likes, or items that not all of them like"
        )


def check_some(likes: sparse.csr_matrix) -> None:
    """Raise ``ValueError`` if there is nothing to learn from."""
    if likes.nnz == 0:
        raise ValueError("user_items has no interactions; there is nothing to learn from")


def skipped(train: Interactions, pairs: Pairs | None) -> dict[str, int]:
    """Count what is not trained on."""
    return {
        "duplicate_pairs": train.n_duplicates,
        "dropped_values": train.n_dropped,
        "pairs_without_negatives": pairs.n_without_negatives if pairs else 0,
    }
