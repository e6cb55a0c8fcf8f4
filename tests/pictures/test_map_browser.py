"""The map's page in a browser, on MovieLens-100K: with a pointer and with the keyboard alone, and without a network."""

import os
from pathlib import Path

import browser
import numpy as np
import pyarrow as pa
import pytest

from cmlfast import CML, datasets
from cmlfast.data.datasets import fetch
from cmlfast.data.datasets.movielens import GENRES

pytestmark = pytest.mark.slow
pytest.importorskip("openTSNE", reason="cmlfast[map] is not installed")
STAR_WARS, N_SHOWN = 50, 60
HOSTILE = "</script><script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">"


class Page:
    """A page that is open, and what a person does with it."""

    def __init__(self, chromium, folder):
        self.chromium, self.folder = chromium, folder

    def open(self, path):
        self.chromium.get(path.resolve().as_uri())
        self.chromium.execute_async_script("cmlfastMap.ready.then(() => requestAnimationFrame(() => arguments[0]()))")

    def ask(self, script, *arguments):
        return self.chromium.execute_script(f"return {script}", *arguments)

    def wait(self, script, *arguments):
        from selenium.webdriver.support.ui import WebDriverWait

        return WebDriverWait(self.chromium, 10, 0.05).until(lambda _: self.ask(script, *arguments))

    def press(self, *keys):
        from selenium.webdriver import ActionChains

        ActionChains(self.chromium).send_keys(*keys).perform()

    def point_at(self, point, click=False):
        """Move the pointer to a point of the learned space, from beside it."""
        from selenium.webdriver import ActionChains

        view = "cmlfastMap.views.find((one) => one.name === 'Learned space').root"
        x, y, left, top = self.ask(
            f"(() => {{ const {{ left, top }} = {view}.getBoundingClientRect();"
            "return [...cmlfastMap.pixel('Learned space', arguments[0]), left, top]; })()",
            point,
        )
        there = (round(left + x), round(top + y))
        actions = ActionChains(self.chromium, duration=20)
        actions.w3c_actions.pointer_action.move_to_location(there[0] + 2, there[1] + 2)
        actions.w3c_actions.pointer_action.move_to_location(*there)
        if click:
            actions.w3c_actions.pointer_action.click()
        actions.perform()

    def alone(self, points):
        """Return one of some points that no other point is drawn over."""
        return self.ask(
            """(() => {
              const at = (point) => cmlfastMap.pixel("Learned space", point);
              const all = Array.from({ length: cmlfastMap.places.length / 2 }, (_, point) => [point, at(point)]);
              const room = (point) => Math.min(...all.filter(([other, [x]]) => other !== point && !Number.isNaN(x))
                .map(([, [x, y]]) => Math.hypot(x - at(point)[0], y - at(point)[1])));
              return arguments[0].map((point) => [room(point), point]).sort((a, b) => b[0] - a[0])[0][1];
            })()""",
            points,
        )

    def texts(self, selector):
        return self.ask("Array.from(document.querySelectorAll(arguments[0]), (one) => one.textContent)", selector)

    def points(self, selector):
        script = "Array.from(document.querySelectorAll(arguments[0]), (one) => Number(one.dataset.point))"
        return self.ask(script, f"{selector} [data-point]")

    def picture(self, name):
        self.chromium.save_screenshot(str(self.folder / f"{name}.png"))


@pytest.fixture(scope="module")
def films():
    """Return MovieLens-100K where it is on this machine: in CMLFAST_DATA, or in the cache."""

    def no_download(address: str, **_: object) -> str:
        pytest.skip(f"MovieLens-100K is not here, and tests do not download: {address}")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fetch._pooch(), "retrieve", no_download)
        return datasets.load("movielens-100k")


@pytest.fixture(scope="module")
def model(films):
    return CML(random_state=0, n_components=32, n_epochs=12).fit(films.interactions)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    chosen = os.environ.get("CMLFAST_SCREENSHOTS")
    if not chosen:
        return tmp_path_factory.mktemp("screenshots")
    Path(chosen).mkdir(parents=True, exist_ok=True)
    return Path(chosen)


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    started = browser.start(tmp_path_factory.mktemp("profile"))
    browser.requests(started), browser.complaints(started)  # what came before
    yield started
    started.quit()


