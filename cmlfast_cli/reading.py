"""Reads what the options name: likes, tags and titles, with the ids of a model where there is one."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cmlfast import CML, Interactions
from cmlfast.data.align import joined
from cmlfast.data.columns import Roles
from cmlfast.data.dialect import Format
from cmlfast.data.parquet import read_parquet
from cmlfast.data.prepared import is_prepared
from cmlfast.data.sides import KINDS, Kind
from cmlfast.data.sources import STANDARD_INPUT, are_parquet, expand
from cmlfast.data.tensor_file import is_model
from cmlfast.data.text import read_csv
from cmlfast_cli.options import COLUMN_OPTIONS, TEXT_OPTIONS


def read_likes(
    where: str | Sequence[str], options: argparse.Namespace, known: CML | Interactions | None = None
) -> Interactions:
    """Read files of likes; ids become strings where ``known`` has strings, even if these files have integers only."""
    files = expand(where)
    likes = _prepared(files, options) or _table(where, files, options)
    if getattr(options, "last_days", None):
        likes = likes.recent(options.last_days)
    return likes if known is None else called_as(likes, known)


def _prepared(files: Sequence[str], options: argparse.Namespace) -> Interactions | None:
    """Return the likes of a prepared file, None where there is none."""
    model = next((file for file in files if Path(file).is_file() and is_model(Path(file))), None)
    if model is not None:
        raise ValueError(f"{model} is a model, no table of likes")
    found = next((file for file in files if is_prepared(file)), None)
    if found is None:
        return None
    if len(files) > 1:
        raise ValueError(f"{found} is prepared: give it alone, or prepare all files together")
    _require_default(COLUMN_OPTIONS | TEXT_OPTIONS, options, f"{found} is prepared already")
    return Interactions.load(found)


def _table(where: str | Sequence[str], files: Sequence[str], options: argparse.Namespace) -> Interactions:
    """Return the likes of files of CSV or Parquet."""
    columns: dict[str, Any] = {name: getattr(options, name, default) for name, default in COLUMN_OPTIONS.items()}
    columns["show_progress"] = False if options.quiet else None
    if are_parquet(files):
        _require_default(TEXT_OPTIONS, options, f"{files[0]} is Parquet")
        return Interactions.from_parquet(where, **columns)
    return Interactions.from_csv(where, **columns, **{name: getattr(options, name) for name in TEXT_OPTIONS})


def _require_default(names: dict[str, Any], options: argparse.Namespace, what: str) -> None:
    for name, default in names.items():
        if getattr(options, name, default) != default:
            raise ValueError(f"{what}, to which --{name.replace('_', '-')} means nothing")


def counted(likes: Interactions) -> str:
    """Say how many users, items and likes there are, and what was merged or left out, if anything."""
    told = f"{likes.n_users:,} users, {likes.n_items:,} items, {likes.nnz:,} likes"
    for n, what, one in (
        (likes.n_duplicates, "repeated rows merged", "repeated row merged"),
        (likes.n_dropped, "rows were no likes", "row was no like"),
    ):
        told += f"; {n:,} {one if n == 1 else what}" if n else ""
    return told


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
        rows = table.whole()
    except ValueError as error:
        if column is None:
            raise
        told = str(error).replace(f"value={column!r}: ", "")
        raise ValueError(f"--color {column}: {told}") from error
    return rows.rename_columns(["item_id", "title", *([column] if column else [])])


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
    return likes.renamed(_like(likes.user_ids, users), _like(likes.item_ids, items))


def _like(ids: Any, known: Any) -> Any:
    strings = known is not None and known.dtype == object and ids.dtype != object
    return ids.astype(str).astype(object) if strings else ids
