"""The data sets' known figures, and what a made-up one must have for a model to learn."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from cmlfast.data.datasets import DatasetUnavailableError, citeulike, load, published
from cmlfast.data.datasets.movielens import GENRES
from cmlfast.data.split import split_per_user
from cmlfast.evaluation.measures import recall_at_k


def test_real_movielens(shared_data):
    dataset = load("movielens-100k")
    # The published ratings: 34,174 fours and 21,201 fives of 100,000, 583 of Star Wars in all.
    assert dataset.interactions.nnz == 34_174 + 21_201
    everything = load("movielens-100k", min_rating=1).interactions
    assert everything.nnz == 100_000
    assert (everything.times.min(), everything.times.max()) == (874_724_710, 893_286_638)  # u.data's
    [star_wars] = np.flatnonzero(dataset.item_titles == "Star Wars (1977)")
    assert everything.matrix[:, [star_wars]].nnz == 583
    # The publisher's marks: Star Wars is action, adventure, romance, science fiction and war; 725 films are dramas.
    genres = [GENRES[column] for column in dataset.item_features[star_wars].indices]
    assert genres == ["Action", "Adventure", "Romance", "Sci-Fi", "War"]
    assert dataset.item_features.sum(0).A1[GENRES.index("Drama")] == 725


@pytest.mark.parametrize(
    ("variant", "n_pairs", "n_tags"), [("clean", 134_860, 8_311), ("as_published", 142_794, 10_399)]
)
def test_citeulike_t(shared_data, variant, n_pairs, n_tags):
    dataset = load("citeulike-t", variant=variant)
    assert dataset.interactions.shape == (7_947, 25_975)
    assert dataset.interactions.nnz == n_pairs
    assert dataset.item_features.shape == (25_975, n_tags)
    assert dataset.item_features.dtype == np.float32
    assert (dataset.item_features.data == 1).all()
    assert dataset.item_features.sum(axis=0).min() == 5
    first = citeulike.fetch(citeulike.NAME, [citeulike.USERS])[1].read_text().splitlines()[0].split()
    expected = sorted(map(int, first[1:] if variant == "clean" else set(first)))
    assert dataset.interactions.matrix[0].indices.tolist() == expected


def test_real_citeulike_a(shared_data):
    if not (shared_data / "citeulike-a").is_dir():
        pytest.skip("citeulike-a is not at hand")
    dataset = load("citeulike-a")
    assert dataset.interactions.shape == (5_551, 16_980)
    assert dataset.interactions.nnz == 204_986
    assert dataset.item_features.shape == (16_980, 7_386)  # as many as the paper of its collectors counts


def test_citeulike_a_of_ones_own_files(tmp_path, monkeypatch):
    """Libraries are a line for each user, tags one for each article; both begin with how many follow."""
    texts = {"users.dat": "2 3 0\n0\n1 1\n", "item-tag.dat": "2 1 0\n1 1\n1 1\n3 1 0 2\n1 1\n1 2\n"}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    for file in ("USERS_A", "TAGS_A"):
        source = getattr(citeulike, file)
        sha256 = hashlib.sha256(texts[source.name].encode()).hexdigest()
        monkeypatch.setattr(citeulike, file, replace(source, sha256=sha256))
    monkeypatch.setattr(citeulike, "N_ITEMS_A", 6)
    monkeypatch.setattr(citeulike, "N_TAGS_A", 3)
    monkeypatch.setenv("CMLFAST_DATA", str(tmp_path))
    dataset = load("citeulike-a")
    np.testing.assert_array_equal(
        dataset.interactions.matrix.toarray(), [[1, 0, 0, 1, 0, 0], [0] * 6, [0, 1, 0, 0, 0, 0]]
    )
    np.testing.assert_array_equal(dataset.item_features.toarray(), [[1], [1], [1], [1], [1], [0]])  # of 5 articles


def test_synthetic_is_seeded():
    one, again, other = (load("synthetic", seed=seed).interactions for seed in (0, 0, 1))
    assert one.shape == (1000, 2000)
    assert one.nnz == again.nnz == other.nnz == 40_000
    assert (one.matrix != again.matrix).nnz == 0
    assert (one.matrix != other.matrix).nnz > 0


def test_synthetic_has_taste_and_popularity():
    train, _, test = split_per_user(load("synthetic").interactions, 0)
    seen = train.matrix.toarray() > 0
    popularity = seen.sum(axis=0)
    assert np.sort(popularity)[-200:].sum() > 0.3 * popularity.sum()  # a tenth of the items
    neighbours = (train.matrix @ train.matrix.T @ train.matrix).toarray()  # what those with the same items like

    def recall(scores):
        return recall_at_k(np.argsort(-np.where(seen, -1.0, scores), axis=1), test.matrix, 50)

    chance = 50 / 2000
    assert recall(popularity) > 3 * chance
    assert recall(neighbours) > 1.4 * recall(popularity)


def test_errors():
    with pytest.raises(ValueError, match="name='movielens-1b' is no data set: choose from movielens-100k"):
        load("movielens-1b")
    with pytest.raises(ValueError, match="variant='dirty' is unknown"):
        load("citeulike-t", variant="dirty")
    with pytest.raises(ValueError, match="n_pairs=600 is more than a quarter"):
        load("synthetic", n_users=20, n_items=100, n_pairs=600)
    with pytest.raises(ValueError, match="n_groups=0"):
        load("synthetic", n_groups=0)
    with pytest.raises(ValueError, match="n_groups=30 is more than n_items=20"):
        load("synthetic", n_items=20, n_groups=30)


@pytest.mark.parametrize(
    ("name", "shape", "sizes"),
    [
        ("gowalla", (29_858, 40_981), (719_081, 91_047, 217_242)),
        ("lastfm", (1_885, 17_388), (64_315, 9_143, 18_321)),
    ],
)
def test_published_splits(shared_data, name, shape, sizes):
    if not (shared_data / name).is_dir():
        pytest.skip(f"{name} is not at hand")
    data = load(name)
    parts = (data.train, data.validation, data.test)
    assert all(part.shape == shape for part in parts)
    assert tuple(part.nnz for part in parts) == sizes
    assert data.interactions.nnz == sum(sizes)  # no pair is in two parts
    first = (shared_data / name / "test.txt").read_text().splitlines()[0].split()
    user, items = int(first[0]), {int(one) for one in first[1:]}
    assert set(data.test.matrix[user].indices) == items


def test_a_published_split_of_ones_own_files(tmp_path, monkeypatch):
    lines = {"train": "0 2 0\n2 1\n", "valid": "2 3\n", "test": "0 1\n1 0 3\n"}
    (tmp_path / "small").mkdir()
    files = []
    for part, text in lines.items():
        (tmp_path / "small" / f"{part}.txt").write_text(text)
        (tmp_path / f"{part}.txt").write_text("another data set's")
        files.append(published.File(f"{part}.txt", hashlib.sha256(text.encode()).hexdigest(), "", published.by_hand))
    monkeypatch.setenv("CMLFAST_DATA", str(tmp_path))
    parts = published.Published("small", (3, 4), tuple(files)).read()
    expected = (
        [[1, 0, 1, 0], [0] * 4, [0, 1, 0, 0]],
        [[0] * 4, [0] * 4, [0, 0, 0, 1]],
        [[0, 1, 0, 0], [1, 0, 0, 1], [0] * 4],
    )
    for part, matrix in zip(parts, expected, strict=True):
        np.testing.assert_array_equal(part.matrix.toarray(), matrix)
    assert parts.whole.nnz == 7


def test_what_is_not_downloaded_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("CMLFAST_DATA", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(DatasetUnavailableError, match=r"not offered for download(.|\n)*put train.txt"):
        load("gowalla")
