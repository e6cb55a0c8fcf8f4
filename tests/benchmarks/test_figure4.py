"""Figure 4's parts: the frontier, the asymmetric transformation, and a whole measurement of a small catalogue."""

import csv

import numpy as np
import pytest
from scipy import sparse

from benchmarks.figure4 import __main__ as figure4
from benchmarks.figure4 import measure, searches
from benchmarks.figure4.vectors import Case, Learned, learned
from benchmarks.peers.libraries import Factors
from cmlfast import datasets
from cmlfast.indexes import of_kind


def test_the_frontier_is_what_no_other_beats() -> None:
    points = np.random.default_rng(0).random((60, 2)).round(1)
    best = {
        tuple(one) for one in points.tolist()
        if not any((other >= one).all() and (other > one).any() for other in points)
    }  # fmt: skip
    found = points[searches.frontier(points)]
    assert {tuple(one) for one in found.tolist()} == best
    assert len(found) == len(best), "equal ones once"
    assert (np.diff(found[:, 0]) > 0).all()
    assert (np.diff(found[:, 1]) < 0).all()


def test_the_transformation_turns_products_into_distances() -> None:
    """Squared distance = 1 + m/4 - 2 x.q + |x|^(2^(m+1)), with |x| <= U (Shrivastava and Li, equation 17)."""

    class Kept:
        def build(self, points: np.ndarray) -> None:
            self.points = points

        def search(self, queries: np.ndarray, n: int) -> np.ndarray:
            return ((queries[:, None] - self.points) ** 2).sum(-1)

    rng = np.random.default_rng(0)
    items, queries = rng.standard_normal((50, 6)).astype(np.float32), rng.standard_normal((9, 6)).astype(np.float32)
    index = searches.Asymmetric(Kept(), m=3, largest=0.83)
    index.build(items)
    distances = index.search(queries, 1)
    scaled = items * 0.83 / np.linalg.norm(items, axis=1).max()
    unit = queries / np.linalg.norm(queries, axis=1, keepdims=True)
    expected = 1 + 3 / 4 - 2 * unit @ scaled.T + np.linalg.norm(scaled, axis=1) ** 16
    np.testing.assert_allclose(distances, expected, atol=1e-6)


def test_indexes_of_products_find_large_ones() -> None:
    pytest.importorskip("annoy")
    pytest.importorskip("usearch")
    pytest.importorskip("faiss")
    rng = np.random.default_rng(0)
    items = (rng.standard_normal((3000, 8)) * rng.random((3000, 1))).astype(np.float32)
    queries = rng.standard_normal((50, 8)).astype(np.float32)
    best = np.argsort(-queries @ items.T, axis=1)[:, :5]
    for index in (
        searches.AnnoyDot(n_trees=50, search_k=20_000),
        searches.HnswDot(expansion_search=500),
        searches.Asymmetric(of_kind("ivf", {"n_lists": 20, "n_probe": 20})),
    ):
        index.build(items)
        found = index.search(queries, 100)
        share = np.mean([np.isin(row, near).mean() for row, near in zip(best, found, strict=True)])
        assert share > 0.95, index


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Case:
    grid = [searches.Sweep("CML", "IVF", lambda **given: of_kind("ivf", given), [{"n_lists": 9}], [{"n_probe": 9}])]
    monkeypatch.setattr(measure, "sweeps", lambda n_items: iter(grid))
    return Case(
        "small",
        lambda: datasets.synthetic(300, 200, 3000, 4, seed=0).interactions,
        {"loss": "warp", "epochs": 5, "n_components": 8},
        {"epochs": 3, "factors": 8, "regularization": 1.0, "alpha": 10.0},
    )


def test_a_small_catalogue_is_measured_drawn_and_summed_up(small, tmp_path) -> None:
    for library in ("implicit", "threadpoolctl", "faiss", "matplotlib"):
        pytest.importorskip(library)
    vectors = learned(small, tmp_path)
    again = learned(small, tmp_path)  # as kept
    assert (vectors.seen != again.seen).nnz == (vectors.held_out != again.held_out).nnz == 0
    np.testing.assert_array_equal(vectors.cml.items, again.cml.items)
    found = list(measure.points(again))
    exact = {(one.method, one.k): one.recall for one in found if one.exact}
    assert {(one.method, one.k) for one in found if one.exact} == {("CML", 10), ("CML", 50), ("MF", 10), ("MF", 50)}
    probed = {one.k: one.recall for one in found if not one.exact}
    assert probed == pytest.approx({k: exact["CML", k] for k in (10, 50)}), "all lists are looked at"
    assert all(one.speed > 0 for one in found)
    figure4.write(tmp_path / "points.csv", found)
    with (tmp_path / "points.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(found)
    assert all(row["frontier"] == "1" for row in rows if row["search"] == "IVF")
    figure4.draw(tmp_path / "picture.png", "small", found)
    assert (tmp_path / "picture.png").read_bytes()[:4] == b"\x89PNG"
    lines = {line.split(" | ")[0].strip("| "): line.split(" | ") for line in figure4.summary(found).splitlines()}
    enough = [one for one in found if one.method == "CML" and one.k == 50 and one.recall >= 0.98 * exact["CML", 50]]
    assert lines["@50: CML, 98% of its recall"][4] == f"{max(one.speed for one in enough):,.0f}"
    assert "not reached" in lines["@10: MF, at equal recall in Annoy"], "there is none here"


def test_recall_is_of_what_users_have_not_seen() -> None:
    """Two users at one place: one has seen the nearest item, and is to find the second."""
    pytest.importorskip("faiss")
    points = np.arange(60, dtype=np.float32)[:, None]
    seen = sparse.csr_matrix(([1.0], ([1], [0])), shape=(2, 60))
    held_out = sparse.csr_matrix(([1.0] * 2, ([0, 1], [0, 10])), shape=(2, 60))
    factors = Factors(np.zeros((2, 1), np.float32), points, "sqeuclidean")
    found = Learned(seen, held_out, factors, factors._replace(metric="dot"))
    sweep = searches.Sweep("CML", "IVF", lambda **given: of_kind("ivf", given), [{"n_lists": 1}], [{"n_probe": 1}])
    kernels, _ = measure.backend.choose("auto", "cpu")
    assert [one.recall for one in measure._swept(sweep, factors, found, kernels)] == [1.0, 1.0]
