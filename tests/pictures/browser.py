"""A Chromium to look at pages with, as a person with a pointer or with a keyboard alone does."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

# Nothing but the page itself: no updates, no accounts, no graphics card.
OPTIONS = (
    "--headless=new", "--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--use-gl=angle", "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader", "--hide-scrollbars", "--force-color-profile=srgb",
)  # fmt: skip


def start(profile: Path, *more: str, size: tuple[int, int] = (1360, 860)) -> Any:
    """Start Chromium with an empty profile; skip where it is not, or its driver."""
    selenium = pytest.importorskip("selenium", reason="no selenium here")
    webdriver = pytest.importorskip("selenium.webdriver")
    assert selenium
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if not browser or not driver:
        pytest.skip("no chromium, or no chromedriver, here: Debian's packages are chromium and chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    width, height = size
    for option in (*OPTIONS, f"--user-data-dir={profile}", f"--window-size={width},{height}", *more):
        options.add_argument(option)
    options.add_argument("data:,")  # in place of a new tab, which loads much
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))


def requests(chromium: Any) -> list[str]:
    """Return the addresses of everything that pages have asked for since the last call."""
    messages = [json.loads(entry["message"])["message"] for entry in chromium.get_log("performance")]
    kinds = ("Network.requestWillBeSent", "Network.webSocketCreated", "Network.webTransportCreated")
    asked = [one["params"] for one in messages if one["method"] in kinds]
    # What Chromium's own pages ask for is left out, by whose it is.
    asked = [one for one in asked if not one.get("documentURL", "").startswith("chrome")]
    return [one.get("request", one)["url"] for one in asked]


def complaints(chromium: Any) -> list[str]:
    """Return the errors of the console."""
    return [entry["message"] for entry in chromium.get_log("browser") if entry["level"] == "SEVERE"]
