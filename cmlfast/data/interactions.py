"""`Interactions`: which user liked which item, with the users' and items' own ids."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from cmlfast.data import prepared, tables, text
from cmlfast.data.columns import Roles
from cmlfast.data.csr import binary_csr, likes_of_items
from cmlfast.data.dialect import Format
from cmlfast.data.gather import Gathered, gather, ones_at
from cmlfast.data.ids import UnknownIdError, catalogue, look_up, places
from cmlfast.data.parquet import read_parquet
from cmlfast.data.sides import Kind
from cmlfast.data.sources import Where, are_parquet, expand
from cmlfast.data.times import start_of_last

__all__ = ["Interactions", "UnknownIdError", "as_user_items"]


class Interactions:
    """Which user liked which item.

    Parameters
    ----------
    matrix : SciPy sparse matrix or array of shape (n_users, n_items)
        In any format. A stored value other than zero is a like; how large it is does not matter.
    user_ids, item_ids : sequence of int or str, optional
        The ids of rows and columns, each once. 0, 1, 2, ... by default.

    Attributes
    ----------
    matrix : scipy.sparse.csr_matrix of shape (n_users, n_items), float32
        Canonical (sorted, no duplicates), every stored value is 1.
    user_ids, item_ids : ndarray of shape (n_users,), (n_items,); int64, or object of str
        The id of each row and of each column.
    n_duplicates : int
        Pairs that were there more than once and are now there once, counted by what went.
    n_dropped : int
        Pairs left out: stored zeros, or values below `min_value`.
    times : ndarray of shape (nnz,), int64 or float64, or None
        When each pair was, in the order in which ``matrix`` stores them, if a table said so; of repeats the last time.
        Dates are in microseconds since 1970.
    by_position : bool
        Whether users and items are meant by the numbers of their rows and columns, as those of a bare matrix are. Ids
        that are given, or read, or 0, 1, 2, ... of this class, are ids.

    Raises
    ------
    TypeError
        If `matrix` is not a SciPy sparse matrix.
    ValueError
        If it has no rows or no columns, negative or non-finite values, or if the ids do not fit it.

    Examples
    --------
    >>> from scipy import sparse
    >>> Interactions(sparse.csr_matrix([[1, 0, 1], [0, 1, 0]]), user_ids=["ann", "bob"])
    Interactions(2 users x 3 items, 3 pairs)
    """

    def __init__(self, matrix: Any, user_ids: Any = None, item_ids: Any = None) -> None:
        self.matrix, self.n_duplicates, self.n_dropped = binary_csr(matrix)
        self.user_ids = catalogue(user_ids, "user_ids", self.n_users)
        self.item_ids = catalogue(item_ids, "item_ids", self.n_items)
        self.times: npt.NDArray[Any] | None = None
        self.by_position = False

    def with_pairs(self, matrix: Any) -> Interactions:
        """Return the same users and items with other pairs.

        Parameters
        ----------
        matrix : SciPy sparse matrix or array of shape (n_users, n_items)
            As for the class.
        """
        other = Interactions(matrix, self.user_ids, self.item_ids)
        other.by_position = self.by_position
        return other

    @classmethod
    def from_frame(
        cls,
        frame: Any,
        user: str | None = None,
        item: str | None = None,
        value: str | None = None,
        min_value: float | None = None,
        user_ids: Any = None,
        item_ids: Any = None,
        *,
        time: str | None = None,
        min_count: int = 1,
    ) -> Interactions:
        """Make interactions of a table with one row a pair.

        Parameters
        ----------
        frame : object with `__arrow_c_stream__`
            A pandas (>= 2.2), Polars, DuckDB or pyarrow table of n rows.
        user, item : str, optional
            The columns of the ids (integers or strings). By default those with names that everybody uses (user,
            userId, movie_id, artist, ...), or else the first and the second; the logger "cmlfast" says which.
        value : str, optional
            The column of ratings, counts or flags. Without it every row is a like.
        min_value : float, optional
            The least value that is a like. By default every value above zero is one.
        user_ids, item_ids : sequence of int or str, optional
            The whole catalogue, in the order of the rows and columns to make. By default all ids of the table
            (also those that no like is of), sorted: the result does not depend on the order of the rows.
        time : str, optional
            The column of times: numbers, or dates and times. They become `times`.
        min_count : int
            The least number of rows, likes all, that make a pair one: 2 leaves out what came once.

        Raises
        ------
        TypeError
            If `frame` does not export Arrow.
        ValueError
            If columns are missing, nothing is left, ids are null, floats or not in the given catalogue, or
            values are missing, not finite, or negative without a `min_value` that says what that means.
        """
        table = tables.read_frame(frame, Roles(user, item, value, time))
        return cls._of(gather(table, min_value, user_ids, item_ids, min_count))

    @classmethod
    def from_csv(
        cls,
        path: Where,
        user: str | None = None,
        item: str | None = None,
        value: str | None = None,
        min_value: float | None = None,
        user_ids: Any = None,
        item_ids: Any = None,
        delimiter: str | None = None,
        *,
        time: str | None = None,
        encoding: str | None = None,
        header: bool | None = None,
        columns: Sequence[str] | None = None,
        decimal: str = ".",
        skip_bad_lines: bool = False,
        min_count: int = 1,
        show_progress: bool | None = None,
    ) -> Interactions:
        """Make interactions of delimited text; otherwise as `from_frame`.

        Ids that are all written as plain integers are integers, others strings ("007" is not 7).

        Parameters
        ----------
        path : str, path, or several
            A file, also compressed by gzip, bzip2, Zstandard or LZ4; a pattern such as ``"likes/*.csv"``; a folder, for
            all tables in it; "-" for standard input.
        user, item, value, min_value, user_ids, item_ids, time, min_count
            As in `from_frame`.
        delimiter : str, optional
            What stands between fields, also several characters ("::"); by default found out.
        encoding : str, optional
            By default UTF-8, or what a byte order mark says.
        header : bool, optional
            Whether the first line has the columns' names. By default it must: a first line that looks like data is an
            error.
        columns : sequence of str, optional
            What to call the columns: of a text without a header, or (with ``header=True``) in place of it.
        decimal : str
            The decimal point of values, "." or ",".
        skip_bad_lines : bool
            Leave out lines with more or fewer fields than the first, and rows with an empty cell among the columns that
            are read; how many is said by the logger "cmlfast".
        show_progress : bool, optional
            Whether to show a progress bar if it takes longer than a second; by default on a terminal and in a notebook.

        Notes
        -----
        Files are read a part at a time. Memory is needed for 8 bytes a row, 16 with times, for the ids, and for some
        parts; sorting takes as much again at most.
        """
        form = Format(delimiter, encoding, header, columns, decimal, skip_bad_lines)
        table = text.read_csv(path, Roles(user, item, value, time), form)
        return cls._of(gather(table, min_value, user_ids, item_ids, min_count, show_progress))

    @classmethod
    def from_parquet(
        cls,
        path: Where,
        user: str | None = None,
        item: str | None = None,
        value: str | None = None,
        min_value: float | None = None,
        user_ids: Any = None,
        item_ids: Any = None,
        *,
        time: str | None = None,
        min_count: int = 1,
        show_progress: bool | None = None,
    ) -> Interactions:
        """Make interactions of a Parquet file, a folder, a pattern or several of them; otherwise as `from_csv`.

        Parameters
        ----------
        path : str, path, or several
            A file; a pattern such as ``"likes/*.parquet"``; a folder, for all tables in it.
        user, item, value, min_value, user_ids, item_ids, time, min_count
            As in `from_frame`.
        show_progress : bool, optional
            As in `from_csv`.
        """
        table = read_parquet(path, Roles(user, item, value, time))
        return cls._of(gather(table, min_value, user_ids, item_ids, min_count, show_progress))

    @classmethod
    def from_tags(cls, path: Where, kind: Kind) -> Interactions:
        """Make features of a file of two columns, ids of items (or users) and tags, with a row for each pair.

        Parameters
        ----------
        path : str, path, or several
            CSV, as `from_csv` reads it by default, or Parquet, by the name.
        kind : {"item", "user"}
            What has the tags.

        Returns
        -------
        Interactions of shape (n, d)
            n items (or users) in the rows, d tags in the columns.

        Raises
        ------
        FileNotFoundError, ValueError
            As `from_csv`; and for a file with more columns than two, for those would be lost without a word.
        """
        roles = Roles(describes="item tags" if kind == "item" else "user tags")
        parquet = are_parquet(expand(path))
        return cls._of(gather(read_parquet(path, roles) if parquet else text.read_csv(path, roles, Format())))

    def select(self, user_ids: Any = None, item_ids: Any = None) -> Interactions:
        """Return the likes of some users and items, of exactly these and in this order; others are left out, counted.

        So likes become those of a model's users and items: ``likes.select(model.user_ids_, model.item_ids_)``.

        Parameters
        ----------
        user_ids, item_ids : sequence of int or str, optional
            Known or not, each once; by default those that there are.
        """
        users = self.user_ids if user_ids is None else user_ids
        items = self.item_ids if item_ids is None else item_ids
        rows, columns = places(self.user_ids, users, "user_ids"), places(self.item_ids, items, "item_ids")
        pairs = self.matrix.tocoo()
        row, column = rows[pairs.row], columns[pairs.col]
        kept = (row >= 0) & (column >= 0)
        shape = (len(users), len(items))
        chosen = Interactions(sparse.coo_matrix((pairs.data[kept], (row[kept], column[kept])), shape), users, items)
        chosen.n_duplicates, chosen.n_dropped = self.n_duplicates, self.n_dropped + int(np.count_nonzero(~kept))
        if self.times is not None:
            order = np.lexsort((column[kept], row[kept]))
            chosen.times = self.times[kept][order]
        return chosen

    def recent(self, days: float) -> Interactions:
        """Return the likes of the last days, counted back from the last like; others are left out, counted.

        Users and items that have none left are left out too.

        Parameters
        ----------
        days : float
            Of 24 hours. Whether `times` are seconds, milli-, micro- or nanoseconds since 1970 is told by their size.

        Raises
        ------
        ValueError
            If there are no times, they are none since 1970, or `days` is not above zero.
        """
        times = required_times(self)
        kept = times >= start_of_last(times, days)
        if kept.all():
            return self
        some = self.keep(kept)._without_idle()
        some.n_duplicates, some.n_dropped = self.n_duplicates, self.n_dropped + self.nnz - some.nnz
        return some

    def keep(self, pairs: npt.NDArray[np.bool_]) -> Interactions:
        """Return the same users and items with some of the pairs.

        Parameters
        ----------
        pairs : ndarray of bool of shape (nnz,)
            Which to keep, in the order of ``matrix``.
        """
        matrix = self.matrix
        n_kept = np.concatenate(([0], np.cumsum(pairs, dtype=matrix.indptr.dtype)))
        times = None if self.times is None else self.times[pairs]
        left = ones_at(n_kept[matrix.indptr], matrix.indices[pairs], matrix.shape)
        some = self._made(left, self.user_ids, self.item_ids, times)
        some.by_position = self.by_position
        return some

    def renamed(self, user_ids: Any, item_ids: Any) -> Interactions:
        """Return the same likes of users and items with other ids.

        Parameters
        ----------
        user_ids, item_ids : sequence of int or str, of lengths n_users and n_items
            The new ids, each once, in the order of the old ones.

        Raises
        ------
        ValueError
            If ids are repeated, too many or too few, or not all of one type.
        """
        users, items = catalogue(user_ids, "user_ids", self.n_users), catalogue(item_ids, "item_ids", self.n_items)
        return self._made(self.matrix, users, items, self.times, self.n_duplicates, self.n_dropped)

    def _without_idle(self) -> Interactions:
        """Return the same likes without the users and items that have none; those left are called by their ids."""
        matrix = self.matrix
        users, items = np.diff(matrix.indptr) > 0, likes_of_items(matrix) > 0
        place = np.cumsum(items, dtype=matrix.indices.dtype) - 1
        indptr = np.concatenate((matrix.indptr[:1], matrix.indptr[1:][users]))
        left = ones_at(indptr, place[matrix.indices], (int(users.sum()), int(items.sum())))
        return self._made(left, self.user_ids[users], self.item_ids[items], self.times)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Interactions:
        """Open a file that `save`, or ``cmlfast prepare``, wrote: mapped into memory, and checked.

        Parameters
        ----------
        path : str or path
            The file.

        Raises
        ------
        FileNotFoundError
            If there is none.
        ValueError
            If it is no such file, damaged, or of a newer version.
        """
        likes, by_position = prepared.load(path)
        made = cls._of(likes)
        made.by_position = by_position
        return made

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write all of it to one file, in one step, which `load` opens in a second where tables take minutes.

        Parameters
        ----------
        path : str or path
            The file.

        Raises
        ------
        OSError
            If the file cannot be written. A file that was there is then unchanged.
        """
        likes = Gathered(self.matrix, self.user_ids, self.item_ids, self.times, self.n_duplicates, self.n_dropped)
        prepared.save(path, likes, self.by_position)

    @classmethod
    def _of(cls, likes: Gathered) -> Interactions:
        return cls._made(**vars(likes))

    @classmethod
    def _made(
        cls,
        matrix: sparse.csr_matrix,
        user_ids: Any,
        item_ids: Any,
        times: npt.NDArray[Any] | None,
        n_duplicates: int = 0,
        n_dropped: int = 0,
    ) -> Interactions:
        """Return interactions of parts that are as they must be, unchecked: a canonical matrix of ones, ids as kept."""
        made = cls.__new__(cls)
        made.matrix, made.n_duplicates, made.n_dropped = matrix, n_duplicates, n_dropped
        made.user_ids, made.item_ids, made.times, made.by_position = user_ids, item_ids, times, False
        return made

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of users and items."""
        return self.n_users, self.n_items

    @property
    def n_users(self) -> int:
        """Number of users, those without likes included."""
        return int(self.matrix.shape[0])

    @property
    def n_items(self) -> int:
        """Number of items, those that nobody likes included."""
        return int(self.matrix.shape[1])

    @property
    def nnz(self) -> int:
        """Number of (user, item) pairs."""
        return int(self.matrix.nnz)

    def user_index(self, ids: Any) -> Any:
        """Return the row of a user id (int), or the rows of n of them (ndarray of shape (n,), int64).

        Parameters
        ----------
        ids : id or sequence of ids
            Own ids, each known.

        Raises
        ------
        UnknownIdError
            A KeyError that names an id that is not in the data.
        """
        return look_up(ids, self._user_positions, "user id")

    def item_index(self, ids: Any) -> Any:
        """Return the column of an item id (int), or the columns of n of them; otherwise as `user_index`.

        Parameters
        ----------
        ids : id or sequence of ids
            Own ids, each known.
        """
        return look_up(ids, self._item_positions, "item id")

    @cached_property
    def _user_positions(self) -> dict[Any, int]:
        return dict(zip(self.user_ids.tolist(), range(self.n_users), strict=True))

    @cached_property
    def _item_positions(self) -> dict[Any, int]:
        return dict(zip(self.item_ids.tolist(), range(self.n_items), strict=True))

    def __repr__(self) -> str:
        return f"Interactions({self.n_users:,} users x {self.n_items:,} items, {self.nnz:,} pairs)"


def as_user_items(user_items: Any) -> Interactions:
    """Wrap a sparse matrix as `Interactions`; return `Interactions` as they are. Raises what the constructor raises."""
    if isinstance(user_items, Interactions):
        return user_items
    likes = Interactions(user_items)
    likes.by_position = True
    return likes


def required_times(likes: Interactions) -> npt.NDArray[Any]:
    """Return the times of likes, or raise ``ValueError`` if they have none."""
    if likes.times is None:
        raise ValueError("interactions have no times: read them with time=..., the name of their column")
    return likes.times
