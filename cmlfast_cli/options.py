"""The options of the command ``cmlfast``, their help and their checks; imports nothing that takes time."""

from __future__ import annotations

import argparse
import difflib
import itertools
import shlex
from collections.abc import Collection, Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NoReturn

from cmlfast_cli.streams import OutputLostError

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
    "dtype": "float32",
    "rowwise_adagrad": False,
}

# What `cmlfast tune` searches for, and so does not take: those of cmlfast.tuning; a test compares.
SEARCHED = ("learning_rate", "margin", "temperature", "n_negatives", "feature_weight")

# How a text is written, as cmlfast.Interactions.from_csv takes it.
TEXT_OPTIONS: dict[str, Any] = {
    "delimiter": None,
    "encoding": None,
    "header": None,
    "columns": None,
    "decimal": ".",
    "skip_bad_lines": False,
}

# Which column is what, and which rows are likes; a prepared file has both settled.
COLUMN_OPTIONS: dict[str, Any] = {
    "user": None,
    "item": None,
    "value": None,
    "min_value": None,
    "time": None,
    "min_count": 1,
}

# Of cmlfast.CML.build_index; a test compares.
INDEXES = ("exact", "annoy", "hnsw", "ivf")

# Of cmlfast.CML.plot; a test compares.
PICTURES = (".html", ".png", ".pdf", ".svg")

DESCRIPTION = """\
Recommend by Collaborative Metric Learning: users and items in one space, the nearest items are the answer.

Likes are delimited text, also compressed, or Parquet, a row for each pair: one file or several, patterns, folders, or
- for standard input. Columns are found by their names (user, userId, item, movie_id, artist, ...) or else are the first
two, unless --user and --item name others."""

EPILOG = """\
a first session:
  cmlfast prepare logs/ -o likes.prepared           long tables: read once, then give the file as DATA (optional)
  cmlfast evaluate likes.csv                        how good would it be on my data?
  cmlfast tune likes.csv --study likes.db           search for better training options (optional, takes a while)
  cmlfast train likes.csv --model likes.model       train on all of it
  cmlfast update likes.model today.csv              new likes, new users, new items: every day, say
  cmlfast recommend likes.model alice bob -n 5      user,item,score as CSV on standard output
  cmlfast similar likes.model "Star Wars"           the items nearest to an item
  cmlfast explain likes.model alice "Star Wars"     which of alice's likes lie near to it
  cmlfast map likes.model -o map.html               a page to look at what was learned

ratings: --value rating --min-value 4 takes rows with a rating of at least 4 as likes
times:   --time timestamp: evaluate on what came last; --last-days 90 leaves out what is older
tags:    --item-features tags.csv (item,tag) also places items that few or none like, --user-features users; with train,
         evaluate and tune

exit codes: 0 done; 1 failed; 2 wrong options; 3 a file or an id that cannot be used; 130 interrupted; 143 terminated"""


class Parser(argparse.ArgumentParser):
    """Tells of errors in two lines, and of words that are misspelt which ones may be meant."""

    words: Sequence[str] = ()  # what is parsed
    commands: Collection[str] = ()

    def error(self, message: str) -> NoReturn:
        """Name the help, print the error, and end with 2."""
        self.exit(2, f"{self.prog} --help shows all options\n{self.prog}: error: {message}{self._meant()}\n")

    def _meant(self) -> str:
        """Say which options, or which command, are written most like the words that are none."""
        if self.commands:
            first, known = self.words[:1], list(self.commands)
        else:
            known = [name for name in self._option_string_actions if name.startswith("--")]
            before = list(itertools.takewhile(lambda word: word != "--", self.words))
            first = [word.partition("=")[0] for word in before if word.startswith("--") and " " not in word]
            first = [word for word in first if not any(name.startswith(word) for name in known)]
        near = {word: difflib.get_close_matches(word, known, n=1) for word in first if word not in known}
        told = [f"; {word}: did you mean {some[0]}?" for word, some in near.items() if some]
        return "".join(told)


def parse(arguments: Sequence[str]) -> tuple[argparse.Namespace, argparse.ArgumentParser]:
    """Return the options, and the parser of their command, which knows its own usage."""
    parser, commands = _parsers()
    command = commands.get(arguments[0]) if arguments else None
    for one in (parser, *commands.values()):
        one.words = arguments
    if command is None:
        return parser.parse_args(arguments), parser  # --help, --version, or an error
    # Options before, between and after the ids and files.
    return command.parse_intermixed_args(arguments[1:]), command


