"""``python -m benchmarks.explanations``: whether the likes with the highest shares are those that an item hangs on.

Users with 9 to 60 likes are placed by them, and again without some. Without the third that has the highest shares of a
recommended item (the first, and the tenth), and without random thirds, five of them: how much farther is the item, and
at what rank among all that the user has not? And without a single like: how well does its share tell how much farther
the item is then (Pearson's correlation over a user's likes, a mean over users and both items), with the model's scale
and with others? How much of the shares has the nearest third with each?
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from benchmarks.kit.text import log, machine, markdown
from cmlfast import CML, datasets

FACTORS = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 16.0)  # of the model's scale
PLACES = (1, 10)  # among the recommended
RANDOM = 5
FEWEST, MOST = 9, 60  # likes

Array = npt.NDArray[Any]


def main() -> None:
    """Measure each data set and loss."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[2])
    parser.add_argument("--data", nargs="+", default=["movielens-100k", "lastfm", "citeulike-t"])
    parser.add_argument("--loss", nargs="+", default=["softmax", "warp"])
    parser.add_argument("--users", type=int, default=200)
    options = parser.parse_args()
    thirds, scales = [], []
    for data in options.data:
        given = datasets.load(data)
        likes = (given.train or given.interactions).matrix
        for loss in options.loss:
            log(f"{data}, {loss}")
            model = CML(loss=loss, random_state=0).fit(likes)
            found = measure(model, likes, options.users)
            for place in PLACES:
                thirds.append([f"{data}, {loss}", str(place), *of_thirds(found["thirds"][place])])
            both = zip(np.nanmean(found["correlations"], 0), np.mean(found["of_third"], 0), strict=True)
            scales.append([f"{data}, {loss}", *(f"{correlation:.2f} ({third:.0%})" for correlation, third in both)])
    print(machine(), f"\n{options.users} users each\n")
    head = [
        "",
        "place",
        "farther: shares",
        "random",
        "rank: shares",
        "random",
        "farther by shares",
        "rank worse",
        "as bad",
    ]
    print(markdown(head, thirds), "\n")
    print(markdown(["correlation (share of the third), scale x", *(f"{factor:g}" for factor in FACTORS)], scales))


def measure(model: CML, likes: sparse.csr_matrix, n_users: int) -> dict[str, Any]:
    """Place users without some of their likes.

    Returns
    -------
    dict
        ``thirds``: by place, for each user how much the squared distance grows without the third of the highest shares
        and without random ones (mean), and the item's rank without them (median of the random ones). ``correlations``
        and ``of_third``: [n, factors].
    """
    rng = np.random.default_rng(0)
    counts, items = np.diff(likes.indptr), model.item_vectors().astype(np.float64)
    users = rng.choice(np.flatnonzero((counts >= FEWEST) & (counts <= MOST)), n_users, replace=False)
    scale = model.auto_["temperature"] if "temperature" in model.auto_ else model.auto_["margin"][1]
    thirds: dict[int, list[list[float]]] = {place: [] for place in PLACES}
    correlations, of_third = [], []
    for user in users:
        own = likes.indices[likes.indptr[user] : likes.indptr[user + 1]]  # [L]
        chosen = rng.random((RANDOM, len(own))).argsort(1)[:, : len(own) // 3]
        all_but_one = ~np.eye(len(own), dtype=bool)
        before = to_items(model, own, np.ones((1, len(own)), bool), items)[0]  # [J]
        recommended = before.argsort()[np.array(PLACES) - 1]
        alone = to_items(model, own, all_but_one, items)[:, recommended]  # [L, P]
        for place, item, single in zip(PLACES, recommended, alone.T, strict=True):
            between = np.square(items[own] - items[item]).sum(1)  # [L]
            kept = np.ones((1 + RANDOM, len(own)), bool)
            kept[0, between.argsort(kind="stable")[: len(own) // 3]] = False
            np.put_along_axis(kept[1:], chosen, False, 1)
            now = to_items(model, own, kept, items)  # [1 + RANDOM, J]
            grown, ranks = now[:, item] - before[item], (now < now[:, [item]]).sum(1) + 1
            thirds[place].append([grown[0], grown[1:].mean(), ranks[0], float(np.median(ranks[1:]))])
            shares = [np.exp(-(between - between.min()) / (scale * factor)) for factor in FACTORS]
            correlations.append([np.corrcoef(share, single)[0, 1] for share in shares])
            of_third.append([share[~kept[0]].sum() / share.sum() for share in shares])
    return {"thirds": thirds, "correlations": np.array(correlations), "of_third": np.array(of_third)}


def to_items(model: CML, own: Array, kept: Array, items: Array) -> Array:
    """Return squared distances [Q, J] of users who like what is kept [Q, L] of some items; infinite to those."""
    rows, places = kept.nonzero()
    likes = sparse.csr_matrix((np.ones(len(rows)), (rows, own[places])), shape=(len(kept), len(items)))
    vectors = model.user_vectors(np.arange(len(kept)), likes, recalculate_user=True).astype(np.float64)
    found = np.square(vectors).sum(1)[:, None] - 2 * vectors @ items.T + np.square(items).sum(1)
    found[:, own] = np.inf
    return found


def of_thirds(rows: list[list[float]]) -> list[str]:
    """Return means of the distances, medians of the ranks, and how often it was worse."""
    near, random, rank, random_rank = np.array(rows).T
    return [
        f"{near.mean():+.3f}", f"{random.mean():+.3f}", f"{np.median(rank):g}", f"{np.median(random_rank):g}",
        f"{np.mean(near > random):.0%}", f"{np.mean(rank > random_rank):.0%}", f"{np.mean(rank == random_rank):.0%}",
    ]  # fmt: skip


if __name__ == "__main__":
    main()