@pytest.fixture(scope="module")
def path(films, model, tmp_path_factory):
    titles = films.item_titles.copy()
    titles[0] = HOSTILE
    genres = films.item_features.tocsr()
    of_each = [[GENRES[column] for column in row.indices] for row in genres]
    table = pa.table({"item_id": films.interactions.item_ids, "title": titles, "genre": of_each})
    path = tmp_path_factory.mktemp("page") / "map.html"
    return model.plot(path, titles=table, color="genre", users=N_SHOWN, item_features=films.item_features)


@pytest.fixture(scope="module")
def opened(chromium, folder, path):
    page = Page(chromium, folder)
    page.open(path)
    yield page
    # Nothing was asked for, by any test, but the page itself.
    asked = browser.requests(chromium)
    assert path.resolve().as_uri() in asked
    assert [one for one in asked if not one.startswith(("file:", "data:"))] == []


@pytest.fixture
def page(opened):
    opened.ask("document.activeElement.blur()")
    opened.ask("cmlfastMap.choose(null)")
    opened.ask("document.getElementById('search').value = ''")
    yield opened
    assert browser.complaints(opened.chromium) == []
    assert opened.chromium.title.startswith("Map of ")


def nearest(model, films, item):
    """Return the rows of the items nearest to one, by comparing with all."""
    vectors = model.item_embedding_.double().numpy()
    squares = ((vectors - vectors[item]) ** 2).sum(1)
    squares[(model.item_likes_ == 0) | (np.arange(len(vectors)) == item)] = np.inf
    return np.argsort(squares, kind="stable")[:10].tolist()


def test_every_point_is_drawn_in_its_colour(page, model, films):
    page.picture("light")
    drawn = page.ask("cmlfastMap.views.map((view) => view.groups.map((points) => points.length))")
    n_placed = int((model.item_likes_ > 0).sum())
    assert [sum(some) for some in drawn] == [n_placed, n_placed + N_SHOWN]
    names = page.texts("#legend button > span:first-of-type")
    assert len(names) == 8
    assert names[-2:] == ["other", "users"]
    assert set(names[:-2]) <= set(GENRES)
    assert page.ask("document.querySelectorAll('.view .gl-container canvas').length") > 0


def test_search_finds_a_title_and_marks_it(page, films):
    page.ask("document.getElementById('search').focus()")
    page.press("star wars 1977")
    assert page.wait("document.querySelectorAll('#results [data-point]').length")
    found = page.points("#results")
    assert films.item_titles[found[0]] == "Star Wars (1977)"
    page.picture("search")
    from selenium.webdriver import Keys

    page.press(Keys.ENTER)
    assert page.ask("cmlfastMap.chosen()") == found[0]
    assert page.texts("#panel h2") == ["Star Wars (1977)"]
    for number in (1, 2):
        marks = page.texts(f".view:nth-child({number}) .over text")
        assert "Star Wars (1977)" in marks
    page.picture("chosen")
    assert "Star Wars (1977) is chosen." in page.texts("#told")


def test_hover_shows_an_item_with_its_nearest(page, model, films):
    liked = np.flatnonzero(model.item_likes_ > 30).tolist()
    item = page.alone(liked)
    page.point_at(item)
    page.wait("cmlfastMap.hovered() === arguments[0]", item)
    assert page.texts("#tip strong") == [films.item_titles[item]]
    wanted = [films.item_titles[one] for one in nearest(model, films, item)]
    assert page.texts("#tip li") == wanted
    page.picture("hover")


