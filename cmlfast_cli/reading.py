"""Reads what the options name: likes, tags and titles, with the ids of a model where there is one."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from cmlfast import CML, Interactions
from cmlfast.data.align import joined
from cmlfast.data.columns import Roles
from cmlfast.data.sides import KINDS, Kind
from cmlfast.data.sources import STANDARD_INPUT, are_parquet, expand
from cmlfast.data.tables import read_parquet
from cmlfast.data.text import Format, read_csv
from cmlfast_cli.options import TEXT_OPTIONS


def read_likes(
    where: str | Sequence[str], options: argparse.Namespace, known: CML | Interactions | None = None
) -> Interactions:
    """Read files of likes; ids become strings where ``known`` has strings, even if these files have integers only."""
    columns: dict[str, Any] = {
        "user": options.user, "item": options.item, "value": options.value, "min_value": options.min_value,
        "time": getattr(options, "time", None),
    }  # fmt: skip
    files = expand(where)
    if are_parquet(files):
        given = [name for name, default in TEXT_OPTIONS.items() if getattr(options, name) != default]
        if given:
            raise ValueError(f"{files[0]} is Parquet, to which --{given[0].replace('_', '-')} means nothing")
        likes = Interactions.from_parquet(where, **columns)
    else:
        likes = Interactions.from_csv(where, **columns, **{name: getattr(options, name) for name in TEXT_OPTIONS})
    return likes if known is None else called_as(likes, known)


def called_as(likes: Interactions, known: CML | Interactions) -> Interactions:
    """Return likes with ids that are strings where those of ``known`` are, even if they are integers."""
    return _renamed(likes, *_ids(known))


def read_with_features(options: argparse.Namespace) -> tuple[Interactions, dict[str, Any]]:
    """Read likes and, where there are such files, tags of items or users, by the names of `CML.fit`'s arguments."""
    likes = read_likes(options.data, options)
    features = read_tags(options, likes)
    return joined(likes, features.get("item_features"), features.get("user_features")), features


def read_tags(options: argparse.Namespace, known: CML | Interactions) -> dict[str, Interactions]:
    """Read tags of items or users, by the names of `CML.fit`'s arguments; ids become what those of ``known`` are."""
    kinds: Sequence[Kind] = KINDS
    features = {}
    for kind in kinds:
        path = getattr(options, f"{kind}_features")
        if path:
            try:
                tags = Interactions.from_tags(path, kind)
            except ValueError as error:
                raise error if path in str(error) else ValueError(f"{path}: {error}") from error
            features[f"{kind}_features"] = _renamed(tags, _ids(known)[kind == "item"], None)
    return features


def read_titles(path: str) -> dict[Any, str]:
    """Return the title of each item of a file, by its id as text."""
    table = read_item_table(path)
    return dict(zip(map(str, table["item_id"].to_pylist()), map(str, table["title"].to_pylist()), strict=True))


def read_item_table(path: str, column: str | None = None) -> Any:
    """Return a file's items as a pyarrow.Table of "item_id", "title" and, if named, one more column."""
    roles = Roles(describes="item titles", value=column)
    try:
        table = read_parquet(path, roles) if are_parquet(expand(path)) else read_csv(path, roles, Format())
    except ValueError as error:
        if column is None:
            raise
        raise ValueError(f"--color {column}: {error}") from error
    return table.rename_columns(["item_id", "title", *([column] if column else [])])


def read_ids(path: str) -> list[str]:
    """Return the ids of a file, or of standard input, a line each."""
    if path == STANDARD_INPUT:
        lines = sys.stdin.buffer.read().decode().splitlines()
    else:
        with open(path, encoding="utf-8-sig") as file:
            lines = file.read().splitlines()
    return [line for line in lines if line]


def _ids(known: CML | Interactions) -> tuple[Any, Any]:
    return (known.user_ids_, known.item_ids_) if isinstance(known, CML) else (known.user_ids, known.item_ids)


def _renamed(likes: Interactions, users: Any, items: Any) -> Interactions:
    """Make ids strings where others are."""
    renamed = Interactions(likes.matrix, _like(likes.user_ids, users), _like(likes.item_ids, items))
    renamed.n_duplicates, renamed.n_dropped, renamed.times = likes.n_duplicates, likes.n_dropped, likes.times
    return renamed


def _like(ids: Any, known: Any) -> Any:
    strings = known is not None and known.dtype == object and ids.dtype != object
    return ids.astype(str).astype(object) if strings else ids
