"""The card of a report: what the index shows of a page, embedded in the page as JSON."""

import base64
import itertools
import json
import math
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from importlib import metadata
from typing import Any

import numpy as np
from nbformat import NotebookNode

from flatlib import __version__
from flatlib.display.markdown import first_paragraph, to_text
from flatlib.parameters import MIME as SETTINGS_MIME

PLOTLY_MIME = "application/vnd.plotly.v1+json"
PACKAGES = ("torch", "numpy", "scipy", "pandas", "scikit-learn", "plotly", "papermill")
MAX_POINTS = 2000  # of a thumbnail
ARRAYS = (  # keys of a trace, or of a part of it, that hold one entry a point
    "x",
    "y",
    "z",
    "r",
    "theta",
    "a",
    "b",
    "c",
    "lat",
    "lon",
    "values",
    "labels",
    "parents",
    "open",
    "high",
    "low",
    "close",
    "color",
    "size",
    "symbol",
    "opacity",
    "array",
    "arrayminus",
    "text",
)
HOVER = ("customdata", "hovertext", "hovertemplate", "hoverinfo", "ids", "colorbar")
DECORATION = ("title", "legend", "annotations", "sliders", "updatemenus", "width", "height")
BARE_AXIS = {"showticklabels": False, "ticks": "", "title": {"text": ""}, "automargin": False}
CARD = re.compile(r'<script[^>]*\bid="flatlib-card"[^>]*>(.*?)</script>', re.DOTALL)


@dataclass(frozen=True)
class Card:
    """A report in short; every text is plain and unescaped."""

    title: str
    summary: str
    settings: dict[str, Any]
    date: str  # of the run where it is known, else of the export
    versions: dict[str, str]
    figure: dict[str, Any] | None  # a thinned Plotly figure: data and layout
    source: str  # the notebook's file name


