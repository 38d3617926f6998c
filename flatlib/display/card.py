"""The card of a report: what the index shows of a page, embedded in the page as JSON."""

import json
import re
from dataclasses import dataclass
from datetime import datetime
from importlib import metadata
from typing import Any

import plotly.graph_objects as go
from bs4 import BeautifulSoup
from nbformat import NotebookNode
from plotly.utils import PlotlyJSONEncoder

from flatlib import __version__
from flatlib.display.markdown import to_html, to_text
from flatlib.settings import MIME as SETTINGS_MIME

PLOTLY_MIME = "application/vnd.plotly.v1+json"
PACKAGES = ("torch", "numpy", "scipy", "pandas", "scikit-learn", "plotly", "papermill")
LARGEST = 500_000  # letters of a thumbnail
UNSEEN = ("customdata", "hovertext", "hovertemplate")  # of a trace that no mouse touches
DECORATION = ("title", "legend", "annotations", "sliders", "updatemenus", "width", "height")
CARD = re.compile(r'<script[^>]*\bid="flatlib-card"[^>]*>(.*?)</script>', re.DOTALL)


@dataclass(frozen=True)
class Card:
    """A report in short; every text is plain and unescaped."""

    title: str
    summary: str
    settings: dict[str, Any]
    date: str  # of the run where it is known, else of the export
    versions: dict[str, str]
    figure: dict[str, Any] | None  # a bare Plotly figure: data and layout
    source: str  # the notebook's file name


def make_card(notebook: NotebookNode, name: str) -> Card:
    """The card of an executed notebook, `name` its file name without the suffix."""
    about = notebook.metadata
    text = next((cell.source for cell in notebook.cells if cell.cell_type == "markdown"), "")
    words = BeautifulSoup(to_html(text), "html.parser")
    outputs = [(cell, output.get("data", {})) for cell in notebook.cells for output in cell.get("outputs", [])]
    settings: Any = next((data[SETTINGS_MIME] for _, data in outputs if SETTINGS_MIME in data), {})
    figures = [(cell, data[PLOTLY_MIME]) for cell, data in outputs if PLOTLY_MIME in data]
    figures.sort(key=lambda pair: "thumbnail" not in pair[0].metadata.get("tags", []))  # such a cell's, else the first
    figure = thumbnail(figures[0][1]) if figures else None
    python = about.get("language_info", {}).get("version")
    return Card(
        title=about.get("title") or to_text(words.h1) or name,
        summary=about.get("summary") or next(filter(None, map(to_text, words.find_all("p"))), ""),
        settings=dict(settings),
        date=(about.get("papermill", {}).get("end_time") or f"{datetime.now():%Y-%m-%d}")[:10],
        versions=({"Python": python} if python else {}) | dict(about.get("flatlib", {}).get("versions", {})),
        figure=figure if len(json.dumps(figure)) <= LARGEST else None,
        source=f"{name}.ipynb",
    )


def read_card(page: str) -> Card | None:
    """The card embedded in a page; None where there is none or it is not one of ours."""
    found = CARD.search(page)
    try:
        card = Card(**json.loads(found[1])) if found else None
    except (ValueError, TypeError, RecursionError):
        return None
    if card and isinstance(card.settings, dict) and isinstance(card.versions, dict):
        return card
    return None


def json_for_script(value: Any) -> str:
    r"""JSON that may stand inside a <script> element; NaN, which JSON lacks, is null.

    >>> json_for_script({"title": "</script>", "y": [1.5, float("nan")]})
    '{"title": "\\u003c/script>", "y": [1.5, null]}'
    """
    return json.dumps(value, ensure_ascii=False, cls=PlotlyJSONEncoder).replace("<", "\\u003c")


def title_line(markdown: str) -> str:
    """The heading `# ...` that a Markdown text starts with; '' without one."""
    found = re.match(r"\s*# +[^\n]*", markdown)
    return found[0].strip() if found else ""


def installed_versions() -> dict[str, str]:
    """Versions of flatlib and of what its numbers depend on, without importing any of it."""
    return {"flatlib": __version__} | {name: metadata.version(name) for name in PACKAGES}


def thumbnail(figure: dict[str, Any]) -> dict[str, Any]:
    """A figure for a small still picture: the data without axes or text."""
    data = [{key: value for key, value in trace.items() if key not in UNSEEN} for trace in figure.get("data", [])]
    kept = {key: value for key, value in figure.get("layout", {}).items() if key not in DECORATION}
    small = go.Figure({"data": data, "layout": kept}, skip_invalid=True)
    small.update_xaxes(visible=False).update_yaxes(visible=False).update_coloraxes(showscale=False)
    small.update_scenes(xaxis_visible=False, yaxis_visible=False, zaxis_visible=False)
    small.update_traces(showscale=False, selector=lambda trace: "showscale" in trace)
    small.update_layout(showlegend=False, margin=dict.fromkeys("lrtb", 0), autosize=True)
    return json.loads(small.to_json())
