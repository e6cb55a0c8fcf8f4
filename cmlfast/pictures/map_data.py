"""What a map shows: where everything is, what is near to an item, what a user likes, gets recommended, and why."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse
from torch import Tensor

from cmlfast.data.align import positions
from cmlfast.data.csr import Counts
from cmlfast.data.interactions import Interactions
from cmlfast.data.sides import Sides
from cmlfast.pictures.item_columns import Colouring
from cmlfast.pictures.projection import NEIGHBOURS, Near, Places, Rows, neighbours, of_features, project

NEAREST = 10  # items listed with an item
RECOMMENDED = 10  # items listed with a user
REASONS = 2  # liked items listed with a recommendation


@dataclass(frozen=True)
class Learned:
    """What a map is drawn of.

    Attributes
    ----------
    known : Interactions of shape (I, J)
        Ids, and who likes what.
    has_likes : bool
        Whether that is known.
    item_likes : ndarray of shape (J,)
        How many likes each item has.
    tables : Sides of Tensor
        Shapes [I, r] and [J, r]; NaN where nothing is known.
    near : callable
        Finds the nearest rows of a table, see :data:`cmlfast.pictures.projection.Near`.
    recommend : callable
        From rows of users [Q] and a number n to rows of items [Q, n] and scores, -1 and -inf behind short ones.
    reasons : callable
        From rows of users [Q], rows of items [Q, n] and a number k to rows of the liked items nearest to each,
        [Q, n, k], -1 behind short ones.
    """

    known: Interactions
    has_likes: bool
    item_likes: Counts
    tables: Sides[Tensor]
    near: Near
    recommend: Callable[[npt.NDArray[np.int64], int], tuple[Any, Any]]
    reasons: Callable[[npt.NDArray[np.int64], Any, int], Any]


@dataclass(frozen=True)
class People:
    """The users of a map.

    Attributes
    ----------
    names : list of str
        Their ids, [m].
    liked : csr_matrix of shape (m, J)
        What they like.
    recommended : ndarray of shape (m, 10), int32
        Rows of items, -1 where there are no more.
    reasons : ndarray of shape (m, 10, 2), int32
        For each recommendation the liked items nearest to it, -1 where there are no more.
    """

    names: list[str]
    liked: sparse.csr_matrix
    recommended: Rows
    reasons: Rows


@dataclass(frozen=True)
class MapData:
    """A map.

    Attributes
    ----------
    ids, titles : list of str
        Of the items, [J].
    likes : ndarray of shape (J,)
        How many likes each item has.
    colouring : Numbers or Categories
        Of the items.
    places : ndarray of shape (J + m, 2), float32
        Of the items, then of the users; NaN where nothing is known.
    feature_places : ndarray of shape (J, 2), float32, or None
        Of the items by their features alone.
    nearest, distances : ndarray of shape (J, 10), int32 and float32
        The items nearest to each in the learned space, -1 where there are no more, and how far they are.
    people : People or None
    """

    ids: list[str]
    titles: list[str]
    likes: Counts
    colouring: Colouring
    places: Places
    feature_places: Places | None
    nearest: Rows
    distances: Places
    people: People | None


def chosen_users(users: Any, learned: Learned, seed: int) -> npt.NDArray[np.int64]:
    """Return the rows of the users to show.

    Parameters
    ----------
    users : None, "all", int or ids
        As :meth:`cmlfast.CML.plot` takes them.
    learned : Learned
    seed : int
        Of the choice of some.

    Raises
    ------
    ValueError
        If it is none of these; if what users like was not kept; if nothing is known of one of them.
    KeyError, IndexError
        For users whom the model does not know.
    """
    if users is None:
        return np.empty(0, dtype=np.int64)
    if not learned.has_likes:
        raise ValueError(
            f"users is {users!r}, but the training matrix was not kept with the model, so that nobody's likes can be "
            "shown; leave users out, or fit with keep_user_items=True"
        )
    placed = np.flatnonzero(~learned.tables.user.isnan().any(1).cpu().numpy())
    if isinstance(users, str) and users == "all":
        return placed
    if isinstance(users, int | np.integer) and not isinstance(users, bool):
        if users < 1:
            raise ValueError(f"users is {users}; give at least 1, a list of ids, 'all' or None")
        some = np.random.default_rng(seed).permutation(len(placed))[:users]
        return np.sort(placed[some])
    if isinstance(users, str | bool) or not hasattr(users, "__len__"):
        raise ValueError(f"users is {users!r}; give how many, a list of ids, 'all' or None")
    rows = positions(users, learned.known, "user", "users")
    if len(np.unique(rows)) < len(rows):
        raise ValueError("users names somebody twice; name everybody once")
    lost = np.setdiff1d(rows, placed)
    if len(lost):
        raise ValueError(f"users has {learned.known.user_ids[lost[0]]!r}, of whom nothing is known; leave them out")
    return rows


def map_data(
    learned: Learned, titles: list[str], colouring: Colouring, users: npt.NDArray[np.int64], features: Tensor | None,
    seed: int,
) -> MapData:  # fmt: skip
    """Place items and users, and find what is near to whom.

    Parameters
    ----------
    learned : Learned
    titles, colouring
        Of the items, [J].
    users : ndarray of shape (m,)
        Rows of the users to show.
    features : Tensor of shape (J, d), optional
        The items' features.
    seed : int
        Of the t-SNE.
    """
    items = learned.tables.item
    everything = torch.cat((items, learned.tables.user[torch.from_numpy(users).to(items.device)]))
    nearest, distances = neighbours(everything, learned.near, NEIGHBOURS, "items and users" if len(users) else "items")
    places = project(everything, nearest, distances, seed)
    by_features = None
    if features is not None:
        points = of_features(features, seed).to(items.device)
        points[items.isnan().any(1)] = torch.nan  # both views have the same items
        by_features = project(points, *neighbours(points, learned.near, NEIGHBOURS, "items with features"), seed)
    if len(users):  # who are among those neighbours
        nearest, distances = neighbours(items, learned.near, NEAREST, "items")
    ids = [str(one) for one in learned.known.item_ids.tolist()]
    people = _people(learned, users) if len(users) else None
    return MapData(
        ids,
        titles,
        learned.item_likes,
        colouring,
        places,
        by_features,
        nearest[:, :NEAREST],
        distances[:, :NEAREST],
        people,
    )


def _people(learned: Learned, users: npt.NDArray[np.int64]) -> People:
    liked = learned.known.matrix[users]
    recommended = np.full((len(users), RECOMMENDED), -1, dtype=np.int32)
    found, _ = learned.recommend(users, RECOMMENDED)
    recommended[:, : found.shape[1]] = found
    names = [str(one) for one in learned.known.user_ids[users].tolist()]
    return People(names, liked, recommended, learned.reasons(users, recommended, REASONS))
