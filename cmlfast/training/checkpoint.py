"""Checkpoints: a training that was killed goes on where it was, and ends with the same bits.

A checkpoint is one safetensors file: tables, accumulators, networks, their optimizers and the random numbers that they
draw next, the best tables so far, and in the header the course and what the training is of. It is written beside the
others and then renamed, so that what is there is whole; the last two are kept, and the one before is what the next is
written over.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import math
import os
import re
import secrets
import stat
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn

from cmlfast.data.interactions import Interactions, as_user_items
from cmlfast.data.sides import KINDS, Sides
from cmlfast.data.tensor_file import OF_DEVICES, PART, remove_parts, require, under
from cmlfast.features.rows import Features
from cmlfast.training.checkpoint_file import EarlierError, checked, complete, put
from cmlfast.training.checkpoint_state import random_states, restore_random_states, restore_state, state_of
from cmlfast.training.course import Course
from cmlfast.training.schedule import Schedule
from cmlfast.training.settings import Settings
from cmlfast.training.side_information import JointTables

NAME = re.compile(r"checkpoint-(\d{6})-(\d{8})\.safetensors")  # whole epochs, and batches of the next
PARTS = re.compile(r"part-(\d+)-of-(\d+)")  # the folder of a rank, of so many
KEPT = 2
HASHED_AT_ONCE = 2**20  # numbers
MARK = "cmlfast-checkpoint"  # what the names of half-written ones begin with
MINUTES = re.compile(r"(\d+(?:\.\d+)?)\s*(?:m|min|minutes?)")
FAILED = "the checkpoint could not be written"
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # what a disk, a quota and a limit say
LOG = logging.getLogger("cmlfast")
Of = dict[str, Any]  # what a training is of, by name: parameters, digests of data


@dataclass(frozen=True)
class Every:
    """How often: after so many epochs, or when so many seconds have passed since the last one."""

    epochs: int | None = None
    seconds: float | None = None

    @staticmethod
    def of(value: Any) -> Every:
        """Read a number of epochs, or a text such as "10 minutes".

        Raises
        ------
        ValueError
            For anything else.
        """
        if isinstance(value, str) and (minutes := MINUTES.fullmatch(value.strip())) and float(minutes[1]) > 0:
            return Every(seconds=60 * float(minutes[1]))
        if isinstance(value, int) and not isinstance(value, bool) and value >= 1:
            return Every(epochs=value)
        raise ValueError(
            f"checkpoint_every is {value!r}; it must be a number of epochs, at least 1, or a text such as '10 minutes'"
        )


@dataclass
class Checkpoints:
    """The checkpoints of one training in a folder.

    Attributes
    ----------
    folder : Path
    every : Every
    of : dict
        What the training is of. A checkpoint of anything else is refused.
    """

    folder: Path
    every: Every
    of: Of
    _written: float = field(default_factory=time.monotonic)
    _thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "cmlfast-checkpoint"))
    _writing: Future[None] | None = None
    _spare: Path | None = None  # a file that is no longer needed, to write over

    @staticmethod
    def in_folder(folder: str | os.PathLike[str], every: Any, of: Of) -> Checkpoints:
        """Make the folder if it is not there.

        Raises
        ------
        OSError
            If it cannot be made or written to.
        ValueError
            As :meth:`Every.of`.
        """
        how_often, path = Every.of(every), Path(folder)
        if path.exists() and not path.is_dir():
            raise NotADirectoryError(f"checkpoint_dir is {str(folder)!r}, which is no folder; give another name")
        if path.is_dir() and any(PARTS.fullmatch(one.name) for one in path.iterdir()):
            raise ValueError(
                f"checkpoint_dir is {str(folder)!r}, which has checkpoints of a training with process_group; go on "
                "with it (one process will do), or give another folder"
            )
        path.mkdir(parents=True, exist_ok=True)
        if not os.access(path, os.W_OK):
            raise PermissionError(f"checkpoint_dir is {str(folder)!r}, which cannot be written to; choose another")
        return Checkpoints(path, how_often, of)

    def files(self) -> list[Path]:
        """Return what is there, the oldest first."""
        return files_in(self.folder)

    def due_within_epoch(self) -> bool:
        """Whether it is time for one, by the clock."""
        return self.every.seconds is not None and time.monotonic() - self._written >= self.every.seconds

    def due_after_epoch(self, course: Course) -> bool:
        """Whether one is due after a whole epoch; after the last one in any case."""
        by_number = self.every.epochs is not None and course.epoch % self.every.epochs == 0
        return by_number or not course.left or self.due_within_epoch()

    def save(self, course: Course, tables: JointTables, best: JointTables) -> None:
        """Write what is now, and let a thread see to it that it is on the disk; then retire all but the last two.

        Returns when the tables may change again. One is written at a time: where the disk is slower than the training,
        this waits for the one before, and none is left out.

        Raises
        ------
        OSError
            If this one or the one before could not be written. Those that are there stay.
        """
        self.write(course, tables, best, self.of)

    def write(self, course: Course, tables: JointTables, best: JointTables, of: Of) -> None:
        """Write what is now of what ``of`` says; as :meth:`save`."""
        self.finish()
        tensors = state_of(tables)
        if best is not tables:
            tensors |= {f"best.{name}": tensor for name, tensor in state_of(best, with_optimizer=False).items()}
        tensors |= random_states(tables.user.device)
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        path = self.folder / f"checkpoint-{course.epoch:06d}-{course.n_batches:08d}.safetensors"
        header = {"of": of, "course": course.as_json()}
        with _told(path, FAILED):
            part = self._take_spare() or self._new_part()
            try:
                put(part, tensors, header)
            except PermissionError:  # somebody else's, or made read-only
                part = self._new_part()
                put(part, tensors, header)
        self._written = time.monotonic()
        self._writing = self._thread.submit(self._complete, part, path)

    def __enter__(self) -> Checkpoints:
        return self

    def __exit__(self, _: object, raised: BaseException | None, __: object) -> None:
        try:
            self.finish()
        except OSError as error:
            if raised is None:
                raise
            LOG.warning("fit: %s", error)  # no note to what was raised, which Python 3.10 does not have
        finally:
            self._thread.shutdown()
            if self._spare is not None:
                with suppress(OSError):  # all is written; the next training removes what is left
                    self._spare.unlink(missing_ok=True)
                self._spare = None

    def finish(self) -> None:
        """Wait until what was saved is written; raise as :meth:`save`."""
        if self._writing is not None:
            writing, self._writing = self._writing, None
            writing.result()

    def _take_spare(self) -> Path | None:
        """Return the retired file, unless somebody kept it: under another name too, or as a link to where it is now."""
        spare, self._spare = self._spare, None
        if spare is not None and os.path.lexists(spare):
            found = spare.lstat()
            if stat.S_ISREG(found.st_mode) and found.st_nlink == 1:
                return spare
            spare.unlink()
        return None

    def _new_part(self) -> Path:
        return self.folder / f".{MARK}-{secrets.token_hex(8)}{PART}"

    def _complete(self, part: Path, path: Path) -> None:
        with _told(path, FAILED):
            try:
                complete(part)
                os.replace(part, path)
                sync(self.folder)  # before another is written over
            finally:
                part.unlink(missing_ok=True)
        with _told(self.folder, "what is no longer needed could not be removed"):
            remove_parts(self.folder, MARK)
        for old in self.files()[:-KEPT]:
            with _told(old, "an older checkpoint could not be removed"):
                if self._spare is None:
                    self._spare = old.rename(self._new_part())
                else:
                    old.unlink(missing_ok=True)

    def restore(self, tables: JointTables, n_batches: int) -> tuple[Course, JointTables] | None:
        """Bring tables, networks and random numbers to the last checkpoint; return its course and the best tables.

        Parameters
        ----------
        tables : JointTables
            Of a training that begins.
        n_batches : int
            Of each epoch.

        Returns
        -------
        tuple or None
            None where there is no checkpoint.

        Raises
        ------
        ValueError
            If the last one is damaged, or of another training; says in what.
        """
        files = self.files()
        if not files:
            return None
        path = files[-1]
        remedy = f"remove it to go on from {files[-2].name}" if len(files) > 1 else "remove it to begin anew"
        with told_if_damaged(path, remedy):
            tensors, header = checked(path)
            require(isinstance(header.get("of"), dict), "it does not say what it is of")
        self.check_same(header["of"])
        with told_if_damaged(path, remedy):
            course, of_best = self.course_of(tensors, header, n_batches)
            restore_state(tables, tensors)
            best = tables
            if of_best:
                best = tables.clone()
                restore_state(best, of_best, with_optimizer=False)
            restore_random_states(tensors, tables.user.device)
            return course, best

    def course_of(
        self, tensors: dict[str, Tensor], header: dict[str, Any], n_batches: int
    ) -> tuple[Course, dict[str, Tensor]]:
        """Return a checkpoint's course and its best tables, if it has such; raise ``ValueError`` for nonsense."""
        course = Course.of_json(header.get("course"))
        n_epochs = self.of["n_epochs"]
        require(course.epoch + course.left <= n_epochs, f"it tells of more than {n_epochs} epochs")
        require(course.n_batches <= n_batches, f"it tells of more than the {n_batches} batches of an epoch")
        of_best = under("best.", tensors)
        has_best = bool(course.left) and not math.isinf(course.best_score)
        require(
            has_best <= bool(of_best) <= (not math.isinf(course.best_score)),
            "its best tables and score do not go together",
        )
        return course, of_best

    def check_same(self, stored: Of) -> None:
        """Raise ``ValueError`` that names what differs between a checkpoint's training and this one."""
        names = [name for name in dict.fromkeys((*stored, *self.of)) if stored.get(name) != self.of.get(name)]
        different = [self._difference(name, stored) for name in names]
        if different:
            raise ValueError(
                f"checkpoint_dir is {str(self.folder)!r}, whose checkpoints are of another training: "
                f"{'; '.join(different)}. Give the same again, or another folder"
            )

    def _difference(self, name: str, stored: Of) -> str:
        if name in DATA:
            return f"{name} differs"
        if name not in self.of:
            return f"{_short(name)} was {_short(stored[name])} and is not there"
        return f"{name} was {_short(stored.get(name))} and is {self.of[name]!r}"


