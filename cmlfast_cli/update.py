"""The command that brings a model up to date, as once a day: new likes in, who is long gone out, its index anew."""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cmlfast import CML, Interactions
from cmlfast.data.align import ids_of
from cmlfast.data.csr import likes_of_items
from cmlfast.data.ids import places
from cmlfast.data.sides import KINDS, Kind, Sides
from cmlfast.data.tensor_file import check_target, is_model
from cmlfast_cli.reading import counted, read_likes, read_tags
from cmlfast_cli.streams import say
from cmlfast_cli.writing import check_replaced


def update(options: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Train a model on new likes and write it; until that is done, the old file is what it was."""
    path = options.output or options.model
    target = check_target(path)
    if options.output:
        check_replaced("--output", path, target, is_model, "model")
    began = time.perf_counter()
    model = CML.load(options.model)
    likes = read_likes(options.data, options, model)
    features = read_tags(options, model)
    before, index = _Seen.of(model), model.index
    model.partial_fit(likes, **features, freeze_items=options.freeze_items)
    grown = _Seen.of(model)
    model.drop_inactive(options.drop_users_after, options.drop_items_after)
    left = _Seen.of(model)
    told = [f"{counted(likes)}; {grown.nnz - before.nnz:,} of them new" if model.keep_user_items else counted(likes)]
    for kind in KINDS[::-1]:
        n_new, n_dropped = len(grown.ids[kind]) - len(before.ids[kind]), len(grown.ids[kind]) - len(left.ids[kind])
        n_grown = _n_grown(kind, before, grown, likes)
        told.append(f"{kind}s: {n_new:,} new, {n_grown:,} grown, {n_dropped:,} dropped; {len(left.ids[kind]):,} now")
    if index["kind"] != "exact":
        parameters = {name: value for name, value in index.items() if name != "kind" and value is not None}
        model.build_index(index["kind"], **parameters)
        told.append(f"{index['kind']} index built anew")
    model.save(target)
    told.append(f"wrote {path} in {time.perf_counter() - began:.1f} s")
    if not options.quiet:
        for line in told:
            say(line)


@dataclass(frozen=True)
class _Seen:
    """Whom a model knows, and how many likes it keeps of each; none if it keeps no likes."""

    ids: Sides[Any]
    counts: Sides[npt.NDArray[Any]] | None

    @classmethod
    def of(cls, model: CML) -> _Seen:
        ids, likes = Sides(model.user_ids_, model.item_ids_), model.user_items_
        return cls(ids, None if likes is None else Sides(np.diff(likes.matrix.indptr), likes_of_items(likes.matrix)))

    @property
    def nnz(self) -> int:
        return 0 if self.counts is None else int(self.counts.user.sum())


def _n_grown(kind: Kind, before: _Seen, after: _Seen, new: Interactions) -> int:
    """Count who was known and has likes that are new, or, where old ones are not kept, any among the new."""
    if before.counts is not None and after.counts is not None:
        n_known = len(before.counts[kind])  # whose rows come first
        return int((after.counts[kind][:n_known] > before.counts[kind]).sum())
    seen = np.diff(new.matrix.indptr) if kind == "user" else likes_of_items(new.matrix)
    return int((places(ids_of(new, kind)[seen > 0], before.ids[kind], f"{kind}_ids") >= 0).sum())
