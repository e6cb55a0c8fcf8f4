"""Read citeulike-t and citeulike-a: users' libraries of scientific articles, and the articles' tags."""

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
NAME_A = "citeulike-a"
N_ITEMS_A, N_TAGS_A = 16980, 46391
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
_ADDRESS_A = "https://raw.githubusercontent.com/js05212/citeulike-a/master/"
USERS_A = File(
    "users.dat",
    "53211d82c14ff261e595634d285ed9fbf8049cf81dcb751d924d695b9612a02c",
    _ADDRESS_A + "users.dat",
)
TAGS_A = File(
    "item-tag.dat", "0f7b432796a5038ed2631c02b99d70e636123673afc11bf9e051de5b49467890", _ADDRESS_A + "item-tag.dat"
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
    interactions = Interactions(_read_lists(fetch(NAME, [USERS])[1], skip, N_ITEMS))
    return interactions, _frequent(_read_lists(fetch(NAME, [TAGS])[1], skip, N_ITEMS))


def read_a() -> tuple[Interactions, sparse.csr_matrix]:
    """Return the same of citeulike-a, of shapes (5551, 16980) and (16980, n_tags); its tags stand by articles."""
    interactions = Interactions(_read_lists(fetch(NAME_A, [USERS_A])[1], 1, N_ITEMS_A))
    return interactions, _frequent(_read_lists(fetch(NAME_A, [TAGS_A])[1], 1, N_TAGS_A).T)


def _frequent(tags: sparse.coo_matrix) -> sparse.csr_matrix:
    """Return features of articles, of a matrix with a row for each tag: the tags of enough articles."""
    matrix = Interactions(tags).matrix
    return matrix[np.diff(matrix.indptr) >= MIN_ITEMS_PER_TAG].T.tocsr()


def _read_lists(path: Path, skip: int, n: int) -> sparse.coo_matrix:
    """Read lines of numbers below n, the first `skip` of each left out, as a matrix with a row for each line."""
    lines = [line.split()[skip:] for line in path.read_text(encoding="ascii").splitlines()]
    rows = np.repeat(np.arange(len(lines)), [len(line) for line in lines])
    items = np.array(list(chain.from_iterable(lines)), dtype=np.int64)
    return sparse.coo_matrix((np.ones(len(items)), (rows, items)), shape=(len(lines), n))
