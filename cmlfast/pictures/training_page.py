"""The training report as a page: the curves by plotly, which is in the file, and what was trained, where and how."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from cmlfast.pictures.panels import BEST, COLOURS, Panel, log_ticks, panels, span, told_of_best
from cmlfast.pictures.sealed import as_json, plotly_script, policy
from cmlfast.training.record import TrainingRecord, machine

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
STYLE = f"""
body {{ font: 15px/1.5 {FONT}; color: #222; background: #fff; margin: 2rem auto; max-width: 1080px; padding: 0 1rem }}
h1 {{ font-size: 1.6rem; margin: 0 0 1rem }}
h2 {{ font-size: 1.1rem; margin: 2rem 0 .5rem }}
.facts {{ display: flex; flex-wrap: wrap; gap: 1rem 2.5rem; margin: 0 0 1.5rem }}
.facts div {{ font-size: .85rem; color: #595959 }}
.facts b {{ display: block; font-size: 1.35rem; font-weight: 600; color: #222; font-variant-numeric: tabular-nums }}
.notes {{ border-left: 4px solid {COLOURS[1]}; background: #fdf3ec; padding: .5rem 1rem; margin: 1rem 0 }}
.notes p {{ margin: .2rem 0 }}
.curves {{ overflow-x: auto }}
.curves > div {{ min-width: 860px }}
.tables {{ display: grid; grid-template-columns: repeat(auto-fit, minmax(320px, 1fr)); gap: 0 3rem }}
table {{ border-collapse: collapse; font-size: .88rem; width: 100% }}
th, td {{ text-align: left; padding: .2rem .8rem .2rem 0; border-bottom: 1px solid #eee; vertical-align: top }}
td {{ font-variant-numeric: tabular-nums; overflow-wrap: anywhere }}
th {{ font-weight: 500; color: #595959 }}
thead th {{ font-weight: 600; color: #222 }}
"""
# Plotly.newPlot takes the figure as data: no script is made of what was trained.
SCRIPT = """
const { data, layout, config } = JSON.parse(document.getElementById("figure").textContent);
Plotly.newPlot("curves", data, layout, config);
"""


def page(record: TrainingRecord) -> str:
    """Return the page, whole in itself."""
    drawn = panels(record.history, record.measure)
    notes = "".join(f"<p>{escape(note)}</p>" for note in record.notes)
    settings = [(name, *values) for name, values in record.came_to.items()]
    plotly = plotly_script("report")
    parts = [
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>",
        f'<meta http-equiv="Content-Security-Policy" content="{policy(plotly, SCRIPT)}">',
        "<meta name='viewport' content='width=device-width, initial-scale=1'>",
        f"<title>Training report</title><style>{STYLE}</style></head><body><h1>Training report</h1>",
        "<div class='facts'>",
        *(f"<div><b>{escape(value)}</b>{escape(name)}</div>" for name, value in _facts(record)),
        "</div>",
        f"<div class='notes'>{notes}</div>" if notes else "",
        _drawing(drawn, plotly) if drawn else "<p>No epoch was finished, so that there is nothing to draw.</p>",
        "<div class='tables'><div><h2>Data</h2>",
        _table(record.data.items()),
        "<h2>Machine</h2>",
        _table(machine().items()),
        "</div><div><h2>Settings</h2>",
        _table(settings, ("", "given", "came to")),
        "</div></div></body></html>\n",
    ]
    return "\n".join(parts)


def curves(drawn: Sequence[Panel]) -> Any:
    """Return the panels as a figure of plotly, two in a row."""
    from plotly.subplots import make_subplots

    odd = len(drawn) % 2
    n_rows = max(1, (len(drawn) + 1) // 2)
    specs: list[list[dict[str, int] | None]] = [[{}, {}] for _ in range(n_rows)]
    if odd:
        specs[0] = [{"colspan": 2}, None]
    figure = make_subplots(
        n_rows, 2, specs=specs, subplot_titles=[_title(panel) for panel in drawn], horizontal_spacing=0.11,
        vertical_spacing=0.33 / n_rows,
    )  # fmt: skip
    epochs = span(drawn)
    for number, panel in enumerate(drawn):
        place = number + (odd if number else 0)
        _draw(figure, panel, epochs, {"row": place // 2 + 1, "col": place % 2 + 1})
    figure.update_annotations(font_size=15, xanchor="left")
    for note, panel_axis in zip(figure.layout.annotations, _left_ends(figure, len(drawn)), strict=True):
        note.x = panel_axis
    figure.update_layout(
        template="none", showlegend=False, height=60 + 275 * n_rows, font={"family": FONT, "size": 12, "color": "#444"},
        margin={"l": 70, "r": 20, "t": 50, "b": 50}, hovermode="closest",
    )  # fmt: skip
    return figure


def _draw(figure: Any, panel: Panel, epochs: tuple[float, float], where: dict[str, int]) -> None:
    """Draw a panel at its place."""
    from plotly.graph_objects import Scatter

    value = "%{y:.1%}" if panel.percent else "%{y:.4g}"
    for curve, colour, dash in zip(panel.curves, COLOURS, ("solid", "dash"), strict=False):
        line = {"color": colour, "width": 2, "dash": dash}
        mode = "lines+markers" if len(curve.values) < 30 else "lines"
        hover = f"epoch %{{x}}: {value}<extra>{curve.name}</extra>"
        points = {"x": curve.epochs, "y": curve.values, "name": curve.name}
        figure.add_trace(Scatter(**points, mode=mode, line=line, hovertemplate=hover), **where)
    if panel.best:
        best, marker = {"x": [panel.best[0]], "y": [panel.best[1]]}, {"color": BEST, "size": 11}
        figure.add_trace(Scatter(**best, mode="markers", marker=marker, hoverinfo="skip"), **where)
    axis: dict[str, Any] = {"title_text": panel.unit, "gridcolor": "#e6e6e6", "zeroline": False, "title_standoff": 6}
    if panel.percent:
        axis["tickformat"] = ".0%" if max(max(curve.values) for curve in panel.curves) > 0.05 else ".1%"
    if panel.log:
        ticks = log_ticks(panel)
        axis |= {"type": "log", "tickvals": ticks, "ticktext": [f"{one:g}" for one in ticks]}
    if panel.from_zero:
        axis["rangemode"] = "tozero"
    figure.update_yaxes(**axis, **where)
    shown: dict[str, Any] = {"range": epochs, "showgrid": False, "linecolor": "#999", "ticks": "outside"}
    if epochs[1] - epochs[0] < 10:
        shown["dtick"] = 1
    figure.update_xaxes(title_text="epoch", title_standoff=4, zeroline=False, showline=True, **shown, **where)


def _left_ends(figure: Any, n: int) -> Iterable[float]:
    """Yield where each panel begins, to put its title there."""
    for number in range(n):
        yield figure.layout[f"xaxis{number + 1 if number else ''}"].domain[0]


def _title(panel: Panel) -> str:
    """Return a panel's title, with the names of its curves in their colours where there are several."""
    names = (
        f"<span style='color:{colour}'>{mark} {curve.name}</span>"
        for curve, colour, mark in zip(panel.curves, COLOURS, ("━", "╍"), strict=False)
    )
    if panel.best:
        return f"<b>{panel.title}</b>  <span style='color:{BEST}'>● {told_of_best(panel.best)}</span>"
    return f"<b>{panel.title}</b>" + (f"  {'  '.join(names)}" if len(panel.curves) > 1 else "")


def _drawing(drawn: Sequence[Panel], plotly: str) -> str:
    """Return where the curves are drawn, the curves as data, and the scripts."""
    buttons = ["lasso2d", "select2d", "zoomIn2d", "zoomOut2d", "autoScale2d"]
    config = {"displaylogo": False, "responsive": True, "showSendToCloud": False, "modeBarButtonsToRemove": buttons}
    figure = as_json({**json.loads(curves(drawn).to_json()), "config": config})
    return (
        "<div class='curves'><div id='curves'></div></div>"
        f"<script type='application/json' id='figure'>{figure}</script>"
        f"<script>{plotly}</script><script>{SCRIPT}</script>"
    )


def _facts(record: TrainingRecord) -> list[tuple[str, str]]:
    """Return the numbers to begin with."""
    history = record.history
    seconds = sum(epoch["seconds"] for epoch in history)
    found = [("epochs", f"{len(history)}"), ("seconds of training", f"{seconds:,.1f}")]
    if not history:
        return found
    n_pairs = sum(epoch.get("pairs", 0) for epoch in history)
    if n_pairs and seconds:
        found.append(("pairs a second", f"{n_pairs / seconds:,.0f}"))
    found.append(("last loss", f"{history[-1]['loss']:.4g}"))
    best = [panel.best for panel in panels(history, record.measure) if panel.best]
    found += [(f"best {record.measure}, in epoch {epoch:g}", f"{value:.4f}") for epoch, value in best]
    return found


def _table(rows: Iterable[tuple[Any, ...]], head: Sequence[str] = ()) -> str:
    """Return a table whose first column names the rows."""
    top = f"<thead><tr>{''.join(f'<th>{escape(name)}</th>' for name in head)}</tr></thead>" if head else ""
    body = "".join(
        f"<tr><th>{escape(str(name))}</th>{''.join(f'<td>{escape(_text(value))}</td>' for value in values)}</tr>"
        for name, *values in rows
    )
    return f"<table>{top}<tbody>{body}</tbody></table>"


def _text(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
