"""The bar of a training: what it says fits a terminal of 80 columns; rows on the ball's edge against float64."""

import io
import math
import re

import numpy as np
import pytest
import torch
from scipy import sparse
from tqdm import tqdm

from cmlfast import CML, datasets
from cmlfast.training.progress import FORMAT, figures
from cmlfast.training.tables import Tables


@pytest.mark.parametrize("pairs", [999, 123_456, 999_600, 7_654_321])
@pytest.mark.parametrize("loss", [1234.5678, 12.3456, 0.000012345])
def test_a_line_of_80_columns_has_everything(pairs, loss):
    record = {"loss": loss, "impostors": 1.0, "clipped_users": 1.0, "clipped_items": 1.0, "pairs": pairs, "seconds": 1}
    file = io.StringIO()
    with tqdm(total=200, bar_format=FORMAT, file=file, ncols=80, mininterval=0) as bar:
        bar.update(199)
        bar.set_postfix_str(figures(record, 0.5288))
    line = file.getvalue().split("\r")[-1].rstrip("\n")
    assert len(line) <= 80
    assert line.startswith("199/200 |")
    assert "impostors 100% edge 100/100% best 0.5288 " in line
    assert re.search(r" [0-9.]+[kM]?/s$", line.rstrip())


def test_what_there_is_not_is_left_out():
    record = {"loss": 5.06, "clipped_users": 0.994, "clipped_items": 0.2, "pairs": 1000, "seconds": 0.5}
    assert figures(record, -math.inf) == "loss 5.060 edge 99/20% 2.0k/s"


def test_a_fit_shows_its_last_epoch(capsys):
    likes = datasets.synthetic(n_users=60, n_items=80, n_pairs=600, n_groups=4, seed=0).interactions
    model = CML(loss="warp", n_components=4, n_epochs=3, random_state=0).fit(likes, show_progress=True)
    shown = capsys.readouterr().err
    assert "3/3 |" in shown
    assert figures(model.history_[-1], -math.inf) in shown


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_rows_on_the_edge(dtype):
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((500, 100))
    lengths = rng.choice([0.5, 1.98, 2.0], 500)
    rows *= lengths[:, None] / np.linalg.norm(rows, axis=1, keepdims=True)
    table = torch.from_numpy(rows).to(dtype)
    found = Tables(table, table[:100], table, table[:100]).clipped(2.0)
    assert found == {"clipped_users": np.mean(lengths == 2), "clipped_items": np.mean(lengths[:100] == 2)}
    assert Tables(table, table, table, table).clipped(math.inf) == {"clipped_users": 0.0, "clipped_items": 0.0}


def test_after_a_training_the_last_entry_is_of_its_tables():
    # Of everybody something is known: others are put in the middle in the end.
    likes = sparse.csr_matrix(np.random.default_rng(0).random((60, 40)) < 0.4)
    model = CML(n_components=4, loss="warp", n_epochs=5, random_state=0).fit(likes)
    for name, table in (("clipped_users", model.user_embedding_), ("clipped_items", model.item_embedding_)):
        share = (np.linalg.norm(table.double().numpy(), axis=1) > 0.999).mean()
        assert model.history_[-1][name] == share
        assert share > 0
