"""What the commands of ``cmlfast`` do: train, evaluate, tune, recommend, similar and info on a user's own files."""

from __future__ import annotations

import argparse
import csv
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cmlfast import CML, Interactions, build_info, split_per_user
from cmlfast.data.align import ids_of, joined
from cmlfast.data.columns import column_names
from cmlfast.data.sides import KINDS
from cmlfast.data.tensor_file import check_target, is_model
from cmlfast.evaluation.popularity import popularity_recall
from cmlfast.training.settings import check
from cmlfast_cli.options import DEFAULTS, SEARCHED


def _model(options: argparse.Namespace, parser: argparse.ArgumentParser) -> CML:
    """Return the model that the options describe, or end with a usage error."""
    params = {name: getattr(options, name) for name in DEFAULTS}
    if isinstance(params["margin"], list):
        params["margin"] = params["margin"][0] if len(params["margin"]) == 1 else tuple(params["margin"])
    model = CML(**params, random_state=options.seed)
    try:
        check(model.get_params(), any(getattr(options, f"{kind}_features", None) for kind in KINDS))
    except (TypeError, ValueError) as error:
        parser.error(str(error))
    return model


def _read(path: str, options: argparse.Namespace, known: CML | Interactions | None = None) -> Interactions:
    """Read a file of likes; ids become strings where ``known`` has strings, even if this file has integers only."""
    likes = _table(path, user=options.user, item=options.item, value=options.value, min_value=options.min_value)
    if known is None:
        return likes
    user_ids, item_ids = (
        (known.user_ids, known.item_ids) if isinstance(known, Interactions) else (known.user_ids_, known.item_ids_)
    )
    return Interactions(likes.matrix, _like(likes.user_ids, user_ids), _like(likes.item_ids, item_ids))


def _read_with_features(options: argparse.Namespace) -> tuple[Interactions, dict[str, Any]]:
    """Read likes and, where there are such files, tags of items or users, by the names of `CML.fit`'s arguments."""
    likes = _read(options.data, options)
    features: dict[str, Any] = {}
    for kind in KINDS:
        path = getattr(options, f"{kind}_features")
        if path:
            tags = _tags(path)
            named = Interactions(tags.matrix, _like(tags.user_ids, ids_of(likes, kind)), tags.item_ids)
            features[f"{kind}_features"] = named
    return joined(likes, features.get("item_features"), features.get("user_features")), features


def _tags(path: str) -> Interactions:
    """Read a file of tags. It has two columns and no more, for what else is in it would be lost without a word."""
    parquet, delimiter = _format(path)
    names = column_names(path, None if parquet else delimiter)
    if len(names) != 2:
        raise ValueError(
            f"{path} has {len(names)} columns, {', '.join(names[:6])}; a file of tags has two, ids and tags, and a row "
            "for each tag that one has"
        )
    return _table(path)


def _table(path: str, **columns: Any) -> Interactions:
    parquet, delimiter = _format(path)
    try:
        if parquet:
            return Interactions.from_parquet(path, **columns)
        return Interactions.from_csv(path, **columns, delimiter=delimiter)
    except ValueError as error:
        raise error if path in str(error) else ValueError(f"{path}: {error}") from error


def _format(path: str) -> tuple[bool, str]:
    """Return whether a file is Parquet, and else its delimiter."""
    file = Path(path)
    if not file.exists():
        raise FileNotFoundError(f"{path}: there is no such file")
    suffixes = [suffix.lower() for suffix in file.suffixes]
    return file.is_dir() or suffixes[-1:] in ([".parquet"], [".pq"]), "\t" if ".tsv" in suffixes else ","


def _like(ids: Any, known: Any) -> Any:
    return ids.astype(str).astype(object) if known.dtype == object and ids.dtype != object else ids


