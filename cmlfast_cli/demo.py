"""``python -m cmlfast_cli.demo``: train on real films, compare with popularity, recommend by title."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from cmlfast import CML, build_info, datasets, split_per_user
from cmlfast.data.datasets.movielens import GENRES
from cmlfast.evaluation.popularity import popularity_recall

USER = 1
MAP, N_SHOWN = Path("cmlfast-map.html"), 200
WELL_KNOWN = ("Star Wars (1977)", "Toy Story (1995)", "Pulp Fiction (1994)", "Alien (1979)")


def main() -> None:
    """Run the demonstration."""
    info = build_info()
    print(f"cmlfast {info['version']}, torch {info['torch']}, CPU kernels: {info['isa'] or 'none, plain torch'}\n")
    films = datasets.load("movielens-100k")
    print(f"Data: {films.description}\n      {films.terms}")
    print(f"      {films.interactions}")
    assert films.item_titles is not None
    ids, titles = films.interactions.item_ids, films.item_titles

    train, validation, test = split_per_user(films.interactions, seed=0)
    print(f"\nTraining on {train.nnz:,} likes; {test.nnz:,} are held out for the test ...")
    started = time.perf_counter()
    model = CML(random_state=0).fit(train)
    seconds = time.perf_counter() - started
    print(f"{len(model.history_)} epochs in {seconds:.1f} s, with {model.n_negatives_} negatives for each batch\n")

    baseline = popularity_recall(train, test, exclude=validation)
    recall = model.evaluate(test, exclude=validation)
    print(f"{'on held-out likes':20}{'Recall@50':>10}{'Recall@100':>12}")
    for name, row in (("popularity", baseline), ("CML", recall)):
        print(f"{name:20}{row['recall@50']:>10.3f}{row['recall@100']:>12.3f}")

    print("\nTraining on all likes ...")
    model = CML(random_state=0).fit(films.interactions)
    liked = films.interactions.matrix[films.interactions.user_index(USER)].indices
    print(f"User {USER} likes {len(liked)} films, among them: {'; '.join(titles[liked[:4]])}")
    print(f"Recommended to user {USER}, and not among those:")
    for place, film in enumerate(_titles(model.recommend(USER, N=10)[0], ids, titles), 1):
        print(f"{place:4}. {film}")
    print("\nNearest films:")
    for title in WELL_KNOWN:
        found, _ = model.similar_items(ids[np.flatnonzero(titles == title)[0]], N=5)
        print(f"  {title:22} {'; '.join(_titles(found[1:], ids, titles))}")
    print(f"\nDrawing a map of the films, coloured by genre, and of {N_SHOWN} users ...")
    try:
        model.plot(MAP, titles=film_table(films), color="genre", users=N_SHOWN, item_features=films.item_features)
    except ImportError as error:
        print(f"  left out: {error}")
    else:
        print(f"Open it in a browser: {MAP.resolve()}")


def film_table(films: datasets.Dataset) -> Any:
    """Return the films' ids, titles and genres as a table, for :meth:`cmlfast.CML.plot`."""
    assert films.item_features is not None
    genres = films.item_features.tocsr()
    of_each = [[GENRES[column] for column in row.indices] for row in genres]
    return pa.table({"item_id": films.interactions.item_ids, "title": films.item_titles, "genre": of_each})


def _titles(found: Any, ids: Any, titles: Any) -> list[str]:
    """Return films by title; the data set's ids ascend."""
    return [str(title) for title in titles[np.searchsorted(ids, found)]]


if __name__ == "__main__":
    main()
