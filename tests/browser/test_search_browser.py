"""What an exported search looks like in a browser: the slider over epochs, the cells as graphs. Offline, from disk."""

import json
import shutil

import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from synthetic_search import synthetic_trace

from flatlib.display.card import PLOTLY_MIME
from flatlib.display.cell import draw_cells
from flatlib.display.report import export
from flatlib.display.searches import plot_alphas_over_time
from flatlib.search.derive import derive
from flatlib.spaces import DARTS

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [pytest.mark.browser, pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")]
SHOWN = "[...document.querySelector('.js-plotly-plot').calcdata].map((map) => map[0].z.map((row) => [...row]))"


@pytest.fixture(scope="module")
def trace():
    return synthetic_trace(DARTS, epochs=5)


@pytest.fixture(scope="module")
def page(trace, tmp_path_factory):
    """The page of one search, with nothing complained about at the end."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    folder = tmp_path_factory.mktemp("reports")
    figure = {PLOTLY_MIME: json.loads(plot_alphas_over_time(trace, DARTS).to_json())}
    cell = {"text/html": draw_cells(derive(DARTS, trace.alphas[-1]), "found").data}
    outputs = [new_output("display_data", data) for data in (figure, cell)]
    cells = [new_markdown_cell("# A search"), new_code_cell("show()", execution_count=1, outputs=outputs)]
    export(new_notebook(cells=cells), folder / "search.ipynb", folder)
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_context(offline=True, viewport={"width": 1280, "height": 900}).new_page()
        complaints = []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.goto((folder / "search.html").as_uri())
        page.wait_for_selector(".slider-rail-touch-rect", state="attached")
        yield page
        browser.close()
    assert not complaints


def shown(page):
    """(T, E, O) the alphas on the page."""
    return np.array(page.evaluate(SHOWN))


def test_the_slider_shows_alpha_of_each_epoch(page, trace):
    """Sees a slider that does nothing without Python, or whose frames are another epoch's."""
    np.testing.assert_allclose(shown(page), trace.alphas[-1], atol=5e-5)
    page.locator(".slider-rail-touch-rect").scroll_into_view_if_needed()
    box = page.locator(".slider-rail-touch-rect").bounding_box()
    for epoch in (0, 3, 5):
        page.mouse.click(box["x"] + 8 + (box["width"] - 16) * epoch / 5, box["y"] + box["height"] / 2)
        page.wait_for_function(f"Math.abs(({SHOWN})[0][0][0] - {trace.alphas[epoch][0, 0, 0]}) < 1e-4")
        np.testing.assert_allclose(shown(page), trace.alphas[epoch], atol=5e-5)


@pytest.mark.parametrize("width", [1280, 420])
def test_cells_are_readable_and_stay_within_the_page(page, width):
    """Sees a graph that is cut off, unlabeled, or makes the page scroll sideways."""
    page.set_viewport_size({"width": width, "height": 900})
    graphs = page.locator("svg[role=img]")
    assert graphs.count() == 2
    for at in range(2):
        assert "cell" in graphs.nth(at).get_attribute("aria-label")
        assert graphs.nth(at).locator("text").count() >= 8 + 6  # operations and nodes
        assert graphs.nth(at).bounding_box()["height"] > 60
    assert page.evaluate("document.documentElement.scrollWidth") <= width
