"""What a fitted model answers: recommendations, similar items and users, recall. By implicit's names and order."""

from __future__ import annotations

from collections.abc import Iterable
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse
from torch import Tensor, nn

from cmlfast import backends
from cmlfast.alignment import aligned, is_numbered, positions, union
from cmlfast.fold_in import fold_in
from cmlfast.growing import place_new
from cmlfast.ids import Ids
from cmlfast.interactions import Interactions, as_user_items
from cmlfast.rarity import item_points, user_points
from cmlfast.served import Served
from cmlfast.serving import Positions, Scores, nearest, pair_scores, recall
from cmlfast.settings import Settings
from cmlfast.tagging import columns_of


def held_out_matrix(held_out: Any, known: Interactions, name: str) -> sparse.csr_matrix:
    """Return held-out likes in the order of ``known``; raise ``ValueError`` if there are none."""
    matrix = aligned(held_out, known, name)
    if matrix.nnz == 0:
        raise ValueError(f"{name} has no interactions; hold some out, for example with cmlfast.split_per_user")
    return matrix


class NotFittedError(ValueError, AttributeError):
    """The model has nothing to recommend from yet."""


class Recommender:
    """Serves from two embedding tables of one space; the class that fits them sets the attributes."""

    backend: str
    rare_item_distance: float
    user_embedding_: Tensor
    item_embedding_: Tensor
    user_items_: Interactions | None
    user_network_: nn.Module | None
    item_network_: nn.Module | None
    _served: Served
    _known: Interactions  # the ids, and the training pairs if they were kept
    item_feature_ids_: Ids | None
    user_feature_ids_: Ids | None

    def recommend(
        self,
        userid: Any = None,
        user_items: Any = None,
        N: int = 10,  # noqa: N803 (implicit's name)
        filter_already_liked_items: bool = True,
        filter_items: Iterable[Any] | None = None,
        recalculate_user: bool = False,
        items: Iterable[Any] | None = None,
        *,
        user_features: Any = None,
    ) -> tuple[npt.NDArray[Any], Scores]:
        """Return the nearest items of one user or of several: known ones, new ones with likes, or new with features.

        Parameters
        ----------
        userid : id or array of Q ids, optional
            Own ids, or row numbers for a model fitted on a matrix. With ``recalculate_user`` also users that the model
            does not know; with ``user_features``, leave it out.
        user_items : SciPy sparse matrix of shape (Q, n_items), or Interactions of these users among others, optional
            What these users like, a row for each; by default what the model was trained on.
        N : int
            How many items; fewer come back where there are no more.
        filter_already_liked_items : bool
            Leave out what ``user_items`` (or the training matrix) has for a user.
        filter_items, items : ids, optional
            Items to leave out for everyone; the only items to choose from.
        recalculate_user : bool
            Place the users by ``user_items`` (see :func:`cmlfast.fold_in.fold_in`) instead of where training put them.
        user_features : SciPy sparse matrix, array, Tensor or Interactions of shape (Q, d'), optional
            Of users whom the model shall place by their features alone; of `Interactions`, in the order of its rows,
            tags are found by their names.

        Returns
        -------
        ids : ndarray of shape (n,) for one user, (Q, n) for several
            Best first; int32 where they are row or column numbers. Short rows of several users end in -1 (None where
            ids are strings).
        scores : ndarray of the same shape, float32
            Minus the squared distances, descending; -inf behind a short row.

        Raises
        ------
        NotFittedError, KeyError, IndexError, ValueError
            Before ``fit``, for an unknown id or row number, for a matrix whose shape does not match, if the training
            matrix is needed but was not kept, or if there is no network for ``user_features``.
        """
        self._check_fitted()
        _check_count(N, "N")
        if user_features is not None:
            if userid is not None or recalculate_user:
                raise ValueError(
                    "user_features are given together with userid or recalculate_user; new users have no id, and are "
                    "placed either by their features or by what they like"
                )
            if isinstance(user_items, Interactions):
                raise ValueError(
                    "user_items is Interactions, but new users have no id to be found by; give a matrix with a row for "
                    "each row of user_features"
                )
            queries = self._place(user_features, "user")
            seen = self._likes(np.arange(len(queries)), user_items) if user_items is not None else None
        elif userid is None:
            raise ValueError("userid is missing; give the id of a user, or user_features of new users")
        elif recalculate_user:
            if user_items is None:
                raise ValueError("recalculate_user is True, but user_items is None; give what the users like")
            seen = self._likes(_several(userid, "userid"), user_items)
            queries = fold_in(self._kernels(), self.item_embedding_, self._served.candidates, seen, self._settings())
        else:
            rows = positions(_several(userid, "userid"), self._known, "user", "userid")
            queries = self.user_embedding_[torch.from_numpy(rows).to(self.user_embedding_.device)]
            seen = self._seen(rows, user_items) if filter_already_liked_items else None
        left_out = None if filter_items is None else self._columns(filter_items, "filter_items")
        among = None if items is None else self._columns(items, "items")
        seen = seen if filter_already_liked_items else None
        points = self._item_points()
        queries = user_points(queries, points)
        found = nearest(self._kernels(), queries, points, int(N), seen, left_out, among)
        return _answer(*found, self._known.item_ids, userid is not None and np.ndim(userid) == 0)

    def predict(
        self, userid: Any = None, itemid: Any = None, *, user_features: Any = None, item_features: Any = None
    ) -> Scores:
        """Return the scores of users with items, known or new.

        Parameters
        ----------
        userid, itemid : ids, optional
            Q users and n items that the model knows, or one of either.
        user_features, item_features : SciPy sparse matrix, array, Tensor or Interactions, optional
            In their place, features of shape (Q, d') or (n, d) of new ones, which the model's networks place.

        Returns
        -------
        ndarray of shape (Q, n), float32
            Minus the squared distances, as :meth:`recommend` returns them; without the dimension of what is one id.

        Raises
        ------
        NotFittedError, KeyError, IndexError, ValueError
            As :meth:`recommend`; and unless there are either ids or features of both.
        """
        self._check_fitted()
        sides = []
        for kind, ids, features in (("user", userid, user_features), ("item", itemid, item_features)):
            if (ids is None) == (features is None):
                raise ValueError(f"give either {kind}id, of {kind}s the model knows, or {kind}_features, of new ones")
            if features is not None:
                placed = self._place(features, kind)
                sides.append(placed if kind == "user" else self._unliked(placed))
            else:
                table = self.user_embedding_ if kind == "user" else self._item_points()
                rows = positions(_several(ids, f"{kind}id"), self._known, kind, f"{kind}id")
                sides.append(table[torch.from_numpy(rows).to(table.device)])
        users, items = sides
        scores = pair_scores(user_points(users, items), items).cpu().numpy()
        for axis, ids in ((1, itemid), (0, userid)):
            if ids is not None and np.ndim(ids) == 0:
                scores = scores.squeeze(axis)
        return scores

    def similar_items(self, itemid: Any, N: int = 10) -> tuple[npt.NDArray[Any], Scores]:  # noqa: N803
        """Return the items nearest to an item (or to each of several), the item itself among them.

        Parameters and results as in :meth:`recommend`.
        """
        self._check_fitted()
        return self._similar(itemid, N, self.item_embedding_, "item")

    def similar_users(self, userid: Any, N: int = 10) -> tuple[npt.NDArray[Any], Scores]:  # noqa: N803
        """Return the users nearest to a user (or to each of several), the user themselves among them.

        Parameters and results as in :meth:`recommend`.
        """
        self._check_fitted()
        return self._similar(userid, N, self.user_embedding_, "user")

    def _similar(self, wanted: Any, n: int, table: Tensor, kind: str) -> tuple[npt.NDArray[Any], Scores]:
        rows = positions(_several(wanted, f"{kind}id"), self._known, kind, f"{kind}id")
        _check_count(n, "N")
        found = nearest(self._kernels(), table[torch.from_numpy(rows).to(table.device)], table, int(n))
        ids = self._known.user_ids if kind == "user" else self._known.item_ids
        return _answer(*found, ids, np.ndim(wanted) == 0)

    def evaluate(self, held_out: Any, k: int | Iterable[int] = (50, 100), exclude: Any = None) -> dict[str, float]:
        """Return Recall@K on held-out likes (paper, section 4.2).

        Every user with held-out items ranks all items except those of the training matrix and of ``exclude``; Recall@K
        is the share of the held-out items among the first K, and the mean is over users.

        Parameters
        ----------
        held_out : SciPy sparse matrix of shape (n_users, n_items), or Interactions
            The likes to find.
        k : int or several
            The K.
        exclude : the same as ``held_out``, optional
            More items to leave out, such as the validation matrix when testing.

        Returns
        -------
        dict
            ``{"recall@50": ..., "recall@100": ...}``

        Raises
        ------
        NotFittedError, ValueError
            Before ``fit``; for a matrix that does not fit the model, has no pairs or pairs that are left out of the
            ranking; for k below 1.
        """
        self._check_fitted()
        ks = _several(k, "k")
        if len(ks) == 0:
            raise ValueError("k is empty; give at least one K")
        for one in ks:
            _check_count(one, "k")
        if self.user_items_ is None and exclude is None:
            raise ValueError("exclude is None, but the training matrix was not kept with the model; pass it as exclude")
        matrix = held_out_matrix(held_out, self._known, "held_out")
        seen = self._known.matrix
        if exclude is not None:
            seen = union(seen, aligned(exclude, self._known, "exclude"))
        overlap = matrix.multiply(seen).nnz
        if overlap:
            raise ValueError(
                f"held_out has {overlap} of its {matrix.nnz} pairs in common with the training matrix or exclude, "
                "which the ranking leaves out; hold out pairs that the model was not trained on"
            )
        points = self._item_points()
        queries = user_points(self.user_embedding_, points)
        return recall(self._kernels(), queries, points, matrix, seen, [int(one) for one in ks])

    def _columns(self, ids: Iterable[Any], name: str) -> Positions:
        listed = _several(ids, name)
        return positions(listed, self._known, "item", name)

    def _is_fitted(self) -> bool:
        return hasattr(self, "user_embedding_")

    def _check_fitted(self) -> None:
        if not self._is_fitted():
            raise NotFittedError(f"this {type(self).__name__} is not fitted yet; call fit first")

    def _settings(self) -> Settings:
        raise NotImplementedError

    def _item_points(self) -> Tensor:
        """Return where users look for items, [J, r or r + 1]; the embedding itself without rare_item_distance."""
        known = self._served.points.get(self.rare_item_distance)
        # Checked where it was changed alone: checking takes a third as long as answering.
        return self._served.find_points(self._settings().rare_item_distance) if known is None else known

    def _kernels(self) -> ModuleType:
        return backends.choose(self.backend, self.item_embedding_.device)[0]

    def _seen(self, rows: Positions, user_items: Any) -> sparse.csr_matrix:
        """Return what these known users like, [Q, J]."""
        if user_items is None:
            if self.user_items_ is None:
                raise ValueError(
                    "user_items is None, but the training matrix was not kept with the model; pass what these users "
                    "like, or filter_already_liked_items=False"
                )
            return self._known.matrix[rows]
        if isinstance(user_items, Interactions):
            return aligned(user_items, self._known, "user_items")[rows]
        return self._likes(rows, user_items)

    def _likes(self, users: Any, user_items: Any) -> sparse.csr_matrix:
        """Return what some users like, known or not, [Q, J]: the rows of a matrix, or found in Interactions by id."""
        if isinstance(user_items, Interactions):
            rows = user_items.matrix[user_items.user_index(np.asarray(users))].tocoo()
            try:
                columns = self._known.item_index(user_items.item_ids)
            except KeyError as error:
                raise ValueError(f"user_items does not fit the model: {error.args[0]}") from error
            shape = (len(users), self._known.n_items)
            return as_user_items(sparse.csr_matrix((rows.data, (rows.row, columns[rows.col])), shape=shape)).matrix
        expected = (len(users), self._known.n_items)
        if len(users) == 0 and np.shape(user_items) == expected:
            return sparse.csr_matrix(expected)  # nobody asks, which is no mistake as it would be in training
        given = as_user_items(user_items)
        if given.shape != expected:
            raise ValueError(
                f"user_items has shape {given.shape}, but it needs a row for each user of userid and a column for "
                f"each item, {expected}; index it with userid"
            )
        return given.matrix

    def _place(self, given: Any, kind: str) -> Tensor:
        """Return vectors for features of new users or items."""
        if isinstance(given, Interactions):
            given = columns_of(given, getattr(self, f"{kind}_feature_ids_"), f"{kind}_features")
        length = self._served.user_length if kind == "user" else self._served.item_length
        placed = place_new(given, getattr(self, f"{kind}_network_"), length, kind)
        return placed.to(self.item_embedding_.dtype)

    def _unliked(self, items: Tensor) -> Tensor:
        """Return the points at which users look for new items, without likes as they are."""
        return item_points(items, np.zeros(len(items), np.int64), self._settings().rare_item_distance)


def _several(ids: Any, name: str) -> Any:
    """Return one id, or a sequence of them, as a sequence, without mixing types as NumPy would."""
    if np.ndim(ids) == 0:
        return [ids.item() if isinstance(ids, np.generic | np.ndarray) else ids]
    listed = ids if isinstance(ids, np.ndarray) else list(ids)
    if np.ndim(listed) != 1:
        raise ValueError(f"{name} has {np.ndim(listed)} dimensions; give one id or a list of them")
    return listed


def _check_count(value: Any, name: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name} is {value!r}; it must be an integer of at least 1")
    if value < 1:
        raise ValueError(f"{name} is {value}; it must be at least 1")


def _answer(found: Positions, scores: Scores, ids: Ids, scalar: bool) -> tuple[npt.NDArray[Any], Scores]:
    """Turn positions [Q, n] into ids, and drop the only row's padding and its dimension for a single query."""
    answer: Any
    if is_numbered(ids):
        answer = found.astype(np.int32)  # what implicit's evaluators take
    else:
        answer = ids[found]
        answer[found < 0] = None if ids.dtype == object else -1
    if not scalar:
        return answer, scores
    kept = found[0] >= 0
    return answer[0][kept], scores[0][kept]
