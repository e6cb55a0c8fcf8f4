"""All users at once: what each would be told alone, in files that other libraries read."""

import csv
import json

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from featured import likes_and_tags

from cmlfast import CML, Interactions
from cmlfast.serving import everyone
from cmlfast.serving.nearest import nearest

LIKES, TAGS = likes_and_tags()
IDS = [f'user "{n}", or so' if n % 7 == 0 else f"u{n}" for n in range(LIKES.shape[0])]
OWN = Interactions(LIKES, IDS, [f"item {n}" for n in range(LIKES.shape[1])])


@pytest.fixture(scope="module", params=["likes", "tags"])
def model(request) -> CML:
    features = None if request.param == "likes" else TAGS
    likes = OWN
    if features is not None:  # some items that nobody likes, a part of them without tags: those are not recommended
        matrix, tags = LIKES.tolil(), TAGS.tolil()
        matrix[:, ::5], tags[::10] = 0, 0
        likes, features = Interactions(matrix.tocsr(), IDS, OWN.item_ids), tags.tocsr()
    return CML(n_components=8, n_epochs=3, random_state=0).fit(likes, features)


@pytest.mark.parametrize("liked", [True, False])
def test_everyone_gets_what_each_would_get_alone(model, liked, monkeypatch):
    monkeypatch.setattr(everyone, "USERS_AT_ONCE", 32)
    parts = list(model.recommend_all(N=7, filter_already_liked_items=liked))
    assert len(parts) == -(-len(IDS) // 32)
    found = pa.concat_tables(parts).to_pydict()
    expected = [
        (user, item, score)
        for user in IDS
        for item, score in zip(*model.recommend(user, N=7, filter_already_liked_items=liked), strict=True)
    ]
    assert list(zip(*found.values(), strict=True)) == expected


def test_files(model, tmp_path):
    expected = pa.concat_tables(model.recommend_all(N=3)).to_pylist()
    for form in ("csv", "jsonl", "parquet"):
        model.write_recommendations(tmp_path / f"all.{form}", N=3)
    with open(tmp_path / "all.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["user"], row["item"], np.float32(row["score"])) for row in rows] == [
        tuple(row.values()) for row in expected
    ]
    assert [json.loads(line) for line in (tmp_path / "all.jsonl").read_text().splitlines()] == expected
    assert pl.read_parquet(tmp_path / "all.parquet").to_dicts() == expected
    assert len(list(tmp_path.iterdir())) == 3
    with pytest.raises(FileNotFoundError, match="folder does not exist"):
        model.write_recommendations(tmp_path / "no" / "all.csv")


def test_a_file_is_whole_or_what_it_was(model, tmp_path, monkeypatch):
    target = tmp_path / "all.csv"
    target.write_text("precious")
    monkeypatch.setattr(everyone, "USERS_AT_ONCE", 32)
    once = nearest
    calls = []

    def fails_later(*arguments):
        calls.append(1)
        if len(calls) == 3:
            raise MemoryError
        return once(*arguments)

    monkeypatch.setattr("cmlfast.model.nearest", fails_later)
    with pytest.raises(MemoryError):
        model.write_recommendations(target)
    assert target.read_text() == "precious"
    assert [one.name for one in tmp_path.iterdir()] == ["all.csv"]


def test_without_the_training_matrix_likes_cannot_be_left_out():
    forgetful = CML(n_components=4, n_epochs=1, keep_user_items=False).fit(OWN)
    with pytest.raises(ValueError, match="filter_already_liked_items=False"):
        list(forgetful.recommend_all())
    assert sum(len(part) for part in forgetful.recommend_all(N=2, filter_already_liked_items=False)) == 2 * len(IDS)


def test_progress_is_shown_where_it_is_asked_for(model, capsys):
    list(model.recommend_all(N=1))
    assert capsys.readouterr().err == ""
    list(model.recommend_all(N=1, show_progress=True))
    assert f"{len(IDS)}/{len(IDS)}" in capsys.readouterr().err
