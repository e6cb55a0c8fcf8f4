"""The options of the command ``cmlfast``, their help and their checks; imports nothing that takes time."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

# Those of cmlfast.CML, which cannot be asked without importing it; a test compares them.
DEFAULTS: dict[str, Any] = {
    "n_components": 100,
    "loss": "auto",
    "temperature": "auto",
    "margin": "auto",
    "n_negatives": "auto",
    "learning_rate": "auto",
    "batch_size": "auto",
    "n_epochs": "auto",
    "max_norm": 1.0,
    "balance": "auto",
    "covariance_weight": 0.0,
    "feature_weight": "auto",
    "rare_item_distance": "auto",
    "validation_measure": "recall@50",
}

# What `cmlfast tune` searches for, and so does not take: those of cmlfast.tuning; a test compares.
SEARCHED = ("learning_rate", "margin", "temperature", "n_negatives", "feature_weight")

DESCRIPTION = """\
Recommend by Collaborative Metric Learning: users and items in one space, the nearest items are the answer.

A file of likes is CSV (.csv, .tsv, also .gz) or Parquet, one row a pair, with a header. The first two columns are
the user and the item unless --user and --item name others."""

EPILOG = """\
a first session:
  cmlfast evaluate likes.csv                        how good would it be on my data?
  cmlfast tune likes.csv --study likes.db           search for better training options (optional, takes a while)
  cmlfast train likes.csv --model likes.model       train on all of it
  cmlfast recommend likes.model alice bob -n 5      user,item,score as CSV on standard output
  cmlfast similar likes.model "Star Wars"           the items nearest to an item

ratings: --value rating --min-value 4 takes rows with a rating of at least 4 as likes
tags:    --item-features tags.csv (item,tag) also places items that few or none like, --user-features users; with train,
         evaluate and tune

exit codes: 0 done; 1 failed; 2 wrong options; 3 a file or an id that cannot be used; 130 interrupted"""


def build_parser() -> argparse.ArgumentParser:
    """Describe the commands and their options."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("cmlfast", description=DESCRIPTION, epilog=EPILOG, formatter_class=raw)
    parser.add_argument("--version", action="version", version=f"cmlfast {_version()}")
    commands = parser.add_subparsers(required=True, metavar="command")

    def command(name: str, text: str, detail: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}. {detail}")
        sub.set_defaults(command=name)
        return sub

    train = command("train", "train a model on a file of likes", "Writes one model file, all or nothing.")
    _add_data(train)
    _add_features(train)
    train.add_argument("--model", required=True, metavar="FILE", help="where to write the model")
    train.add_argument("--validation", metavar="FILE", help="held-out likes: stop early, keep the best epoch")
    _add_model(train)

    evaluate = command(
        "evaluate",
        "measure recall, NDCG and more on held-out likes",
        "Without --model: splits each user's likes 60/20/20, trains on the first part, stops early on the second and "
        "measures on the third, beside popularity. With --model: measures a trained model on a file of likes that it "
        "was not trained on.",
    )
    _add_data(evaluate)
    _add_features(evaluate)
    evaluate.add_argument("--model", metavar="FILE", help="a trained model")
    evaluate.add_argument("--exclude", metavar="FILE", help="with --model: likes to leave out of the ranking")
    evaluate.add_argument("-k", type=int, nargs="+", default=[50, 100], help="the K (default: 50 100)")
    _add_model(evaluate)

    tune = command(
        "tune",
        "search for the learning rate, margin and negatives that suit your data",
        "Splits as evaluate does. Trains with --trials settings on each user's first part, the default one among them, "
        "keeps the one with the best Recall@50 on the second, measures it on the third, and prints the train command "
        'for it. Needs Optuna: pip install "cmlfast[tune]".',
    )
    _add_data(tune)
    _add_features(tune)
    tune.add_argument(
        "--trials",
        type=int,
        default=30,
        metavar="N",
        help="settings to have tried in the end, those of --study among them (default: 30)",
    )
    tune.add_argument("--study", metavar="FILE", help="keep trials in this file (SQLite), and go on from those in it")
    not_for_tune = (*SEARCHED, "validation_measure")
    _add_model(tune, left_out=not_for_tune)
    tune.set_defaults(**{name: DEFAULTS[name] for name in not_for_tune})

    recommend = command("recommend", "print the nearest items of users", "CSV on standard output: user,item,score.")
    recommend.add_argument("model", metavar="MODEL", help="a trained model")
    recommend.add_argument("users", nargs="*", metavar="USER", help="users' ids; all users without any")
    recommend.add_argument("-n", type=int, default=10, help="items for each user (default: 10)")
    recommend.add_argument("--include-liked", action="store_true", help="also items that a user already likes")

    similar = command("similar", "print the nearest items of an item", "CSV on standard output: item,similar,score.")
    similar.add_argument("model", metavar="MODEL", help="a trained model")
    similar.add_argument("ids", nargs="+", metavar="ID", help="items' ids")
    similar.add_argument("-n", type=int, default=10, help="how many for each (default: 10)")
    similar.add_argument("--users", action="store_true", help="the ids are users', and so are the answers")

    info = command("info", "tell about a model, or this installation", "")
    info.add_argument("model", nargs="?", metavar="MODEL", help="a trained model")
    return parser


