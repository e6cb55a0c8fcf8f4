"""The commands that ask a model: recommend, similar and explain."""

from __future__ import annotations

import argparse
import difflib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa

from cmlfast import CML, Interactions
from cmlfast.data.table_file import format_of
from cmlfast.distributed.shares import name_of_share
from cmlfast_cli import processes
from cmlfast_cli.reading import read_ids, read_likes, read_tags, read_titles
from cmlfast_cli.streams import complain, say
from cmlfast_cli.writing import write_answers

AT_ONCE = 1000
SOME_MISSING = 3
FEW_IDS = 100_000  # among which one that is written alike is found in a second or two
INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,17})")
Answer: TypeAlias = "tuple[Any, Any]"  # ids and scores, or None for the scores


def recommend(options: argparse.Namespace, parser: argparse.ArgumentParser) -> int | None:
    """Write the nearest items of users: of those that the model knows, and of others by their likes or their tags."""
    with processes.shared(options) as group:
        return _recommend(options, group)


def _recommend(options: argparse.Namespace, group: Any) -> int | None:
    """Recommend; to a share of all users where processes of a group do so, each to a file of its own."""
    everybody = options.likes is None and not options.users and options.users_from is None
    if group is not None and not (everybody and options.output):
        raise ValueError(
            "torchrun is for recommendations to all users, a share by each process; leave out users and --likes, and "
            "give --output, to which each adds its number"
        )
    model = _model(options)
    if options.index not in (None, model.index["kind"]):
        model.build_index(options.index)
    likes = _new_likes(options, model)
    if likes is None and not options.users and options.users_from is None:
        # A bar would stand among the answers where they go to the terminal.
        bar = None if options.output and not options.quiet else False
        parts = model.recommend_all(options.n, not options.include_liked, show_progress=bar, process_group=group)
        options.output = name_of_share(options.output, group) if group else options.output
        _write_table(options, _titled(parts, "item", options))
        return None
    by_likes, unplaced = ({}, []) if likes is None else _placed(likes, model)
    known = dict.fromkeys((*model.user_ids_.tolist(), *by_likes))
    texts = _wanted(options.users, options.users_from)
    all_answered = options.unknown == "popular"
    if texts is not None:
        wanted, missing = _find(texts, known, all_answered)
    else:
        users = [] if likes is None else likes.user_ids.tolist()
        wanted = [one for one in users if one in known or all_answered]
        missing = [] if all_answered else unplaced
    popular = model.popular_items(options.n)[0]
    filtered = {"N": options.n, "filter_already_liked_items": not options.include_liked}

    def answers(some: Sequence[Any]) -> dict[Any, Answer]:
        found: dict[Any, Answer] = {}
        new = [one for one in some if one in by_likes]
        if likes is not None and new:
            theirs = likes.matrix[[by_likes[one] for one in new]]
            answer = model.recommend(np.arange(len(new)), theirs, recalculate_user=True, **filtered)
            found |= zip(new, zip(*answer, strict=True), strict=True)
        trained = [one for one in some if one in known and one not in by_likes]
        if trained:
            answer = model.recommend(np.array(trained, dtype=model.user_ids_.dtype), **filtered)
            found |= zip(trained, zip(*answer, strict=True), strict=True)
        return {one: found.get(one, (popular, None)) for one in some}

    _write(options, ("user", "item"), wanted, answers)
    return _tell_missing("user", missing, known, bool(wanted), unplaced)


def similar(options: argparse.Namespace, parser: argparse.ArgumentParser) -> int | None:
    """Write the nearest items of items, or users of users."""
    model = _model(options)
    kind = "user" if options.users else "item"
    known, ask = (model.user_ids_, model.similar_users) if options.users else (model.item_ids_, model.similar_items)
    texts = _wanted(options.ids, options.ids_from)
    ids = dict.fromkeys(known.tolist())
    wanted, missing = _find(texts or [], ids)

    def answers(some: Sequence[Any]) -> dict[Any, Answer]:
        # The first is the id itself, which nobody needs to be told.
        found, scores = ask(np.array(some, dtype=known.dtype), N=options.n + 1)
        return dict(zip(some, zip(found[:, 1:], scores[:, 1:], strict=True), strict=True))

    _write(options, (kind, "similar"), wanted, answers)
    return _tell_missing(kind, missing, ids, bool(wanted))


