"""Executed notebooks made by hand, for tests of their pages."""

import json
from pathlib import Path

import nbformat
import plotly.graph_objects as go
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from flatlib.display.card import PLOTLY_MIME
from flatlib.display.exporter import FlatlibExporter

ROOT = Path(__file__).parents[1]
EVIL = "</script><script>alert(1)</script>"


def figure_output(figure: go.Figure) -> nbformat.NotebookNode:
    return new_output("display_data", {PLOTLY_MIME: json.loads(figure.to_json())})


def ran(source: str, *outputs: nbformat.NotebookNode, tags: tuple[str, ...] = ()) -> nbformat.NotebookNode:
    return new_code_cell(source, execution_count=1, outputs=list(outputs), metadata={"tags": list(tags)})


def executed(*cells: nbformat.NotebookNode, text: str = "# A title\n\nThe *first* paragraph.\n\nThe second."):
    return new_notebook(cells=[new_markdown_cell(text), *cells])


def html_of(notebook: nbformat.NotebookNode) -> str:
    return FlatlibExporter().from_notebook_node(notebook, {"metadata": {"name": "01_page"}})[0]


def save(notebook: nbformat.NotebookNode, path: Path) -> Path:
    nbformat.write(notebook, path)
    return path


LINE = go.Figure(go.Scatter(x=[0, 1, 2], y=[3, 1, 2], name="a line"))
