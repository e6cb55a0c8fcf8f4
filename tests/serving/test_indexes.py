"""Indexes: what they find is ranked exactly, nobody gets too little, files keep them, and errors say what to do."""

import copy
import logging
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import sparse

from cmlfast import CML, Interactions
from cmlfast.data.tensor_file import header_of, read, write
from cmlfast.indexes import KINDS, of_kind
from cmlfast.ops import reference
from cmlfast.serving.indexed import Indexed
from cmlfast.serving.nearest import nearest

LIBRARIES = {"annoy": "annoy", "hnsw": "usearch.index", "ivf": "faiss"}
# What finds nearly all of the nearest among some thousand points.
THOROUGH = {
    "annoy": {"n_trees": 60, "search_k": 30_000},
    "hnsw": {"expansion_search": 600},
    "ivf": {"n_lists": 20, "n_probe": 20},
}


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    pytest.importorskip(LIBRARIES[request.param])
    return str(request.param)


def made_up(n_users: int = 300, n_items: int = 2000, r: int = 16, **changes: Any) -> CML:
    """Return a model with own ids whose items lie in heaps, some of which nobody likes."""
    rng = np.random.default_rng(0)
    likes = sparse.random(n_users, n_items, 0.02, format="csr", rng=rng)
    own = Interactions(likes, [f"u{n}" for n in range(n_users)], [f"i{n}" for n in range(n_items)])
    model = CML(n_components=r, n_epochs=1, random_state=0, **changes).fit(own)
    heaps = rng.standard_normal((20, r))
    for table in (model.user_embedding_, model.item_embedding_):
        drawn = heaps[rng.integers(20, size=len(table))] + 0.5 * rng.standard_normal((len(table), r))
        table.copy_(torch.from_numpy(drawn / np.linalg.norm(drawn, axis=1, keepdims=True)))
    return model


@pytest.fixture(scope="module")
def exact() -> CML:
    return made_up()


def same(model: CML) -> CML:
    """Return a model of the same tables, to give an index of its own."""
    other = model.clone()
    other._fitted = model._fitted
    return other


def test_thorough_indexes_find_what_is_nearest(kind: str, exact: CML) -> None:
    model = same(exact).build_index(kind, **THOROUGH[kind])
    assert model.index["kind"] == kind
    assert model.index.items() >= THOROUGH[kind].items()
    for n in (1, 10, 50):
        ids, scores = exact.recommend(exact.user_ids_, N=n)
        found, values = model.recommend(exact.user_ids_, N=n)
        share = np.mean([len(np.intersect1d(*rows)) / n for rows in zip(ids, found, strict=True)])
        assert share > 0.99
        alike = (ids == found).all(1)
        assert alike.mean() > 0.8
        np.testing.assert_array_equal(values[alike], scores[alike])


def test_a_hasty_index_misses_some_and_ranks_the_rest_exactly(kind: str, exact: CML) -> None:
    hasty = {"annoy": {"n_trees": 1}, "hnsw": {"expansion_search": 1, "connectivity": 3}, "ivf": {"n_probe": 1}}[kind]
    model = same(exact).build_index(kind, **hasty)
    best = exact.recommend(exact.user_ids_, N=20)[1]
    ids, scores = model.recommend(exact.user_ids_, N=20)
    assert (scores < best).any(), "so the index was asked"
    assert (np.diff(scores, axis=1) <= 0).all()
    for user, row, theirs in zip(exact.user_ids_, ids, scores, strict=True):
        assert len(set(row)) == 20
        liked = exact.user_items_.matrix[int(user[1:])].indices
        assert not {f"i{n}" for n in liked} & set(row)
        np.testing.assert_array_equal(exact.predict(user, row), theirs)


class Chosen:
    """An index that finds what a test says."""

    kind = "chosen"

    def __init__(self, find: Callable[[int], Any]) -> None:
        self.find = find
        self.asked: list[tuple[int, int]] = []

    def search(self, queries: np.ndarray, n: int) -> np.ndarray:
        self.asked.append((len(queries), n))
        return np.array([self.find(n) for _ in queries], dtype=np.int64)


