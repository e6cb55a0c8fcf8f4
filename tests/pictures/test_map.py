"""The map: where points come to lie, what the page and the picture hold, and what is refused before it is drawn."""

import base64
import json
import re
import sys
import warnings
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from scipy import sparse

from cmlfast import CML, Interactions, datasets
from cmlfast.features import Features
from cmlfast.pictures import map_figure, map_page
from cmlfast.pictures.draw_map import SUFFIXES
from cmlfast.pictures.item_columns import Categories, Numbers, titles_and_colours
from cmlfast.pictures.projection import neighbours, of_features, project
from cmlfast.pictures.sealed import digest
from cmlfast.serving.nearest import nearest
from cmlfast_cli import main
from cmlfast_cli.options import PICTURES

pytest.importorskip("openTSNE", reason="cmlfast[map] is not installed")
N_USERS, N_ITEMS, SHOWN = 90, 120, 25
HOSTILE = [
    "<script>alert(1)</script>", "</script><script>alert(2)</script>", "<!--<script>", '"><img src=x onerror=alert(3)>',
"' onmouseover='alert(4)", "NUL \0 and \x1b and \u2028", "\u202e\u05d0\u05d1 right to left",
    "\U0001f3ac\U0001f9d1\u200d\U0001f680",
    "x" * 10_000, "$\\frac{1$ & $", "&lt;b&gt; &amp; ${style} $style", "\ud800 half a pair", "<b>bold</b>", "]]>", "",
]  # fmt: skip


def near(queries, table, n, seen):
    """Find the nearest by comparing with all, as a plain program would."""
    squares = ((queries[:, None].double() - table[None].double()) ** 2).sum(-1).numpy()
    if seen is not None:
        squares[seen.nonzero()] = np.inf
    squares = np.where(np.isnan(squares), np.inf, squares)
    found = np.argsort(squares, axis=1, kind="stable")[:, :n]
    return found, -np.take_along_axis(squares, found, 1)


@pytest.fixture(scope="module")
def model():
    data = datasets.synthetic(n_users=N_USERS, n_items=N_ITEMS, n_pairs=1500, n_groups=5, seed=0).interactions
    pairs = data.matrix.tolil()
    pairs[:, 7] = 0  # an item that nobody likes
    likes = Interactions(pairs.tocsr(), [f"u{row}" for row in range(N_USERS)], [f"i{row}" for row in range(N_ITEMS)])
    return CML(n_components=12, n_epochs=8, random_state=0).fit(likes)


@pytest.fixture(scope="module")
def titles():
    return {f"i{row}": (HOSTILE[row] if row < len(HOSTILE) else f"Item number {row}") for row in range(N_ITEMS)}


@pytest.fixture(scope="module")
def features():
    rng = np.random.default_rng(0)
    matrix = sparse.random(N_ITEMS, 60, density=0.1, random_state=rng, format="lil", dtype=np.float32)
    matrix[3] = 0
    return matrix.tocsr()


@pytest.fixture(scope="module")
def written(model, titles, features, tmp_path_factory):
    path = tmp_path_factory.mktemp("map") / "map.html"
    assert model.plot(path, titles=titles, users=SHOWN, item_features=features) == path
    return path.read_text("utf-8")