def make_card(notebook: NotebookNode, name: str) -> Card:
    """The card of an executed notebook, `name` its file name without the suffix."""
    text = next((cell.source for cell in notebook.cells if cell.cell_type == "markdown"), "")
    heading = title_line(text)
    settings: Any = next((data[SETTINGS_MIME] for _, data in _outputs(notebook) if SETTINGS_MIME in data), {})
    return Card(
        title=str(notebook.metadata.get("title") or (to_text(heading) if heading else "") or name),
        summary=first_paragraph(text),
        settings=dict(settings) if isinstance(settings, dict) else {},
        date=_date(notebook),
        versions=_versions(notebook),
        figure=_figure(notebook),
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

    >>> json_for_script({"title": "</script>", "y": [1.5, math.nan]})
    '{"title": "\\u003c/script>", "y": [1.5, null]}'
    """
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, default=str)
    except ValueError:
        text = json.dumps(_finite(value), ensure_ascii=False, default=str)
    return text.replace("<", "\\u003c")


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def card_json(card: Card) -> str:
    """A card as the text of its <script> element."""
    return json_for_script(asdict(card))


def title_line(markdown: str) -> str:
    """The heading `# ...` that a Markdown text starts with; '' without one."""
    found = re.match(r"\s*# +[^\n]*", markdown)
    return found[0].strip() if found else ""


def installed_versions() -> dict[str, str]:
    """Versions of flatlib and of what its numbers depend on, without importing any of it."""
    versions = {"flatlib": __version__}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def _versions(notebook: NotebookNode) -> dict[str, str]:
    """Python, and what run_and_export noted at the run; nothing is claimed for other notebooks."""
    python = notebook.metadata.get("language_info", {}).get("version")
    return ({"Python": str(python)} if python else {}) | dict(notebook.metadata.get("flatlib", {}).get("versions", {}))


def _date(notebook: NotebookNode) -> str:
    end = notebook.metadata.get("papermill", {}).get("end_time")
    return str(end)[:10] if end else f"{datetime.now():%Y-%m-%d}"


def _outputs(notebook: NotebookNode) -> Iterator[tuple[NotebookNode, dict[str, Any]]]:
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            yield cell, output.get("data", {})


# --- the picture ----------------------------------------------------------------------------------


def _figure(notebook: NotebookNode) -> dict[str, Any] | None:
    """The figure of the first cell tagged `thumbnail`, else the first one, as a thumbnail."""
    figures = [(cell, data[PLOTLY_MIME]) for cell, data in _outputs(notebook) if PLOTLY_MIME in data]
    tagged = [figure for cell, figure in figures if "thumbnail" in cell.metadata.get("tags", [])]
    chosen = tagged or [figure for _, figure in figures]
    return thumbnail(chosen[0]) if chosen else None


def thumbnail(figure: dict[str, Any]) -> dict[str, Any]:
    """A figure for a small still picture: at most MAX_POINTS points, no text, no WebGL scatter."""
    traces = figure.get("data", [])
    limit = max(MAX_POINTS // max(len(traces), 1), 50)
    data = [_thin(trace, _stride(trace, limit)) | {"showscale": False} for trace in traces]
    for trace in data:
        trace["type"] = {"scattergl": "scatter"}.get(trace.get("type", "scatter"), trace.get("type", "scatter"))
        if isinstance(trace.get("marker"), dict):
            trace["marker"]["showscale"] = False
    return {"data": data, "layout": _bare_layout(figure.get("layout", {}))}


def _bare_layout(layout: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in layout.items() if key not in DECORATION}
    for key in kept.keys() | {"xaxis", "yaxis", "scene"}:
        if key.startswith(("xaxis", "yaxis")):
            kept[key] = {**kept.get(key, {}), **BARE_AXIS}
        elif key.startswith("scene"):
            scene = kept.get(key, {})
            kept[key] = scene | {axis: {**scene.get(axis, {}), **BARE_AXIS} for axis in ("xaxis", "yaxis", "zaxis")}
        elif key.startswith("coloraxis"):
            kept[key] = {**kept[key], "showscale": False}
    return kept | {"showlegend": False, "margin": {"l": 0, "r": 0, "t": 0, "b": 0}, "autosize": True}


def _stride(trace: dict[str, Any], limit: int) -> int:
    """Every how many entries a trace keeps, along each axis."""
    arrays = [array for key in ARRAYS if _is_array(array := _decode(trace.get(key)))]
    shapes = [(len(array), len(array[0]) if np.ndim(array[0]) else 1) for array in arrays if len(array)]
    rows, columns = max(shapes, key=math.prod, default=(1, 1))
    if columns == 1:
        return math.ceil(rows / limit)
    return next(step for step in itertools.count(1) if math.ceil(rows / step) * math.ceil(columns / step) <= limit)


def _thin(node: dict[str, Any], step: int) -> dict[str, Any]:
    """A trace, or a part of one such as its marker, with every step-th entry of its arrays."""
    thinned = {}
    for key, value in node.items():
        array = _decode(value) if key in ARRAYS else value
        if key in HOVER:
            continue
        if key in ARRAYS and _is_array(array):
            thinned[key] = _encode(_every(array, step))
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            thinned[key] = [_thin(item, step) for item in value]
        else:
            thinned[key] = _thin(value, step) if isinstance(value, dict) else value
    return thinned


def _is_array(value: Any) -> bool:
    return isinstance(value, list | np.ndarray)


def _every(array: Any, step: int) -> Any:
    if isinstance(array, np.ndarray):
        return array[(slice(None, None, step),) * min(array.ndim, 2)]
    return [row[::step] if isinstance(row, list) else row for row in array[::step]]


def _decode(value: Any) -> Any:
    """Plotly's base64 arrays as NumPy's; anything else as it is."""
    if not isinstance(value, dict) or "bdata" not in value:
        return value
    array = np.frombuffer(base64.b64decode(value["bdata"]), dtype=value["dtype"])
    return array.reshape([int(n) for n in str(value["shape"]).split(",")]) if "shape" in value else array


def _encode(array: Any) -> Any:
    if not isinstance(array, np.ndarray):
        return array
    text = base64.b64encode(array.tobytes()).decode()
    return {"dtype": array.dtype.str[1:], "bdata": text, "shape": ", ".join(map(str, array.shape))}
