"""Read data sets that were published as a split: lines of a user's number and those of the items they like."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import sparse

from cmlfast.data.datasets.fetch import File, fetch
from cmlfast.data.interactions import Interactions


class Parts(NamedTuple):
    """The published parts, all of the same users and items."""

    train: Interactions
    validation: Interactions
    test: Interactions

    @property
    def whole(self) -> Interactions:
        """All pairs together."""
        matrix = self.train.matrix + self.validation.matrix + self.test.matrix
        return Interactions(matrix, self.train.user_ids, self.train.item_ids)


def by_hand(address: str, path: str, _: Any) -> None:
    """Refuse to download what nobody offers in this form."""
    raise OSError("these files are not offered for download; docs/data.md says how they come about")


@dataclass(frozen=True)
class Published:
    """A data set with its published split.

    Attributes
    ----------
    name : str
        Of the data set.
    shape : (int, int)
        Users and items.
    files : (File, File, File)
        Of training, validation and test.
    """

    name: str
    shape: tuple[int, int]
    files: tuple[File, File, File]

    def read(self) -> Parts:
        """Return the parts; users' and items' ids are their numbers in the files."""
        matrices = (self._matrix(fetch(self.name, [file])[1]) for file in self.files)
        return Parts(*(Interactions(matrix) for matrix in matrices))

    def _matrix(self, path: Path) -> sparse.coo_matrix:
        users, items = read_pairs(path)
        return sparse.coo_matrix((np.ones(len(users), np.float32), (users, items)), shape=self.shape)


def read_pairs(path: Path) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the users and the items of all pairs of a file, [n] each."""
    lines = [np.array(line.split(), dtype=np.int64) for line in path.read_text(encoding="ascii").splitlines() if line]
    users = np.array([line[0] for line in lines], dtype=np.int64)
    return users.repeat([len(line) - 1 for line in lines]), np.concatenate([line[1:] for line in lines])


def _files(publisher: str, hashes: tuple[str, str, str]) -> tuple[File, File, File]:
    train, valid, test = (
        File(f"{part}.txt", sha256, publisher, by_hand)
        for part, sha256 in zip(("train", "valid", "test"), hashes, strict=True)
    )
    return train, valid, test


GOWALLA = Published(
    "gowalla",
    (29_858, 40_981),
    _files(
        "https://github.com/gusye1234/LightGCN-PyTorch/tree/master/data/gowalla",
        (
            "d47e01d060624f389956c0b2f89a1ed8c453ea158631cd2b5320c241f3e1a073",
            "ddc22c1cd9a7d14fd5cd0c98b1473b614f4323038fef74ae0d28cc9c92a08ba2",
            "099a2a73924e4b754dc6efd730d764f492321b53c38eb93298850c83acf57be3",
        ),
    ),
)
LASTFM = Published(
    "lastfm",
    (1_885, 17_388),
    _files(
        "https://grouplens.org/datasets/hetrec-2011/",
        (
            "1845769cb1a9834692d3cf884de523d23aa126fa6b58eb5f49e9628e8c317705",
            "9ae3440becfcbba19d5a5a8298b7933126f89424a468de5765bf1c6f08a9e3eb",
            "0f0a15e3de2f868554ee1e32190c51db3e0ad0c4138e1428c66ba6de86102755",
        ),
    ),
)
