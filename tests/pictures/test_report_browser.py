"""The training report in a browser: its curves are drawn under its policy, and nothing is asked for."""

import browser
import pytest

from cmlfast import CML, datasets

pytestmark = pytest.mark.slow
pytest.importorskip("plotly", reason="cmlfast[report] is not installed")


def test_curves_are_drawn_and_nothing_else_runs(tmp_path):
    likes = datasets.synthetic(n_users=100, n_items=120, n_pairs=1000, n_groups=4, seed=0).interactions
    model = CML(loss="warp", n_components=8, n_epochs=4, random_state=0).fit(likes, show_progress=False)
    path = model.plot_history(tmp_path / "report.html")
    chromium = browser.start(tmp_path / "profile")
    try:
        browser.requests(chromium), browser.complaints(chromium)  # what came before
        chromium.get(path.resolve().as_uri())
        n_traces = len(model.plot_history().data)
        drawn = "return document.querySelectorAll('#curves .scatterlayer .trace path.js-line').length"
        assert chromium.execute_script(drawn) == n_traces > 4
        buttons = "return Array.from(document.querySelectorAll('.modebar-btn'), (one) => one.dataset.title)"
        assert chromium.execute_script(buttons) == ["Download plot as a PNG", "Zoom", "Pan", "Reset axes"]
        assert browser.complaints(chromium) == []
        chromium.execute_script(
            "document.body.append(Object.assign(document.createElement('script'), { text: 'document.title = 1' }))"
        )
        assert chromium.title == "Training report"
        assert "Content Security Policy" in browser.complaints(chromium)[0]
        assert [one for one in browser.requests(chromium) if not one.startswith(("file:", "data:"))] == []
    finally:
        chromium.quit()
