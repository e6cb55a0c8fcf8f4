"""Checkpoints of a distributed training: each rank writes its part, and any number of ranks goes on from them.

A folder has a folder for each rank of each number of ranks, ``part-1-of-4``, with checkpoints as one process writes
them; the parts of one name are one checkpoint. A rank that goes on reads of all parts the rows that it has now.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cmlfast.data.tensor_file import require
from cmlfast.distributed.ranks import Ranks
from cmlfast.distributed.tables import SharedTables
from cmlfast.training.checkpoint import LOG, NAME, PARTS, Checkpoints, Every, Of, files_in, told_if_damaged
from cmlfast.training.checkpoint_file import checked
from cmlfast.training.course import Course
from cmlfast.training.side_information import JointTables
from cmlfast.training.tables import TABLES

Bounds = dict[str, tuple[int, int]]  # of users and of items, the first and the last but one


@dataclass
class PartCheckpoints(Checkpoints):
    """The checkpoints of one rank, and how it reads those of all.

    Attributes
    ----------
    ranks : Ranks
    is_due : bool
        Whether it is time for one, which all ranks must agree on.
    """

    ranks: Ranks | None = None
    is_due: bool = False
    _saved: int = field(default=0)

    @staticmethod
    def of_rank(folder: Path, every: Any, of: Of, ranks: Ranks) -> PartCheckpoints:
        """Make the folders if they are not there; raise as :meth:`Checkpoints.in_folder`.

        Raises
        ------
        ValueError
            If the folder has checkpoints of a training by one process.
        """
        if folder.is_dir() and any(folder.glob("checkpoint-*.safetensors")):
            raise ValueError(
                f"checkpoint_dir is {str(folder)!r}, which has checkpoints of a training without process_group; go on "
                "without it, or give another folder"
            )
        part = folder / f"part-{ranks.rank}-of-{ranks.size}"
        Checkpoints.in_folder(part, every, of)
        return PartCheckpoints(part, Every.of(every), of, ranks=ranks)

    def clock(self) -> bool:
        """Whether it is time for one by this rank's clock."""
        return super().due_within_epoch()

    def due_within_epoch(self) -> bool:
        """Whether it is time for one, as all ranks agree."""
        return self.is_due

    def save(self, course: Course, tables: JointTables, best: JointTables) -> None:
        """Write this rank's part; as :meth:`Checkpoints.save`.

        It is begun when all parts of the one before are whole: whenever all are killed, all have some one.
        """
        assert isinstance(tables, SharedTables)
        assert self.ranks is not None
        assert isinstance(best, SharedTables)
        self.finish()
        self.ranks.gather(tables.user.new_zeros(1))  # each waits for all
        part = tables.part()
        self.write(course, part, part if best is tables else best.part(), {**self.of, "part": tables.bounds()})
        self.is_due = False
        self._saved += 1
        if self._saved == 2 and self.ranks.rank == 0:  # when the first is whole, with all ranks
            self._remove_others(self.ranks.size)

    def _remove_others(self, size: int) -> None:
        """Remove the parts of other numbers of ranks, which this training went on from."""
        for folder in self.folder.parent.iterdir():
            found = PARTS.fullmatch(folder.name)
            if found and int(found[2]) != size:
                shutil.rmtree(folder, ignore_errors=True)

    def restore(self, tables: JointTables, n_batches: int) -> tuple[Course, JointTables] | None:
        """Bring this rank's tables to the last checkpoint of which all parts are there; as `Checkpoints.restore`."""
        assert isinstance(tables, SharedTables)
        parts = self._last()
        self._check_agreed(parts, tables)
        if not parts:
            if any(files_in(folder) for folder in self.folder.parent.iterdir() if PARTS.fullmatch(folder.name)):
                LOG.warning(
                    "%s has checkpoints, of none of which all parts are there: the training begins anew",
                    self.folder.parent,
                )
            return None
        own, best, course = tables.bounds(here=True), tables, None
        filled = dict.fromkeys(TABLES, 0)
        for path in parts:
            remedy = "remove it and what has its name in the folders beside it"
            with told_if_damaged(path, remedy):
                tensors, header = checked(path)
                require(isinstance(header.get("of"), dict), "it does not say what it is of")
                bounds = bounds_of(header["of"].pop("part", None))
            self.check_same(header["of"])
            with told_if_damaged(path, remedy):
                course, of_best = self.course_of(tensors, header, n_batches)
                if of_best and best is tables:
                    best = tables.clone()
                for name in TABLES:
                    filled[name] += copy_common(tables, name, tensors, bounds, own)
                    if of_best:
                        copy_common(best, name, of_best, bounds, own)
        with told_if_damaged(parts[0], "remove this checkpoint"):
            for name, table in zip(TABLES, tables.all(), strict=True):
                require(
                    filled[name] == len(table), f"the parts beside it have {filled[name]} of {len(table)} rows here"
                )
        assert course is not None
        return course, best

    def _check_agreed(self, parts: list[Path], tables: SharedTables) -> None:
        """Raise ``ValueError`` unless all ranks go on from the same checkpoint."""
        assert self.ranks is not None
        found = NAME.fullmatch(parts[0].name) if parts else None
        own = [int(found[1]), int(found[2]), len(parts)] if found else [-1, -1, 0]
        everybody = self.ranks.gather(torch.tensor(own, dtype=torch.int64, device=tables.user.device)).tolist()
        for rank, one in enumerate(everybody):
            if one != everybody[0]:
                raise ValueError(
                    f"checkpoint_dir is {str(self.folder.parent)!r}, where rank 0 and rank {rank} find different "
                    "checkpoints; give a folder that all processes share"
                )

    def _last(self) -> list[Path]:
        """Return the files of the last checkpoint that all parts of some number of ranks have."""
        sets: dict[int, dict[int, set[str]]] = {}
        for folder in self.folder.parent.iterdir():
            if found := PARTS.fullmatch(folder.name):
                names = {path.name for path in files_in(folder)}
                sets.setdefault(int(found[2]), {})[int(found[1])] = names
        complete = [
            (max(common), size)
            for size, of_ranks in sets.items()
            if len(of_ranks) == size and (common := set.intersection(*of_ranks.values()))
        ]
        if not complete:
            return []
        name, size = max(complete)
        return [self.folder.parent / f"part-{rank}-of-{size}" / name for rank in range(size)]


