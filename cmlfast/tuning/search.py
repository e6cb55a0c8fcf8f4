"""Searches with Optuna for the learning rate, margin, negatives and feature weight that suit a user's own data."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from tqdm.auto import tqdm

try:
    import optuna
    from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
    from optuna.trial import FrozenTrial, TrialState
except ImportError as error:
    raise ImportError('tuning needs Optuna, which is not installed: pip install "optuna>=4"') from error

from cmlfast.data.align import joined
from cmlfast.data.csr import sizes
from cmlfast.data.interactions import Interactions, as_user_items
from cmlfast.data.progress import hides_bar
from cmlfast.data.sides import KINDS, Sides
from cmlfast.data.split import split_per_user
from cmlfast.model import CML
from cmlfast.training.loop import DivergedError
from cmlfast.training.settings import Settings, resolve
from cmlfast.training.side_information import lifts_of, read_features
from cmlfast.training.softmax import Softmax
from cmlfast.tuning.study import open_study, quiet

SEARCHED = ("learning_rate", "margin", "temperature", "n_negatives", "feature_weight")
# The defaults are well inside. Not here: n_epochs, n_components and batch_size, which trade recall for time and memory,
# so that it is the user who knows them; max_norm, for a larger ball is the same as a smaller margin and learning rate.
SPACE: dict[str, BaseDistribution] = {
    "learning_rate": FloatDistribution(0.01, 1.0, log=True),
    "first_margin": FloatDistribution(0.5, 4.0),
    "last_margin": FloatDistribution(0.25, 2.0),
    "n_negatives": IntDistribution(1, 40, log=True),
}
SOFTMAX_SPACE: dict[str, BaseDistribution] = {
    "learning_rate": FloatDistribution(0.03, 3.0, log=True),
    "temperature": FloatDistribution(0.05, 1.0, log=True),
    "n_negatives": IntDistribution(64, 4096, log=True),
}
FEATURE_SPACE: dict[str, BaseDistribution] = {"feature_weight": FloatDistribution(1.0, 400.0, log=True)}
# They are searched, change no figure, or are called seed here: a study is not refused for them.
NOT_COMPARED = (*SEARCHED, "patience", "validation_measure", "keep_user_items", "device", "backend", "random_state")


@dataclass(frozen=True)
class Tuned:
    """What a search found.

    Attributes
    ----------
    params : dict
        The best setting, for ``CML(**params)``: all parameters, also those that were not searched.
    default_validation, validation : float
        Recall@50 of the default and of the best setting on the validation part, by which the best was chosen: it is
        in part the luckiest. The test part is fair.
    default_test, test : float
        The same on the test part.
    study : optuna.Study
        All trials; the first finished one is the default setting.
    """

    params: dict[str, Any]
    default_validation: float
    validation: float
    default_test: float
    test: float
    study: optuna.Study


def tune(
    user_items: Any,
    n_trials: int = 30,
    *,
    item_features: Any = None,
    user_features: Any = None,
    study: str | os.PathLike[str] | None = None,
    seed: int = 0,
    show_progress: bool | None = None,
    **fixed: Any,
) -> Tuned:
    """Search for the learning rate, margin and number of negatives with the best Recall@50 on held-out likes.

    With features, for the feature weight too.

    Each user's likes are split 60/20/20 by :func:`cmlfast.split_per_user`. A trial trains on the first part and is
    judged on the second after its last epoch, not after its best one, which training on all likes would not find. The
    first trial is the default setting. The third part is looked at after the last trial, for the default and the best.

    Parameters
    ----------
    user_items : SciPy sparse matrix of shape (n_users, n_items), or Interactions
        All likes.
    n_trials : int
        How many trials there shall be, those that ``study`` has already among them.
    item_features, user_features : SciPy sparse matrix, Interactions, array or Tensor, optional
        As :meth:`cmlfast.CML.fit` takes them.
    study : path, optional
        An SQLite file that keeps every finished trial. Where it has some, the search goes on as if it had never been
        interrupted. For one process at a time.
    seed : int
        Of the split, of every fit and of the search: on the same machine, the same seed gives the same trials.
    show_progress : bool, optional
        Whether to show a progress bar; by default on a terminal and in a notebook.
    **fixed
        Other parameters of `CML`, the same for all trials, for example ``n_epochs=50``.

    Returns
    -------
    Tuned
        ``CML(**tuned.params).fit(user_items)``, with the same features, is the model to use.

    Raises
    ------
    ValueError
        If a parameter is out of range or is one that is searched for, if no user has 5 likes or more, or if ``study``
        is no study, or one of other data, another seed or other parameters.
    DivergedError
        If training with the default setting diverges.

    Examples
    --------
    >>> from cmlfast import CML, datasets
    >>> from cmlfast.tuning import tune
    >>> films = datasets.load("movielens-100k").interactions
    >>> tuned = tune(films, study="films.db")
    >>> model = CML(**tuned.params).fit(films)
    """
    if n_trials < 1:
        raise ValueError(f"n_trials is {n_trials}; it must be at least 1")
    if "random_state" in fixed:
        raise ValueError(f"random_state is {fixed['random_state']!r}; it is called seed here")
    for name in SEARCHED:
        if name in fixed:
            raise ValueError(f"{name} is {fixed[name]!r}, but the search is for it; leave it out")
    likes = as_user_items(user_items)
    params = CML(**fixed, random_state=seed).get_params()
    likes = joined(likes, item_features, user_features)
    train, validation, test = split_per_user(likes, seed)
    if test.nnz == 0:
        raise ValueError("no user of user_items has 5 likes or more, so that there is nothing to hold out")
    read = read_features(likes, Sides(user_features, item_features), torch.device("cpu"))
    # By the names of CML.fit's arguments.
    features = {f"{kind}_features": one.rows for kind in KINDS if (one := read[kind]) is not None}
    found = resolve(params, *sizes(train.matrix), lifts_of(train.matrix, read))
    space = {**(SOFTMAX_SPACE if isinstance(found.loss, Softmax) else SPACE), **(FEATURE_SPACE if features else {})}
    start = _as_trial(found)
    # No trial ends early for its recall on the way: the margin and the learning rate fall, and settings that are best
    # at the end may be among the worse ones until two thirds of the epochs.
    with quiet():
        # Trials run in memory and go into the file when they are done: it never has a piece of one.
        search = optuna.create_study(direction="maximize")
        kept = None
        if study is not None:
            compared = {name: value for name, value in params.items() if name not in NOT_COMPARED}
            kept = open_study(study, likes, features, {**compared, "seed": seed})
            search.add_trials(kept.trials)
        disable = hides_bar(show_progress)
        with tqdm(total=n_trials, desc="tuning", unit="trial", initial=len(search.trials), disable=disable) as bar:
            for number in range(len(search.trials), n_trials):
                if number == 0:
                    search.enqueue_trial({name: start[name] for name in space})
                # By the trial's number, so that a search that goes on draws what it would have drawn.
                sequence = np.random.SeedSequence([seed, number])
                search.sampler = optuna.samplers.TPESampler(seed=int(sequence.generate_state(1)[0]))
                trial = search.ask(space)
                try:
                    search.tell(trial, _recall(params | _as_params(trial.params), train, features, validation, None))
                except DivergedError:
                    if number == 0:
                        raise
                    search.tell(trial, state=TrialState.PRUNED)
                if kept is not None:
                    kept.add_trial(search.trials[-1])
                bar.update()
                bar.set_postfix({"best recall@50": f"{search.best_value:.4f}"})
    complete = search.get_trials(states=[TrialState.COMPLETE])
    default, best = complete[0], max(complete, key=_value)  # the first, of several
    settings = [params] if best is default else [params, params | _as_params(best.params)]
    recalls = [_recall(some, train, features, test, validation) for some in settings]
    return Tuned(settings[-1], _value(default), _value(best), recalls[0], recalls[-1], search)


def _recall(
    params: dict[str, Any], train: Interactions, features: dict[str, Any], held_out: Interactions, exclude: Any
) -> float:
    """Fit and judge one setting."""
    model = CML(**params | {"keep_user_items": True}).fit(train, **features, show_progress=False)
    return model.evaluate(held_out, 50, exclude=exclude)["recall@50"]


def _as_trial(settings: Settings) -> dict[str, Any]:
    """Return a setting by the names of `SPACE`."""
    loss = settings.loss
    own: dict[str, Any] = (
        {"temperature": loss.temperature}
        if isinstance(loss, Softmax)
        else {"first_margin": loss.margin.first, "last_margin": loss.margin.last}
    )
    return {
        "learning_rate": settings.learning_rate,
        **own,
        "n_negatives": loss.n_negatives,
        "feature_weight": max(settings.feature_weight),  # one for both kinds of features
    }


def _as_params(trial: dict[str, Any]) -> dict[str, Any]:
    """Return a setting by the names of `CML`, to three digits, which are what is tried and what is shown."""
    short: dict[str, Any] = {name: float(f"{value:.3g}") for name, value in trial.items() if name != "n_negatives"}
    if "first_margin" in short:
        short["margin"] = (short.pop("first_margin"), short.pop("last_margin"))
    return {**short, "n_negatives": trial["n_negatives"]}


def _value(trial: FrozenTrial) -> float:
    assert trial.value is not None, "pruned trials have none, others have one"
    return float(trial.value)