def parse_also(text: str, base: argparse.Namespace, parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Return the options with some of the training's changed by a text such as "--loss warp --n-epochs 20"."""
    training = Parser(parser.prog, add_help=False)
    _add_model(training)
    training.words = shlex.split(text)
    return training.parse_args(training.words, argparse.Namespace(**vars(base)))


def text_words(options: argparse.Namespace) -> list[str]:
    """Return the words of a command line that say how texts are written, as these options do."""
    words = []
    for name, default in TEXT_OPTIONS.items():
        value = getattr(options, name)
        if value == default:
            continue
        flag = f"--{name.replace('_', '-')}"
        if name == "header":
            words.append("--header" if value else "--no-header")
        else:
            words += [flag] if value is True else [flag, ",".join(value) if isinstance(value, list) else value]
    return words


def _parsers() -> tuple[Parser, dict[str, Parser]]:
    """Describe the commands and their options; return the parser of all, and each command's by name."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = Parser("cmlfast", description=DESCRIPTION, epilog=EPILOG, formatter_class=raw)
    parser.add_argument("--version", action="version", version=f"cmlfast {_version()}")
    commands = parser.add_subparsers(required=True, metavar="command")
    parser.commands = commands.choices

    def command(name: str, text: str, detail: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}. {detail}")
        sub.set_defaults(command=name)
        sub.add_argument("-q", "--quiet", action="store_true", help="print results and errors alone")
        return sub

    prepare = command(
        "prepare",
        "read long tables of likes once, into a file that opens in a second",
        "All other commands take that file as DATA. Memory: 8 bytes a row, 16 with --time, twice that while sorting.",
    )
    _add_data(prepare)
    prepare.add_argument("-o", "--output", required=True, metavar="FILE", help="where to write, all or nothing")

    train = command("train", "train a model on a file of likes", "Writes one model file, all or nothing.")
    _add_data(train)
    _add_features(train)
    train.add_argument("--model", required=True, metavar="FILE", help="where to write the model")
    train.add_argument(
        "--report",
        metavar="FILE",
        help="write what the training went through: .html is a page that needs no network, .png the curves alone",
    )
    train.add_argument("--validation", metavar="FILE", help="held-out likes: stop early, keep the best epoch")
    train.add_argument("--drop-unknown", action="store_true", help="with --validation: leave out what is not in DATA")
    train.add_argument(
        "--checkpoint",
        metavar="DIR",
        help="a folder for checkpoints: the same command goes on from the last, to the same model",
    )
    train.add_argument(
        "--checkpoint-every",
        type=_epochs_or_time,
        default=1,
        metavar="N",
        help="epochs between checkpoints, or a time such as 10min (default: %(default)s)",
    )
    train.add_argument(
        "--shard-items",
        action="store_true",
        help="with torchrun: share out the items too, for a catalogue that does not fit into one process",
    )
    _add_model(train)

    evaluate = command(
        "evaluate",
        "measure recall, NDCG and more on held-out likes",
        "Without --model: splits each user's likes 60/20/20, trains on the first part, stops early on the second and "
        "measures on the third, beside popularity. With --model: measures a trained model on likes that it was not "
        "trained on.",
    )
    _add_data(evaluate)
    _add_features(evaluate)
    evaluate.add_argument(
        "--by-time",
        action="store_true",
        help="split by time: train on the first 60%%, test on the last 20%%; --time alone says so too, prepared files "
        "have times if prepare was told so",
    )
    evaluate.add_argument(
        "--leave-out",
        type=int,
        metavar="N",
        help="test on each user's last N likes (with --time) or on random N, stop early on the N before",
    )
    evaluate.add_argument(
        "--also",
        action="append",
        metavar="OPTIONS",
        help='train another model with other options, as in --also "--loss warp --margin 2", and show it beside; '
        "may be repeated",
    )
    evaluate.add_argument("--model", action="append", metavar="FILE", help="a trained model; may be repeated")
    evaluate.add_argument("--exclude", metavar="FILE", help="with --model: likes to leave out of the ranking")
    evaluate.add_argument(
        "--drop-unknown", action="store_true", help="with --model: leave out users and items that it does not know"
    )
    evaluate.add_argument("-k", type=int, nargs="+", default=[50, 100], help="the K (default: 50 100)")
    _add_model(evaluate)

    tune = command(
        "tune",
        "search for the learning rate, margin and negatives that suit your data",
        "Splits as evaluate does. Trains with --trials settings on each user's first part, the default one among them, "
        "keeps the one with the best Recall@50 on the second, measures it on the third, and prints the train command "
        'for it. Needs Optuna: pip install "optuna>=4".',
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

    update = command(
        "update",
        "train a model on new likes, an epoch more",
        "Once a day, say: new users and items join, known ones move, all from where the model stands. Writes the model "
        "all or nothing; an index is built anew.",
    )
    update.add_argument("model", metavar="MODEL", help="a trained model")
    _add_data(update)
    update.add_argument("-o", "--output", metavar="FILE", help="write the model there (default: where it is)")
    update.add_argument("--freeze-items", action="store_true", help="items stay where they are; only users move")
    for kind in ("user", "item"):
        update.add_argument(
            f"--drop-{kind}s-after",
            type=float,
            metavar="DAYS",
            help=f"drop {kind}s whose last like was more than DAYS before the last of all; the model knows these times "
            "if it was trained and updated with --time",
        )
    _add_features(update, "the model places new ones")

    recommend = command("recommend", "write the nearest items of users", "A table of users, items and scores.")
    recommend.add_argument("model", metavar="MODEL", help="a trained model")
    recommend.add_argument("users", nargs="*", metavar="USER", help="users' ids; all users without any")
    recommend.add_argument(
        "--users-from", metavar="FILE", help="a file of users' ids, a line each; - for standard input"
    )
    recommend.add_argument("-n", type=int, default=10, help="items for each user (default: 10)")
    recommend.add_argument("--include-liked", action="store_true", help="also items that a user already likes")
    recommend.add_argument(
        "--unknown",
        choices=("report", "popular"),
        default="report",
        help="users whom the model does not know, or who are new and like nothing that it knows: name them and exit "
        "with 3 (report), or give them the most popular items (default: %(default)s)",
    )
    recommend.add_argument(
        "--index",
        choices=INDEXES,
        metavar="KIND",
        help=f"how items are looked for: {', '.join(INDEXES)}; built now where the model has another (default: as "
        "cmlfast index left it, exact without)",
    )
    recommend.add_argument(
        "--likes", metavar="FILE", help="likes of new users, or new likes of known ones, to place them by"
    )
    _add_columns(recommend)
    _add_features(recommend, "with --user-features and --item-features the model places new ones")
    _add_output(recommend)

    similar = command("similar", "write the nearest items of an item", "A table of items, similar ones and scores.")
    similar.add_argument("model", metavar="MODEL", help="a trained model")
    similar.add_argument("ids", nargs="*", metavar="ID", help="items' ids")
    similar.add_argument("--ids-from", metavar="FILE", help="a file of ids, a line each; - for standard input")
    similar.add_argument("-n", type=int, default=10, help="how many for each (default: 10)")
    similar.add_argument("--users", action="store_true", help="the ids are users', and so are the answers")
    _add_features(similar, "the model places new ones")
    _add_output(similar)

    explain = command(
        "explain",
        "say why an item is near to a user",
        "A table of the user's likes that are nearest to the item: their distances to it and to the user (Euclidean, "
        "not squared), and their shares of the nearness. What the triangle inequality says goes to standard error.",
    )
    explain.add_argument("model", metavar="MODEL", help="a trained model")
    explain.add_argument("user_id", metavar="USER", help="the user's id")
    explain.add_argument("item_id", metavar="ITEM", help="the item's id")
    explain.add_argument("-n", type=int, default=10, help="how many likes (default: 10)")
    explain.add_argument("--likes", metavar="FILE", help="likes of new users, or new likes of known ones, as recommend")
    _add_columns(explain)
    _add_features(explain, "with --user-features and --item-features the model places new ones")
    _add_output(explain)

    index = command(
        "index",
        "give a model an index, for quicker recommendations of which some of the nearest items may be missing",
        "Writes a file beside the model, to which it belongs. Needs Annoy, usearch or faiss: pip install "
        "'cmlfast[annoy]', 'cmlfast[hnsw]' or 'cmlfast[ivf]'.",
    )
    index.add_argument("model", metavar="MODEL", help="a trained model")
    index.add_argument("kind", choices=INDEXES, help="exact: without an index, every item compared, as after training")
    index.add_argument(
        "parameters", nargs="*", type=_parameter, metavar="NAME=NUMBER", help="of the index, such as n_trees=100"
    )
    index.add_argument("-o", "--output", metavar="FILE", help="write the model there (default: where it is)")

    map_ = command(
        "map",
        "draw a map of what a model has learned",
        "Items, and users if wanted, in a plane by t-SNE: near are those whom the model has near. A page that works "
        "offline (.html), or a picture (.png, .pdf, .svg). Needs openTSNE, plotly and matplotlib: pip install "
        "'cmlfast[map]'.",
    )
    map_.add_argument("model", metavar="MODEL", help="a trained model")
    map_.add_argument("-o", "--output", required=True, metavar="FILE", help="where to write, all or nothing")
    map_.add_argument("--titles", metavar="FILE", help="a table of items, their titles and, for --color, more columns")
    map_.add_argument(
        "--color",
        default="popularity",
        metavar="COLUMN",
        help="of --titles: categories, a|b for several, or numbers (default: %(default)s, an item's likes)",
    )
    map_.add_argument(
        "--users", type=_number_or_all, metavar="N", help="show so many users, drawn at random, or all (default: none)"
    )
    map_.add_argument(
        "--item-features",
        metavar="FILE",
        help="items and their tags, as train takes them: items are shown by these, too, beside the learned space",
    )
    map_.add_argument("--seed", type=int, default=0, help="seed; the same seed gives the same map (default: 0)")
    map_.set_defaults(user_features=None)

    info = command("info", "tell about a model, or this installation", "")
    info.add_argument("model", nargs="?", metavar="MODEL", help="a trained model")
    return parser, commands.choices


def _add_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "data",
        nargs="+",
        metavar="DATA",
        help="likes: files, patterns or folders of CSV or Parquet, - for standard input; or a file of prepare",
    )
    _add_columns(parser)


def _add_columns(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("reading likes")
    group.add_argument("--user", metavar="COLUMN", help="the column of users (default: by its name)")
    group.add_argument("--item", metavar="COLUMN", help="the column of items (default: by its name)")
    group.add_argument("--value", metavar="COLUMN", help="a column of ratings or counts")
    group.add_argument("--min-value", type=float, metavar="X", help="the least value that is a like")
    group.add_argument("--min-count", type=int, default=1, metavar="N", help="the least rows that make a pair one")
    group.add_argument(
        "--time",
        metavar="COLUMN",
        help="a column of times: --last-days counts by them, evaluate splits by them, train keeps them for update",
    )
    group.add_argument("--last-days", type=float, metavar="N", help="only likes of the N days up to the last one")
    group.add_argument("--delimiter", metavar="TEXT", help="between fields, as ';' or '::' (default: found out)")
    group.add_argument("--encoding", metavar="NAME", help="such as latin-1 (default: UTF-8, or what a mark says)")
    group.add_argument(
        "--header", action="store_true", default=None, help="the first line has names, whatever it looks like"
    )
    group.add_argument("--no-header", action="store_false", dest="header", help="the first line is data")
    group.add_argument(
        "--columns", type=_names, metavar="A,B,...", help="the columns' names, of a text without a header"
    )
    group.add_argument("--decimal", default=".", metavar="CHARACTER", help="the decimal point (default: %(default)s)")
    group.add_argument(
        "--skip-bad-lines",
        action="store_true",
        help="leave out lines of another length and rows with empty cells, and count them",
    )


def _add_features(parser: argparse.ArgumentParser, what: str | None = None) -> None:
    for kind, strangers in (("item", "items that nobody likes yet"), ("user", "users who like nothing yet")):
        parser.add_argument(
            f"--{kind}-features",
            metavar="FILE",
            help=f"a CSV or Parquet file of two columns, {kind}s and their tags, a row for each pair; "
            f"{what or f'{strangers} take part by their tags'}",
        )


def _add_output(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("writing")
    group.add_argument(
        "-o", "--output", metavar="FILE", help="where to write, all or nothing (default: standard output)"
    )
    group.add_argument(
        "--format", choices=("csv", "jsonl", "parquet"), help="(default: what the name of --output says, or csv)"
    )
    group.add_argument("--titles", metavar="FILE", help="a table of items and their titles, to write beside the ids")


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",")]


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
    add("--dtype", str, "numbers of the tables; bfloat16 halves them", choices=("float32", "bfloat16"))
    rowwise = "one accumulator for each row of the tables, not for each number: the state is smaller by --n-components"
    group.add_argument("--rowwise-adagrad", action="store_true", help=rowwise)
    group.add_argument("--seed", type=int, default=0, help="seed; the same seed gives the same model (default: 0)")


def _parameter(text: str) -> tuple[str, int]:
    name, _, value = text.partition("=")
    if not name or not value.lstrip("-").isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no NAME=NUMBER")
    return name, int(value)


def _epochs_or_time(text: str) -> int | str:
    return int(text) if text.lstrip("-").isdecimal() else text


def _number_or_all(text: str) -> int | str:
    if text == "all" or text.isdecimal():
        return text if text == "all" else int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is neither a number nor 'all'")


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


def check(options: argparse.Namespace, parser: argparse.ArgumentParser, can_print: bool = True) -> None:
    """End with a usage error where options do not go together, have no effect, or a count is none."""
    for wrong, complaint in _complaints(options):
        if wrong:
            parser.error(complaint)
    if not can_print and options.command != "train" and not getattr(options, "output", None):
        raise OutputLostError("standard output is closed, where the answer should go")


def _complaints(options: argparse.Namespace) -> Iterator[tuple[Any, str]]:
    """Yield what may be wrong, and what to say of it."""
    given = vars(options).get
    if "last_days" in options:
        days, count = options.last_days, options.min_count
        yield days is not None and not days > 0, f"--last-days is {days}; it must be above 0"
        yield count < 1, f"--min-count is {count}; it must be at least 1"
    if options.command == "update":
        for name in ("drop_users_after", "drop_items_after"):
            days = given(name)
            yield days is not None and not days > 0, f"--{name.replace('_', '-')} is {days}; it must be above 0"
    if options.command in ("prepare", "train", "evaluate", "tune", "update"):
        yield given("min_value") is not None and not given("value"), "--min-value goes with --value"
    if options.command in ("train", "evaluate", "tune"):
        features = given("item_features") or given("user_features")
        weighed = options.command != "tune" and given("feature_weight") != DEFAULTS["feature_weight"]
        yield weighed and not features, "--feature-weight goes with --item-features or --user-features"
    if options.command == "train":
        unused = given("validation_measure") != DEFAULTS["validation_measure"] and not given("validation")
        yield unused, "--validation-measure goes with --validation"
        yield given("drop_unknown") and not given("validation"), "--drop-unknown goes with --validation"
        yield given("checkpoint_every") != 1 and not given("checkpoint"), "--checkpoint-every goes with --checkpoint"
    if options.command == "evaluate":
        yield min(options.k) < 1, f"-k is {min(options.k)}; every K must be at least 1"
        yield (
            given("leave_out") is not None and options.leave_out < 1,
            f"--leave-out is {options.leave_out}; it must be at least 1",
        )
        for name in ("exclude", "drop_unknown"):
            yield given(name) and not given("model"), f"--{name.replace('_', '-')} goes with --model"
        changed = {name: given(name) != default for name, default in {**DEFAULTS, "seed": 0}.items()}
        times = ("by_time",) if given("last_days") else ("by_time", "time")
        for name in ("item_features", "user_features", *times, "leave_out", "also", *changed):
            flag = f"--{name.replace('_', '-')}"
            says = f"{flag} does not go with --model, which is trained already"
            yield given("model") and changed.get(name, given(name)), says
    if options.command == "tune":
        yield options.trials < 1, f"--trials is {options.trials}; it must be at least 1"
    if options.command in ("recommend", "similar", "explain"):
        yield options.n < 1, f"-n is {options.n}; it must be at least 1"
    if options.command in ("recommend", "explain"):
        reading = {**COLUMN_OPTIONS, "last_days": None, **TEXT_OPTIONS}
        for name, default in reading.items():
            yield given(name) != default and not given("likes"), f"--{name.replace('_', '-')} goes with --likes"
    if options.command == "recommend":
        asked = given("users") or given("users_from")
        alone = given("unknown") == "popular" and not (asked or given("likes"))
        yield alone, "--unknown goes with users' ids or --likes"
    if options.command == "map":
        ending = not options.output.lower().endswith(PICTURES)
        yield ending, f"--output is {options.output}; its name must end in one of {', '.join(PICTURES)}"
        unnamed = given("color") != "popularity" and not given("titles")
        yield unnamed, f"--color {given('color')} goes with --titles, a table that has this column"
        yield options.users == 0, "--users is 0; it must be at least 1, or all"
    if options.command == "similar":
        yield not (given("ids") or given("ids_from")), "the following arguments are required: ID (or --ids-from)"
        yield given("users") and given("titles"), "--titles does not go with --users: they are items'"


def _version() -> str:
    try:
        return version("cmlfast")
    except PackageNotFoundError:  # run from a source tree that was never installed
        return "unknown"