def explain(options: argparse.Namespace, parser: argparse.ArgumentParser) -> int | None:
    """Write the likes of a user that are nearest to an item, their distances and shares."""
    model = _model(options)
    likes = _new_likes(options, model)
    by_likes, unplaced = ({}, []) if likes is None else _placed(likes, model)
    asked = list[Any]()
    for kind, text, known in (
        ("user", options.user_id, (*model.user_ids_.tolist(), *by_likes)),
        ("item", options.item_id, model.item_ids_.tolist()),
    ):
        one, missing = _find(_wanted([text], None) or [], dict.fromkeys(known))
        if missing and kind == "user" and missing[0] in unplaced:
            raise ValueError(_unplaced(missing))
        if missing:
            raise ValueError(f"the model knows no {kind} {_named(missing, dict.fromkeys(known))}")
        asked += one
    user, item = asked
    new = user in by_likes
    found = model.explain(user, item, likes if new else None, options.n, recalculate_user=new)
    table = pa.table(
        {
            "user": pa.array([user] * len(found.liked)),
            "item": pa.array([item] * len(found.liked)),
            "liked": pa.array(found.liked.tolist()),
            "distance": _readable(found.distances, options),
            "user_distance": _readable(found.user_distances, options),
            "share": _readable(found.shares, options),
        }
    )
    _write_table(options, _titled([table], "liked", options))
    if not options.quiet:
        complain(f"cmlfast: {found.title}. {found.guarantee}")
    return None


def _model(options: argparse.Namespace) -> CML:
    """Return the model, with new items and users in it where the options give their tags."""
    model = CML.load(options.model)
    tags = read_tags(options, model)
    return model.partial_fit(None, tags.get("item_features"), tags.get("user_features")) if tags else model


def _new_likes(options: argparse.Namespace, model: CML) -> Interactions | None:
    """Return who is to be placed by what they like, on the model's items, with what the model knows of them already."""
    if not options.likes:
        return None
    given = read_likes(options.likes, options, model)
    likes = given.select(None, model.item_ids_)
    lost = likes.n_dropped - given.n_dropped
    if likes.nnz == 0 and getattr(options, "unknown", None) != "popular":
        raise ValueError(f"{options.likes} names no item that the model knows, but {given.item_ids.tolist()[0]!r}")
    if lost:
        complain(f"cmlfast: {options.likes}: {lost:,} of {given.nnz:,} likes are of items that the model does not know")
    if model.user_items_ is None:
        return likes
    return likes.with_pairs(likes.matrix + model.user_items_.select(likes.user_ids, model.item_ids_).matrix)


def _placed(likes: Interactions, model: CML) -> tuple[dict[Any, int], list[str]]:
    """Return the rows of those of whom likes are left, and who has none and is not known to the model either."""
    some = (np.diff(likes.matrix.indptr) > 0).tolist()
    users = likes.user_ids.tolist()
    known = set(model.user_ids_.tolist())
    unplaced = [str(one) for one, has in zip(users, some, strict=True) if not has and one not in known]
    return {one: row for row, (one, has) in enumerate(zip(users, some, strict=True)) if has}, unplaced


def _wanted(given: Sequence[str], path: str | None) -> list[str] | None:
    """Return the ids of the command line and of a file; None where neither is given."""
    if not given and path is None:
        return None
    # Ids are UTF-8, whatever the locale has made of the command line.
    words = [os.fsencode(one).decode(errors="surrogateescape") for one in given]
    return list(dict.fromkeys([*words, *([] if path is None else read_ids(path))]))


