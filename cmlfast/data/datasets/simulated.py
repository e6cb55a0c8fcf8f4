"""Draw interactions that have what real ones have: tastes, popular items, busy users."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import sparse

from cmlfast.data.interactions import Interactions

OWN_TASTE = 0.8  # the share of pairs that come from a user's own group of items, not from all


def draw(n_users: int, n_items: int, n_pairs: int, n_groups: int, seed: int) -> Interactions:
    """Draw pairs of a user and an item.

    Every user and every item belongs to one of the groups. A pair's user is drawn by activity (log-normal),
    its item by popularity (Zipf: the j-th most popular is drawn in proportion to 1 / j), mostly among the
    items of the user's group, else among all. Pairs are drawn until there are enough different ones.

    Parameters
    ----------
    n_users, n_items : int
        The shape.
    n_pairs : int
        How many different pairs; at most a quarter of all.
    n_groups : int
        Tastes.
    seed : int
        Decides everything, together with the other arguments.

    Returns
    -------
    Interactions of shape (n_users, n_items)

    Raises
    ------
    ValueError
        If an argument is not positive, there are more groups than items, or too many pairs.
    """
    for name, number in (
        ("n_users", n_users),
        ("n_items", n_items),
        ("n_pairs", n_pairs),
        ("n_groups", n_groups),
    ):
        if number < 1:
            raise ValueError(f"{name}={number} must be 1 or more")
    if n_groups > n_items:
        raise ValueError(f"n_groups={n_groups} is more than n_items={n_items}: every group needs an item")
    if 4 * n_pairs > n_users * n_items:
        raise ValueError(f"n_pairs={n_pairs} is more than a quarter of {n_users} x {n_items}: ask for fewer")
    rng = np.random.Generator(np.random.PCG64(seed))
    group_of_user = rng.integers(n_groups, size=n_users)
    # Item j is of group j % n_groups, so that each group has as many; popularity is shuffled over the items.
    popularity = rng.permutation(1.0 / np.arange(1, n_items + 1))
    activity = rng.lognormal(size=n_users)
    drawn = np.empty(0, dtype=np.int64)  # user * n_items + item, which tells pairs apart
    while len(drawn) < n_pairs:
        users = _draw_by_weight(rng, activity, n_pairs)
        items = _draw_by_weight(rng, popularity, n_pairs)
        own_taste = rng.random(n_pairs) < OWN_TASTE
        for group in range(n_groups):
            pairs = np.flatnonzero(own_taste & (group_of_user[users] == group))
            items[pairs] = group + n_groups * _draw_by_weight(rng, popularity[group::n_groups], len(pairs))
        drawn = np.union1d(drawn, users * n_items + items)
    chosen = divmod(rng.permutation(drawn)[:n_pairs], n_items)
    return Interactions(sparse.coo_matrix((np.ones(n_pairs), chosen), shape=(n_users, n_items)))


def _draw_by_weight(rng: np.random.Generator, weights: npt.NDArray[np.float64], size: int) -> npt.NDArray[np.int64]:
    """Draw positions in proportion to weights, with replacement."""
    ends = np.cumsum(weights)
    # Below the last end also where the product rounds up to it.
    places: npt.NDArray[np.int64] = np.searchsorted(ends, rng.random(size) * ends[-1], side="right")
    return np.minimum(places, len(weights) - 1)
