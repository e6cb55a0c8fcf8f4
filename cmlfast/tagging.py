"""Joins likes and items' tags, two files that name items by their ids, into what `CML.fit` takes."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from cmlfast.interactions import Interactions


def join(likes: Interactions, tags: Interactions) -> tuple[Interactions, sparse.csr_matrix]:
    """Return likes of all items, those included that have tags alone, and the tags in the order of these items.

    Parameters
    ----------
    likes : Interactions of users and items
        An item of it without tags gets an empty row.
    tags : Interactions of items and tags
        Its items that are not in ``likes`` come last, liked by nobody; features are what places them.

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
    liked = likes.item_ids.tolist()
    if row.keys().isdisjoint(liked):
        raise ValueError(
            f"no item has both likes and tags: items are called {liked[0]!r} in the likes and "
            f"{tags.user_ids[0]!r} in the tags; give them the same ids"
        )
    known = set(liked)
    item_ids = np.array([*liked, *(one for one in row if one not in known)], dtype=likes.item_ids.dtype)
    padded = tags.matrix.copy()
    padded.resize(tags.n_users + 1, tags.n_items)  # the last row is of those without tags
    grown = likes.matrix.copy()
    grown.resize(likes.n_users, len(item_ids))
    wider = Interactions(grown, likes.user_ids, item_ids)
    wider.n_duplicates, wider.n_dropped = likes.n_duplicates, likes.n_dropped
    return wider, padded[[row.get(one, tags.n_users) for one in item_ids.tolist()]]