def searched_by(find: Callable[[int], Any], table: torch.Tensor, listed: np.ndarray | None = None) -> Indexed:
    rows = np.arange(len(table)) if listed is None else listed
    return Indexed(Chosen(find), rows, 0.0, None, 0)  # type: ignore[arg-type] # only a search is made of it


def test_ties_are_ranked_by_number_and_what_is_missing_does_not_count() -> None:
    table = torch.tensor([[0.0], [1.0], [1.0], [-1.0], [2.0]]).repeat(9, 1)  # [45, 1]
    find = searched_by(lambda n: [4, -1, 3, 2, 1], table)
    positions, scores = find.nearest(reference, torch.zeros(2, 1), table, 4)
    assert positions.tolist() == [[1, 2, 3, 4]] * 2
    assert scores.tolist() == [[-1.0, -1.0, -1.0, -4.0]] * 2


def test_who_was_found_too_few_is_searched_exactly() -> None:
    rng = np.random.default_rng(0)
    table = torch.from_numpy(rng.standard_normal((400, 5), dtype=np.float32))
    queries = torch.from_numpy(rng.standard_normal((30, 5), dtype=np.float32))
    seen = sparse.random(30, 400, 0.05, format="csr", rng=rng)
    seen.data[:] = 1
    left_out = np.arange(0, 12)
    expected = nearest(reference, queries, table, 9, seen, left_out)
    for find in (lambda n: [-1] * n, lambda n: [7] + [-1] * (n - 1), lambda n: list(range(n))):
        found = searched_by(find, table).nearest(reference, queries, table, 9, seen, left_out)
        # The first two find nothing that counts; the third too little that is neither seen nor left out for some.
        assert (found[0] >= 0).all()
        if find(2) != [0, 1]:
            np.testing.assert_array_equal(found[0], expected[0])
            np.testing.assert_array_equal(found[1], expected[1])
        for row, entries in zip(found[0], np.split(seen.indices, seen.indptr[1:-1]), strict=True):
            assert not np.isin(row, entries).any()
            assert not np.isin(row, left_out).any()


def test_enough_is_asked_for_in_parts_that_want_alike() -> None:
    table = torch.zeros(100_000, 1)
    counts = np.array([0] * 1500 + [4] * 100 + [1000, 2000])
    indptr = np.concatenate(([0], np.cumsum(counts)))
    indices = np.concatenate([np.arange(count) for count in counts])
    seen = sparse.csr_matrix((np.ones(len(indices)), indices, indptr), shape=(len(counts), len(table)))
    index = searched_by(lambda n: range(n), table)
    positions, _ = index.nearest(reference, torch.zeros(len(counts), 1), table, 10, seen)
    assert index.index.asked == [(1024, 10), (576, 14), (1, 1010), (1, 2010)]
    np.testing.assert_array_equal(positions, counts[:, None] + np.arange(10))


def test_numbers_are_those_of_the_table_where_some_rows_are_not_listed() -> None:
    table = torch.arange(100.0)[:, None].clone()
    listed = np.arange(1, 100, 2)
    find = searched_by(lambda n: list(range(n)), table, listed)
    positions, _ = find.nearest(reference, torch.zeros(1, 1), table, 4)
    assert positions.tolist() == [[1, 3, 5, 7]]


def test_items_of_which_nothing_was_learned_are_not_found(kind: str) -> None:
    likes = sparse.random(200, 400, 0.1, format="csr", rng=np.random.default_rng(0)).tolil()
    likes[:, ::4] = 0
    tags = sparse.random(400, 30, 0.2, format="lil", rng=np.random.default_rng(1))
    tags[::8] = 0
    model = CML(n_components=8, n_epochs=2, random_state=0).fit(likes.tocsr(), tags.tocsr())
    expected = model.recommend(np.arange(200), N=5)
    model.build_index(kind, **THOROUGH[kind])
    ids, scores = model.recommend(np.arange(200), N=5)
    assert not np.isin(ids, np.arange(0, 400, 8)).any()
    assert (scores == expected[1]).mean() > 0.95