class Scripts(HTMLParser):
    """Collects what a page has: tags with their attributes, and the text of scripts."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.scripts, self.in_script = [], [], False
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.in_script = tag == "script"
        if self.in_script:
            self.scripts.append("")

    def handle_data(self, data):
        if self.in_script:
            self.scripts[-1] += data

    def handle_endtag(self, tag):
        self.in_script = False


def content(text):
    return json.loads(Scripts(text).scripts[0])


def unpack(text, dtype, *shape):
    return np.frombuffer(base64.b64decode(text), dtype).reshape(shape)


def placed(points, seed):
    return project(points, *neighbours(points, near, 90, "items"), seed)


def test_near_points_stay_near_and_the_seed_decides():
    rng = np.random.default_rng(1)
    points = torch.from_numpy(rng.normal(size=(150, 10)).astype(np.float32) + 4 * rng.integers(0, 3, size=(150, 1)))
    points = points.float()
    places = placed(points, 0)
    assert places.dtype == np.float32
    assert places.tobytes() == placed(points, 0).tobytes()
    assert places.tobytes() != placed(points, 1).tobytes()
    real, _ = near(points, points, 10, sparse.identity(150, format="csr"))
    plane = torch.from_numpy(places)
    kept, _ = near(plane, plane, 10, sparse.identity(150, format="csr"))
    share = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(real, kept, strict=True)])
    assert share > 4 * 10 / 149  # by chance it is 10 of 149


def test_neighbours_are_searched_once_where_nobody_is_shown_and_much_is_told_first(model, monkeypatch, caplog):
    asked = []

    def counted(kernels, queries, table, n, *rest):
        if queries is table:
            asked.append((len(queries), n))
        return nearest(kernels, queries, table, n, *rest)

    monkeypatch.setattr("cmlfast.model.nearest", counted)
    model.plot()
    assert asked == [(N_ITEMS - 1, 90)]
    model.plot(users=2)
    assert asked[1:] == [(N_ITEMS + 1, 90), (N_ITEMS - 1, 10)]
    assert caplog.messages == []
    monkeypatch.setattr("cmlfast.pictures.projection.MANY", N_ITEMS - 1)
    model.plot()
    assert caplog.messages == ["all 119 items are compared with each other for their neighbours: 14,161 distances"]


def test_what_is_unknown_has_no_place_and_odd_points_have_one():
    points = torch.randn(
        20, 1, generator=torch.Generator(device="cpu").manual_seed(0), dtype=torch.float32, device="cpu"
    )
    points[4] = torch.nan
    places = placed(points, 0)
    assert np.flatnonzero(np.isnan(places).any(1)).tolist() == [4]
    same = placed(torch.ones(12, 3, dtype=torch.float32, device="cpu"), 0)
    assert np.isfinite(same).all()
    with pytest.raises(ValueError, match="there are 7 items of which something is known; a map needs at least 8"):
        placed(points[:8], 0)


@pytest.mark.parametrize("dense", [False, True])
def test_features_are_compared_by_their_angle(features, dense):
    few = features[:, :20]
    given = Features.of(few.toarray() if dense else few, None, "features", torch.device("cpu")).rows
    points = of_features(given, 0).numpy()
    lengths = np.linalg.norm(few.toarray(), axis=1)
    assert np.array_equal(np.isnan(points).any(1), lengths == 0)
    known = lengths > 0
    wanted = few.toarray()[known] / lengths[known, None]
    assert np.abs(points[known] - wanted).max() < 1e-6
    assert of_features(torch.from_numpy(features.toarray()), 0).shape == (N_ITEMS, 50)


def test_the_page_holds_what_the_model_says(model, titles, written):
    found = content(written)
    assert found["ids"] == model.item_ids_.tolist()
    assert found["titles"] == [titles[one] or one for one in model.item_ids_]
    assert np.array_equal(unpack(found["likes"], "<i4", -1), model.item_likes_)
    places = unpack(found["places"], "<f4", N_ITEMS + SHOWN, 2)
    assert np.flatnonzero(np.isnan(places).any(1)).tolist() == [7]
    by_features = unpack(found["featurePlaces"], "<f4", N_ITEMS, 2)
    assert np.isnan(by_features[3]).all()
    near_items = unpack(found["nearest"], "<i4", N_ITEMS, 10)
    distances = unpack(found["distances"], "<f4", N_ITEMS, 10)
    ids, scores = model.similar_items(model.item_ids_, N=11)
    rows = {one: row for row, one in enumerate(model.item_ids_)}
    rows[None] = -1
    placed = np.arange(N_ITEMS) != 7
    assert near_items[placed].tolist() == [[rows[one] for one in some] for some in ids[placed, 1:]]
    assert (near_items[7] == -1).all()
    assert np.array_equal(distances[placed], np.sqrt(-scores[placed, 1:]))
    assert found["colour"]["label"] == "likes"
    assert np.array_equal(unpack(found["colour"]["values"], "<f4", -1), model.item_likes_)


def test_the_page_holds_what_users_like_and_get_and_why(model, written):
    found = content(written)
    people, rows = found["people"], {one: row for row, one in enumerate(model.item_ids_)}
    recommended = unpack(people["recommended"], "<i4", SHOWN, 10)
    reasons = unpack(people["reasons"], "<i4", SHOWN, 10, 2)
    ends, liked = unpack(people["likedEnds"], "<i4", -1), unpack(people["liked"], "<i4", -1)
    assert len(set(people["ids"])) == SHOWN
    for place, user in enumerate(people["ids"]):
        ids, _ = model.recommend(user, N=10)
        assert recommended[place].tolist() == [rows[one] for one in ids]
        theirs = liked[ends[place] : ends[place + 1]]
        mine = model.user_items_.matrix[model.user_items_.user_index(user)].indices
        assert theirs.tolist() == mine.tolist()
        for item, because in zip(recommended[place], reasons[place], strict=True):
            wanted = model.explain(user, model.item_ids_[item]).liked[:2]
            assert because.tolist() == [rows[one] for one in wanted]


def test_no_title_gets_out_of_its_place(written):
    page = Scripts(written)
    assert [tag for tag, _ in page.tags].count("script") == 3
    assert not {"img", "b", "iframe", "link", "object"} & {tag for tag, _ in page.tags}
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    assert not set("<>&") & set(page.scripts[0])
    # Only the two scripts that belong there may run, and nothing may be asked for.
    policy = next(one["content"] for _, one in page.tags if one.get("http-equiv") == "Content-Security-Policy")
    digests = re.findall(r"'sha256-[^']+'", policy)
    assert digests == [digest(script) for script in page.scripts[1:]]
    assert {"default-src 'none'", "form-action 'none'", "base-uri 'none'"} < set(policy.split("; "))
    script_src = next(one.split() for one in policy.split("; ") if one.startswith("script-src"))
    assert script_src == ["script-src", *digests, "'unsafe-eval'"]
    assert not re.search(r"connect-src|https?:|\*", policy)
    addresses = [one.get(name) for _, one in page.tags for name in ("src", "href") if name in one]
    assert addresses == []


def test_the_same_seed_gives_the_same_page(model, tmp_path, written, titles, features):
    again = model.plot(tmp_path / "again.html", titles=titles, users=SHOWN, item_features=features)
    assert again.read_text("utf-8") == written


@pytest.mark.parametrize("suffix", [".png", ".pdf", ".svg"])
def test_pictures_are_written(model, titles, tmp_path, suffix, monkeypatch):
    monkeypatch.setattr(map_figure, "DPI", 40)
    path = tmp_path / f"map{suffix}"
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "Glyph")
        assert model.plot(path, titles=titles, color={one: one[-1] for one in titles}, users=3) == path
    begin = path.read_bytes()[:600]
    assert begin.startswith({".png": b"\x89PNG", ".pdf": b"%PDF", ".svg": b"<?xml"}[suffix])


def test_names_of_colours_are_not_read_as_formulas(model):
    names = ["$", "$$", "$5_{$10", "$5-$10", "_hidden", "\\$ {x}"]
    by_category = model.plot(color=[names[row % 6] for row in range(N_ITEMS)], titles=["$5-$10"] * N_ITEMS, users=5)
    legend = by_category.axes[0].get_legend()
    by_category.canvas.draw()
    assert {shown(text) for text in legend.get_texts()} == {*names, "users"}
    assert {shown(text) for text in by_category.axes[0].texts} == {"$5-$10"}
    for values in (range(N_ITEMS), [str(row % 2) for row in range(N_ITEMS)]):
        label = "price $ x_{ $"
        drawn = model.plot(
            titles=pa.table({"item": model.item_ids_, "title": model.item_ids_, label: values}), color=label
        )
        drawn.canvas.draw()
        written = [drawn.axes[1].yaxis.label] if len(drawn.axes) > 1 else [drawn.axes[0].get_legend().get_title()]
        assert [shown(text) for text in written] == [label]


def shown(text):
    """Return what matplotlib sets of a text, which must be no formula."""
    from matplotlib.cbook import is_math_text

    assert not is_math_text(text.get_text())
    return text.get_text().replace(r"\$", "$")


def test_a_notebook_shows_the_figure(model):
    assert model.plot()._repr_png_().startswith(b"\x89PNG")


def test_names_in_a_picture_do_not_lie_on_each_other(model):
    drawn = model.plot(titles=[f"Item number {row}" for row in range(N_ITEMS)])
    drawn.canvas.draw()
    names = [text for text in drawn.axes[0].texts if text.get_text()]
    assert len(names) > 8
    boxes = [name.get_window_extent() for name in names]
    assert not any(a.overlaps(b) for place, a in enumerate(boxes) for b in boxes[:place])
    likes = {f"Item number {row}": count for row, count in enumerate(model.item_likes_)}
    assert max(likes.values()) in [likes[name.get_text()] for name in names]


def test_titles_and_columns_of_tables_dicts_and_sequences():
    ids, likes = np.arange(4), np.array([5, 0, 2, 1])
    frame = pd.DataFrame(
        {"movie_id": [3, 0, 1, 0], "title": ["d", "a", "b", "a"], "genre": ["War", "Drama", "Drama", "War"]}
    )
    for table in (frame, pl.DataFrame(frame.to_dict("list")), pa.table(frame)):
        names, colours = titles_and_colours(table, "genre", ids, likes)
        assert names == ["a", "b", "2", "d"]
        assert isinstance(colours, Categories)
        assert (colours.label, colours.names) == ("genre", ["Drama", "War", "other"])
        assert colours.texts == ["Drama, War", "Drama", "", "War"]
        assert [colours.names[code] for code in colours.codes] == ["War", "Drama", "other", "War"]
    assert titles_and_colours({"0": "x"}, None, ids, likes)[0] == ["x", "1", "2", "3"]
    assert titles_and_colours(np.array(["p", "q", None, "s"], dtype=object), None, ids, likes)[0] == [
        "p",
        "q",
        "2",
        "s",
    ]
    assert titles_and_colours(pd.Series(["p", "q", "r", "s"]), None, ids, likes)[0] == ["p", "q", "r", "s"]
    by_likes = titles_and_colours(None, "popularity", ids, likes)[1]
    assert isinstance(by_likes, Numbers)
    assert by_likes.logarithmic
    years = titles_and_colours(None, {0: 1990, 1: 1995.0, 3: None}, ids, likes)[1]
    assert isinstance(years, Numbers)
    assert not years.logarithmic
    assert np.array_equal(years.values, np.float32([1990, 1995, np.nan, np.nan]), equal_nan=True)
    assert years.texts == ["1990", "1995", "", ""]
    assert titles_and_colours(None, [0, 1, 1000, 1], ids, likes)[1].logarithmic


def test_what_is_missing_in_a_column_of_any_library_is_missing():
    ids, likes = np.arange(4), np.array([5, 0, 2, 1])
    integers = titles_and_colours(None, pd.Series([1990, None, 1995, 1990], dtype="Int64"), ids, likes)[1]
    assert isinstance(integers, Numbers)
    assert np.array_equal(integers.values, np.float32([1990, np.nan, 1995, 1990]), equal_nan=True)
    assert titles_and_colours(pd.Series(["a", None, "c", " "], dtype="string"), None, ids, likes)[0] == list("a1c3")
    days = ["1995-01-01", None, "1996-12-31", "1995-07-02T12:30"]
    texts = ["1995-01-01T00:00:00", "", "1996-12-31T00:00:00", "1995-07-02T12:30:00"]
    times = pd.Series(days).apply(pd.to_datetime)
    frame = pd.DataFrame({"item": ids, "title": list("abcd"), "released": times})
    for titles, color in (
        (None, times), (None, times.dt.tz_localize("UTC")), (None, times.to_numpy()), (None, times.tolist()),
        (None, times.to_dict()), (None, pl.from_pandas(times)), (frame, "released"),
    ):  # fmt: skip
        found = titles_and_colours(titles, color, ids, likes)[1]
        assert isinstance(found, Numbers)
        assert [one.partition("+")[0] for one in found.texts] == texts
        assert np.isnan(found.values[1])
        assert found.values[[0, 2, 3]] == pytest.approx([1995, 1997, 1995.5], abs=0.01)
    assert titles_and_colours(None, ["x", None, pd.NaT, pd.NA], ids, likes)[1].names == ["x", "other"]


def test_an_item_of_several_categories_has_the_rarest_of_those_with_a_colour():
    rng = np.random.default_rng(0)
    some = ["abcdefghij"[: rng.integers(1, 11)] for _ in range(200)]
    of_each = ["|".join(rng.permutation(list(one))) for one in some]
    counts = {name: sum(name in one for one in some) for name in "abcdefghij"}
    coloured = sorted(counts, key=lambda name: -counts[name])[:6]
    found = titles_and_colours(None, of_each, np.arange(200), np.ones(200, np.int64))[1]
    assert found.names[:6] == coloured
    for one, code in zip(some, found.codes, strict=True):
        mine = [name for name in one if name in coloured]
        assert found.names[code] == min(mine, key=lambda name: counts[name])


def test_users_are_drawn_or_named(model, tmp_path):
    def drawn(users, **more):
        path = model.plot(tmp_path / "map.html", users=users, **more)
        people = content(path.read_text("utf-8"))["people"]
        return people and people["ids"]

    assert drawn(None) is None
    assert drawn(["u3", "u1"]) == ["u3", "u1"]
    some = drawn(5)
    assert len(set(some)) == 5
    assert drawn(5) == some
    assert drawn(5, random_state=np.int64(0)) == some
    assert drawn(5, random_state=np.int64(1)) != some
    assert drawn("all") == model.user_ids_.tolist()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (
            {"path": "map.jpeg"},
            ValueError,
            r"path is '.*map.jpeg'; its name must end in one of .html, .png, .pdf, .svg",
        ),
        ({"path": "nowhere/map.html"}, FileNotFoundError, "its folder does not exist"),
        ({"path": "folder.html"}, IsADirectoryError, "a folder; give the name of a file in it"),
        ({"titles": ["one"]}, ValueError, r"titles has 1 entries for 120 items; give one for each, or a dict"),
        ({"titles": {"x": "y"}}, ValueError, "titles knows none of the model's items: they are called 'i0' .* and 'x'"),
        ({"titles": 7}, TypeError, "titles is 7; give a table"),
        ({"color": "genre"}, ValueError, "color is 'genre', but titles is no table that has such a column"),
        ({"color": [1, 2]}, ValueError, "color has 2 entries for 120 items"),
        ({"color": {"i1": None}}, ValueError, "color.*none of|color: no item has a value|color knows none"),
        (
            {"titles": pa.table({"item": ["i1"], "title": ["x"]}), "color": "genre"},
            ValueError,
            r"color='genre'.*this column is not there; the columns are \['item', 'title'\]",
        ),
        ({"users": 0}, ValueError, "users is 0; give at least 1, a list of ids, 'all' or None"),
        ({"users": "some"}, ValueError, "users is 'some'; give how many"),
        ({"users": ["u1", "u1"]}, ValueError, "users names somebody twice"),
        ({"users": ["nobody"]}, KeyError, "nobody"),
        ({"item_features": np.ones((3, 2))}, ValueError, r"item_features has shape \(3, 2\); it must have 120 rows"),
        ({"random_state": -1}, ValueError, "random_state is -1; it must be an integer from 0"),
        ({"random_state": None}, ValueError, "random_state is None"),
    ],
)
def test_what_is_wrong_is_said_first_and_by_name(model, tmp_path, monkeypatch, arguments, error, message):
    (tmp_path / "folder.html").mkdir()
    monkeypatch.setattr("cmlfast.pictures.map_data.neighbours", lambda *_: pytest.fail("placed before it was checked"))
    path = tmp_path / arguments.pop("path", "map.html")
    with pytest.raises(error, match=message):
        model.plot(path, **arguments)
    assert not (tmp_path / "map.html").exists()


def test_models_that_cannot_be_drawn(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="not fitted yet; call fit first"):
        CML().plot()
    likes = datasets.synthetic(n_users=20, n_items=20, n_pairs=100, n_groups=2, seed=0).interactions
    model = CML(n_components=4, n_epochs=1, random_state=0, keep_user_items=False).fit(likes)
    with pytest.raises(ValueError, match="users is 3, but the training matrix was not kept with the model"):
        model.plot(users=3)
    for name, path in (("openTSNE", None), ("plotly.offline", tmp_path / "x.html"), ("matplotlib", tmp_path / "x.png")):
        with monkeypatch.context() as without:
            without.setitem(sys.modules, name, None)
            with pytest.raises(ImportError, match=rf"needs {name.partition('.')[0]}.* pip install 'cmlfast\[map\]'"):
                model.plot(path)


def test_a_file_that_was_there_stays_when_drawing_fails(model, tmp_path, monkeypatch):
    path = tmp_path / "map.html"
    path.write_text("before")

    def fail(_):
        raise MemoryError

    monkeypatch.setattr(map_page, "page", fail)
    with pytest.raises(MemoryError):
        model.plot(path)
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_the_command(model, tmp_path, capsys):
    assert PICTURES == SUFFIXES
    model.save(tmp_path / "likes.model")
    rows = "".join(f'i{row},"Title, {row}",{"Odd" if row % 2 else "Even"},{1900 + row}\n' for row in range(N_ITEMS))
    (tmp_path / "items.csv").write_text(f"item,title,kind,year\n{rows}")
    (tmp_path / "tags.csv").write_text("item,tag\n" + "".join(f"i{row},t{row % 4}\n" for row in range(N_ITEMS)))
    start = ["map", str(tmp_path / "likes.model"), "-o", str(tmp_path / "map.html")]
    titled = ["--titles", str(tmp_path / "items.csv")]
    tags = ["--item-features", str(tmp_path / "tags.csv")]
    assert main([*start, *titled, *tags, "--color", "kind", "--users", "4"]) == 0
    found = content((tmp_path / "map.html").read_text("utf-8"))
    assert found["titles"][5] == "Title, 5"
    assert (found["colour"]["label"], found["colour"]["names"]) == ("kind", ["Even", "Odd"])
    assert len(found["people"]["ids"]) == 4
    assert found["featurePlaces"]
    assert f"wrote {tmp_path / 'map.html'}" in capsys.readouterr().out
    for words, code, said in (
        ([*start, *titled, "--color", "colour"], 3, "--color colour: "),
        ([*start, "--color", "kind"], 2, "--color kind goes with --titles"),
        ([*start[:3], "map.gif"], 2, "--output is map.gif; its name must end in one of .html"),
        ([*start, "--users", "few"], 2, "'few' is neither a number nor 'all'"),
        ([*start[:3], str(tmp_path / "no" / "map.html")], 3, "its folder does not exist"),
    ):
        if code == 2:
            with pytest.raises(SystemExit) as ended:
                main(words)
            assert ended.value.code == 2
        else:
            assert main(words) == code
        assert said in " ".join(capsys.readouterr().err.split())
