"""Cards and the index: sees a page, table or figure that the index loses, swells by, or is broken by."""

import json

import numpy as np
import plotly.graph_objects as go
from made_notebooks import LINE, executed, figure_output, html_of, ran
from nbformat.v4 import new_notebook, new_output

from flatlib.display import report
from flatlib.display.card import SETTINGS_MIME, make_card, read_card, thumbnail
from flatlib.display.exporter import PLOTLY_JS
from flatlib.display.report import write_index


def test_the_card_survives_the_page():
    """Sees a card that the index cannot read back as it was made."""
    notebook = executed(
        ran("check()", new_output("display_data", {SETTINGS_MIME: {"table": "digits201", "lam": 1.0}})),
        ran("one()", figure_output(go.Figure(go.Bar(y=[1, 2])))),
        ran("two()", figure_output(LINE), tags=("thumbnail",)),
    )
    notebook.metadata["papermill"] = {"end_time": "2026-01-02T03:04:05"}
    card = make_card(notebook, "01_page")
    assert read_card(html_of(notebook)) == card
    assert (card.title, card.summary, card.date) == ("A title", "The first paragraph.", "2026-01-02")
    assert card.settings == {"table": "digits201", "lam": 1.0} and card.source == "01_page.ipynb"
    assert card.figure["data"][0]["type"] == "scatter"


def test_a_foreign_notebook_has_a_card():
    """Sees notebooks without text, settings or figures refused."""
    card = make_card(new_notebook(cells=[ran("1")]), "foreign")
    assert (card.title, card.summary, card.settings, card.figure) == ("foreign", "", {}, None)


def test_thumbnails_are_bare():
    """Sees a thumbnail with other points than its figure's, with texts, or one that swells the index."""
    x = np.arange(1000.0)
    figure = go.Figure(go.Scatter(x=x, y=2 * x, marker={"color": 3 * x, "colorscale": "Viridis"}, customdata=x))
    figure.add_heatmap(z=np.arange(1200.0).reshape(30, 40))
    figure.update_layout(title="title", width=700, xaxis_title="an axis")
    original = json.loads(figure.to_json())
    small = thumbnail(original)
    points, grid = small["data"]
    for own, drawn in zip(original["data"], (points, grid), strict=True):
        assert all(drawn[name] == own[name] for name in "xyz" if name in own)
    assert points["marker"]["color"] == original["data"][0]["marker"]["color"]
    assert "customdata" not in points and not grid["showscale"]
    assert "title" not in small["layout"] and "width" not in small["layout"]
    assert not small["layout"]["xaxis"]["visible"] and small["layout"]["showlegend"] is False
    assert original == json.loads(figure.to_json())
    large = go.Figure(go.Heatmap(z=np.random.default_rng(0).normal(size=(300, 300))))
    assert make_card(executed(ran("plot()", figure_output(large))), "large").figure is None


def test_the_index_lists_pages_and_tables(tmp_path):
    """Sees pages or tables missing from the index, and foreign or broken pages listed or fatal."""
    settings = new_output("display_data", {SETTINGS_MIME: {"d": 3, "reports_dir": "/somewhere"}})
    report.export(executed(ran("1", settings, figure_output(LINE))), tmp_path / "01_a b#.ipynb", tmp_path)
    (tmp_path / "foreign.html").write_text("<p>foreign</p>")
    (tmp_path / "broken.html").write_text('<script type="application/json" id="flatlib-card">{"title"</script>')
    (tmp_path / "other.html").write_text('<script type="application/json" id="flatlib-card">["x"]</script>')
    (tmp_path / "binary.html").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "tables" / "digits201").mkdir(parents=True)
    (tmp_path / "tables" / "digits201" / "table_1a.csv").write_text("row\n")
    index = write_index(tmp_path).read_text()
    assert index.count("<article>") == 1 and "A title" in index and "The first paragraph." in index
    assert index.count('href="01_a%20b%23.html"') == 2 and 'href="tables/digits201/table_1a.csv"' in index
    assert "d = <b>3</b>" in index and "/somewhere" not in index and (tmp_path / PLOTLY_JS).is_file()
    assert index == write_index(tmp_path).read_text()


def test_an_empty_index_says_what_to_do(tmp_path):
    """Sees a first call in an empty folder fail or show an empty page."""
    assert "flatlib report" in write_index(tmp_path / "new").read_text()
