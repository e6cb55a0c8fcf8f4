"""Read MovieLens 100K, from the publisher's archive or from a package that carries the data."""

from __future__ import annotations

import io
import zipfile
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from pyarrow import csv
from scipy import sparse

from cmlfast.data.datasets.fetch import File, download_with_pip, fetch, find_local
from cmlfast.data.interactions import Interactions

NAME = "movielens-100k"
N_USERS, N_ITEMS = 943, 1682
# In the order of the publisher's columns.
GENRES = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama", "Fantasy",
    "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
)  # fmt: skip
Films: TypeAlias = dict[int, tuple[str, list[str]]]  # by number: title and genres
Everything: TypeAlias = tuple[Interactions, npt.NDArray[np.object_], sparse.csr_matrix]

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


def read(min_rating: float) -> Everything:
    """Return who rated which film with `min_rating` or more, and the films' titles and genres.

    Returns
    -------
    interactions : Interactions of shape (943, 1682)
        With the published ids, 1, 2, 3, ...
    titles : ndarray of shape (1682,), object of str
        "Toy Story (1995)"; the one film without a name and a year is "unknown".
    genres : csr_matrix of shape (1682, 19), float32
        1 where a film is of one of ``GENRES``.

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


def _read_original(ratings: bytes, films: bytes, min_rating: float) -> Everything:
    """Read the publisher's files: no headers, Latin-1, the title with its year second, a 0 or 1 for each genre last."""
    known: Films = {}
    for line in films.decode("latin-1").splitlines():
        number, title, *_, marks = line.split("|", 5)
        genres = [genre for genre, mark in zip(GENRES, marks.split("|"), strict=True) if mark == "1"]
        known[int(number)] = (title, genres)
    return _interactions(ratings, 0, min_rating), *_arrays(known)


def _read_atomic(ratings: bytes, films: bytes, min_rating: float) -> Everything:
    """Read RecBole's files: a header, UTF-8, the year in a field of its own, then the genres' names."""
    fields = [line.split("\t") for line in films.decode("utf-8").splitlines()[1:]]
    # The film without a name is "unknown" at the publisher's; here both of its fields misspell that.
    known = {
        int(number): ("unknown" if name == "unkonwn" else f"{name} ({year})", genres.split(" "))
        for number, name, year, genres in fields
    }
    return _interactions(ratings, 1, min_rating), *_arrays(known)


def _interactions(ratings: bytes, n_header_lines: int, min_rating: float) -> Interactions:
    table = csv.read_csv(
        io.BytesIO(ratings),
        read_options=csv.ReadOptions(column_names=["user", "item", "rating", "timestamp"], skip_rows=n_header_lines),
        parse_options=csv.ParseOptions(delimiter="\t"),
    )
    return Interactions.from_frame(
        table,
        value="rating",
        time="timestamp",
        min_value=min_rating,
        user_ids=np.arange(1, N_USERS + 1),
        item_ids=np.arange(1, N_ITEMS + 1),
    )


def _arrays(films: Films) -> tuple[npt.NDArray[np.object_], sparse.csr_matrix]:
    """Return titles and genres in the order of the numbers."""
    titles, genres = zip(*(films[number] for number in range(1, N_ITEMS + 1)), strict=True)
    rows = np.repeat(np.arange(N_ITEMS), [len(some) for some in genres])
    columns = [GENRES.index(genre) for some in genres for genre in some]
    shape = (N_ITEMS, len(GENRES))
    marks = sparse.csr_matrix((np.ones(len(rows), np.float32), (rows, columns)), shape=shape)
    return np.array([title.strip() for title in titles], dtype=np.object_), marks
