"""What a model is, in a few facts: for people, in a terminal, a notebook or `cmlfast info`."""

from __future__ import annotations

from html import escape
from typing import Any

from cmlfast.data.sides import KINDS
from cmlfast.training.fitted import Fitted

LEFT = "style='text-align:left'"


def summary(fitted: Fitted, params: dict[str, Any], index: str) -> dict[str, Any]:
    """Return facts by name, see :meth:`cmlfast.CML.summary`."""
    facts: dict[str, Any] = {
        "users": f"{fitted.known.n_users:,}",
        "items": f"{fitted.known.n_items:,}",
        "likes": f"{fitted.known.nnz:,}" if fitted.has_pairs else "not kept",
        "index": index,
        "epochs": len(fitted.history),
        "last loss": f"{fitted.history[-1]['loss']:.4f}",
        "seconds": f"{sum(record['seconds'] for record in fitted.history):.1f}",
    }
    facts |= {name: value for name, value in params.items() if not name.endswith("_network")}
    for kind in KINDS:
        tags = fitted.tag_ids[kind]
        if fitted.networks[kind] is not None:
            facts[f"{kind}_features"] = (
                "by position" if tags is None else f"{len(tags):,}, such as {tags.tolist()[0]!r}"
            )
    return facts | fitted.settings.found


def as_html(title: str, facts: dict[str, Any]) -> str:
    """Return a table of facts."""
    rows = "".join(
        f"<tr><th {LEFT}>{escape(str(name))}</th><td {LEFT}>{escape(str(value))}</td></tr>"
        for name, value in facts.items()
    )
    return f"<table><caption {LEFT}><code>{escape(title)}</code></caption>{rows}</table>"