def bounds_of(value: Any) -> Bounds:
    """Read which rows a part has; raise ``ValueError`` for something else."""
    require(isinstance(value, dict) and value.keys() == {"user", "item"}, "it does not say which rows it has")
    for kind, ends in value.items():
        require(
            isinstance(ends, list)
            and len(ends) == 2
            and all(type(end) is int for end in ends)
            and 0 <= ends[0] <= ends[1],
            f"{kind} rows are {ends!r}",
        )
    return {kind: (ends[0], ends[1]) for kind, ends in value.items()}


def copy_common(tables: JointTables, name: str, tensors: dict[str, Tensor], bounds: Bounds, own: Bounds) -> int:
    """Copy those rows of a part's table that are here; return how many there were."""
    kind = name.split("_")[0]
    (first, last), (begin, end) = bounds[kind], own[kind]
    table = getattr(tables, name)
    require(name in tensors, f"it lacks the tensor {name}")
    found, expected = tensors[name], (last - first, table.shape[1])
    require(
        found.dtype == table.dtype and tuple(found.shape) == expected,
        f"tensor {name} is {found.dtype} {list(found.shape)}; it must be {table.dtype} {list(expected)}",
    )
    low, high = max(first, begin), min(last, end)
    if low >= high:
        return 0
    table[low - begin : high - begin] = found[low - first : high - first]
    return high - low
