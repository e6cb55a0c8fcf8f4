"""Read citeulike-t: users' libraries of scientific articles, and the articles' tags."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import Literal

import numpy as np
from scipy import sparse

from cmlfast.data.datasets.fetch import File, fetch
from cmlfast.data.interactions import Interactions

NAME = "citeulike-t"
N_ITEMS = 25975
MIN_ITEMS_PER_TAG = 5

_ADDRESS = "https://raw.githubusercontent.com/js05212/citeulike-t/master/"
USERS = File(
    "users.dat",
    "02d5d429b2c0362e0ed79f6ef204666b4092563d21493abf4dfb521e8a7078bf",
    _ADDRESS + "users.dat",
)
TAGS = File(
    "tag-item.dat",
    "e2b80fc0e023780b63c00a397a2d0934eff6dbaf8a1b918778698361dae7ce6b",
    _ADDRESS + "tag-item.dat",
)


def read(variant: Literal["clean", "as_published"]) -> tuple[Interactions, sparse.csr_matrix]:
    """Return who has which article, and which article has which tag.

    Parameters
    ----------
    variant : {"clean", "as_published"}
        What to make of the number that each line starts with: the count that it is, or one more id.

    Returns
    -------
    interactions : Interactions of shape (7947, 25975)
        With ids 0, 1, 2, ...
    features : scipy.sparse.csr_matrix of shape (25975, n_tags), float32
        Ones; the tags of at least 5 articles.

    Raises
    ------
    ValueError
        If `variant` is none of the two, or a file in CMLFAST_DATA is another one.
    DatasetUnavailableError
        If the data set is not here and cannot be downloaded.
    """
    if variant not in ("clean", "as_published"):
        raise ValueError(f"variant={variant!r} is unknown: it is 'clean' or 'as_published'")
    skip = 1 if variant == "clean" else 0
    interactions = Interactions(_read_lists(fetch(NAME, [USERS])[1], skip))
    tags = Interactions(_read_lists(fetch(NAME, [TAGS])[1], skip)).matrix
    return interactions, tags[np.diff(tags.indptr) >= MIN_ITEMS_PER_TAG].T.tocsr()


def _read_lists(path: Path, skip: int) -> sparse.coo_matrix:
    """Read lines of numbers, the first `skip` of each left out, as a matrix with a row for each line."""
    lines = [line.split()[skip:] for line in path.read_text(encoding="ascii").splitlines()]
    rows = np.repeat(np.arange(len(lines)), [len(line) for line in lines])
    items = np.array(list(chain.from_iterable(lines)), dtype=np.int64)
    return sparse.coo_matrix((np.ones(len(items)), (rows, items)), shape=(len(lines), N_ITEMS))
