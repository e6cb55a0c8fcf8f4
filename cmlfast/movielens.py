"""Read MovieLens 100K, from the publisher's archive or from a package that carries the data."""

from __future__ import annotations

import io
import zipfile
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from pyarrow import csv

from cmlfast.fetch import File, download_with_pip, fetch, find_local
from cmlfast.interactions import Interactions

NAME = "movielens-100k"
N_USERS, N_ITEMS = 943, 1682
InteractionsAndTitles: TypeAlias = tuple[Interactions, npt.NDArray[np.object_]]

# RecBole carries the data set as an example. Its wheel is read as an archive; nothing is installed or run.
WHEEL = File(
    "recbole-1.2.1-py3-none-any.whl",
    "9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407",
    "recbole==1.2.1",
    download_with_pip,
)
ARCHIVE = File(
    "ml-100k.zip",
    "50d2a982c66986937beb9ffb3aa76efe955bf3d5c6b761f4e3a7cd717c6a3229",
    "https://files.grouplens.org/datasets/movielens/ml-100k.zip",
)
# The wheel's two members, which may also lie in CMLFAST_DATA as they are.
MEMBERS = {
    "ml-100k.inter": "4edb74e2a81178c2ba9ff381495f754f996c4aea351b1272ca36b43da0935eff",
    "ml-100k.item": "51d7cdf777ce5c0f5b32c1d947a4a81fe07d75e78abbe761e0cd4d0756064532",
}


def read(min_rating: float) -> InteractionsAndTitles:
    """Return who rated which film with `min_rating` or more, and the films' titles.

    Returns
    -------
    interactions : Interactions of shape (943, 1682)
        With the published ids, 1, 2, 3, ...
    titles : ndarray of shape (1682,), object of str
        "Toy Story (1995)"; the one film without a name and a year is "unknown".

    Raises
    ------
    ValueError
        If `min_rating` is above 5, or a file in CMLFAST_DATA is another one.
    DatasetUnavailableError
        If the data set is not here and cannot be downloaded.
    """
    paths = [find_local(NAME, name, sha256) for name, sha256 in MEMBERS.items()]
    if paths[0] is not None and paths[1] is not None:
        return _read_atomic(paths[0].read_bytes(), paths[1].read_bytes(), min_rating)
    file, path = fetch(NAME, [WHEEL, ARCHIVE])
    with zipfile.ZipFile(path) as archive:
        if file is WHEEL:
            members = [archive.read(f"recbole/dataset_example/ml-100k/{name}") for name in MEMBERS]
            return _read_atomic(members[0], members[1], min_rating)
        return _read_original(archive.read("ml-100k/u.data"), archive.read("ml-100k/u.item"), min_rating)


def _read_original(ratings: bytes, films: bytes, min_rating: float) -> InteractionsAndTitles:
    """Read the publisher's files: no headers, Latin-1, the title with its year in the second field."""
    fields = [line.split("|") for line in films.decode("latin-1").splitlines()]
    return _interactions(ratings, 0, min_rating), _titles({int(film[0]): film[1] for film in fields})


def _read_atomic(ratings: bytes, films: bytes, min_rating: float) -> InteractionsAndTitles:
    """Read RecBole's files: a header, UTF-8, the year in a field of its own."""
    fields = [line.split("\t") for line in films.decode("utf-8").splitlines()[1:]]
    titles = {int(film[0]): f"{film[1]} ({film[2]})" for film in fields}
    # The film without a name is "unknown" at the publisher's; here both of its fields misspell that.
    return _interactions(ratings, 1, min_rating), _titles(
        {film: "unknown" if title == "unkonwn (unkonwn)" else title for film, title in titles.items()}
    )


def _interactions(ratings: bytes, n_header_lines: int, min_rating: float) -> Interactions:
    table = csv.read_csv(
        io.BytesIO(ratings),
        read_options=csv.ReadOptions(column_names=["user", "item", "rating", "timestamp"], skip_rows=n_header_lines),
        parse_options=csv.ParseOptions(delimiter="\t"),
    )
    return Interactions.from_frame(
        table,
        value="rating",
        min_value=min_rating,
        user_ids=np.arange(1, N_USERS + 1),
        item_ids=np.arange(1, N_ITEMS + 1),
    )


def _titles(titles: dict[int, str]) -> npt.NDArray[np.object_]:
    return np.array([titles[item].strip() for item in range(1, N_ITEMS + 1)], dtype=np.object_)