def train(options: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Train a model on a file of likes and write it."""
    model = _model(options, parser)
    target = check_target(options.model)  # told before the training, not after it
    files = (options.data, options.validation, options.item_features, options.user_features)
    if target in [Path(path).resolve() for path in files if path]:
        raise ValueError(f"--model {options.model} is a file of data; give the model a name of its own")
    if target.exists() and target.stat().st_size and not is_model(target):
        raise ValueError(f"--model {options.model} is there and is no model; give another name, or remove that file")
    likes, features = _read_with_features(options)
    validation = _read(options.validation, options, likes) if options.validation else None
    _tell(likes, features)
    model.fit(likes, **features, validation=validation)
    _tell_training(model)
    model.save(options.model)
    print(f"wrote {options.model}")


def evaluate(options: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Print measures on held-out likes, of a trained model or of one trained here."""
    if options.model:
        trained = CML.load(options.model)
        held_out = _read(options.data, options, trained)
        exclude = _read(options.exclude, options, trained) if options.exclude else None
        _print_measures({"CML": trained.evaluate(held_out, options.k, exclude)})
        return
    likes, features = _read_with_features(options)
    model = _model(options, parser)
    _tell(likes, features)
    train, validation, test = split_per_user(likes, options.seed)
    if test.nnz == 0:
        raise ValueError(f"{options.data}: no user has 5 likes or more, so that there is nothing to hold out")
    model.fit(train, **features, validation=validation)
    _tell_training(model)
    found = {
        "popularity": popularity_recall(train, test, options.k, exclude=validation),
        "CML": model.evaluate(test, options.k, exclude=validation),
    }
    _print_measures(found)


def tune(options: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Search for a better setting; print its recall beside the default's, and the command that trains with it."""
    from cmlfast import tuning  # Optuna: only where it is needed, for it need not be there

    _model(options, parser)
    fixed = {name: getattr(options, name) for name in DEFAULTS if name not in SEARCHED}
    likes, features = _read_with_features(options)
    _tell(likes, features)
    search = {**features, "study": options.study, "seed": options.seed}
    try:
        found = tuning.tune(likes, options.trials, **search, **fixed)
    except KeyboardInterrupt:
        if options.study:
            print(f"\n{options.study} keeps the finished trials; the same command goes on from them", file=sys.stderr)
        raise
    print(f"{'Recall@50':12}{'validation':>12}{'test':>12}")
    print(f"{'default':12}{found.default_validation:>12.4f}{found.default_test:>12.4f}")
    print(f"{'best':12}{found.validation:>12.4f}{found.test:>12.4f}")
    print(f"best of {len(found.study.trials)} trials:")
    print(_train_command(options, found.params))


def _train_command(options: argparse.Namespace, params: dict[str, Any]) -> str:
    """Return the command line that trains on the same likes with these parameters; defaults stay unsaid."""
    words = ["cmlfast", "train", options.data, "--model", f"{Path(options.data).name.split('.')[0]}.model"]
    data = {"user": options.user, "item": options.item, "value": options.value, "min_value": options.min_value}
    data |= {f"{kind}_features": getattr(options, f"{kind}_features") for kind in KINDS}
    changed = {name: params[name] for name, default in DEFAULTS.items() if params[name] != default}
    given = {name: value for name, value in data.items() if value is not None} | changed | {"seed": options.seed}
    for name, value in given.items():
        values = value if isinstance(value, tuple) else [value]
        words += [f"--{name.replace('_', '-')}", *("none" if one is None else str(one) for one in values)]
    return shlex.join(words)


def recommend(options: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Print the nearest items of users."""
    model = CML.load(options.model)
    users = _ids(options.users, model.user_ids_) if options.users else model.user_ids_
    writer = csv.writer(sys.stdout, lineterminator="\n")
    for first in range(0, len(users), 1000):
        some = users[first : first + 1000]
        found = model.recommend(some, N=options.n, filter_already_liked_items=not options.include_liked)
        if first == 0:  # not before an unknown id was told
            writer.writerow(("user", "item", "score"))
        _write_rows(writer, some, *found)


def similar(options: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Print the nearest items of items, or users of users."""
    model = CML.load(options.model)
    known, answer = (model.user_ids_, model.similar_users) if options.users else (model.item_ids_, model.similar_items)
    wanted = _ids(options.ids, known)
    found, scores = answer(wanted, N=options.n + 1)  # the first is the id itself, which nobody needs to be told
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(("user" if options.users else "item", "similar", "score"))
    for one, row, values in zip(wanted, found, scores, strict=True):
        others = row != one
        _write_rows(writer, [one], [row[others][: options.n]], [values[others][: options.n]])


def info(options: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Print facts of a model, or of this installation."""
    facts: dict[str, Any] = dict(build_info())
    if options.model:
        model = CML.load(options.model)
        last = model.history_[-1]
        likes = "not kept" if model.user_items_ is None else f"{model.user_items_.nnz:,}"
        facts = {
            "model": options.model,
            "users": f"{len(model.user_ids_):,}",
            "items": f"{len(model.item_ids_):,}",
            "likes": likes,
            "epochs": len(model.history_),
            "last loss": f"{last['loss']:.4f}",
            **{name: value for name, value in model.get_params().items() if not name.endswith("_network")},
            **_features_of(model),
            **model.auto_,
        }
    for name, value in facts.items():
        print(f"{name:18} {value}")


def _features_of(model: CML) -> dict[str, str]:
    """Return what a model knows of features, for those kinds that have any."""
    facts = {}
    for kind in KINDS:
        tags, network = getattr(model, f"{kind}_feature_ids_"), getattr(model, f"{kind}_network_")
        if network is not None:
            facts[f"{kind}_features"] = (
                "by position" if tags is None else f"{len(tags):,}, such as {tags.tolist()[0]!r}"
            )
    return facts


def _ids(texts: Sequence[str], known: Any) -> Any:
    """Return ids as the model has them: integers where it has integers."""
    if known.dtype == object:
        return np.array(texts, dtype=object)
    for text in texts:
        if not re.fullmatch(r"-?(0|[1-9][0-9]{0,17})", text):
            raise ValueError(f"{text!r} is no id of this model, whose ids are integers")
    return np.array([int(text) for text in texts], dtype=np.int64)


def _write_rows(writer: Any, ids: Any, found: Any, scores: Any) -> None:
    for one, row, values in zip(ids, found, scores, strict=True):
        writer.writerows(
            (one, other, f"{score:.6g}") for other, score in zip(row, values, strict=True) if score > -np.inf
        )


def _tell(likes: Interactions, features: dict[str, Any]) -> None:
    print(f"{likes}; {likes.n_duplicates:,} duplicates merged, {likes.n_dropped:,} rows were no likes")
    for kind in KINDS:
        tags = features.get(f"{kind}_features")
        if tags is not None:  # ids that do not match are seen here
            n_likes = likes.matrix.sum(0 if kind == "item" else 1).A1
            liked = set(ids_of(likes, kind)[n_likes > 0].tolist())
            n = len(liked.intersection(tags.user_ids.tolist()))
            print(
                f"{tags.n_items:,} tags of {n:,} of the {len(liked):,} {kind}s with likes and of {tags.n_users - n:,} "
                f"without; {len(liked) - n:,} have likes and no tag"
            )


def _tell_training(model: CML) -> None:
    seconds = sum(record["seconds"] for record in model.history_)
    print(f"trained {len(model.history_)} epochs in {seconds:.1f} s, loss {model.history_[-1]['loss']:.4f}")
    if model.skipped_["pairs_without_negatives"]:
        print(f"skipped {model.skipped_['pairs_without_negatives']:,} pairs of users who like every item")


def _print_measures(found: dict[str, dict[str, float]]) -> None:
    """Print a row for each measure and a column for each model."""
    print(f"{'':16}" + "".join(f"{name:>12}" for name in found))
    for measure in next(iter(found.values())):
        digits = 1 if measure.startswith("popularity") else 4
        print(f"{measure:16}" + "".join(f"{measures[measure]:>12.{digits}f}" for measures in found.values()))
