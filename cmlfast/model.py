"""`CML`: the one class. It keeps parameters, has training make a `Fitted`, and hands that to what answers."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from types import ModuleType
from typing import IO, Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse
from torch import Tensor, nn

from cmlfast.data.align import joined, merged, widened
from cmlfast.data.csr import Counts, sizes
from cmlfast.data.ids import Ids
from cmlfast.data.interactions import Interactions, as_user_items
from cmlfast.data.sides import KINDS, Kind, Sides
from cmlfast.data.table_file import format_of, whole_file, write_tables
from cmlfast.data.tensor_file import damage
from cmlfast.data.times import check_days
from cmlfast.distributed.fit import Together
from cmlfast.distributed.ranks import Ranks
from cmlfast.distributed.shares import name_of_share, share_of
from cmlfast.evaluation.evaluate import Validation, auc, evaluate
from cmlfast.features.tags import tag_ids_of
from cmlfast.indexes import parameters_of
from cmlfast.ops import backend
from cmlfast.pictures.draw_map import draw_map
from cmlfast.pictures.map_data import Learned
from cmlfast.serving import index_file, persistence
from cmlfast.serving.everyone import everyone, progress
from cmlfast.serving.explain import Explanation, check_asked, explain, nearest_likes
from cmlfast.serving.indexed import Indexed
from cmlfast.serving.indexed import build as build_index
from cmlfast.serving.nearest import Scores, Search, nearest
from cmlfast.serving.neighbours import near_vectors, similar
from cmlfast.serving.queries import Query, check_count, query_of
from cmlfast.serving.recommend import popular, predict, recommend, recommend_users
from cmlfast.serving.summary import as_html, summary
from cmlfast.training import DivergedError
from cmlfast.training.auto import is_auto
from cmlfast.training.checkpoint import Checkpoints, what_is_trained
from cmlfast.training.course import Record
from cmlfast.training.fit import check_some, fit
from cmlfast.training.fitted import Fitted, user_points
from cmlfast.training.interrupts import Interrupts
from cmlfast.training.partial_fit import partial_fit
from cmlfast.training.record import TrainingRecord
from cmlfast.training.retention import without_inactive
from cmlfast.training.settings import Settings, resolve
from cmlfast.training.side_information import lifts_of, read_features

T = TypeVar("T")
Self = TypeVar("Self", bound="CML")


class NotFittedError(ValueError, AttributeError):
    """The model has nothing to recommend from yet."""


class _Learned(Generic[T]):
    """An attribute of `CML` that fitting finds: read from its `Fitted`, `NotFittedError` before, never set alone."""

    def __init__(self, read: Callable[[Fitted], T]) -> None:
        self._read = read

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, model: CML | None, owner: type | None = None) -> T:
        if model is None:
            raise AttributeError(f"{self._name} belongs to a fitted model, not to its class")
        return self._read(model._require_fitted())

    def __set__(self, model: CML, value: Any) -> None:
        raise AttributeError(f"{self._name} is what fit found and cannot be set; call fit or partial_fit to change it")


class CML:
    """Collaborative Metric Learning (Hsieh et al., WWW 2017).

    Users and items are points of one ball, trained so that what a user likes is nearer than what they do not; the
    recommendations are a user's nearest items.

    Parameters
    ----------
    n_components : int
        r, the dimension of the space.
    loss : {"auto", "softmax", "warp"}
        "softmax" is ``-log softmax(-d2 / temperature)`` of the pair's item against negatives that its whole batch
        shares, each of which gets its gradient: see :func:`cmlfast.ops.sampled_softmax`, of which it is the decoupled
        form. "warp" is the paper's hinge against the hardest of a pair's own negatives (equation 1, section 3.2).
        "auto" is the softmax; with features it is the hinge, which learns more from them (docs/defaults.md has the
        figures of this and of every other "auto").
    temperature : float or "auto"
        Of the softmax, in units of squared distance. "auto" is a rule of density and of likes a user, see
        :func:`cmlfast.training.auto.temperature`. A loss that has no temperature takes none but "auto"; so it is with
        the hinge's margin and rank weight.
    margin : float, (float, float) or "auto"
        Of the hinge: m of the paper's equation 1, in units of squared distance (in the unit ball those are at most 4).
        Two numbers are the first and the last of a margin that falls linearly over the epochs: a wide one first spreads
        users and items out, a narrow one then leaves alone what is in order already. "auto" is (3, 1).
    n_negatives : int or "auto"
        Of the hinge, U, the negatives drawn for a pair, of which the hardest counts (section 3.2): "auto" is 0.1 /
        density, at least 1 and at most 20, see :func:`cmlfast.training.auto.own_negatives` for why. Of the softmax, S,
        the negatives that a batch shares: "auto" is the batch's size, at least 1,024 and at most 4,096, or all items if
        there are fewer.
    learning_rate : float or "auto"
        Of AdaGrad; falls linearly to 0 over the epochs. "auto" is 0.1 for the hinge and 0.3 for the softmax.
    batch_size : int or "auto"
        Pairs in a batch. "auto" is for the hinge a tenth of all pairs, at least 256 and at most 10,000, for the softmax
        a hundredth, at least 256 and at most 5,000.
    n_epochs : int or "auto"
        How many epochs, at most. "auto" is for the hinge 200, for the softmax 30; with features 200 to 40, the
        fewer the more these tell, and 10, for they teach faster, and too much in the end.
    max_norm : float
        Radius of the ball (section 3.4).
    rank_weight : bool
        Of the hinge: whether a pair is weighted by its estimated rank (section 3.2).
    balance : float, None or "auto"
        With a number, an epoch draws as many pairs as there are, a pair of user i in proportion to 1 / (n_i + balance),
        with n_i the number of items that the user likes. Recall is a mean over users, while a plain sum over pairs is
        mostly about those with many likes. None visits every pair exactly once an epoch. "auto" is 30 for the hinge and
        with features, else None.
    covariance_weight : float
        lambda_c: what correlated dimensions cost (section 3.4, with DeCov's square; see
        :func:`cmlfast.training.covariance.covariance_gradient`), over the users and items of a batch.
        A mean beside a loss that is a sum: it acts from about 1e6 on.
    feature_weight : float, (float, float) or "auto"
        lambda_f: what a unit of squared distance between an item (or a user) and the place that the network finds by
        its features costs (section 3.3); of two numbers the first is for users' features, the second for items'. "auto"
        is for the hinge 4 to 40 by how much features tell, see :func:`cmlfast.training.auto.pull`, and 4 for the
        softmax. Those without any feature are not drawn anywhere.
    rare_item_distance : float or "auto"
        What is added to a user's squared distance to an item with k likes: rare_item_distance / (1 + k). A place
        learned from few likes is uncertain, and such items come up too often where most items have few. It takes part
        in answers, not in training, and buries new items that features alone have placed. "auto" is 0 for the hinge and
        with features, else 0.5.
    item_network, user_network : nn.Module, optional
        The networks f from features [n, d] (in torch's CSR layout if they were sparse) to [n, n_components]. ``fit``
        trains copies. By default :class:`cmlfast.features.FeatureMLP`: 256 ReLU units on rows scaled to unit length.
    patience : int
        With ``fit(validation=...)``: how many looks at the validation matrix, of some 10, may pass without a better
        ``validation_measure`` before the rest of the training, in which rate and margin fall, is cut short to a tenth.
    validation_measure : str
        By which the best epoch is chosen: "recall", "ndcg", "precision", "hit_rate", "mrr" or "map" at some K, as in
        "ndcg@20"; of at most 1,000 users, always the same.
    keep_user_items : bool
        Keep the training matrix with the model, so that ``recommend(userid)`` alone leaves out what a user has.
    dtype : {"float32", "bfloat16"}
        The numbers of the tables. "bfloat16" halves them: arithmetic stays float32, and new rows are rounded up or down
        by chance, so that small steps are not lost.
    rowwise_adagrad : bool
        Keep one accumulator of AdaGrad for each row, not for each number: the state is a hundredth of what it is with
        100 components. It grows by the mean of the gradient's squares.
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
        margin), ``active`` (share of the pairs with a loss), ``clipped_users`` and ``clipped_items`` (shares of them on
        the edge of the ball after it), ``learning_rate``, ``margin``, ``pairs`` (how many it visited), ``seconds`` and,
        where validation was looked at, the measure by its name. The softmax has no impostors, active pairs and margin.
    n_negatives_, batch_size_, seed_ : int
        What "auto" and ``random_state`` came to.
    auto_ : dict
        What each parameter that is "auto" came to.
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

    user_embedding_ = _Learned[Tensor](lambda fitted: fitted.tables.user)
    item_embedding_ = _Learned[Tensor](lambda fitted: fitted.tables.item)
    item_likes_ = _Learned[Counts](lambda fitted: fitted.item_likes)
    user_ids_ = _Learned[Ids](lambda fitted: fitted.known.user_ids)
    item_ids_ = _Learned[Ids](lambda fitted: fitted.known.item_ids)
    user_items_ = _Learned[Interactions | None](lambda fitted: fitted.known if fitted.has_pairs else None)
    user_network_ = _Learned[nn.Module | None](lambda fitted: fitted.networks.user)
    item_network_ = _Learned[nn.Module | None](lambda fitted: fitted.networks.item)
    user_feature_ids_ = _Learned[Ids | None](lambda fitted: fitted.tag_ids.user)
    item_feature_ids_ = _Learned[Ids | None](lambda fitted: fitted.tag_ids.item)
    history_ = _Learned[list[Record]](lambda fitted: fitted.history)
    n_negatives_ = _Learned[int](lambda fitted: fitted.settings.loss.n_negatives)
    batch_size_ = _Learned[int](lambda fitted: fitted.settings.batch_size)
    seed_ = _Learned[int](lambda fitted: fitted.settings.seed)
    auto_ = _Learned[dict[str, Any]](lambda fitted: dict(fitted.settings.found))
    skipped_ = _Learned[dict[str, int]](lambda fitted: fitted.skipped)

    _fitted: Fitted | None = None
    _last: TrainingRecord | None = None
    _index: Indexed | None = None

    def __init__(
        self,
        n_components: int = 100,
        loss: str = "auto",
        temperature: float | str = "auto",
        margin: float | tuple[float, float] | str = "auto",
        n_negatives: int | str = "auto",
        learning_rate: float | str = "auto",
        batch_size: int | str = "auto",
        n_epochs: int | str = "auto",
        max_norm: float = 1.0,
        rank_weight: bool = True,
        balance: float | str | None = "auto",
        covariance_weight: float = 0.0,
        feature_weight: float | tuple[float, float] | str = "auto",
        rare_item_distance: float | str = "auto",
        item_network: nn.Module | None = None,
        user_network: nn.Module | None = None,
        patience: int = 5,
        validation_measure: str = "recall@50",
        keep_user_items: bool = True,
        dtype: str = "float32",
        rowwise_adagrad: bool = False,
        device: str = "auto",
        backend: str = "auto",
        random_state: Any = None,
    ) -> None:
        self.n_components = n_components
        self.loss = loss
        self.temperature = temperature
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
        self.validation_measure = validation_measure
        self.keep_user_items = keep_user_items
        self.dtype = dtype
        self.rowwise_adagrad = rowwise_adagrad
        self.device = device
        self.backend = backend
        self.random_state = random_state

    @backend.undisturbed
    def fit(
        self,
        user_items: Any,
        item_features: Any = None,
        user_features: Any = None,
        *,
        validation: Any = None,
        show_progress: bool | None = None,
        callback: Callable[[Record], Any] | None = None,
        checkpoint_dir: str | os.PathLike[str] | None = None,
        checkpoint_every: int | str = 1,
        process_group: Any = None,
        shard_items: bool = False,
    ) -> CML:
        """Train from scratch, or go on where the same training was broken off.

        Ctrl-C (SIGINT), SIGTERM and SIGHUP take effect when the step is done: a checkpoint is written, if there is a
        folder for it, and the model is what had been learned by then, if that is an epoch at least.

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
            Held-out likes of the same users and items. The epoch that is best by ``validation_measure`` is restored,
            and training is cut short when it no longer improves.
        show_progress : bool, optional
            Whether to show a progress bar; by default on a terminal and in a notebook. The logger "cmlfast" has each
            epoch at the level DEBUG.
        callback : callable, optional
            Called with each epoch's entry of ``history_``; returning True ends training.
        checkpoint_dir : str or path, optional
            A folder for checkpoints, of which the last two are kept. Where it has some, the same call goes on from the
            last, and ends with the bits of a training that was never broken off (on the same machine, with as many
            threads, where BLAS is involved).
        checkpoint_every : int or str
            Write one after so many epochs, or after a time such as "10 minutes", also within an epoch; the end of the
            training is always written.
        process_group : torch.distributed.ProcessGroup, optional
            Train together with the other processes of a group, such as ``torch.distributed.group.WORLD``, each of which
            makes the same call: users are shared out, and every process ends with the whole model
            (docs/distributed.md). The result does not depend on how many they are: not in a bit with the hinge and
            ``dtype="float32"``, within rounding with the softmax. Without features and ``covariance_weight``.
        shard_items : bool
            With ``process_group``: share out the items too, for catalogues that do not fit into one process. Rows of
            others are then fetched for each step.

        Returns
        -------
        CML
            The model itself.

        Raises
        ------
        ValueError
            If a parameter is out of range, the matrix is empty, has negative or non-finite values, or does not fit
            ``validation``, or if no user has an item left to be a negative; if the last checkpoint in
            ``checkpoint_dir`` is damaged or of another training, which says in what; if processes of the group were not
            called alike.
        LostRankError
            If another process of the group is gone.
        OSError
            If a checkpoint cannot be written; earlier ones are unchanged.
        DivergedError
            If the loss is no longer finite. A model that was fitted before is unchanged after any error.
        """
        train = as_user_items(user_items)
        check_some(train.matrix)
        kernels, device = backend.choose(self.backend, self.device)
        train = joined(train, item_features, user_features)
        given = Sides(user_features, item_features)
        self._check_used(given)
        features = read_features(train, given, device)
        settings = resolve(self.get_params(), *sizes(train.matrix), lifts_of(train.matrix, features))
        networks, interrupts = Sides(self.user_network, self.item_network), Interrupts()
        together = self._together(process_group, shard_items, given, device)
        if together:
            settings = together.with_one_seed(settings)
        held_out = None if validation is None else Validation.of(train, validation, settings)
        of, checkpoints = {}, None
        if together or checkpoint_dir is not None:
            of = what_is_trained(settings, train, features, networks, validation)
        if together:
            together.check({**of, "checkpoint_dir": checkpoint_dir is not None, "checkpoint_every": checkpoint_every})
        if checkpoint_dir is not None:
            if not isinstance(self.random_state, int | np.integer):
                raise ValueError(
                    f"checkpoint_dir is given, but random_state is {self.random_state!r}; give an integer, by which "
                    "the same call is the same training"
                )
            make = together.checkpoints if together else Checkpoints.in_folder
            checkpoints = make(checkpoint_dir, checkpoint_every, of)
        record = TrainingRecord(train.shape, train.nnz, self.get_params(), settings, (), str(device))
        with interrupts.deferred():
            try:
                how: dict[str, Any] = {
                    "keep_pairs": self.keep_user_items, "show_progress": show_progress, "callback": callback,
                    "checkpoints": checkpoints, "interrupts": interrupts,
                }  # fmt: skip
                if together:
                    fitted = together.fit(train, settings, kernels, validation=held_out, **how)
                else:
                    score = None if held_out is None else partial(held_out.look, kernels)
                    tag_ids = Sides(*map(tag_ids_of, given))
                    fitted = fit(train, features, tag_ids, networks, settings, kernels, device, score=score, **how)
            except DivergedError as error:
                self._last = replace(record, history=error.history, end=f"{error}.")
                raise
            end = "" if interrupts.arrived is None else "The training was interrupted."
            self._last = replace(record, end=end)
            if fitted is not None:
                self._last = replace(record, end=end, history=fitted.history, skipped=fitted.skipped)
            # One assignment, of all that was found: a fit that fails leaves the old model.
            self._fitted = fitted or self._fitted
        self._let_go_of_index()
        return self

    def _together(
        self, process_group: Any, shard_items: bool, features: Sides[Any], device: torch.device
    ) -> Together | None:
        """Return the processes that train together, or None for this one alone; check what they can."""
        if process_group is None:
            if shard_items:
                raise ValueError("shard_items is True, but there is no process_group whose processes could share them")
            return None
        given = [f"{kind}_features" for kind in KINDS if features[kind] is not None]
        if self.covariance_weight:
            given.append("covariance_weight")
        if given:
            raise ValueError(f"process_group is given, and {' and '.join(given)}, which one process alone can train")
        return Together(Ranks(process_group), shard_items, device)

    @backend.undisturbed
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
            As :meth:`fit`; if the matrix is smaller than the model, or ``n_components``, ``dtype`` or
            ``rowwise_adagrad`` was changed; if there are features and no network for them, or new items that would be
            frozen at random places; if items are to be frozen and there are none yet (`NotFittedError`).
        """
        fitted = self._fitted
        if fitted is None:
            if freeze_items:
                raise NotFittedError(
                    "freeze_items is True, but this CML is not fitted yet and has no items to leave where they are; "
                    "call fit first"
                )
            return self.fit(user_items, item_features, user_features)
        likes = sparse.csr_matrix(fitted.known.shape) if user_items is None else user_items
        new, liked = merged(likes, fitted.known)
        given: tuple[tuple[Kind, Any], ...] = (("item", item_features), ("user", user_features))
        for kind, features in given:
            new, liked = widened(new, features, kind), widened(liked, features, kind)
        self._check_n_components(fitted)
        self._check_dtype(fitted)
        self._check_rowwise_adagrad(fitted)
        settings = self._settings(fitted)
        kernels, device = backend.choose(self.backend, self.device)
        self._fitted = partial_fit(
            fitted, new, liked, Sides(user_features, item_features), settings, kernels, device,
            freeze_items=freeze_items, keep_pairs=self.keep_user_items,
        )  # fmt: skip
        self._last = None
        self._let_go_of_index()
        return self

    def drop_inactive(self: Self, user_days: float | None = None, item_days: float | None = None) -> Self:
        """Drop users, and items, whose last like was long before the last of all, with all that was learned of them.

        The model keeps when each of them was last in a like, if the `Interactions` given to `fit` and `partial_fit` had
        times. Those of whom no time is known stay. Who comes back is new. What items have learned from dropped users
        stays, their number of likes included.

        Parameters
        ----------
        user_days, item_days : float, optional
            How many days before the last like of all, or before now if that claims to be later; by default nobody is
            dropped.

        Returns
        -------
        CML
            The model itself.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        ValueError
            If a number is not above zero, the model knows no dates, or was fitted on a bare matrix.
        """
        fitted = self._require_fitted()
        for name, days in (("user_days", user_days), ("item_days", item_days)):
            if days is not None:
                check_days(days, name)
        self._fitted = without_inactive(fitted, Sides(user_days, item_days))
        self._let_go_of_index()
        return self

    @backend.undisturbed
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
            What these users like, a row for each, or a row for each user whom the model knows; by default what the
            model was trained on.
        N : int
            How many items; fewer come back where there are no more.
        filter_already_liked_items : bool
            Leave out what ``user_items`` (or the training matrix) has for a user.
        filter_items, items : ids, optional
            Items to leave out for everyone; the only items to choose from.
        recalculate_user : bool
            Place the users by ``user_items`` (see :func:`cmlfast.serving.fold_in.fold_in`), not by training.
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
        NotFittedError
            Before ``fit``.
        KeyError
            For an id that the model does not have.
        IndexError
            For a row number out of range, where ids are row numbers.
        ValueError
            If ``user_items`` does not have a row for each user and a column for each item, if the training matrix is
            needed but was not kept, or if there is no network for ``user_features``.
        """
        fitted = self._require_fitted()
        check_count(N, "N")
        query = self._query(
            fitted, userid, user_items, recalculate_user, user_features, leave_out=filter_already_liked_items
        )
        return recommend(fitted, self._search(fitted), self._points(fitted), query, N, filter_items, items)

    def recommend_all(
        self,
        N: int = 10,  # noqa: N803 (implicit's name)
        filter_already_liked_items: bool = True,
        *,
        show_progress: bool | None = None,
        process_group: Any = None,
    ) -> Iterator[Any]:
        """Recommend to all users, in bounded memory: tables one after the other.

        Parameters
        ----------
        N : int
            How many items for each.
        filter_already_liked_items : bool
            Leave out what the training matrix has for a user.
        show_progress : bool, optional
            Whether to show a progress bar; by default on a terminal and in a notebook.
        process_group : torch.distributed.ProcessGroup, optional
            Recommend to this process's share of the users: as many as the others have, give or take one, in the order
            of ranks. Nothing is exchanged.

        Returns
        -------
        iterator of pyarrow.Table
            Of the columns user, item and score, of some thousand users each, in the order of ``user_ids_``; best first.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        ValueError
            If the training matrix is needed but was not kept.
        """
        fitted = self._require_fitted()
        check_count(N, "N")
        users = share_of(fitted.known.n_users, process_group)
        parts = everyone(fitted, self._search(fitted), self._points(fitted), int(N), filter_already_liked_items, users)
        return progress(parts, len(users), show_progress)

    def write_recommendations(
        self,
        path: str | os.PathLike[str],
        N: int = 10,  # noqa: N803 (implicit's name)
        filter_already_liked_items: bool = True,
        *,
        show_progress: bool | None = None,
        process_group: Any = None,
    ) -> None:
        """Write :meth:`recommend_all` to a file, all or nothing: CSV, JSON lines or Parquet by its name.

        Parameters
        ----------
        path : str or path
            The file; its name ends in .csv, .jsonl or .parquet.
        N, filter_already_liked_items, show_progress, process_group
            As in :meth:`recommend_all`. Each process of a group writes a file, whose name says so: of two,
            answers-0-of-2.parquet and answers-1-of-2.parquet.

        Raises
        ------
        OSError
            If the file cannot be written; what was there is then unchanged.
        NotFittedError, ValueError
            As :meth:`recommend_all`.
        """
        parts = self.recommend_all(
            N, filter_already_liked_items, show_progress=show_progress, process_group=process_group
        )
        if process_group is not None:
            path = name_of_share(path, process_group)
        with whole_file(path) as file:
            write_tables(file, format_of(path), parts)

    @backend.undisturbed
    def build_index(self: Self, kind: str = "exact", **parameters: int | None) -> Self:
        """Have :meth:`recommend` and :meth:`recommend_all` look for items by an index, quicker, and miss some.

        The index finds more items than are asked for, by as many as are left out for a user; those are compared by
        exact distances, so that scores are what an exact search has, and so is the order of what was found. Nobody
        gets fewer than N items while there are N. A choice of ``items``, and users who need a quarter of all items,
        are searched exactly; so are similar items and users, and evaluation.

        The index is of the items as they are: after `fit`, `partial_fit` or with another ``rare_item_distance`` answers
        are exact again, until it is built anew. It is saved with the model; pickles and copies are without it.

        Parameters
        ----------
        kind : {"exact", "annoy", "hnsw", "ivf"}
            "exact" compares with all items, and gives up an index that was built. "annoy", the paper's, is
            :class:`cmlfast.indexes.annoy.Annoy`: one memory-mapped file serves many processes. "hnsw",
            :class:`cmlfast.indexes.hnsw.Hnsw` by usearch, takes longest to build and answers single users soonest.
            "ivf" is :class:`cmlfast.indexes.ivf.Ivf` by faiss, the quickest for many users at once.
        **parameters : int
            Of the kind, as its class says them, such as ``n_trees`` or ``n_probe``.

        Returns
        -------
        CML
            The model itself.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        ImportError
            If the index's library is missing: ``pip install 'cmlfast[annoy]'``, ``[hnsw]`` or ``[ivf]``.
        ValueError
            For an unknown kind or parameter; if nothing was learned of any item.
        """
        fitted = self._require_fitted()
        if kind != "exact":
            self._points(fitted)  # which checks the parameter
            self._index = build_index(kind, parameters, fitted, self._rare_item_distance(fitted))
        elif parameters:
            raise ValueError(f"{next(iter(parameters))} is given, but an exact search has no parameters")
        else:
            self._index = None
        return self

    @property
    def index(self) -> dict[str, Any]:
        """What looks for items: its ``kind``, "exact" without an index of the items as they are, and its parameters."""
        found = self._served_by(self._require_fitted())
        return {"kind": "exact"} if found is None else {"kind": found.index.kind, **parameters_of(found.index)}

    @backend.undisturbed
    def recommend_users(
        self,
        itemid: Any,
        N: int = 10,  # noqa: N803 (implicit's name)
        filter_already_liked_users: bool = True,
    ) -> tuple[npt.NDArray[Any], Scores]:
        """Return the users nearest to an item, or to each of several: whom to tell of it.

        Parameters
        ----------
        itemid : id or array of Q ids
            Own ids, or column numbers for a model fitted on a matrix.
        N : int
            How many users.
        filter_already_liked_users : bool
            Leave out who likes the item already, by the training matrix.

        Returns
        -------
        ids, scores : ndarray of shape (n,) or (Q, n)
            As :meth:`recommend` returns items.
        """
        fitted = self._require_fitted()
        return recommend_users(
            fitted, self._kernels(fitted), self._points(fitted), itemid, N, filter_already_liked_users
        )

    @backend.undisturbed
    def user_vectors(
        self, userid: Any = None, user_items: Any = None, recalculate_user: bool = False, *, user_features: Any = None
    ) -> npt.NDArray[np.float32]:
        """Return where users are when they look for items, for a search of your own: of one, several, or new ones.

        The squared distance to a row of :meth:`item_vectors` is minus the score; docs/serving.md has indexes of others.

        Parameters
        ----------
        userid, user_items, recalculate_user, user_features
            As in :meth:`recommend`; by default all users.

        Returns
        -------
        ndarray of shape (Q, d), or (d,) for one user
            d is r, or r + 1 where there is a ``rare_item_distance``.
        """
        fitted = self._require_fitted()
        if userid is None and user_features is None:
            userid = fitted.known.user_ids
        query = self._query(fitted, userid, user_items, recalculate_user, user_features, leave_out=False)
        found: npt.NDArray[np.float32] = user_points(query.vectors, self._points(fitted)).float().cpu().numpy()
        return found[0] if query.scalar else found

    @backend.undisturbed
    def item_vectors(self) -> npt.NDArray[np.float32]:
        """Return where users look for items: [J, d], in the order of ``item_ids_``; see :meth:`user_vectors`.

        With a ``rare_item_distance`` an item has one coordinate more than its embedding, a user 0 there.
        """
        found: npt.NDArray[np.float32] = self._points(self._require_fitted()).float().cpu().numpy().copy()
        return found

    @backend.undisturbed
    def predict(
        self, userid: Any = None, itemid: Any = None, *, user_features: Any = None, item_features: Any = None
    ) -> Scores:
        """Return the scores of users with items, known or new.

        Parameters
        ----------
        userid, itemid : ids, optional
            Q users and n items that the model knows, or one of either. Without items, all of them.
        user_features, item_features : SciPy sparse matrix, array, Tensor or Interactions, optional
            In their place, features of shape (Q, d') or (n, d) of new ones, which the model's networks place.

        Returns
        -------
        ndarray of shape (Q, n), float32
            Minus the squared distances, as :meth:`recommend` returns them; without the dimension of what is one id.

        Raises
        ------
        NotFittedError, KeyError, IndexError
            As :meth:`recommend`.
        ValueError
            As :meth:`recommend`; and unless there are either ids or features of both.
        """
        fitted = self._require_fitted()
        return predict(
            fitted,
            self._points(fitted),
            self._rare_item_distance(fitted),
            userid=userid,
            itemid=itemid,
            user_features=user_features,
            item_features=item_features,
        )

    @backend.undisturbed
    def similar_items(
        self,
        itemid: Any,
        N: int = 10,  # noqa: N803 (implicit's name)
        *,
        filter_items: Iterable[Any] | None = None,
        items: Iterable[Any] | None = None,
    ) -> tuple[npt.NDArray[Any], Scores]:
        """Return the items nearest to an item (or to each of several), first the item itself.

        Items of which nothing is known, neither likes nor features, are near to none, and none is near to them.

        Parameters
        ----------
        itemid : id or array of Q ids
            Own ids, or column numbers for a model fitted on a matrix.
        N : int
            How many items, the item itself among them.
        filter_items, items : ids, optional
            Items to leave out; the only items to choose from.

        Returns
        -------
        ids, scores : ndarray of shape (n,) or (Q, n)
            As :meth:`recommend` returns them.

        Raises
        ------
        NotFittedError, KeyError, IndexError
            As :meth:`recommend`.
        """
        fitted = self._require_fitted()
        return similar(fitted, self._kernels(fitted), "item", itemid, N, filter_items, items)

    @backend.undisturbed
    def similar_users(
        self,
        userid: Any = None,
        N: int = 10,  # noqa: N803 (implicit's name)
        *,
        filter_users: Iterable[Any] | None = None,
        users: Iterable[Any] | None = None,
        user_items: Any = None,
        recalculate_user: bool = False,
        user_features: Any = None,
    ) -> tuple[npt.NDArray[Any], Scores]:
        """Return the users nearest to a user (or to each of several), first the user themselves.

        Parameters
        ----------
        userid : id or array of Q ids, optional
            Own ids, or row numbers for a model fitted on a matrix.
        N : int
            How many users, the user themselves among them.
        filter_users, users : ids, optional
            Users to leave out; the only users to choose from.
        user_items, recalculate_user, user_features
            Of new users, as in :meth:`recommend`: nobody comes first then but who is nearest.

        Returns
        -------
        ids, scores : ndarray of shape (n,) or (Q, n)
            As :meth:`recommend` returns items.

        Raises
        ------
        NotFittedError, KeyError, IndexError
            As :meth:`recommend`.
        ValueError
            As :meth:`recommend`; if there are ``user_items`` without ``recalculate_user``.
        """
        fitted = self._require_fitted()
        if recalculate_user or user_features is not None:
            query = self._query(fitted, userid, user_items, recalculate_user, user_features, leave_out=False)
            return near_vectors(fitted, self._kernels(fitted), query, N, filter_users, users)
        if user_items is not None:
            raise ValueError("user_items are given without recalculate_user: known users are where training put them")
        return similar(fitted, self._kernels(fitted), "user", userid, N, filter_users, users)

    @backend.undisturbed
    def explain(
        self,
        userid: Any,
        itemid: Any,
        user_items: Any = None,
        N: int = 10,  # noqa: N803 (implicit's name)
        recalculate_user: bool = False,
    ) -> Explanation:
        """Say why an item is near to a user: which of the user's likes lie nearest to it, and how near.

        The item itself is left out where the user likes it, and so are likes of which nothing was learned. Of a user
        who likes nothing else, the explanation is empty, and says so when it is printed.

        Parameters
        ----------
        userid, user_items, recalculate_user
            As in :meth:`recommend`, of one user.
        itemid : id
            One item, recommended or not.
        N : int
            How many likes to show, the nearest; shares and bounds are of all.

        Returns
        -------
        Explanation
            See :class:`cmlfast.serving.explain.Explanation`: distances (Euclidean, not squared), shares, and the bounds
            that the triangle inequality sets. ``print`` and notebooks show it as a table.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        KeyError
            For an id that the model does not have.
        IndexError
            For a row or column number out of range, where ids are such numbers.
        ValueError
            For several users or items; as :meth:`recommend`, for ``user_items``; if nothing was learned of the item.
        """
        fitted = self._require_fitted()
        check_count(N, "N")
        check_asked(fitted, userid, itemid, user_items)
        query = self._query(fitted, userid, user_items, recalculate_user, None, leave_out=True)
        return explain(fitted, self._points(fitted), query, userid, itemid, N)

    def popular_items(self, N: int = 10) -> tuple[npt.NDArray[Any], Counts]:  # noqa: N803
        """Return the items that most users like, and how many do: for users of whom nothing is known.

        Parameters
        ----------
        N : int
            How many items.

        Returns
        -------
        ids, likes : ndarray of shape (n,)
            Most likes first, of equal ones in the order of ``item_ids_``.
        """
        fitted = self._require_fitted()
        return popular(fitted, N)

    @backend.undisturbed
    def evaluate(self, held_out: Any, k: int | Iterable[int] = (50, 100), exclude: Any = None) -> dict[str, float]:
        """Return measures of the ranking on held-out likes (paper, section 4.2).

        Every user with held-out items ranks all items except those of the training matrix and of ``exclude``. Means
        over these users are Recall@K (hits among the first K / held-out items), NDCG@K (binary; the ideal has the
        smaller of K and the held-out items), precision, hit rate, MRR and MAP (normalized as NDCG is). Coverage is the
        share of the catalogue that is among anybody's first K, popularity the mean number of training likes of what is.
        See :mod:`cmlfast.evaluation.measures`.

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
            ``{"recall@50": ..., "ndcg@50": ..., "precision@50": ..., "hit_rate@50": ..., "mrr@50": ..., "map@50": ...,
            "coverage@50": ..., "popularity@50": ..., "recall@100": ..., ...}``

        Raises
        ------
        NotFittedError
            Before ``fit``.
        ValueError
            For a matrix that does not fit the model, has no pairs or pairs that are left out of the ranking; for k
            below 1.
        """
        fitted = self._require_fitted()
        return evaluate(fitted, self._kernels(fitted), self._points(fitted), held_out, k, exclude)

    @backend.undisturbed
    def auc(self, held_out: Any, exclude: Any = None) -> float:
        """Return the area under the ROC curve: how often a held-out item is nearer than another that a user has not.

        A mean over users with held-out items. It ranks the whole catalogue for each, which takes longer than
        :meth:`evaluate`, and says more about its middle than about what is recommended.

        Parameters
        ----------
        held_out, exclude
            As in :meth:`evaluate`, which raises the same errors.

        Returns
        -------
        float
            0.5 is what chance has, 1 is a ranking without an error.
        """
        fitted = self._require_fitted()
        return auc(fitted, self._kernels(fitted), self._points(fitted), held_out, exclude)

    @backend.undisturbed
    def plot(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        titles: Any = None,
        color: Any = "popularity",
        users: Any = None,
        item_features: Any = None,
        random_state: int = 0,
    ) -> Any:
        """Draw a map of the items, and of users among them: near are those whom the model has near (paper, figure 5).

        The learned space is brought to a plane by t-SNE, with exact neighbours, begun by PCA. Needs
        ``pip install 'cmlfast[map]'``. docs/map.md shows what the page can do.

        For the neighbours all points are compared with each other, so that twice as many take four times as long; from
        200,000 on the log says so before that begins (docs/map.md has times).

        Parameters
        ----------
        path : str or path, optional
            What to write, all or nothing: a page that works offline ("map.html": search, zoom, what is near, what is
            recommended and why), or a picture (".png", ".pdf", ".svg"). Without, the figure is returned.
        titles : table, dict or sequence of length n_items, optional
            The items' titles: a table (pandas, Polars, DuckDB, pyarrow) with a column of ids, named as in
            `Interactions.from_frame`, and one of titles; a dict from ids; or a sequence in the order of ``item_ids_``.
            Items without one are called by their ids.
        color : str, dict or sequence of length n_items
            What colours the items: "popularity", their number of likes; the name of a column of the table that
            ``titles`` is; a dict from ids, or a sequence. Numbers have a scale. Anything else is a category, of which
            the six most frequent have a colour and a shape of their own; an item of several ("Action|War", a list, or
            several rows of the table) has that of the rarest of these.
        users : int, sequence of ids or "all", optional
            Whom to show in the same space: so many, drawn at random; these; or everybody of whom something is known.
            By default nobody.
        item_features : SciPy sparse matrix, Interactions, array or Tensor, optional
            As in :meth:`fit`: the items are then shown by these, too, beside the learned space. Models do not keep
            the features that they were fitted on.
        random_state : int
            Of the t-SNE, and of the choice of users. The same model and the same number give the same map, on the same
            machine with the same versions of the libraries and as many threads.

        Returns
        -------
        Path or matplotlib.figure.Figure
            The file that was written; the figure, which notebooks show, where ``path`` is None.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        ImportError
            If openTSNE, plotly or matplotlib is missing.
        OSError
            If the file cannot be written; what was there is then unchanged.
        ValueError, TypeError
            If the file's name ends in something else; if there are fewer than eight items of which something is known;
            if titles, colours or features do not fit the items; for users when the training matrix was not kept.
        KeyError, IndexError
            For a user whom the model does not know.
        """
        fitted, by_position = self._require_fitted(), self.by_position()
        given = read_features(fitted.known, Sides(None, item_features), fitted.tables.item.device).item
        learned = Learned(
            fitted.known, fitted.has_pairs, fitted.item_likes, Sides(fitted.near("user"), fitted.near("item")),
            partial(nearest, self._kernels(fitted)), lambda rows, n: by_position.recommend(rows, N=n),
            partial(nearest_likes, fitted, self._points(fitted)),
        )  # fmt: skip
        return draw_map(
            path, learned, titles=titles, color=color, users=users, features=None if given is None else given.rows,
            seed=random_state,
        )  # fmt: skip

    def summary(self) -> dict[str, Any]:
        """Return what the model is: its sizes, the training, the parameters and what "auto" came to."""
        return summary(self._require_fitted(), self.get_params(), self.index["kind"])

    def plot_history(self, path: str | os.PathLike[str] | None = None) -> Any:
        """Show what the last training went through, or write it as a report.

        Loss, impostors, validation, users and items on the edge of the ball, speed and learning rate, by epoch. After a
        ``fit`` that diverged or was interrupted it is what there was of that. A model that was loaded has the same
        numbers, and does not know why a training ended.

        Parameters
        ----------
        path : str or path, optional
            A file to write: .html is a page that needs no network, with the data, all settings and the machine beside;
            .png is the curves alone. Without it, they come back as a figure of plotly.

        Returns
        -------
        Path or plotly.graph_objects.Figure
            The file that was written; the figure, which notebooks show, where ``path`` is None.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        ImportError
            Without plotly, or matplotlib for a PNG: ``pip install 'cmlfast[report]'``.
        ValueError
            For a name that ends in neither .html nor .png.
        OSError
            If the file cannot be written; what was there is then unchanged.
        """
        from cmlfast.pictures import training_report

        record = self._training()
        return training_report.figure(record) if path is None else training_report.write(path, record)

    def save(self, path: str | os.PathLike[str] | IO[bytes]) -> None:
        """Write the fitted model to one safetensors file, in one step, or to an open binary file.

        Networks of your own are stored by their ``state_dict`` alone. An index gets a file beside, whose name begins
        with the model's: it belongs to the model and is copied and moved with it. Open files take no index.

        Parameters
        ----------
        path : str, path or open binary file
            Where to; a file of that name is replaced.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        OSError
            If the file cannot be written. A file that was there is then unchanged.
        ValueError
            If a parameter was changed to what no model can have, or the model was loaded without its own network, which
            would be lost.
        """
        fitted = self._require_fitted()
        self._check_n_components(fitted)
        self._settings(fitted)
        persistence.save(path, fitted, self.get_params(), self._served_by(fitted))

    @classmethod
    @backend.undisturbed
    def load(
        cls: type[Self],
        path: str | os.PathLike[str] | IO[bytes],
        device: str = "cpu",
        *,
        item_network: nn.Module | None = None,
        user_network: nn.Module | None = None,
    ) -> Self:
        """Read a model that :meth:`save` wrote; runs no code from the file.

        Where the file of its index, or the library of that, is missing, answers are exact, and a warning is logged.

        Parameters
        ----------
        path : str, path or open binary file
            The file.
        device : str
            Where the model shall live, as in the constructor.
        item_network, user_network : nn.Module, optional
            If the model was fitted with networks of your own: such networks, to take up the stored weights. Without
            them the model serves all but new items (or users) with features, and cannot be saved.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If it, or its index, is no model, damaged, or from a newer version; if a network does not fit.
        """
        stored = persistence.load(path)
        own = Sides(user_network, item_network)
        with damage(path):
            model = cls(**{**stored.params, **{f"{kind}_network": own[kind] for kind in KINDS}})
        model.device = device
        _, target = backend.choose(model.backend, device)
        # What does not fit the caller's own networks is not the file's fault.
        with damage(path) if own == Sides(None, None) else nullcontext():
            model._fitted = stored.fitted(model.get_params(), own, target)
            model._settings(model._fitted)
            model._index = index_file.read(path, stored.index, model._fitted)
        return model

    @classmethod
    def _defaults(cls) -> dict[str, Any]:
        parameters = list(inspect.signature(cls.__init__).parameters.values())[1:]
        return {parameter.name: parameter.default for parameter in parameters}

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the constructor's parameters by name.

        Parameters
        ----------
        deep : bool
            There for scikit-learn; changes nothing.
        """
        return {name: getattr(self, name) for name in self._defaults()}

    def set_params(self: Self, **params: Any) -> Self:
        """Set parameters by name and return the estimator itself.

        Parameters
        ----------
        **params
            The constructor's, by name.

        Raises
        ------
        ValueError
            For a name that is no parameter; nothing is set then.
        """
        known = self._defaults()
        for name in params:
            if name not in known:
                raise ValueError(f"{name} is no parameter of {type(self).__name__}; it has {', '.join(known)}")
        for name, value in params.items():
            setattr(self, name, value)
        return self

    def clone(self: Self) -> Self:
        """Return an unfitted estimator with the same parameters."""
        return type(self)(**self.get_params())

    def by_position(self: Self) -> Self:
        """Return the same model, which takes and returns numbers of rows and columns in place of own ids.

        For what counts in such numbers, as implicit's evaluators do. Nothing is copied: both share their tables.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        """
        fitted = self._require_fitted()
        known = Interactions(fitted.known.matrix)
        known.by_position = True
        other = self.clone()
        other._fitted, other._index = replace(fitted, known=known), self._index
        return other

    def __repr__(self) -> str:
        changed = [
            f"{name}={getattr(self, name)!r}"
            for name, default in self._defaults().items()
            if not _is_default(getattr(self, name), default)
        ]
        return f"{type(self).__name__}({', '.join(changed)})"

    def _repr_html_(self) -> str:
        return as_html(repr(self), self.summary() if self._fitted else {"fitted": "no"})

    def __sklearn_is_fitted__(self) -> bool:
        return self._fitted is not None

    def __sklearn_tags__(self) -> Any:
        # Asked for by scikit-learn alone, which is then there.
        from sklearn.utils import InputTags, Tags, TargetTags

        return Tags(estimator_type=None, target_tags=TargetTags(required=False), input_tags=InputTags(sparse=True))

    def _training(self) -> TrainingRecord:
        """Return what there is to say of the last training."""
        if self._last is not None:
            return self._last
        fitted = self._require_fitted()
        return TrainingRecord(
            fitted.known.shape, int(fitted.item_likes.sum()), self.get_params(), fitted.settings, fitted.history,
            str(fitted.tables.item.device), fitted.skipped,
        )  # fmt: skip

    def _require_fitted(self) -> Fitted:
        if self._fitted is None:
            raise NotFittedError(f"this {type(self).__name__} is not fitted yet; call fit first")
        return self._fitted

    def _query(
        self,
        fitted: Fitted,
        userid: Any,
        user_items: Any,
        recalculate_user: bool,
        user_features: Any,
        leave_out: bool,
    ) -> Query:
        return query_of(
            fitted, self._kernels(fitted), lambda: self._settings(fitted), userid, user_items, recalculate_user,
            user_features, leave_out,
        )  # fmt: skip

    def _kernels(self, fitted: Fitted) -> ModuleType:
        return backend.choose(self.backend, fitted.tables.item.device)[0]

    def _search(self, fitted: Fitted) -> Search:
        """Return what looks for items: the index while it is of what the model is now, else all are compared with."""
        found = self._served_by(fitted)
        return partial(nearest if found is None else found.nearest, self._kernels(fitted))

    def _served_by(self, fitted: Fitted) -> Indexed | None:
        """Return the index, if there is one, and the items are where they were when it was built."""
        found = self._index
        served = found is not None and found.serves(fitted, self._rare_item_distance(fitted))
        return found if served else None

    def _let_go_of_index(self) -> None:
        """Forget an index of tables that are no longer this model's, and those with it."""
        if self._fitted is not None and self._index is not None and not self._index.is_of(self._fitted):
            self._index = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_index": None}  # which its library does not copy

    def _points(self, fitted: Fitted) -> Tensor:
        """Return where users look for items, [J, r or r + 1]; the item table itself without ``rare_item_distance``."""
        distance = self._rare_item_distance(fitted)
        known = fitted.known_points(distance)
        # Parameters are checked where this one was changed alone: a check takes a tenth as long as an answer.
        return fitted.points(self._settings(fitted).rare_item_distance) if known is None else known

    def _rare_item_distance(self, fitted: Fitted) -> float:
        value: Any = self.rare_item_distance
        return fitted.settings.rare_item_distance if is_auto(value) else value

    def _settings(self, fitted: Fitted) -> Settings:
        """Return the parameters as they are now, checked, with what "auto" came to in the fit."""
        params = {**self.get_params(), "random_state": fitted.settings.seed}
        found = {name: value for name, value in fitted.settings.found.items() if is_auto(params[name])}
        settings = resolve(params | found, 1, *fitted.known.shape)
        return replace(settings, found=settings.found | found)

    def _check_used(self, features: Sides[Any]) -> None:
        """Raise ``ValueError`` for a parameter that nothing would look at, for there are no features."""
        for kind in KINDS:
            if getattr(self, f"{kind}_network") is not None and features[kind] is None:
                raise ValueError(f"{kind}_network is given, but no {kind}_features; give both, or neither")
        if not is_auto(self.feature_weight) and features.user is None and features.item is None:
            raise ValueError(
                f"feature_weight is {self.feature_weight!r}, but there are neither item_features nor user_features; "
                "leave it 'auto', or give features"
            )

    def _check_n_components(self, fitted: Fitted) -> None:
        n_components = fitted.tables.user.shape[1]
        if self.n_components != n_components:
            raise ValueError(
                f"n_components is {self.n_components}, but the model has {n_components}; set it back, or fit anew"
            )

    def _check_dtype(self, fitted: Fitted) -> None:
        if self.dtype != fitted.dtype:
            raise ValueError(
                f"dtype is {self.dtype!r}, but the model has tables of {fitted.dtype!r}; set it back, or fit anew"
            )

    def _check_rowwise_adagrad(self, fitted: Fitted) -> None:
        if self.rowwise_adagrad != fitted.settings.rowwise_adagrad:
            raise ValueError(
                f"rowwise_adagrad is {self.rowwise_adagrad!r}, but the model was trained with "
                f"{fitted.settings.rowwise_adagrad!r}; set it back, or fit anew"
            )


def _is_default(value: Any, default: Any) -> bool:
    """Whether a parameter is what it is by default; arrays and the like, which compare by element, are not."""
    return value is default or (type(value) is type(default) and bool(value == default))