def _add_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", metavar="DATA", help="likes: a CSV or Parquet file with a row for each pair")
    parser.add_argument("--user", metavar="COLUMN", help="the column of users (default: the first)")
    parser.add_argument("--item", metavar="COLUMN", help="the column of items (default: the second)")
    parser.add_argument("--value", metavar="COLUMN", help="a column of ratings or counts")
    parser.add_argument("--min-value", type=float, metavar="X", help="the least value that is a like")


def _add_features(parser: argparse.ArgumentParser) -> None:
    for kind, strangers in (("item", "items that nobody likes yet"), ("user", "users who like nothing yet")):
        parser.add_argument(
            f"--{kind}-features",
            metavar="FILE",
            help=f"a CSV or Parquet file whose first two columns are {kind}s and their tags, a row for each pair; "
            f"{strangers} take part by their tags",
        )


def _add_model(parser: argparse.ArgumentParser, left_out: Sequence[str] = ()) -> None:
    group = parser.add_argument_group("training")

    def add(flag: str, kind: Any, text: str, **more: Any) -> None:
        name = flag.strip("-").replace("-", "_")
        if name not in left_out:
            group.add_argument(flag, type=kind, default=DEFAULTS[name], help=f"{text} (default: %(default)s)", **more)

    add("--n-components", int, "dimensions")
    loss = "a softmax over negatives that a batch shares, or the paper's hinge; auto: the hinge with tags"
    add("--loss", str, loss, choices=("auto", "softmax", "warp"))
    add("--temperature", _float_or_auto, "the softmax's, in squared distance")
    margin = "the hinge's margin, in squared distance; two numbers are the first and the last"
    add("--margin", _float_or_auto, margin, nargs="+", metavar="M")
    add("--n-negatives", _int_or_auto, "negatives drawn for a pair (softmax: for a batch)")
    add("--learning-rate", _float_or_auto, "AdaGrad's learning rate")
    add("--batch-size", _int_or_auto, "pairs in a batch")
    add("--n-epochs", _int_or_auto, "epochs")
    add("--max-norm", float, "radius of the ball")
    add(
        "--balance",
        _float_auto_or_none,
        "draw a user's pairs by 1 / (likes + this); none visits every pair once an epoch",
    )
    add("--covariance-weight", float, "what correlated dimensions cost; acts from about 1e6 on")
    add(
        "--feature-weight",
        _float_or_auto,
        "with features: how strongly items or users are drawn to where their tags put them",
    )
    rare = "put items with k likes farther away by this / (1 + k); 0.5 suits sparse data without tags"
    add("--rare-item-distance", _float_or_auto, f"{rare}; buries items that nobody likes yet")
    measure = "with validation: recall, ndcg, precision, hit_rate, mrr or map at some K, by which training is cut short"
    add("--validation-measure", str, measure, metavar="NAME")
    group.add_argument("--seed", type=int, default=0, help="seed; the same seed gives the same model (default: 0)")


def _int_or_auto(text: str) -> int | str:
    if text == "auto" or text.lstrip("-").isdecimal():
        return text if text == "auto" else int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is neither an integer nor 'auto'")


def _float_or_auto(text: str) -> float | str:
    try:
        return text if text == "auto" else float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number nor 'auto'") from None


def _float_auto_or_none(text: str) -> float | str | None:
    try:
        return None if text == "none" else _float_or_auto(text)
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number nor 'auto' nor 'none'") from None


def check(options: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """End with a usage error where options do not go together or a count is none."""
    if options.command == "evaluate":
        if min(options.k) < 1:
            parser.error(f"-k is {min(options.k)}; every K must be at least 1")
        if options.exclude and not options.model:
            parser.error("--exclude goes with --model")
        for kind in ("item", "user"):
            if getattr(options, f"{kind}_features") and options.model:
                parser.error(f"--{kind}-features does not go with --model, which has learned them")
    if options.command == "tune" and options.trials < 1:
        parser.error(f"--trials is {options.trials}; it must be at least 1")
    if options.command in ("recommend", "similar") and options.n < 1:
        parser.error(f"-n is {options.n}; it must be at least 1")


def _version() -> str:
    try:
        return version("cmlfast")
    except PackageNotFoundError:  # run from a source tree that was never installed
        return "unknown"
