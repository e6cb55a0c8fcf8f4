"""The commands that make, measure and index models, train, evaluate, tune and index, and info, which tells of them."""

from __future__ import annotations

import argparse
import shlex
import time
from pathlib import Path
from typing import Any

from cmlfast import CML, Interactions, build_info, split_by_time, split_last, split_per_user
from cmlfast.data.align import ids_of
from cmlfast.data.prepared import is_prepared
from cmlfast.data.sides import KINDS
from cmlfast.data.sources import expand
from cmlfast.data.tensor_file import check_target, is_model
from cmlfast.evaluation.popularity import popularity_recall
from cmlfast.pictures.training_report import check_report
from cmlfast.serving.index_file import named_by
from cmlfast.training import DivergedError
from cmlfast.training.settings import check
from cmlfast_cli import processes
from cmlfast_cli.options import COLUMN_OPTIONS, DEFAULTS, SEARCHED, parse_also, text_words
from cmlfast_cli.reading import called_as, counted, read_likes, read_with_features
from cmlfast_cli.streams import complain, say, show
from cmlfast_cli.writing import check_replaced


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


def prepare(options: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Write files of likes to one that opens at once."""
    target = check_target(options.output)  # told before the reading, not after it
    if target in [Path(file).resolve() for file in expand(options.data)]:
        raise ValueError(f"--output {options.output} is a file of data; give it a name of its own")
    check_replaced("--output", options.output, target, is_prepared, "prepared file")
    began = time.perf_counter()
    likes = read_likes(options.data, options)
    _tell(likes, {}, options)
    likes.save(target)
    _say(f"wrote {options.output}: {target.stat().st_size:,} bytes, in {time.perf_counter() - began:.1f} s", options)


def train(options: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Train a model on files of likes and write it, whoever reads what is said about it."""
    with processes.shared(options) as group:
        _train(options, parser, group)


def _train(options: argparse.Namespace, parser: argparse.ArgumentParser, group: Any) -> None:
    """Train with the processes of a group, if there is one, of which the first writes the model."""
    model = _model(options, parser)
    target = check_target(options.model)  # told before the training, not after it
    given = (*options.data, options.validation, options.item_features, options.user_features)
    files = [file for path in given if path for file in expand(path)]
    if target in [Path(file).resolve() for file in files]:
        raise ValueError(f"--model {options.model} is a file of data; give the model a name of its own")
    check_replaced("--model", options.model, target, is_model, "model")
    if options.report:
        report = check_report(options.report)
        if report in (target, *(Path(file).resolve() for file in files)):
            raise ValueError(f"--report {options.report} is the model or a file of data; give it a name of its own")
    likes, features = read_with_features(options)
    validation = read_likes(options.validation, options, likes) if options.validation else None
    if validation and options.drop_unknown:
        validation = _known_of(validation, likes.user_ids, likes.item_ids, options.validation)
    _tell(likes, features, options)
    how = {
        "checkpoint_dir": options.checkpoint, "checkpoint_every": options.checkpoint_every, "process_group": group,
        "shard_items": options.shard_items,
    }  # fmt: skip
    try:
        model.fit(likes, **features, validation=validation, show_progress=False if options.quiet else None, **how)
    except DivergedError:
        if processes.is_first(group):
            _report_what_there_was(model, options)
        raise
    except KeyboardInterrupt:
        if not processes.is_first(group):
            raise
        _report_what_there_was(model, options)
        if options.checkpoint and any(Path(options.checkpoint).rglob("checkpoint-*")):
            complain(f"\n{options.checkpoint} keeps what was learned; the same command goes on from it")
        else:
            complain(f"\nno model was written to {options.model}; with --checkpoint DIR the same command could go on")
        raise
    if not processes.is_first(group):
        return
    _tell_training(model, options)
    model.save(options.model)
    _say(f"wrote {options.model}", options)
    if options.report:
        model.plot_history(options.report)
        _say(f"wrote {options.report}", options)


def _report_what_there_was(model: CML, options: argparse.Namespace) -> None:
    """Write the report of a training that did not come to its end; what goes wrong hides not why."""
    if options.report:
        try:
            model.plot_history(options.report)
            complain(f"cmlfast: {options.report} shows what there was of the training")
        except (OSError, ValueError) as error:
            complain(f"cmlfast: there is no report: {error}")


def evaluate(options: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Print measures on held-out likes, of trained models or of some that are trained here."""
    if options.model:
        held_out = read_likes(options.data, options)
        exclude = read_likes(options.exclude, options) if options.exclude else None
        found = {path: _measured(CML.load(path), held_out, exclude, options) for path in options.model}
        _print_measures(found)
        return
    likes, features = read_with_features(options)
    models = {"CML": _model(options, parser)}
    for text in options.also or ():
        models[text] = _model(parse_also(text, options, parser), parser)
    _tell(likes, features, options)
    train, validation, test = _split(likes, options)
    if test.nnz == 0:
        raise ValueError(f"{options.data[0]}: no user has enough likes, so that there is nothing to hold out")
    found = {"popularity": popularity_recall(train, test, options.k, exclude=validation)}
    for name, model in models.items():
        held = validation if validation.nnz else None
        model.fit(train, **features, validation=held, show_progress=False if options.quiet else None)
        _tell_training(model, options, "" if len(models) == 1 else f"{name}: ")
        found[name] = model.evaluate(test, options.k, exclude=held)
    _print_measures(found)
    _tell_if_popularity_is_ahead(found, likes, options)


def _split(likes: Interactions, options: argparse.Namespace) -> tuple[Interactions, Interactions, Interactions]:
    """Split as the options say: each user's at random, their last ones, or all by time."""
    by_time = options.by_time or options.time
    if by_time and not options.leave_out:
        return split_by_time(likes)  # which tells itself
    if options.leave_out:
        parts = split_last(likes, options.leave_out, None if by_time else options.seed)
        how = f"split by each user's {'last' if by_time else 'random'} {options.leave_out:,}"
    else:
        parts, how = split_per_user(likes, options.seed), "split of each user's likes at random"
    if not options.quiet:
        train, validation, test = (f"{part.nnz:,}" for part in parts)
        complain(f"cmlfast: {how}: {train} train, {validation} validation, {test} test")
    return parts


def _measured(
    model: CML, held_out: Interactions, exclude: Interactions | None, options: argparse.Namespace
) -> dict[str, float]:
    def of_model(likes: Interactions, name: str) -> Interactions:
        likes = called_as(likes, model)
        return _known_of(likes, model.user_ids_, model.item_ids_, name) if options.drop_unknown else likes

    left_out = None if exclude is None else of_model(exclude, "--exclude")
    return model.evaluate(of_model(held_out, "held-out likes"), options.k, left_out)


def _known_of(likes: Interactions, user_ids: Any, item_ids: Any, name: str) -> Interactions:
    """Leave out users and items that a model does not know, and say how many likes that were."""
    known = likes.select(user_ids, item_ids)
    if known.nnz < likes.nnz:
        complain(f"cmlfast: {name}: {likes.nnz - known.nnz:,} of {likes.nnz:,} are of unknown users or items, left out")
    return known


def tune(options: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Search for a better setting; print its recall beside the default's, and the command that trains with it."""
    from cmlfast import tuning  # Optuna: only where it is needed, for it need not be there

    _model(options, parser)
    fixed = {name: getattr(options, name) for name in DEFAULTS if name not in SEARCHED}
    likes, features = read_with_features(options)
    _tell(likes, features, options)
    search = {**features, "study": options.study, "seed": options.seed}
    try:
        found = tuning.tune(likes, options.trials, **search, **fixed)
    except KeyboardInterrupt:
        if options.study:
            complain(f"\n{options.study} keeps the finished trials; the same command goes on from them")
        raise
    show(f"{'Recall@50':12}{'validation':>12}{'test':>12}")
    show(f"{'default':12}{found.default_validation:>12.4f}{found.default_test:>12.4f}")
    show(f"{'best':12}{found.validation:>12.4f}{found.test:>12.4f}")
    show(f"best of {len(found.study.trials)} trials:")
    show(_train_command(options, found.params))


def _train_command(options: argparse.Namespace, params: dict[str, Any]) -> str:
    """Return the command line that trains on the same likes with these parameters; defaults stay unsaid."""
    name = Path(options.data[0]).name.split(".")[0].strip("-*?") or "likes"
    words = ["cmlfast", "train", *options.data, "--model", f"{name}.model"]
    data: dict[str, Any] = {
        name: getattr(options, name) for name, default in COLUMN_OPTIONS.items() if getattr(options, name) != default
    }
    data["last_days"] = options.last_days
    data |= {f"{kind}_features": getattr(options, f"{kind}_features") for kind in KINDS}
    changed = {name: params[name] for name, default in DEFAULTS.items() if params[name] != default}
    words += text_words(options)
    given = {name: value for name, value in data.items() if value is not None} | changed | {"seed": options.seed}
    for name, value in given.items():
        values = () if value is True else value if isinstance(value, tuple) else [value]
        words += [f"--{name.replace('_', '-')}", *("none" if one is None else str(one) for one in values)]
    return shlex.join(words)


def index(options: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Give a model an index, and write both."""
    model = CML.load(options.model)
    target = options.output or options.model
    check_target(target)
    began = time.perf_counter()
    model.build_index(options.kind, **dict(options.parameters))
    seconds = time.perf_counter() - began
    model.save(target)
    facts = ", ".join(f"{name} {value}" for name, value in model.index.items() if name != "kind" and value)
    _say(f"{options.kind}{facts and ': '}{facts}; {len(model.item_ids_):,} items in {seconds:.1f} s", options)
    beside = named_by(target)
    _say(f"wrote {target}{', and beside it ' + beside['file'] if beside else ''}", options)


def info(options: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Print facts of a model, or of this installation."""
    facts: dict[str, Any] = dict(build_info())
    if options.model:
        facts = {"model": options.model, **CML.load(options.model).summary()}
    for name, value in facts.items():
        show(f"{name:18} {f'{value:.6g}' if isinstance(value, float) else value}")


def _say(text: str, options: argparse.Namespace) -> None:
    if not options.quiet:
        say(text)


def _tell(likes: Interactions, features: dict[str, Any], options: argparse.Namespace) -> None:
    _say(counted(likes), options)
    for kind in KINDS:
        tags = features.get(f"{kind}_features")
        if tags is not None:  # ids that do not match are seen here
            n_likes = likes.matrix.sum(0 if kind == "item" else 1).A1
            liked = set(ids_of(likes, kind)[n_likes > 0].tolist())
            n = len(liked.intersection(tags.user_ids.tolist()))
            _say(
                f"{tags.n_items:,} tags of {n:,} of the {len(liked):,} {kind}s with likes and of {tags.n_users - n:,} "
                f"without; {len(liked) - n:,} have likes and no tag",
                options,
            )


def _tell_training(model: CML, options: argparse.Namespace, name: str = "") -> None:
    n, seconds = len(model.history_), sum(record["seconds"] for record in model.history_)
    _say(f"{name}trained {n} epoch{'s' * (n != 1)} in {seconds:.1f} s, loss {model.history_[-1]['loss']:.4f}", options)
    if model.skipped_["pairs_without_negatives"]:
        _say(f"skipped {model.skipped_['pairs_without_negatives']:,} pairs of users who like every item", options)


def _print_measures(found: dict[str, dict[str, float]]) -> None:
    """Print a row for each measure and a column for each model."""
    widths = {name: max(12, len(name) + 2) for name in found}
    show(f"{'':16}" + "".join(f"{name:>{widths[name]}}" for name in found))
    for measure in next(iter(found.values())):
        digits = 1 if measure.startswith("popularity") else 4
        row = "".join(f"{measures[measure]:>{widths[name]}.{digits}f}" for name, measures in found.items())
        show(f"{measure:16}{row}")


def _tell_if_popularity_is_ahead(
    found: dict[str, dict[str, float]], likes: Interactions, options: argparse.Namespace
) -> None:
    """Say so where the most popular items are found more often than anything that was learned."""
    measure = f"recall@{options.k[0]}"
    best = max(values[measure] for name, values in found.items() if name != "popularity")
    if found["popularity"][measure] > best:
        _say(
            f"popularity is ahead in {measure}, {found['popularity'][measure]:.4f} to {best:.4f}: {likes.nnz:,} likes "
            f"of {likes.n_users:,} users are too few, or too alike, to learn more from; more likes would help, or item "
            "features (--item-features)",
            options,
        )
