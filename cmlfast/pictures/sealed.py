"""What pages have in common: plotly.js, data that cannot become HTML, and a policy by which nothing else runs."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

from cmlfast.pictures.needed import library


def plotly_script(extra: str) -> str:
    """Return plotly.js as it stands in a page."""
    script: str = library("plotly.offline", extra).get_plotlyjs().replace("\r\n", "\n")
    return script


def policy(*scripts: str, more: str = "") -> str:
    """Return a page's Content-Security-Policy: only these scripts may run, by their digests, and nothing is asked for.

    Parameters
    ----------
    *scripts : str
        Each as it stands in the page.
    more : str
        What scripts may besides.
    """
    allowed = " ".join([*map(digest, scripts), more]).strip() or "'none'"
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:; base-uri 'none'; "
        "form-action 'none'"
    )


def digest(script: str) -> str:
    """Return a script's digest, as policies have it."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def as_json(content: Any) -> str:
    """Return JSON that may stand in HTML, whatever the strings in it: none of them ends a script or begins a tag."""
    text = json.dumps(content, separators=(",", ":"))  # ASCII alone
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
