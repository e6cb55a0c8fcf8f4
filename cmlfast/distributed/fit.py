"""A training by all ranks of a group, from the likes of all users to the tables of all."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from cmlfast.data.interactions import Interactions
from cmlfast.distributed.checkpoint import PartCheckpoints
from cmlfast.distributed.items import Items, Replicated, Sharded
from cmlfast.distributed.look import Looked, look
from cmlfast.distributed.pairs import SharedPairs
from cmlfast.distributed.ranks import Ranks
from cmlfast.distributed.shares import Shares
from cmlfast.distributed.step import News, SharedStep
from cmlfast.distributed.tables import SharedTables
from cmlfast.training.checkpoint import Of
from cmlfast.training.course import Record
from cmlfast.training.fit import Learned, as_fitted, check_learnable, skipped
from cmlfast.training.fitted import Fitted
from cmlfast.training.interrupts import Interrupts
from cmlfast.training.loop import fit_tables
from cmlfast.training.settings import Settings


@dataclass(frozen=True)
class Together:
    """The ranks that train one model, each of which makes the same calls.

    Attributes
    ----------
    ranks : Ranks
    shard_items : bool
        Share out the items too, and fetch those rows that a step needs.
    device : torch.device
        Of this rank.
    """

    ranks: Ranks
    shard_items: bool
    device: torch.device

    def with_one_seed(self, settings: Settings) -> Settings:
        """Return the settings with the first rank's seed: without an integer to make it of, each has drawn its own."""
        seeds = self.ranks.gather(torch.tensor([settings.seed], dtype=torch.int64, device=self.device))
        return replace(settings, seed=int(seeds[0]))

    def check(self, of: Of) -> None:
        """Raise ``ValueError`` that names what differs, and where, unless all ranks train the same."""
        self._check_same({"loss": of["loss"], "shard_items": self.shard_items})  # another loss has other names
        self._check_same(of)

    def _check_same(self, of: Of) -> None:
        names = sorted(of)
        digests = [list(hashlib.sha256(repr(of[name]).encode()).digest()) for name in names]
        everybody = self.ranks.gather(torch.tensor(digests, dtype=torch.uint8, device=self.device))  # [ranks, n, 32]
        for rank, same in enumerate((everybody == everybody[0]).all(2).tolist()):
            different = [name for name, as_in_first in zip(names, same, strict=True) if not as_in_first]
            if different:
                raise ValueError(
                    f"{', '.join(different)} of rank {rank} differ from those of rank 0; every rank must call fit with "
                    "the same parameters and data"
                )

    def checkpoints(self, folder: str | os.PathLike[str], every: Any, of: Of) -> PartCheckpoints:
        """Return this rank's checkpoints in a folder that all share."""
        return PartCheckpoints.of_rank(Path(folder), every, of, self.ranks)

    def fit(
        self,
        train: Interactions,
        settings: Settings,
        kernels: ModuleType,
        *,
        keep_pairs: bool,
        validation: Looked | None,
        show_progress: bool | None,
        callback: Callable[[Record], Any] | None,
        checkpoints: PartCheckpoints | None,
        interrupts: Interrupts,
    ) -> Fitted | None:
        """Train; as :func:`cmlfast.training.fit.fit`.

        Users are shared out, with about as many pairs for each rank. A step is of one batch of all pairs: each rank
        takes those of its users, updates these, and learns from the others what they ask of items.

        Parameters
        ----------
        train, settings, kernels, keep_pairs, show_progress, interrupts
            As there.
        validation : Looked, optional
            By which training stops.
        callback : callable, optional
            Called by each rank with each epoch's entry of the history; one that returns True ends the training of all.
        checkpoints : PartCheckpoints, optional
            Where to go on from, and to write to.

        Returns
        -------
        Fitted or None
            Of all users and items, with every rank. None where it was interrupted before there was an epoch.

        Raises
        ------
        LostRankError
            If another rank is gone.
        """
        ranks, shares = self.ranks, Shares.of(train.matrix, self.ranks.size, settings.balance)
        items: Items = Sharded(ranks, shares) if self.shard_items else Replicated(ranks, train.n_items)
        own = shares.users_of(ranks.rank)
        users = slice(own.start, own.stop)
        pairs = SharedPairs.of(train.matrix, train.matrix, self.device, kernels, users, ranks=ranks)
        check_learnable(pairs)
        tables = SharedTables.new(ranks, shares, items, settings, self.device)
        news = News(lambda: interrupts.arrived, checkpoints)

        def agreed(record: Record) -> bool:
            ended = callback is not None and callback(record) is True
            return bool(ranks.sum(torch.tensor([float(ended)], dtype=torch.float64, device=self.device)).item())

        trained, history = fit_tables(
            SharedStep(kernels, items, news), tables, pairs, settings,
            None if validation is None else partial(look, kernels, ranks, shares, validation),
            show_progress if ranks.rank == 0 else False, agreed, checkpoints, news,
        )  # fmt: skip
        if interrupts.arrived is None:
            interrupts.arrived = news.arrived  # a signal that another rank was sent ends this one, too
        if not history:
            return None
        return as_fitted(Learned(trained.whole(), history, skipped(train, pairs)), train, settings, keep_pairs)
