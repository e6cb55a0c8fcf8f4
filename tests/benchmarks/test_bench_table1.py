"""The twins of the paper's data sets: that figures are exact, bits are the seed's, and tastes are learned."""

import hashlib

import numpy as np
import pytest
from scipy import sparse

from benchmarks import table1
from benchmarks.kit import twins
from benchmarks.kit.twins import TABLE1, Shape, concentration, twin
from cmlfast import CML, Interactions, split_per_user
from cmlfast.evaluation.popularity import popularity_recall

# Rows of Table 1 made small, with their concentrations.
SMALL = {
    "CiteULike": Shape(2_000, 3_000, 36_000, 0.3347),
    "MovieLens20M": Shape(6_000, 3_000, 120_000, 0.7252, 10),
    "EchoNest": Shape(4_000, 2_500, 40_000, 0.6588),
    "Flickr": Shape(2_000, 4_000, 60_000, 0.1348),
}


@pytest.mark.parametrize("name", SMALL)
def test_figures(name) -> None:
    shape = SMALL[name]
    matrix = twin(shape)
    pairs = matrix.tocoo()
    assert matrix.shape == (shape.n_users, shape.n_items)
    assert len(set(zip(pairs.row.tolist(), pairs.col.tolist(), strict=True))) == shape.n_likes == matrix.nnz
    assert (matrix.data == 1).all()
    assert all((np.diff(matrix[user].indices) > 0).all() for user in range(0, shape.n_users, 50))
    of_users, of_items = matrix.sum(1).A1, matrix.sum(0).A1
    assert of_users.min() == shape.least
    assert of_users.max() > 8 * np.median(of_users)  # a long tail
    assert of_items.min() == 1
    # By its definition, to less than a point.
    top = sorted(of_items.tolist(), reverse=True)[: shape.n_items // 20]
    assert abs(sum(top) / shape.n_likes - shape.concentration) < 0.01
    assert concentration(matrix) == sum(top) / shape.n_likes


def test_rows_are_the_papers() -> None:
    assert (
        sum(shape.n_likes for shape in TABLE1.values())
        == 142_794 + 623_405 + 1_372_621 + 2_047_908 + 9_939_873 + 7_261_443
    )
    assert TABLE1["EchoNest"] == Shape(766_882, 260_417, 7_261_443, 0.6588)
    assert TABLE1["BookCX"].least == 6
    assert TABLE1["MovieLens20M"].least == 10


def digest(matrix: sparse.csr_matrix) -> str:
    return hashlib.sha256(
        matrix.indptr.astype(np.int64).tobytes() + matrix.indices.astype(np.int64).tobytes()
    ).hexdigest()


def test_bits_are_the_seeds() -> None:
    shape = Shape(300, 200, 4_000, 0.4, 2)
    assert (
        digest(twin(shape))
        == digest(twin(shape, seed=0))
        == "365486169dbb6974bebe8cfd86f67cf793611bad7efa3188b9609b8c2544306c"
    )
    assert digest(twin(shape, seed=1)) != digest(twin(shape))


def test_a_shape_that_cannot_be_is_refused() -> None:
    # Five items cannot have nine tenths of 1,000 likes of 100 users.
    with pytest.raises(ValueError, match=r"n_likes=1000, concentration=0.9.*cannot be drawn: .*% are missing"):
        twin(Shape(100, 100, 1_000, 0.9))


def test_many_and_few_are_drawn_alike(monkeypatch) -> None:
    """Whether a user's items are drawn one by one or in a race, each is as likely."""
    weights = np.array([8, 4, 2, 1, 1, 1, 1], dtype=np.float32)
    users = np.full(20_000, 3)
    counts = []
    for many in (0.0, 1.0):
        monkeypatch.setattr(twins, "MANY", many)
        chosen = twins._choose(np.random.default_rng(0), users, weights).reshape(-1, 3)
        assert all(len(set(some)) == 3 for some in chosen.tolist())
        counts.append(np.bincount(chosen.ravel(), minlength=7))
    # The difference of two binomials of 20,000: five standard deviations.
    share = counts[0] / 20_000
    assert (abs(counts[0] - counts[1]) < 5 * np.sqrt(2 * 20_000 * share * (1 - share))).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["CiteULike", "Flickr"])
def test_tastes_are_learned(name) -> None:
    """Popularity finds 0.21 and 0.04 of what is held out; the softmax 0.44 and 0.19, the hinge 0.37 and 0.12."""
    train, validation, test = split_per_user(Interactions(twin(SMALL[name])), 0)
    popular = popularity_recall(train, test, [50], exclude=validation)["recall@50"]
    for loss, n_epochs in (("softmax", 15), ("warp", 60)):
        model = CML(32, loss, n_epochs=n_epochs, random_state=0).fit(train, show_progress=False)
        assert model.evaluate(test, 50, exclude=validation)["recall@50"] > 1.4 * popular


@pytest.mark.slow
def test_the_command(capsys) -> None:
    assert table1.main(["CiteULike"]) == 0
    out = capsys.readouterr().out
    assert "| CiteULike | 7,947 / 7,947 | 25,975 / 25,975 | 142,794 / 142,794 | 33.47% / 33." in out
    assert "| CiteULike | softmax |" in out
    assert "| CiteULike | warp |" in out


def test_the_command_knows_its_rows(capsys) -> None:
    with pytest.raises(SystemExit):
        table1.main(["CiteULike", "Netflix"])
    assert "Netflix: no row of Table 1; choose from CiteULike, BookCX" in capsys.readouterr().err
