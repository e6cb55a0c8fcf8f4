"""`Interactions`: which user liked which item, with the users' and items' own ids."""

from __future__ import annotations

import os
from functools import cached_property
from typing import Any

import numpy as np
from scipy import sparse

from cmlfast.data import columns
from cmlfast.data.csr import binary_csr
from cmlfast.data.ids import UnknownIdError, catalogue, look_up, number

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
    ) -> Interactions:
        """Make interactions of a table with one row a pair.

        Parameters
        ----------
        frame : object with `__arrow_c_stream__`
            A pandas (>= 2.2), Polars, DuckDB or pyarrow table of n rows.
        user, item : str, optional
            The columns of the ids (integers or strings). The first and the second column by default.
        value : str, optional
            The column of ratings, counts or flags. Without it every row is a like.
        min_value : float, optional
            The least value that is a like. By default every value above zero is one.
        user_ids, item_ids : sequence of int or str, optional
            The whole catalogue, in the order of the rows and columns to make. By default all ids of the table
            (also those that no like is of), sorted: the result does not depend on the order of the rows.

        Raises
        ------
        TypeError
            If `frame` does not export Arrow.
        ValueError
            If columns are missing, nothing is left, ids are null, floats or not in the given catalogue, or
            values are missing, not finite, or negative without a `min_value` that says what that means.
        """
        table = columns.read_frame(frame, user, item, value)
        return cls._from_table(table, min_value, user_ids, item_ids)

    @classmethod
    def from_csv(
        cls,
        path: str | os.PathLike[str],
        user: str | None = None,
        item: str | None = None,
        value: str | None = None,
        min_value: float | None = None,
        user_ids: Any = None,
        item_ids: Any = None,
        delimiter: str = ",",
    ) -> Interactions:
        """Make interactions of a text file whose first line names the columns; otherwise as `from_frame`.

        Ids that are all written as plain integers are integers, others strings ("007" is not 7). The file may
        be compressed; its name then ends in .gz, .bz2 or .zst.
        """
        table = columns.read_csv(path, user, item, value, delimiter)
        return cls._from_table(table, min_value, user_ids, item_ids)

    @classmethod
    def from_parquet(
        cls,
        path: str | os.PathLike[str],
        user: str | None = None,
        item: str | None = None,
        value: str | None = None,
        min_value: float | None = None,
        user_ids: Any = None,
        item_ids: Any = None,
    ) -> Interactions:
        """Make interactions of a Parquet file, or a folder of them; otherwise as `from_frame`."""
        table = columns.read_parquet(path, user, item, value)
        return cls._from_table(table, min_value, user_ids, item_ids)

    @classmethod
    def _from_table(cls, table: Any, min_value: float | None, user_ids: Any, item_ids: Any) -> Interactions:
        if table.num_rows == 0:
            raise ValueError("the table has no rows: interactions need at least one")
        rows, user_ids = number(table["user"], user_ids, "user")
        item_columns, item_ids = number(table["item"], item_ids, "item")
        liked = columns.liked(table, min_value)
        ones = np.ones(np.count_nonzero(liked), dtype=np.float32)
        shape = (len(user_ids), len(item_ids))
        result = cls(sparse.coo_matrix((ones, (rows[liked], item_columns[liked])), shape=shape), user_ids, item_ids)
        result.n_dropped = len(liked) - len(ones)
        return result

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

        Raises
        ------
        UnknownIdError
            A KeyError that names an id that is not in the data.
        """
        return look_up(ids, self._user_positions, "user id")

    def item_index(self, ids: Any) -> Any:
        """Return the column of an item id (int), or the columns of n of them; otherwise as `user_index`."""
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
    return user_items if isinstance(user_items, Interactions) else Interactions(user_items)
