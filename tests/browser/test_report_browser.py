import json
import shutil

import nbformat
import plotly.graph_objects as go
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from flatlib.display.card import PLOTLY_MIME, SETTINGS_MIME
from flatlib.display.report import export, write_index

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]
TEXT = r"""# Flat minima

Judged by the neighborhood, $g(f(\mathcal{N}(\alpha)))$.

$$\alpha^* = \arg\min_{\alpha \in \mathcal{A}} g(f(\mathcal{N}(\alpha)))$$
"""
DRAWN = "document.querySelectorAll('.js-plotly-plot svg.main-svg').length > 0"


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    """A reports folder with one page of figures, formulas and code, and the index."""
    folder = tmp_path_factory.mktemp("reports")
    lines = go.Figure([go.Scatter(x=[0, 1, 2], y=[3, 1, 2], name=name, mode="lines+markers") for name in "ab"])
    outputs = [_display({PLOTLY_MIME: json.loads(figure.to_json())}) for figure in (lines, go.Figure(go.Bar(y=[1, 2])))]
    wide = "<table><tr>" + "".join(f"<td>a wide column {i}</td>" for i in range(40)) + "</tr></table>"
    cells = [
        new_markdown_cell(TEXT),
        new_code_cell("check()", execution_count=1, outputs=[_display({SETTINGS_MIME: {"d": 1, "x": "<script>"}})]),
        new_code_cell("plot()", execution_count=2, outputs=outputs),
        new_code_cell("table()", execution_count=3, outputs=[_display({"text/html": wide})]),
    ]
    export(new_notebook(cells=cells), folder / "01_page.ipynb", folder)
    write_index(folder)
    return folder


def _display(data: dict) -> nbformat.NotebookNode:
    return new_output("display_data", data)


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser):
    """An offline page; at the end, no request failed or left the disk and nothing was complained about."""
    context = browser.new_context(offline=True, viewport={"width": 1280, "height": 900})
    page = context.new_page()
    requests, complaints = [], []
    page.on("request", lambda request: requests.append(request.url))
    page.on("requestfailed", lambda request: complaints.append(request.url))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    yield page
    context.close()
    assert not complaints and requests
    assert all(url.startswith(("file:", "data:", "blob:")) for url in requests)


def test_figures_are_alive(page, reports):
    """Sees figures that stay empty offline, or that are pictures only: no hover, no legend."""
    page.goto((reports / "01_page.html").as_uri())
    page.wait_for_function(DRAWN)
    figure = page.locator(".js-plotly-plot").first
    assert page.locator(".js-plotly-plot").count() == 2
    point = figure.locator(".scatterlayer .point").first.bounding_box()
    page.mouse.move(point["x"] + point["width"] / 2, point["y"] + point["height"] / 2)
    figure.locator(".hoverlayer .hovertext").first.wait_for()
    assert figure.locator(".scatterlayer .trace").count() == 2
    figure.locator(".legendtoggle").first.click()
    page.wait_for_function("document.querySelector('.js-plotly-plot').data[0].visible === 'legendonly'")


@pytest.mark.parametrize(("title", "start"), [("Download as SVG", b"<svg"), ("Download plot as a PNG", b"\x89PNG")])
def test_a_figure_can_be_saved(page, reports, title, start):
    """Sees a button that is missing, or saves another format than it says."""
    page.goto((reports / "01_page.html").as_uri())
    page.wait_for_function(DRAWN)
    figure = page.locator(".js-plotly-plot").first
    figure.hover()
    with page.expect_download() as download:
        figure.locator(f".modebar-btn[data-title^='{title}']").click()
    assert download.value.path().read_bytes().startswith(start)


def test_formulas_are_seen(page, reports):
    """Sees MathML that the browser lays out as nothing."""
    page.goto((reports / "01_page.html").as_uri())
    boxes = [math.bounding_box() for math in page.locator("math").all()]
    assert len(boxes) == 2 and all(box["width"] > 50 and box["height"] > 10 for box in boxes)
    below = page.locator("munder").bounding_box()
    assert below["height"] > page.locator("munder mo").first.bounding_box()["height"] * 1.3


def test_code_unfolds(page, reports):
    """Sees code open at first, a fold that does not open, or a button that opens one cell only."""
    page.goto((reports / "01_page.html").as_uri())
    code = page.locator("details.code pre")
    assert code.count() == 3 and not code.first.is_visible()
    page.locator("details.code summary").first.click()
    assert code.first.is_visible() and not code.nth(1).is_visible()
    button = page.locator("#all-code")
    button.click()
    assert all(fold.is_visible() for fold in code.all())
    button.click()
    assert not any(fold.is_visible() for fold in code.all())


@pytest.mark.parametrize("width", [1280, 420])
def test_pages_fit_the_window(page, reports, width):
    """Sees a page that scrolls sideways, or a figure that keeps its width when the window narrows."""
    page.goto((reports / "01_page.html").as_uri())
    page.wait_for_function(DRAWN)
    page.set_viewport_size({"width": width, "height": 900})
    page.wait_for_function("document.querySelector('svg.main-svg').getBoundingClientRect().width <= innerWidth")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.goto((reports / "index.html").as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_index_leads_to_the_page_and_back(page, reports):
    """Sees cards without their picture, and links that lead nowhere."""
    page.goto((reports / "index.html").as_uri())
    page.wait_for_function(DRAWN)
    picture = page.locator(".still svg.main-svg").first.bounding_box()
    assert picture["width"] > 200 and picture["height"] > 100
    page.get_by_role("link", name="Flat minima").click()
    page.wait_for_function("document.title === 'Flat minima'")
    page.get_by_role("link", name="All reports").click()
    page.wait_for_function("document.title === 'flatlib reports'")


def test_a_missing_asset_is_said(browser, reports, tmp_path):
    """Sees a page sent alone, without assets/, show empty boxes without a word."""
    shutil.copy(reports / "01_page.html", tmp_path)
    page = browser.new_page()
    page.goto((tmp_path / "01_page.html").as_uri())
    assert "needs assets/plotly.min.js" in page.locator(".figure").first.inner_text()
    assert page.locator("#all-code").is_visible()
    page.close()
