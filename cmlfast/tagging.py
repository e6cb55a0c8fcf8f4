"""Joins likes and tags, two files that name items (or users) by their ids, into what `CML.fit` takes."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from scipy import sparse

from cmlfast.ids import Ids
from cmlfast.interactions import Interactions

Kind = Literal["item", "user"]
KINDS: tuple[Kind, ...] = get_args(Kind)


def ids_of(likes: Interactions, kind: Kind) -> Ids:
    """Return the ids of the items, or of the users."""
    return likes.item_ids if kind == "item" else likes.user_ids


def join(likes: Interactions, tags: Interactions, kind: Kind) -> tuple[Interactions, sparse.csr_matrix]:
    """Return likes of all items, those included that have tags alone, and the tags in the order of these items.

    Parameters
    ----------
    likes : Interactions of users and items
        An item of it without tags gets an empty row.
    tags : Interactions of items and tags
        Its items that are not in ``likes`` come last, liked by nobody; features are what places them.
    kind : {"item", "user"}
        Whose tags they are; with "user", all of this holds for users, who come last if they like nothing.

    Returns
    -------
    likes : Interactions of shape (n_users, n_items)
    features : csr_matrix of shape (n_items, n_tags)

    Raises
    ------
    ValueError
        If no item is in both: they are then likely to be named differently.
    """
    row = dict(zip(tags.user_ids.tolist(), range(tags.n_users), strict=True))
    liked = ids_of(likes, kind).tolist()
    if row.keys().isdisjoint(liked):
        raise ValueError(
            f"no {kind} has both likes and tags: {kind}s are called {liked[0]!r} in the likes and "
            f"{tags.user_ids[0]!r} in the tags; give them the same ids"
        )
    known = set(liked)
    everyone = np.array([*liked, *(one for one in row if one not in known)], dtype=ids_of(likes, kind).dtype)
    user_ids, item_ids = (likes.user_ids, everyone) if kind == "item" else (everyone, likes.item_ids)
    padded = tags.matrix.copy()
    padded.resize(tags.n_users + 1, tags.n_items)  # the last row is of those without tags
    grown = likes.matrix.copy()
    grown.resize(len(user_ids), len(item_ids))
    wider = Interactions(grown, user_ids, item_ids)
    wider.n_duplicates, wider.n_dropped = likes.n_duplicates, likes.n_dropped
    return wider, padded[[row.get(one, tags.n_users) for one in everyone.tolist()]]
