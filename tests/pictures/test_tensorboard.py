"""The callback for TensorBoard: what its own reader finds is what `history_` has."""

import sys

import numpy as np
import pytest

from cmlfast import CML, datasets, split_per_user
from cmlfast.pictures import TensorBoard

accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")


def test_tensorboard_reads_what_the_history_has(tmp_path):
    likes = datasets.synthetic(n_users=100, n_items=150, n_pairs=1500, n_groups=5, seed=1).interactions
    train, validation, _ = split_per_user(likes, seed=0)
    with TensorBoard(tmp_path / "run") as board:
        model = CML(loss="warp", n_components=8, n_epochs=12, random_state=0)
        model.fit(train, validation=validation, callback=board, show_progress=False)
    events = accumulator.EventAccumulator(str(tmp_path / "run")).Reload()
    found = {tag: [(one.step, one.value) for one in events.Scalars(tag)] for tag in events.Tags()["scalars"]}
    names = {name for record in model.history_ for name in record} - {"epoch"}
    assert {"loss", "impostors", "clipped_users", "recall@50", "seconds"} <= names
    # Its numbers are float32.
    expected = {
        name: [(one["epoch"], float(np.float32(one[name]))) for one in model.history_ if name in one] for name in names
    }
    assert found == expected


def test_its_absence_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
    with pytest.raises(ImportError, match=r"pip install 'cmlfast\[tensorboard\]'"):
        TensorBoard(tmp_path)
