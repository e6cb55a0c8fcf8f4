"""Read data sets that were published as one large table of users, items and numbers, in its archive or unpacked."""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import csv

from cmlfast.data.columns import LOG
from cmlfast.data.csr import likes_of_items
from cmlfast.data.datasets.fetch import ENVIRONMENT_VARIABLE, DatasetUnavailableError, File, fetch, local_folder
from cmlfast.data.interactions import Interactions


@dataclass(frozen=True)
class Triplets:
    """A published table, and how it is written.

    Attributes
    ----------
    name : str
        Of the data set.
    archive, table : str
        The names of the archive and of the table in it.
    columns : dict of str to DataType
        Names and types: the user, the item, the number, and the time if there is one.
    header : bool
        Whether the first line has those names.
    delimiter, encoding : str
        Of the text.
    n_rows : int
        How many its publisher counts: that tells a table that is cut off, or another one, by itself.
    page : str
        Where people get it.
    download : File or None
        The archive, if it is still offered and its hash is known.
    """

    name: str
    archive: str
    table: str
    columns: dict[str, pa.DataType]
    header: bool
    delimiter: str
    n_rows: int
    page: str
    encoding: str = "utf-8"
    download: File | None = None

    def read(self, path: str | os.PathLike[str] | None, min_value: float | None) -> Interactions:
        """Return the likes.

        Parameters
        ----------
        path : path or None
            The archive, the table, or a folder that has one of them. None looks in CMLFAST_DATA and in the cache, and
            then downloads.
        min_value : float or None
            The least number that is a like; None if every row is one.

        Returns
        -------
        Interactions
            Of all users and items of the table, also those of no like.

        Raises
        ------
        FileNotFoundError
            If `path` has neither.
        ValueError
            If the file is damaged, or another one.
        DatasetUnavailableError
            If there is no `path`, the file is not on this machine, and it cannot be downloaded.
        """
        found = self._find(path)
        user, item, value, *time = self.columns
        n_bad, first_bad = 0, ""

        def left_out(row: Any) -> str:
            nonlocal n_bad, first_bad
            n_bad, first_bad = n_bad + 1, first_bad or row.text
            return "skip"

        with self._opened(found) as stream:
            reader = csv.open_csv(
                stream,
                csv.ReadOptions(
                    column_names=None if self.header else list(self.columns), encoding=self.encoding, use_threads=False
                ),
                csv.ParseOptions(delimiter=self.delimiter, invalid_row_handler=left_out),
                csv.ConvertOptions(column_types=self.columns, include_columns=list(self.columns)),
            )
            likes = Interactions.from_frame(
                reader, user, item, None if min_value is None else value, min_value, time=time[0] if time else None
            )
        n_rows = likes.nnz + likes.n_duplicates + likes.n_dropped + n_bad
        if n_rows != self.n_rows:
            raise ValueError(
                f"{found} has {n_rows:,} rows, but the {self.table} of {self.name} has {self.n_rows:,}: it is cut off, "
                f"or another one; get it again from {self.page}, or read what is there with Interactions.from_csv"
            )
        if n_bad:
            LOG.warning("%s: %d lines left out that are not as the others, first %r", found, n_bad, first_bad)
        return likes

    def _find(self, path: str | os.PathLike[str] | None) -> Path:
        names = (self.archive, f"{Path(self.archive).stem}/{self.table}")
        if path is not None:
            given = Path(path).expanduser()
            places = [given, *(given / name for name in (*names, self.table))]
        else:
            folder = local_folder()
            own = [] if folder is None else [folder / self.name / name for name in (*names, self.table)]
            # Not the table alone: others have a "ratings.csv" too.
            places = own + ([] if folder is None else [folder / name for name in names])
        found = next((place for place in places if place.is_file()), None)
        if found is not None:
            return found
        if path is not None:
            raise FileNotFoundError(
                f"path={os.fspath(path)!r} is neither {self.archive} nor {self.table} nor a folder with one of them: "
                f"get the archive from {self.page}"
            )
        if self.download is None:
            raise DatasetUnavailableError(
                f"{self.name} is not on this machine, and is not downloaded, for no address of it with a hash is "
                f"known. Get {self.archive} (see {self.page}) and give path=..., or put it into a folder and set "
                f"{ENVIRONMENT_VARIABLE} to that"
            )
        return fetch(self.name, [self.download])[1]

    @contextmanager
    def _opened(self, path: Path) -> Iterator[Any]:
        """Open the table, packed or not; say of what goes wrong where, and what to do."""
        try:
            if path.suffix.lower() != ".zip":
                with path.open("rb") as stream:
                    yield stream
                return
            with zipfile.ZipFile(path) as archive:
                inside = [name for name in archive.namelist() if PurePosixPath(name).name == self.table]
                if not inside:
                    raise ValueError(f"it has no {self.table}, only {archive.namelist()[:10]}")
                with archive.open(inside[0]) as stream:
                    yield stream
        except (ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
            raise ValueError(
                f"{path} is damaged, or not the {self.table} of {self.name} ({error}): get it again from {self.page}"
            ) from error


def of_busy_users(likes: Interactions, min_likes: int) -> Interactions:
    """Return the likes of users with so many, and the users and items that have any of them.

    Raises
    ------
    ValueError
        If no user has as many.
    """
    busy = np.diff(likes.matrix.indptr) >= max(min_likes, 1)
    if not busy.any():
        raise ValueError(f"no user has {min_likes} likes: lower min_likes")
    liked = likes_of_items(likes.matrix[busy]) > 0
    return likes.select(likes.user_ids[busy], likes.item_ids[liked])


MOVIELENS_20M = Triplets(
    "movielens-20m",
    "ml-20m.zip",
    "ratings.csv",
    {"userId": pa.int64(), "movieId": pa.int64(), "rating": pa.float64(), "timestamp": pa.int64()},
    header=True,
    delimiter=",",
    n_rows=20_000_263,
    page="https://grouplens.org/datasets/movielens/20m/",
    download=File(
        "ml-20m.zip",
        "96f243c338a8665f6bcc89c53edf6ee39162a846940de6b7c8c48aeada765ff3",
        "https://files.grouplens.org/datasets/movielens/ml-20m.zip",
    ),
)
BOOK_CROSSING = Triplets(
    "book-crossing",
    "BX-CSV-Dump.zip",
    "BX-Book-Ratings.csv",
    {"User-ID": pa.int64(), "ISBN": pa.large_string(), "Book-Rating": pa.int64()},
    header=True,
    delimiter=";",
    n_rows=1_149_780,
    page="https://grouplens.org/datasets/book-crossing/",
    encoding="latin-1",
)
ECHONEST = Triplets(
    "echonest",
    "train_triplets.txt.zip",
    "train_triplets.txt",
    {"user": pa.large_string(), "song": pa.large_string(), "plays": pa.int64()},
    header=False,
    delimiter="\t",
    n_rows=48_373_586,
    page="http://millionsongdataset.com/tasteprofile/",
)
