"""A callback of `fit` that writes what every epoch saw for TensorBoard."""

from __future__ import annotations

import os
from types import TracebackType
from typing import Any

from cmlfast.pictures.needed import library


class TensorBoard:
    """Writes each epoch's entry of ``history_`` as scalars: ``fit(..., callback=TensorBoard("runs/first"))``.

    What is written can be watched while the training goes on: ``tensorboard --logdir runs``. A training that goes on
    from a checkpoint writes on into the same folder.

    Parameters
    ----------
    log_dir : str or path
        A folder, made where it is not there; TensorBoard shows every folder as a run.

    Raises
    ------
    ImportError
        Without TensorBoard: ``pip install 'cmlfast[tensorboard]'``.
    OSError
        If the folder cannot be made or written to.
    """

    def __init__(self, log_dir: str | os.PathLike[str]) -> None:
        library("tensorboard", "tensorboard")
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(os.fspath(log_dir))

    def __call__(self, record: dict[str, float]) -> None:
        """Write an epoch's numbers, by their names."""
        for name, value in record.items():
            if name != "epoch":
                self._writer.add_scalar(name, value, int(record["epoch"]))
        self._writer.flush()

    def close(self) -> None:
        """Close the file; a ``with`` statement does it too, and so does the end of the process."""
        self._writer.close()

    def __enter__(self) -> TensorBoard:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Any:
        self.close()