def test_a_click_on_a_user_shows_likes_and_recommendations(page, model, films):
    n_items = len(films.item_titles)
    user = page.alone(list(range(n_items, n_items + N_SHOWN)))
    page.point_at(user, click=True)
    page.wait("cmlfastMap.chosen() === arguments[0]", user)
    name = int(page.ask("cmlfastMap.data.people.ids[arguments[0]]", user - n_items))
    assert page.texts("#panel h2") == [f"User {name}"]
    ids, _ = model.recommend(name, N=10)
    wanted = [films.item_titles[one - 1] for one in ids]
    assert page.texts("#recommended .row .what") == wanted
    likes = set(films.interactions.matrix[films.interactions.user_index(name)].indices.tolist())
    while page.ask("document.querySelector('#panel .more')") is not None:
        page.ask("document.querySelector('#panel .more').click()")
    assert set(page.points("#liked")) == likes
    for place, one in enumerate(ids):
        because = (model.explain(name, one).liked[:2] - 1).tolist()
        assert page.points(f"#recommended li:nth-child({place + 1}) .why") == because
        assert page.texts(f"#recommended li:nth-child({place + 1}) .why")[0].startswith("because you liked ")
    page.picture("user")


def test_the_keyboard_alone_does_it(page, model, films):
    from selenium.webdriver import Keys

    page.press("/", "user", Keys.ARROW_DOWN)
    assert page.ask("document.activeElement.id") == "search"
    assert page.ask("document.getElementById('search').getAttribute('aria-activedescendant')") == "result-1"
    wanted = page.points("#results")[1]
    page.press(Keys.ENTER)
    assert page.ask("cmlfastMap.chosen()") == wanted
    page.press(Keys.TAB)
    assert page.ask("document.activeElement.closest('#recommended') !== null")
    first = page.ask("Number(document.activeElement.dataset.point)")
    page.press(Keys.ARROW_DOWN, Keys.ARROW_UP)
    assert page.ask("Number(document.activeElement.dataset.point)") == first
    assert page.ask("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    page.picture("keyboard")
    page.press(Keys.ENTER)
    assert page.ask("cmlfastMap.chosen()") == first
    page.press(Keys.ESCAPE)
    assert page.ask("cmlfastMap.chosen()") is None
    page.ask("document.querySelector('.view:last-child').focus()")
    x = "cmlfastMap.views[1].ranges.x"
    outside = (
        "Array.from({ length: cmlfastMap.places.length / 2 }, (_, point) => cmlfastMap.pixel('Learned space', point))"
        ".filter(([x, y]) => x < 0 || y < 0 || x > arguments[0] || y > arguments[1]).length"
    )
    size = page.ask("(({ clientWidth, clientHeight }) => [clientWidth, clientHeight])(cmlfastMap.views[1].root)")
    assert page.ask(outside, *size) == 0
    page.press("+")
    page.wait(outside, *size)
    near = page.ask(f"{x}[0]")
    page.press(Keys.ARROW_RIGHT)
    page.wait(f"{x}[0] > arguments[0]", near)
    page.press("0")
    page.wait(f"{outside} === 0", *size)


def test_a_hostile_title_stays_text(page):
    page.ask("cmlfastMap.choose(0, true)")
    assert page.texts("#panel h2") == [HOSTILE]
    page.press("/", "script")
    page.wait("document.querySelectorAll('#results [data-point]').length")
    assert page.ask("document.querySelectorAll('img').length") == 0
    assert page.ask("document.scripts.length") == 3


def test_another_colour_scheme_shows_everything_again(page, model, films):
    famous = ".view:last-child .over .famous"
    names = page.texts(famous)
    page.ask("document.querySelector('#legend button').click()")
    page.wait("document.querySelector('#legend button').getAttribute('aria-pressed') === 'false'")
    page.ask("cmlfastMap.choose(null)")  # which writes the names anew
    assert page.texts(famous) != names
    page.chromium.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    )
    try:
        assert page.wait("getComputedStyle(document.body).backgroundColor === 'rgb(20, 23, 27)'")
        page.wait("document.querySelectorAll('.view .gl-container canvas').length")
        page.wait("document.querySelectorAll('#legend button[aria-pressed=false]').length === 0")
        page.ask("cmlfastMap.choose(null)")
        assert page.texts(famous) == names
        page.picture("dark")
    finally:
        page.chromium.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