@pytest.mark.parametrize("changes", [{"dtype": "bfloat16"}, {"rare_item_distance": 0.7}])
def test_other_tables_and_distances(kind: str, changes: dict[str, Any]) -> None:
    model = made_up(100, 600, 8, **changes)
    expected = model.recommend(model.user_ids_, N=5)[1]
    scores = model.build_index(kind, **THOROUGH[kind]).recommend(model.user_ids_, N=5)[1]
    assert (scores == expected).mean() > 0.99


def test_choices_and_all_users_go_through_it(kind: str, exact: CML) -> None:
    model = same(exact).build_index(kind, **THOROUGH[kind])
    choice = [f"i{n}" for n in range(0, 2000, 3)]
    for filters in ({"items": choice}, {"filter_items": choice[:40]}, {"filter_already_liked_items": False}):
        one, other = (it.recommend(exact.user_ids_, N=5, **filters)[1] for it in (exact, model))
        assert (one == other).mean() > 0.99
    everyone = [np.concatenate([part["score"] for part in it.recommend_all(N=5)]) for it in (exact, model)]
    assert (everyone[0] == everyone[1]).mean() > 0.99
    np.testing.assert_array_equal(model.by_position().recommend(3, N=5)[1], model.recommend("u3", N=5)[1])
    assert model.by_position().index == model.index


def test_an_index_is_given_up_when_the_items_move(kind: str) -> None:
    model = made_up(60, 300, 8).build_index(kind)
    model.rare_item_distance = 0.3
    assert model.index == {"kind": "exact"}
    model.rare_item_distance = "auto"
    assert model.index["kind"] == kind
    with torch.no_grad():
        model.item_embedding_[0] *= 0.5
    assert model.index == {"kind": "exact"}
    model.build_index(kind)
    model.partial_fit(Interactions(sparse.identity(1, format="csr"), ["u3"], ["i5"]))
    assert model.index == {"kind": "exact"}
    assert model.build_index(kind).index["kind"] == kind
    assert model.build_index().index == {"kind": "exact"}


def test_a_saved_model_keeps_it(kind: str, exact: CML, tmp_path: Path) -> None:
    model = same(exact).build_index(kind, **THOROUGH[kind])
    model.save(tmp_path / "m.cml")
    again = CML.load(tmp_path / "m.cml")
    assert again.index == model.index
    for one, other in zip(again.recommend(again.user_ids_), model.recommend(model.user_ids_), strict=True):
        np.testing.assert_array_equal(one, other)
    # Over itself, as often as one likes: one index stays.
    again.save(tmp_path / "m.cml")
    third = CML.load(tmp_path / "m.cml")
    np.testing.assert_array_equal(third.recommend("u5")[1], model.recommend("u5")[1])
    np.testing.assert_array_equal(again.recommend("u5")[1], model.recommend("u5")[1])
    assert sorted(path.suffix for path in tmp_path.iterdir()) == sorted([".cml", f".{kind}"])
    # Renamed, beside its index; and without an index none stays.
    (tmp_path / "m.cml").rename(tmp_path / "n.cml")
    moved = CML.load(tmp_path / "n.cml")
    assert moved.index == model.index
    moved.save(tmp_path / "n.cml")
    moved.build_index("exact").save(tmp_path / "n.cml")
    # What is called after another model may be that one's.
    assert sorted(path.name.split(".")[0] for path in tmp_path.iterdir()) == ["m", "n"]


def test_a_copy_does_not_take_the_originals_index(kind: str, exact: CML, tmp_path: Path) -> None:
    same(exact).build_index(kind).save(tmp_path / "a.cml")
    (tmp_path / "b.cml").write_bytes((tmp_path / "a.cml").read_bytes())
    other = CML.load(tmp_path / "b.cml")
    assert other.index["kind"] == kind
    other.build_index("exact").save(tmp_path / "b.cml")
    assert CML.load(tmp_path / "a.cml").index["kind"] == kind


