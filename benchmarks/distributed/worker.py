"""One process of a training that is measured: what it sends, the least that it could, and how long it waits."""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from cmlfast import CML, Interactions
from cmlfast.distributed.items import Message, Replicated, Sharded
from cmlfast.distributed.ranks import Ranks

Counts = dict[str, float]


def train(rank: int, size: int, folder: Path, parameters: dict[str, Any], shard_items: bool) -> None:
    """Train on the likes in the folder with the other processes; leave figures there, and the first one's model."""
    torch.set_num_threads(1)
    group = None
    if size:
        dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=size)
        group = dist.group.WORLD
    likes = Interactions.load(folder / "likes")
    before = peak()
    counts = counted()
    began = time.process_time()
    model = CML(**parameters).fit(likes, process_group=group, shard_items=shard_items)
    counts |= {
        "seconds": sum(record["seconds"] for record in model.history_),
        "processor": time.process_time() - began,
        "before": before,
        "peak": peak(),
        "epochs": len(model.history_),
    }
    (folder / f"counts-{rank}.json").write_text(json.dumps(counts))
    if rank == 0:
        torch.save((model.user_embedding_, model.item_embedding_), folder / "tables.pt")
        model.save(folder / "model")
    if size:
        dist.barrier()
        dist.destroy_process_group()


def peak() -> float:
    """Return the most memory that this process has held, in GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def counted() -> Counts:
    """Have what is said counted from now on; return the counts, which grow."""
    counts: Counts = dict.fromkeys(("sent", "least", "steps", "waited", "calls"), 0.0)
    told, gather, fetch = Ranks._told, Replicated.send, Sharded.fetch
    exchange = Sharded.send

    @contextmanager
    def timed(self: Ranks) -> Iterator[None]:
        began, counts["calls"] = time.perf_counter(), counts["calls"] + 1
        with told(self):
            yield
        counts["waited"] += time.perf_counter() - began
        counts["sent"] = self.sent

    def to_all(self: Replicated, message: Message, said: Tensor) -> tuple[Message, Tensor]:
        others = self.ranks.size - 1
        counts["least"] += min(message.rows.nbytes, row_bytes(message) * len(message.items.unique())) * others
        if message.shared is not None:  # a sum over all ranks: each byte leaves a rank for the sum, and comes back
            counts["least"] += 2 * message.shared.nbytes * others / self.ranks.size
        counts["steps"] += 1
        return gather(self, message, said)

    def fetched(self: Sharded, table: Tensor, ids: Tensor) -> tuple[Tensor, Tensor]:
        distinct = ids.unique()
        elsewhere = len(distinct) - int(((distinct >= self.here().start) & (distinct < self.here().stop)).sum())
        counts["least"] += elsewhere * table.shape[1] * table.element_size()
        return fetch(self, table, ids)

    def to_owners(self: Sharded, message: Message, said: Tensor) -> tuple[Message, Tensor]:
        items = message.items if message.shared_items is None else torch.cat((message.items, message.shared_items))
        elsewhere = (items < self.here().start) | (items >= self.here().stop)
        gradients = len(items[elsewhere].unique()) * row_bytes(message)
        owners = torch.bucketize(message.items, torch.tensor(self.shares.items[1:-1]), right=True)
        rows = (owners * max(len(message.rows), 1) + message.slots)[owners != self.ranks.rank].unique()
        by_rows = len(rows) * message.rows[:1].nbytes
        counts["least"] += gradients if message.shared is not None else min(gradients, by_rows)
        counts["steps"] += 1
        return exchange(self, message, said)

    for owner, own in (
        (Ranks, {"_told": timed}), (Replicated, {"send": to_all}), (Sharded, {"fetch": fetched, "send": to_owners}),
    ):  # fmt: skip
        for name, new in own.items():
            setattr(owner, name, new)
    return counts


def row_bytes(message: Message) -> int:
    """Return the bytes of a row of gradients."""
    return int(message.rows.shape[1]) * 4