def files_in(folder: Path) -> list[Path]:
    """Return a folder's checkpoints, the oldest first."""
    return sorted(path for path in folder.iterdir() if NAME.fullmatch(path.name))


@contextmanager
def told_if_damaged(path: Path, remedy: str) -> Iterator[None]:
    """Say of which checkpoint it is that something is wrong, and what helps."""
    try:
        yield
    except OF_DEVICES:
        raise
    except EarlierError as error:
        raise ValueError(f"the checkpoint {str(path)!r} was {error}") from error
    except (ValueError, RuntimeError) as error:  # the latter by torch's generators
        raise ValueError(f"the checkpoint {str(path)!r} is damaged ({error}); {remedy}") from error


def _short(value: Any) -> str:
    """Return what a file says, of which it may say much."""
    text = repr(value)
    return text if len(text) < 80 else text[:77] + "..."


@contextmanager
def _told(path: Path, failed: str) -> Iterator[None]:
    """Say of an ``OSError`` what it was about, and what is left."""
    try:
        yield
    except OSError as error:
        remedy = "make room" if error.errno in FULL else "mend that"
        raise OSError(
            error.errno,
            f"{failed} ({os.strerror(error.errno or 0)}); earlier ones are unchanged: {remedy}, and call the same "
            "again to go on from the last",
            str(path),
        ) from error