def test_pickles_and_copies_are_without_it(kind: str, exact: CML) -> None:
    model = same(exact).build_index(kind)
    for other in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        assert other.index == {"kind": "exact"}
        np.testing.assert_array_equal(other.recommend("u1")[1], exact.recommend("u1")[1])
    assert model.index["kind"] == kind


def test_what_cannot_be_read_is_named(
    kind: str, exact: CML, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "m.cml"
    same(exact).build_index(kind).save(path)
    index = next(tmp_path.glob(f"*.{kind}"))
    content = index.read_bytes()
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 1
    for damaged in (bytes(flipped), content[:-7], b""):
        index.write_bytes(damaged)
        with pytest.raises(ValueError, match=rf"{index.name}.*damaged; remove it"):
            CML.load(path)
    index.write_bytes(content)
    with monkeypatch.context() as without:
        for name in (LIBRARIES[kind], LIBRARIES[kind].partition(".")[0]):
            without.setitem(sys.modules, name, None)
        with caplog.at_level(logging.WARNING, "cmlfast"):
            model = CML.load(path)
        assert f"pip install 'cmlfast[{kind}]'" in caplog.text
        assert model.index == {"kind": "exact"}
        with pytest.raises(ImportError, match=rf"cmlfast\[{kind}\]"):
            model.build_index(kind)
    caplog.clear()
    index.unlink()
    with caplog.at_level(logging.WARNING, "cmlfast"):
        model = CML.load(path)
    assert str(index) in caplog.text
    np.testing.assert_array_equal(model.recommend("u1")[1], exact.recommend("u1")[1])


def test_an_index_of_something_else_is_refused(kind: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    index = of_kind(kind, {})
    index.build(rng.standard_normal((300, 8), dtype=np.float32))
    index.save(tmp_path / "index")
    again = of_kind(kind, {})
    again.load(tmp_path / "index", 300, 8)
    for n_points, n_components in ((299, 8), (300, 9), (300, 4)):
        with pytest.raises(ValueError, match="index"):
            of_kind(kind, {}).load(tmp_path / "index", n_points, n_components)
    (tmp_path / "text").write_text("no index" * 100)
    with pytest.raises(ValueError, match="text"):
        of_kind(kind, {}).load(tmp_path / "text", 300, 8)


ELSEWHERE = (
    "../m.0123abcd.annoy", "../../m.0123abcd.annoy", "/m.0123abcd.annoy", "a/m.0123abcd.annoy", "..\\m.0123abcd.annoy",
    "C:\\m.0123abcd.annoy", "m\0.0123abcd.annoy", "m.0123abcd.annoy\0", "m.0123abcd.annoy\n", "../likes.csv",
    "x" * 10**6 + ".0123abcd.annoy", "likes.csv", "..", ".", "", 3, None, [], {"a": 1}, ["m.0123abcd.annoy"],
)  # fmt: skip


@pytest.mark.parametrize("name", ELSEWHERE, ids=lambda name: repr(name)[:25])
def test_headers_choose_no_other_folder(name: Any, exact: CML, tmp_path: Path) -> None:
    """Neither when a model is loaded, nor when another takes its place and its index goes."""
    folder = tmp_path / "some" / "where"
    folder.mkdir(parents=True)
    victims = [one / each for one in (tmp_path, folder.parent, folder) for each in ("likes.csv", "m.0123abcd.annoy")]
    for victim in victims:
        victim.write_text("mine")
    entry = {"kind": "annoy", "parameters": {}, "rare_item_distance": 0.0, "sha256": "", "file": name}
    same(exact).save(folder / "m.cml")
    tensors, header = read(folder / "m.cml")
    write(folder / "m.cml", tensors, {**header, "index": entry})
    with pytest.raises(ValueError, match="as the file of an index") as told:
        CML.load(folder / "m.cml")
    assert "m.cml" in str(told.value)
    assert len(str(told.value)) < 500
    same(exact).save(folder / "m.cml")
    assert all(victim.read_text() == "mine" for victim in victims)


def test_open_files_take_the_model_alone(kind: str, exact: CML, tmp_path: Path, caplog) -> None:
    with (tmp_path / "m.cml").open("wb") as file, caplog.at_level(logging.WARNING, "cmlfast"):
        same(exact).build_index(kind).save(file)
    assert "without its index" in caplog.text
    assert CML.load(tmp_path / "m.cml").index == {"kind": "exact"}
    assert header_of(tmp_path / "m.cml")["index"] is None


def test_a_save_that_fails_leaves_both_files(kind: str, exact: CML, tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "m.cml"
    same(exact).build_index(kind).save(path)
    before = {one.name: one.read_bytes() for one in tmp_path.iterdir()}

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("cmlfast.serving.persistence.write", full)
    with pytest.raises(OSError, match="No space"):
        same(exact).build_index(kind).save(path)
    assert {one.name: one.read_bytes() for one in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    ("arguments", "parameters", "message"),
    [
        ("tree", {}, "kind is 'tree'; it must be 'exact' or one of 'annoy', 'hnsw', 'ivf'"),
        ("annoy", {"n_probe": 3}, "n_probe is no parameter.*'n_trees', 'search_k'"),
        ("annoy", {"n_trees": 0}, "n_trees is 0; it must be an integer of at least 1"),
        ("annoy", {"n_trees": None}, "n_trees is None"),
        ("hnsw", {"connectivity": 2.5}, "connectivity is 2.5"),
        ("ivf", {"n_lists": True}, "n_lists is True"),
        ("exact", {"n_trees": 3}, "n_trees is given"),
    ],
)
def test_refusals(exact: CML, arguments: str, parameters: dict[str, Any], message: str) -> None:
    model = same(exact)
    with pytest.raises(ValueError, match=message):
        model.build_index(arguments, **parameters)
    assert model.index == {"kind": "exact"}


def test_before_fit() -> None:
    with pytest.raises(ValueError, match="call fit first"):
        CML().build_index("annoy")


def test_threads_ask_while_it_is_saved(kind: str, exact: CML, tmp_path: Path) -> None:
    model = same(exact).build_index(kind)
    expected = model.recommend(exact.user_ids_, N=10)[1]
    wrong: list[Any] = []
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            scores = model.recommend(exact.user_ids_, N=10)[1]
            if not np.array_equal(scores, expected):
                wrong.append(scores)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    savers = [
        threading.Thread(target=lambda n=n: [model.save(tmp_path / f"{n}.cml") for _ in range(4)]) for n in range(2)
    ]
    for thread in savers:
        thread.start()
    for thread in savers:
        thread.join()
    done.set()
    for thread in threads:
        thread.join()
    assert not wrong
    for n in range(2):
        np.testing.assert_array_equal(CML.load(tmp_path / f"{n}.cml").recommend(exact.user_ids_, N=10)[1], expected)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.slow
def test_it_lives_on_in_a_fork(kind: str, exact: CML, tmp_path: Path) -> None:
    same(exact).build_index(kind).save(tmp_path / "m.cml")
    script = """
import os, signal, sys
import numpy as np
from cmlfast import CML
model = CML.load(sys.argv[1])
expected = model.recommend(model.user_ids_, N=10)[1]
child = os.fork()
if child == 0:
    signal.alarm(60)
    os._exit(0 if np.array_equal(model.recommend(model.user_ids_, N=10)[1], expected) else 3)
assert os.waitpid(child, 0)[1] == 0, "the forked process did not answer alike"
assert np.array_equal(model.recommend(model.user_ids_, N=10)[1], expected)
"""
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "m.cml")], check=True, timeout=120)