def _find(texts: Iterable[str], known: dict[Any, None], keep_missing: bool = False) -> tuple[list[Any], list[str]]:
    """Return ids as the model has them, integers where it has integers, and those that it has not."""
    integers = isinstance(next(iter(known), ""), int)
    found: list[Any] = []
    missing = []
    for text in texts:
        one = int(text) if integers and INTEGER.fullmatch(text) else text
        if one in known or keep_missing:
            found.append(one)
        if one not in known:
            missing.append(text)
    return found, [] if keep_missing else missing


def _tell_missing(
    kind: str, missing: Sequence[str], known: dict[Any, None], answered: bool, unplaced: Sequence[str] = ()
) -> int | None:
    """Name those of whom nothing is known; the exit code says so too."""
    if not missing:
        return None
    without = set(unplaced)
    lost, strange = [one for one in missing if one in without], [one for one in missing if one not in without]
    told = [f"the model knows no {kind} {_named(strange, known)}"] if strange else []
    told += [f"{_unplaced(lost)} (--unknown popular answers for them)"] if lost else []
    complain(f"cmlfast: error: {'; '.join(told)}{'; others were answered' if answered else ''}")
    return SOME_MISSING


def _unplaced(users: Sequence[str]) -> str:
    return f"no like of user {_listed(users)} is of an item that the model knows"


def _named(missing: Sequence[str], known: dict[Any, None]) -> str:
    """List ids, and where there is but one, the known one that is written most like it."""
    near = []
    if len(missing) == 1 and len(known) <= FEW_IDS:
        near = difflib.get_close_matches(missing[0], map(str, known), n=1, cutoff=0.75)
    return _listed(missing) + (f" (did you mean {near[0]!r}?)" if near else "")


def _listed(ids: Sequence[str]) -> str:
    return ", ".join(map(repr, ids[:10])) + (f" and {len(ids) - 10} more" if len(ids) > 10 else "")


def _write(
    options: argparse.Namespace,
    names: tuple[str, str],
    wanted: Sequence[Any],
    answers: Callable[[Sequence[Any]], dict[Any, Answer]],
) -> None:
    """Write the answers of all, a part at a time; nothing where nobody is asked for."""
    as_text = len({type(one) for one in wanted}) > 1  # of popular items for those who are not even named as others are

    def parts() -> Iterator[Any]:
        for first in range(0, len(wanted), AT_ONCE):
            found = answers(wanted[first : first + AT_ONCE])
            known = {
                one: [others, np.full(len(others), np.nan, np.float32) if scores is None else scores]
                for one, (others, scores) in found.items()
            }
            asked = [one for one, (others, _) in known.items() for _ in others]
            others = np.concatenate([others for others, _ in known.values()])
            scores = np.concatenate([scores for _, scores in known.values()])
            there = ~np.isneginf(scores)  # short rows end in minus infinity
            table = pa.table(
                {
                    names[0]: pa.array([str(one) if as_text else one for one in asked]),
                    names[1]: pa.array(others.tolist() if others.dtype == object else others),
                    "score": pa.array(scores.astype(np.float32), mask=np.isnan(scores)),
                }
            )
            yield table.filter(pa.array(there))

    if wanted:
        _write_table(options, _titled(parts(), names[1], options))


def _write_table(options: argparse.Namespace, parts: Iterable[Any]) -> None:
    write_answers(options.output, options.format, parts)
    if options.output and not options.quiet:
        say(f"wrote {options.output}")


def _readable(values: Any, options: argparse.Namespace) -> Any:
    """Return numbers as a column: with six digits for people who read them, with all of them in Parquet."""
    exact = format_of(options.output or "", options.format) == "parquet"
    return pa.array(values if exact else [float(f"{one:.6g}") for one in values.tolist()])


def _titled(parts: Iterable[Any], column: str, options: argparse.Namespace) -> Iterable[Any]:
    """Return tables with the titles of a column's items beside, where the options give any."""
    if not options.titles:
        return parts
    titles = read_titles(options.titles)

    def with_title(part: Any) -> Any:
        found = [titles.get(str(one)) for one in part[column].to_pylist()]
        return part.append_column("title", pa.array(found, pa.string()))

    return (with_title(part) for part in parts)
