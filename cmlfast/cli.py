"""The command ``cmlfast``: train, evaluate, recommend, similar and info on a user's own files."""

from __future__ import annotations

import argparse
import csv
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cmlfast import CML, Interactions, build_info, split_per_user
from cmlfast.persistence import check_target
from cmlfast.popularity import popularity_recall
from cmlfast.settings import resolve

OK, FAILED, USAGE, BAD_INPUT, INTERRUPTED = 0, 1, 2, 3, 130

DESCRIPTION = """\
Recommend by Collaborative Metric Learning: users and items in one space, the nearest items are the answer.

A file of likes is CSV (.csv, .tsv, also .gz) or Parquet, one row a pair, with a header. The first two columns are
the user and the item unless --user and --item name others."""

EPILOG = """\
a first session:
  cmlfast evaluate likes.csv                        how good would it be on my data?
  cmlfast train likes.csv --model likes.model       train on all of it
  cmlfast recommend likes.model alice bob -n 5      user,item,score as CSV on standard output
  cmlfast similar likes.model "Star Wars"           the items nearest to an item

ratings: --value rating --min-value 4 takes rows with a rating of at least 4 as likes

exit codes: 0 done; 1 failed; 2 wrong options; 3 a file or an id that cannot be used; 130 interrupted"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : sequence of str, optional
        What follows the program's name; ``sys.argv[1:]`` by default.

    Returns
    -------
    int
        The exit code: 0 done, 1 failed, 2 wrong options, 3 unusable input, 130 interrupted.
    """
    try:
        parser = build_parser()
        options = parser.parse_args(arguments)
        options.run(options, parser)
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("cmlfast: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader (head, less) has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except (OSError, ValueError, LookupError, TypeError) as error:
        print(f"cmlfast: error: {_sentence(error)}", file=sys.stderr)
        return BAD_INPUT
    except (ArithmeticError, RuntimeError, MemoryError) as error:
        print(f"cmlfast: error: {_sentence(error)}", file=sys.stderr)
        return FAILED
    return OK


def build_parser() -> argparse.ArgumentParser:
    """Describe the commands and their options."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("cmlfast", description=DESCRIPTION, epilog=EPILOG, formatter_class=raw)
    parser.add_argument("--version", action="version", version=f"cmlfast {build_info()['version']}")
    commands = parser.add_subparsers(required=True, metavar="command")

    def command(name: str, run: Any, text: str, detail: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}. {detail}")
        sub.set_defaults(run=run)
        return sub

    train = command("train", _train, "train a model on a file of likes", "Writes one model file, all or nothing.")
    _add_data(train)
    train.add_argument("--model", required=True, metavar="FILE", help="where to write the model")
    train.add_argument("--validation", metavar="FILE", help="held-out likes: stop early, keep the best epoch")
    _add_model(train)

    evaluate = command(
        "evaluate",
        _evaluate,
        "measure Recall@K on held-out likes",
        "Without --model: splits each user's likes 60/20/20, trains on the first part, stops early on the second and "
        "measures on the third, beside popularity. With --model: measures a trained model on a file of likes that it "
        "was not trained on.",
    )
    _add_data(evaluate)
    evaluate.add_argument("--model", metavar="FILE", help="a trained model")
    evaluate.add_argument("--exclude", metavar="FILE", help="with --model: likes to leave out of the ranking")
    evaluate.add_argument("-k", type=int, nargs="+", default=[50, 100], help="the K (default: 50 100)")
    _add_model(evaluate)

    recommend = command(
        "recommend", _recommend, "print the nearest items of users", "CSV on standard output: user,item,score."
    )
    recommend.add_argument("model", metavar="MODEL", help="a trained model")
    recommend.add_argument("users", nargs="*", metavar="USER", help="users' ids; all users without any")
    recommend.add_argument("-n", type=int, default=10, help="items for each user (default: 10)")
    recommend.add_argument("--include-liked", action="store_true", help="also items that a user already likes")

    similar = command(
        "similar", _similar, "print the nearest items of an item", "CSV on standard output: item,similar,score."
    )
    similar.add_argument("model", metavar="MODEL", help="a trained model")
    similar.add_argument("ids", nargs="+", metavar="ID", help="items' ids")
    similar.add_argument("-n", type=int, default=10, help="how many for each (default: 10)")
    similar.add_argument("--users", action="store_true", help="the ids are users', and so are the answers")

    info = command("info", _info, "tell about a model, or this installation", "")
    info.add_argument("model", nargs="?", metavar="MODEL", help="a trained model")
    return parser


def _add_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", metavar="DATA", help="likes: a CSV or Parquet file with a row for each pair")
    parser.add_argument("--user", metavar="COLUMN", help="the column of users (default: the first)")
    parser.add_argument("--item", metavar="COLUMN", help="the column of items (default: the second)")
    parser.add_argument("--value", metavar="COLUMN", help="a column of ratings or counts")
    parser.add_argument("--min-value", type=float, metavar="X", help="the least value that is a like")


def _add_model(parser: argparse.ArgumentParser) -> None:
    defaults = CML().get_params()
    group = parser.add_argument_group("training")

    def add(flag: str, kind: Any, text: str) -> None:
        name = flag.strip("-").replace("-", "_")
        group.add_argument(flag, type=kind, default=defaults[name], help=f"{text} (default: {defaults[name]})")

    add("--n-components", int, "dimensions")
    group.add_argument(
        "--margin",
        type=float,
        nargs="+",
        default=defaults["margin"],
        metavar="M",
        help="margin, in squared distance; two numbers are the first and the last (default: %(default)s)",
    )
    add("--n-negatives", _int_or_auto, "negatives drawn for a pair")
    add("--learning-rate", float, "AdaGrad's learning rate")
    add("--batch-size", _int_or_auto, "pairs in a batch")
    add("--n-epochs", int, "epochs")
    add("--max-norm", float, "radius of the ball")
    add("--balance", _float_or_none, "draw a user's pairs by 1 / (likes + this); none visits every pair once an epoch")
    group.add_argument("--seed", type=int, default=0, help="seed; the same seed gives the same model (default: 0)")


def _int_or_auto(text: str) -> int | str:
    if text == "auto" or text.lstrip("-").isdecimal():
        return text if text == "auto" else int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is neither an integer nor 'auto'")


def _float_or_none(text: str) -> float | None:
    try:
        return None if text == "none" else float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number nor 'none'") from None


def _model(options: argparse.Namespace, parser: argparse.ArgumentParser) -> CML:
    """Return the model that the options describe, or end with a usage error."""
    names = ("n_components", "margin", "n_negatives", "learning_rate", "batch_size", "n_epochs", "max_norm", "balance")
    params = {name: getattr(options, name) for name in names}
    if isinstance(params["margin"], list):
        params["margin"] = params["margin"][0] if len(params["margin"]) == 1 else tuple(params["margin"])
    model = CML(**params, random_state=options.seed)
    try:
        resolve(model.get_params(), 1, 1, 1)
    except (TypeError, ValueError) as error:
        parser.error(str(error))
    return model


def _read(path: str, options: argparse.Namespace, known: CML | Interactions | None = None) -> Interactions:
    """Read a file of likes; ids become strings where ``known`` has strings, even if this file has integers only."""
    columns = {"user": options.user, "item": options.item, "value": options.value, "min_value": options.min_value}
    file = Path(path)
    if not file.exists():
        raise FileNotFoundError(f"{path}: there is no such file")
    suffixes = [suffix.lower() for suffix in file.suffixes]
    if file.is_dir() or suffixes[-1:] in ([".parquet"], [".pq"]):
        likes = Interactions.from_parquet(path, **columns)
    else:
        likes = Interactions.from_csv(path, **columns, delimiter="\t" if ".tsv" in suffixes else ",")
    if known is None:
        return likes
    user_ids, item_ids = (
        (known.user_ids, known.item_ids) if isinstance(known, Interactions) else (known.user_ids_, known.item_ids_)
    )
    return Interactions(likes.matrix, _like(likes.user_ids, user_ids), _like(likes.item_ids, item_ids))


def _like(ids: Any, known: Any) -> Any:
    return ids.astype(str).astype(object) if known.dtype == object and ids.dtype != object else ids


def _train(options: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    model = _model(options, parser)
    target = check_target(options.model)  # told before the training, not after it
    if target in [Path(path).resolve() for path in (options.data, options.validation) if path]:
        raise ValueError(f"--model {options.model} is a file of likes; give the model a name of its own")
    likes = _read(options.data, options)
    validation = _read(options.validation, options, likes) if options.validation else None
    _tell(likes)
    model.fit(likes, validation=validation)
    _tell_training(model)
    model.save(options.model)
    print(f"wrote {options.model}")


def _evaluate(options: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    if min(options.k) < 1:
        parser.error(f"-k is {min(options.k)}; every K must be at least 1")
    if options.exclude and not options.model:
        parser.error("--exclude goes with --model")
    if options.model:
        trained = CML.load(options.model)
        held_out = _read(options.data, options, trained)
        exclude = _read(options.exclude, options, trained) if options.exclude else None
        _print_recall({"CML": trained.evaluate(held_out, options.k, exclude)}, options.k)
        return
    likes = _read(options.data, options)
    model = _model(options, parser)
    _tell(likes)
    train, validation, test = split_per_user(likes, options.seed)
    if test.nnz == 0:
        raise ValueError(f"{options.data}: no user has 5 likes or more, so that there is nothing to hold out")
    model.fit(train, validation=validation)
    _tell_training(model)
    found = {
        "popularity": popularity_recall(train, test, options.k, exclude=validation),
        "CML": model.evaluate(test, options.k, exclude=validation),
    }
    _print_recall(found, options.k)


def _recommend(options: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    _check_n(options, parser)
    model = CML.load(options.model)
    users = _ids(options.users, model.user_ids_) if options.users else model.user_ids_
    writer = csv.writer(sys.stdout, lineterminator="\n")
    for first in range(0, len(users), 1000):
        some = users[first : first + 1000]
        found = model.recommend(some, N=options.n, filter_already_liked_items=not options.include_liked)
        if first == 0:  # not before an unknown id was told
            writer.writerow(("user", "item", "score"))
        _write_rows(writer, some, *found)


def _similar(options: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    _check_n(options, parser)
    model = CML.load(options.model)
    known, answer = (model.user_ids_, model.similar_users) if options.users else (model.item_ids_, model.similar_items)
    wanted = _ids(options.ids, known)
    found, scores = answer(wanted, N=options.n + 1)  # the first is the id itself, which nobody needs to be told
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(("user" if options.users else "item", "similar", "score"))
    for one, row, values in zip(wanted, found, scores, strict=True):
        others = row != one
        _write_rows(writer, [one], [row[others][: options.n]], [values[others][: options.n]])


def _info(options: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
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
            **model.get_params(),
            "n_negatives": model.n_negatives_,
            "batch_size": model.batch_size_,
        }
    for name, value in facts.items():
        print(f"{name:18} {value}")


def _check_n(options: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    if options.n < 1:
        parser.error(f"-n is {options.n}; it must be at least 1")


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


def _tell(likes: Interactions) -> None:
    print(f"{likes}; {likes.n_duplicates:,} duplicates merged, {likes.n_dropped:,} rows were no likes")


def _tell_training(model: CML) -> None:
    seconds = sum(record["seconds"] for record in model.history_)
    print(f"trained {len(model.history_)} epochs in {seconds:.1f} s, loss {model.history_[-1]['loss']:.4f}")
    if model.skipped_["pairs_without_negatives"]:
        print(f"skipped {model.skipped_['pairs_without_negatives']:,} pairs of users who like every item")


def _print_recall(found: dict[str, dict[str, float]], ks: Sequence[int]) -> None:
    print(f"{'':12}" + "".join(f"{f'Recall@{k}':>12}" for k in ks))
    for name, recalls in found.items():
        print(f"{name:12}" + "".join(f"{recalls[f'recall@{k}']:>12.4f}" for k in ks))


def _sentence(error: BaseException) -> str:
    """Return an error's text in one line."""
    text = str(error) or type(error).__name__
    return " ".join(text.split())


if __name__ == "__main__":
    sys.exit(main())
