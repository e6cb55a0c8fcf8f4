"""`CML`: the estimator. Fits users and items into one ball, recommends the nearest items."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import nn

from cmlfast import backends
from cmlfast.alignment import merged
from cmlfast.fitted import FittedModel
from cmlfast.growing import grown_tables, liked_items, one_epoch
from cmlfast.interactions import Interactions, as_user_items
from cmlfast.rarity import item_points, likes_of_items, user_points
from cmlfast.recommender import NotFittedError, held_out_matrix
from cmlfast.serving import recall
from cmlfast.settings import resolve
from cmlfast.side import JointTables, Side
from cmlfast.steps import choose_step
from cmlfast.tagging import Kind, joined, tag_ids_of, widened
from cmlfast.training import Pairs, Record, fit_tables, new_tables


class CML(FittedModel):
    """Collaborative Metric Learning (Hsieh et al., WWW 2017).

    Users and items are points of one ball, trained so that what a user likes is nearer than what they do not; the
    recommendations are a user's nearest items.

    Parameters
    ----------
    n_components : int
        r, the dimension of the space.
    margin : float or (float, float)
        m of the paper's equation 1, in units of squared distance (in the unit ball those are at most 4). Two numbers
        are the first and the last of a margin that falls linearly over the epochs: a wide one first spreads users and
        items out, a narrow one then leaves alone what is in order already.
    n_negatives : int or "auto"
        U, the negatives drawn for a pair, of which the hardest counts (section 3.2). "auto" is 0.1 / density, at least
        1 and at most 20: see :func:`cmlfast.settings.auto_n_negatives` for why.
    learning_rate : float
        Of AdaGrad; falls linearly to 0 over the epochs.
    batch_size : int or "auto"
        Pairs in a batch. "auto" is a tenth of all pairs, at least 256 and at most 10,000.
    n_epochs : int or "auto"
        How many epochs, at most. "auto" is 200, or 40 with features: these teach faster, and too much in the end.
    max_norm : float
        Radius of the ball (section 3.4).
    rank_weight : bool
        Whether a pair is weighted by its estimated rank (section 3.2).
    balance : float or None
        An epoch draws as many pairs as there are, a pair of user i in proportion to 1 / (n_i + balance), with n_i the
        number of items that the user likes. Recall is a mean over users, while a plain sum over pairs is mostly about
        those with many likes. None visits every pair exactly once an epoch.
    covariance_weight : float
        lambda_c: what correlated dimensions cost (section 3.4, with DeCov's square; see
        :func:`cmlfast.covariance.covariance_gradient`), over the users and items of a batch.
        A mean beside a loss that is a sum: it acts from about 1e6 on.
    feature_weight : float
        lambda_f: what a unit of squared distance between an item (or a user) and the place that the network finds by
        its features costs (section 3.3). Without features it means nothing.
    rare_item_distance : float
        What is added to a user's squared distance to an item with k likes: rare_item_distance / (1 + k). A place
        learned from few likes is uncertain, and such items come up too often where most items have few: 0.3 helps on
        citeulike-t and changes nothing on MovieLens-100K (docs/variants.md). It takes part in answers, not in training,
        and buries new items that features alone have placed.
    item_network, user_network : nn.Module, optional
        The networks f from features [n, d] (in torch's CSR layout if they were sparse) to [n, n_components]. ``fit``
        trains copies. By default :class:`cmlfast.networks.FeatureMLP`: 256 ReLU units on rows scaled to unit length.
    patience : int
        With ``fit(validation=...)``: how many looks at the validation matrix, of some 20, may pass without a better
        Recall@50 before training stops.
    keep_user_items : bool
        Keep the training matrix with the model, so that ``recommend(userid)`` alone leaves out what a user has.
    dtype : {"float32", "bfloat16"}
        The numbers of the tables. "bfloat16" halves them: arithmetic stays float32, and new rows are rounded up or down
        by chance, so that small steps are not lost.
    device : str
        "auto", "cpu", "cuda" or another torch device.
    backend : {"auto", "extension", "reference"}
        The compiled operators, or their twins in plain torch, which give the same bits, slower.
    random_state : int, numpy Generator or RandomState, or None
        An integer makes ``fit`` reproducible to the bit, for any number of threads; with features or covariances, which
        go through BLAS, for the same number on the same machine.

    Attributes
    ----------
    user_embedding_, item_embedding_ : Tensor
        Shapes [n_users, r] and [n_items, r], of ``dtype``. NumPy has no bfloat16: ``.float().numpy()`` is exact.
    item_likes_ : ndarray
        How many likes of each item the model was trained on, [n_items].
    user_ids_, item_ids_ : ndarray
        The id of each row: the own ids of the `Interactions` that the model was fitted on, or 0, 1, 2, ...
    user_items_ : Interactions or None
        The training matrix, if it was kept.
    item_network_, user_network_ : nn.Module or None
        The trained networks, if there were features.
    item_feature_ids_, user_feature_ids_ : ndarray or None
        The names of the features' columns, if they were `Interactions`.
    history_ : list of dict
        For every epoch: ``epoch``, ``loss`` (mean of the pairs), ``impostors`` (share of the negatives inside the
        margin), ``active`` (share of the pairs with a loss), ``learning_rate``, ``margin``, ``seconds`` and, where
        validation was looked at, ``recall@50``.
    n_negatives_, batch_size_, seed_ : int
        What "auto" and ``random_state`` came to.
    skipped_ : dict
        Counts of what was not trained on: ``duplicate_pairs``, ``dropped_values`` (zeros, or values too low for
        `Interactions`) and ``pairs_without_negatives`` (of users who like every item that may be a negative).

    Notes
    -----
    A model fitted on `Interactions` takes and returns the users' and items' own ids; one fitted on a SciPy matrix takes
    and returns row and column numbers.

    Examples
    --------
    >>> from cmlfast import CML, datasets
    >>> films = datasets.load("movielens-100k")
    >>> model = CML(random_state=0).fit(films.interactions)
    >>> ids, scores = model.recommend(196, N=3)
    """

    def __init__(
        self,
        n_components: int = 100,
        margin: float | tuple[float, float] = (3.0, 1.0),
        n_negatives: int | str = "auto",
        learning_rate: float = 0.1,
        batch_size: int | str = "auto",
        n_epochs: int | str = "auto",
        max_norm: float = 1.0,
        rank_weight: bool = True,
        balance: float | None = 30.0,
        covariance_weight: float = 0.0,
        feature_weight: float = 40.0,
        rare_item_distance: float = 0.0,
        item_network: nn.Module | None = None,
        user_network: nn.Module | None = None,
        patience: int = 10,
        keep_user_items: bool = True,
        dtype: str = "float32",
        device: str = "auto",
        backend: str = "auto",
        random_state: Any = None,
    ) -> None:
        self.n_components = n_components
        self.margin = margin
        self.n_negatives = n_negatives
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.n_epochs = n_epochs
        self.max_norm = max_norm
        self.rank_weight = rank_weight
        self.balance = balance
        self.covariance_weight = covariance_weight
        self.feature_weight = feature_weight
        self.rare_item_distance = rare_item_distance
        self.item_network = item_network
        self.user_network = user_network
        self.patience = patience
        self.keep_user_items = keep_user_items
        self.dtype = dtype
        self.device = device
        self.backend = backend
        self.random_state = random_state

    def fit(
        self,
        user_items: Any,
        item_features: Any = None,
        user_features: Any = None,
        *,
        validation: Any = None,
        show_progress: bool | None = None,
        callback: Callable[[Record], Any] | None = None,
    ) -> CML:
        """Train from scratch.

        Parameters
        ----------
        user_items : SciPy sparse matrix of shape (n_users, n_items), or Interactions
            Who likes what; how large a value is does not matter. Duplicates and zeros are left out and counted.
        item_features, user_features : SciPy sparse matrix, Interactions, array or Tensor, optional
            Shapes [n_items, d] and [n_users, d']: what is known of them, such as an item's tags, in the order of
            ``item_ids`` (``user_ids``) of ``user_items``. Of `Interactions` with items in its rows and tags in its
            columns, rows are found by their ids; items that it alone names join, those that it does not name have no
            tags. A network learns to place items (or users) by them, and draws them there (section 3.3). Those without
            likes are placed by it alone, at the typical distance from the centre; such items are no negatives.
        validation : the same, optional
            Held-out likes of the same users and items. Training stops when their Recall@50 no longer improves, and
            the best epoch is restored.
        show_progress : bool, optional
            Whether to show a progress bar; by default on a terminal only.
        callback : callable, optional
            Called with each epoch's entry of ``history_``; returning True ends training.

        Returns
        -------
        CML
            The model itself.

        Raises
        ------
        ValueError
            If a parameter is out of range, the matrix is empty, has negative or non-finite values, or does not fit
            ``validation``, or if no user has an item left to be a negative.
        DivergedError
            If the loss is no longer finite. A model that was fitted before is unchanged after any error.
        """
        train = as_user_items(user_items)
        _check_some(train.matrix)
        kernels, device = backends.choose(self.backend, self.device)
        has_features = item_features is not None or user_features is not None
        train = joined(train, item_features, user_features)
        settings = resolve(self.get_params(), train.nnz, *train.shape, has_features)
        held_out = None if validation is None else held_out_matrix(validation, train, "validation")
        likes = train.matrix
        item_likes, user_likes = likes_of_items(likes), np.diff(likes.indptr)
        users = Side.of(user_features, train.user_ids, user_likes, self.user_network, settings, device, "user")
        items = Side.of(item_features, train.item_ids, item_likes, self.item_network, settings, device, "item")
        if users:
            likes = likes[users.taking_part.cpu().numpy()]
        if items:
            likes = likes[:, items.taking_part.cpu().numpy()]
        pairs = _pairs(likes, likes, device)

        def score(tables: JointTables) -> float:
            everyone = tables.whole()
            points = item_points(everyone.item, item_likes, settings.rare_item_distance)
            queries = user_points(everyone.user, points)
            return recall(kernels, queries, points, held_out, train.matrix, (50,))["recall@50"]

        tables = JointTables(*new_tables(likes.shape[0], likes.shape[1], settings, device).all(), users, items)
        tables.start(settings)
        step = choose_step(kernels, settings, has_features)
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(settings.seed)  # for networks that draw, as dropout does
            tables, history = fit_tables(
                step, tables, pairs, settings, None if held_out is None else score, show_progress, callback
            )
        self._adopt(
            tables.whole(), train, item_likes, settings, history, _skipped(train, pairs), self.keep_user_items,
            items is not None,
        )  # fmt: skip
        self.user_network_, self.item_network_ = (
            side.encoder.network.eval() if side else None for side in tables.sides()
        )
        self.user_feature_ids_, self.item_feature_ids_ = tag_ids_of(user_features), tag_ids_of(item_features)
        self._without_network: list[str] = []
        return self

    def partial_fit(
        self,
        user_items: Any = None,
        item_features: Any = None,
        user_features: Any = None,
        *,
        freeze_items: bool = False,
    ) -> CML:
        """Train one epoch on new interactions, from where the model stands; fit nothing anew.

        The epoch has the last margin, and a learning rate that falls from ``learning_rate`` to 0. New interactions
        join the old ones, and negatives are drawn from neither (if the model kept the old ones). A larger matrix, or
        `Interactions` with new ids, brings new users and items, whose rows start at random or, with features, where the
        model's networks place them; the networks themselves stay as they are. AdaGrad's accumulators are kept.

        Parameters
        ----------
        user_items : SciPy sparse matrix or Interactions, optional
            As in :meth:`fit`. Of the kind that the model was fitted on. With features it may be without likes, or left
            out: new users or items are then placed, and nothing is trained.
        item_features, user_features : SciPy sparse matrix, Interactions, array or Tensor, optional
            For a model fitted with such features: a row for each item (user), those that the model knows first. Of
            `Interactions`, the new ones' rows are enough; they join even if ``user_items`` does not name them, and tags
            are found by their names, unknown ones left out. Features of items that the model knows are not read again.
        freeze_items : bool
            Leave all items where they are, so that what was computed of them stays true; only users move.

        Returns
        -------
        CML
            The model itself.

        Raises
        ------
        ValueError
            As :meth:`fit`; if the matrix is smaller than the model, or ``n_components`` or ``dtype`` was changed; if
            there are features and no network for them, or new items that would be frozen at random places; if items
            are to be frozen and there are none yet (`NotFittedError`).
        """
        if not self._is_fitted():
            if freeze_items:
                raise NotFittedError(
                    "freeze_items is True, but this CML is not fitted yet and has no items to leave where they are; "
                    "call fit first"
                )
            return self.fit(user_items, item_features, user_features)
        likes = sparse.csr_matrix(self._known.shape) if user_items is None else user_items
        new, liked = merged(likes, self._known)
        given: tuple[tuple[Kind, Any], ...] = (("item", item_features), ("user", user_features))
        for kind, one in given:
            new, liked = widened(new, one, kind), widened(liked, one, kind)
        self._check_unchanged()
        settings = self._settings()
        kernels, device = backends.choose(self.backend, self.device)
        networks: dict[str, nn.Module | None] = {"user": self.user_network_, "item": self.item_network_}
        features = {"user": user_features, "item": item_features}
        tag_ids = {"user": self.user_feature_ids_, "item": self.item_feature_ids_}
        grown = grown_tables(self._tables, new, features, tag_ids, networks, settings, device)
        n_new = new.n_items - len(self.item_embedding_)
        if freeze_items and n_new and item_features is None:
            raise ValueError(
                f"freeze_items is True, but user_items has {n_new} new items, which would stay at random places; give "
                "item_features to place them, or let items move"
            )
        history, pairs = self.history_, None
        if new.nnz or (item_features is None and user_features is None):
            by_features = self._served.by_features
            items = liked_items(liked, grown) if by_features else np.arange(liked.n_items)
            pairs = _pairs(new.matrix[:, items], liked.matrix[:, items], device)
            step = choose_step(kernels, settings, with_features=False, freeze_items=freeze_items)
            history = [*history, one_epoch(step, grown, items, pairs, settings, len(history))]
        keep = self.keep_user_items and self.user_items_ is not None  # else there is but a part of the matrix
        counts = likes_of_items(liked.matrix)
        n_known = self._known.n_items
        if freeze_items:
            counts[:n_known] = self.item_likes_  # more likes would move the points at which items are searched
        elif self.user_items_ is None:
            counts[:n_known] += self.item_likes_
        self._adopt(grown, liked, counts, settings, history, _skipped(new, pairs), keep, self._served.by_features)
        return self


def _pairs(new: sparse.csr_matrix, liked: sparse.csr_matrix, device: torch.device) -> Pairs:
    """Return the pairs to train on, or raise if there is nothing to learn from them."""
    _check_some(new)
    pairs = Pairs.of(new, liked, device)
    if pairs.n_without_negatives == len(pairs):
        raise ValueError(
            "every user of user_items likes every item that anybody likes, so that nobody has an item to keep at a "
            "distance; give more users' likes, or items that not all of them like"
        )
    return pairs


def _check_some(likes: sparse.csr_matrix) -> None:
    if likes.nnz == 0:
        raise ValueError("user_items has no interactions; there is nothing to learn from")


def _skipped(train: Interactions, pairs: Pairs | None) -> dict[str, int]:
    return {
        "duplicate_pairs": train.n_duplicates,
        "dropped_values": train.n_dropped,
        "pairs_without_negatives": pairs.n_without_negatives if pairs else 0,
    }