def sync(folder: Path) -> None:
    """Wait until a folder's names are on the disk, where the system has that."""
    if os.name == "posix":
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


DATA = ("user_items", "validation", "item_features", "user_features", "item_network", "user_network")


def what_is_trained(
    settings: Settings,
    train: Interactions,
    features: Sides[Features | None],
    networks: Sides[nn.Module | None],
    validation: Any,
) -> Of:
    """Return parameters by name, and digests of all data: what must be the same for a training to go on."""
    found: Of = {
        **{each.name: getattr(settings, each.name) for each in fields(settings) if each.name not in ("loss", "found")},
        "loss": type(settings.loss).__name__.lower(),
        **{each.name: getattr(settings.loss, each.name) for each in fields(settings.loss)},
        "users and items": train.matrix.shape,
        "user_items": _of_matrix(train.matrix),
        "validation": None if validation is None else _of_matrix(as_user_items(validation).matrix),
    }
    for kind in KINDS:
        rows, network = features[kind], networks[kind]
        found[f"{kind}_features"] = None if rows is None else _of_features(rows)
        weights = None if network is None else network.state_dict()
        found[f"{kind}_network"] = weights and digest_of(*(weights[name] for name in sorted(weights)))
    return {name: value if isinstance(value, int | float | None) else _plain(value) for name, value in found.items()}


def _plain(value: Any) -> Any:
    """Return what JSON can say of a setting."""
    if isinstance(value, Schedule):
        return [value.first, value.last]
    return list(value) if isinstance(value, tuple) else str(value)


def _of_matrix(matrix: sparse.csr_matrix) -> str:
    """Return the digest of a matrix's arrays as 64-bit numbers, which are not made of all at once."""
    found = hashlib.sha256()
    for array in (matrix.indptr, matrix.indices):
        found.update(f"{torch.int64} {[len(array)]}".encode())
        for first in range(0, len(array), HASHED_AT_ONCE):
            found.update(array[first : first + HASHED_AT_ONCE].astype(np.int64).data)
    return found.hexdigest()


def _of_features(features: Features) -> str:
    rows = features.rows
    if rows.layout != torch.sparse_csr:
        return digest_of(rows)
    return digest_of(rows.crow_indices(), rows.col_indices(), rows.values())


def digest_of(*arrays: Any) -> str:
    """Return the SHA-256 of arrays or tensors, such as those of a matrix."""
    found = hashlib.sha256()
    for array in arrays:
        _add(found, array if isinstance(array, Tensor) else torch.from_numpy(array))
    return found.hexdigest()


def _add(found: Any, tensor: Tensor) -> None:
    """Add a tensor's type, shape and bytes to a digest."""
    found.update(f"{tensor.dtype} {list(tensor.shape)}".encode())
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    if flat.numel():
        found.update(flat.view(torch.uint8).numpy().data)
