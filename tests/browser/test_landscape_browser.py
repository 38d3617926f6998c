"""The landscape's explorer in a real browser: exported, from disk with the network off, and live in JupyterLab."""

import base64
import re
from dataclasses import replace
from pathlib import Path

import nbformat
import numpy as np
import pytest
from in_browser import CHROMIUM, ROOT, chromium, jupyter_lab, offline_page, run_all
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from synthetic_landscape import synthetic_landscape

from flatlib.display.explorer import module as source
from flatlib.display.landscape_explorer import state
from flatlib.display.report import run_and_export
from flatlib.landscape.plane import step_on_plane
from flatlib.search.derive import derive, one_hot_alphas
from flatlib.spaces import SPACES

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]
OPEN = """import sys
sys.path.insert(0, {tests!r})
from synthetic_landscape import synthetic_landscape
from flatlib.display.landscape_explorer import LandscapeExplorer
from flatlib.spaces import SPACES
made = [synthetic_landscape(SPACES["darts"], 3, method=method) for method in ("darts", "na-darts")]
LandscapeExplorer(made, {evaluate})"""
SLOW = """lambda run, alphas, calls=__import__("itertools").count(1), sleep=__import__("time").sleep: (
    7 + 0.01 * run + (sleep(1.5) or 0), float(next(calls)))"""
SLIDER = ".flatlib-landscape [type=range]"
SAID = re.compile(r"lambda 0 (\S+), lambda 1 (\S+): loss (\S+) \((.+)\)")


def made(method: str):
    return synthetic_landscape(SPACES["darts"], 3, method=method)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The explorer as walk.html; live.ipynb evaluates a point slowly as 7 + 0.01 * run, and counts in percent."""
    folder = tmp_path_factory.mktemp("walk")
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    for name, evaluate in {"walk": "None", "live": SLOW}.items():
        code = OPEN.format(tests=str(ROOT / "tests"), evaluate=evaluate)
        cells = [new_markdown_cell("# Walk"), new_code_cell(code)]
        nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": kernel}), folder / f"{name}.ipynb")
    run_and_export([folder / "walk.ipynb"], folder / "reports")
    return folder


@pytest.fixture(scope="module")
def browser():
    with chromium() as started:
        yield started


@pytest.fixture
def page(browser, folder):
    with offline_page(browser, folder / "reports" / "walk.html") as page:
        page.locator(SLIDER).first.wait_for()
        yield page


def said(page) -> tuple[float, float, float, str]:
    """lambda0, lambda1, the loss shown, and where it comes from."""
    l0, l1, loss, how = SAID.match(page.locator(".fx-said").inner_text()).groups()
    return float(l0), float(l1), float(loss), how


def on_grid(landscape, l0: float, l1: float) -> float:
    plane = landscape.plane
    i, j = (int(np.abs(plane.lambdas - value).argmin()) for value in (l1, l0))
    return plane.losses[i, j]


@pytest.mark.parametrize(("space", "method"), [("darts", "darts"), ("s3", "pc-darts"), ("nas-bench-201", "darts")])
def test_the_module_steps_and_derives_as_python_does(page, space, method):
    """Sees another clipping, another renormalization or another cell in JavaScript than in Python."""
    module = base64.b64encode(source("landscape_explorer").encode()).decode()
    one = synthetic_landscape(SPACES[space], 1, method=method)
    points = np.random.default_rng(0).uniform(-1, 1, (20, 2)).tolist()
    found = page.evaluate(
        """async ([module, data, points, m]) => {
          const { readRuns, stepOnPlane, derive } = await import(`data:text/javascript;base64,${module}`);
          const [run] = readRuns(data);
          return points.map((at) => {
            const there = stepOnPlane(run, at, m);
            return { ...there, alphas: Array.from(there.alphas), cells: derive(data, there.alphas, run.edge_weights) };
          });
        }""",
        [module, state([one]), points, len(SPACES[space].operations)],
    )
    alphas, clipped, kept = step_on_plane(one.plane.alphas, one.plane.directions, np.array(points))
    np.testing.assert_allclose([there["alphas"] for there in found], alphas.reshape(20, -1), atol=1e-6)
    np.testing.assert_allclose([there["clipped"] for there in found], clipped, atol=1e-6)
    edges = np.prod(one.plane.alphas.shape[:2])
    np.testing.assert_allclose([there["kept"] for there in found], kept * edges, atol=1e-6)
    for there, own in zip(found, alphas, strict=True):
        chosen = one_hot_alphas(SPACES[space], derive(SPACES[space], own, one.edge_weights)).argmax(-1)
        none = SPACES[space].operations.index("none")
        np.testing.assert_array_equal(np.where(np.array(there["cells"]) < 0, none, there["cells"]), chosen)


def test_what_is_not_moved_stays(page):
    """Sees alpha renormalized where nothing moves, as Python does not, or steps that are rounded to float32."""
    module = base64.b64encode(source("landscape_explorer").encode()).decode()
    alphas, exact = page.evaluate(
        """async (module) => {
          const { stepOnPlane } = await import(`data:text/javascript;base64,${module}`);
          const directions = Float32Array.of(0, 0, 0.25, 0, 0, 0, 0, 0);
          const run = { alphas: Float32Array.of(0.1, 0.2, 0.5, 0.5), directions };
          const own = Array.from(run.alphas).slice(0, 2);
          return [Array.from(stepOnPlane(run, [1e-9, 0], 2).alphas), own];
        }""",
        module,
    )
    assert alphas[:2] == exact
    assert alphas[2] == pytest.approx((0.5 + 0.25e-9) / (1 + 0.25e-9), abs=1e-13) and alphas[2] > 0.5


@pytest.mark.parametrize("reach", [1, 0.3, 0.7])
def test_the_maps_labels_are_short_and_inside(page, reach):
    """Sees ticks with float32's digits, and labels of levels that hang over the border."""
    own = made("darts")
    data = state([replace(own, plane=replace(own.plane, lambdas=reach * own.plane.lambdas))])
    module = base64.b64encode(source("landscape_explorer").encode()).decode()
    labels, levels, box = page.evaluate(
        """async ([module, data]) => {
          const { default: { render } } = await import(`data:text/javascript;base64,${module}`);
          const state = { data, run: 0, at: [0, 0], answer: {} };
          const el = document.body.appendChild(document.createElement("div"));
          render({ model: { get: (name) => state[name], on() {}, off() {} }, el });
          const rect = (one) => {
            const { left, right, top, bottom } = one.getBoundingClientRect();
            return [left, right, top, bottom];
          };
          const texts = [...el.querySelectorAll(".lx-map text")], frame = el.querySelector(".lx-map image");
          const levels = texts.filter((one) => one.getAttribute("fill") === "#000");
          return [texts.map((one) => one.textContent), levels.map(rect), rect(frame)];
        }""",
        [module, data],
    )
    ticks = [text for text in labels if re.fullmatch(r"-?[\d.]+", text)]
    assert len(ticks) > 20 and max(map(len, ticks)) <= 5
    assert f"{reach}" in ticks and f"{-reach / 2:g}" in ticks
    left, right, top, bottom = box
    assert len(levels) > 5
    assert all(left <= a and b <= right and top <= c and d <= bottom for a, b, c, d in levels)


def test_both_sliders_show_the_grids_loss(page):
    """Sees a slider that moves nothing, the axes exchanged, or a number that is not the grid's."""
    assert said(page) == (0, 0, pytest.approx(0.3, abs=1e-4), "grid")
    for slider, key, times in ((0, "ArrowRight", 5), (1, "ArrowLeft", 8), (0, "End", 1)):
        page.locator(SLIDER).nth(slider).focus()
        for _ in range(times):
            page.keyboard.press(key)
        l0, l1, loss, how = said(page)
        assert how == "grid" and loss == pytest.approx(on_grid(made("darts"), l0, l1), abs=1e-4)
    assert (l0, l1) == (1, -0.4)
    assert "edge" in page.locator(".fx-note").first.inner_text()
    page.locator(".flatlib-landscape select").select_option("1")
    assert said(page)[2] == pytest.approx(on_grid(made("na-darts"), l0, l1), abs=1e-4)
    page.get_by_role("button", name="To (0, 0)").click()
    assert said(page)[:2] == (0, 0)
    assert page.get_by_text("No edge changed against (0, 0).").is_visible()


def test_the_point_is_dragged(page):
    """Sees a point that does not follow, lands mirrored, or passes an interpolated loss off as the grid's."""
    box = page.locator(".lx-map").bounding_box()
    scale = box["width"] / (50 + 300 + 74)

    def place(l0, l1):
        return box["x"] + scale * (50 + 150 * (1 + l0)), box["y"] + scale * (26 + 150 * (1 - l1))

    page.mouse.move(*place(0, 0))
    page.mouse.down()
    page.mouse.move(*place(0.5, -0.25), steps=5)
    assert said(page)[:2] == (0.5, -0.25) and said(page)[3] == "grid"
    page.mouse.move(*place(0.525, -0.25))
    page.mouse.up()
    l0, l1, loss, how = said(page)
    assert how == "interpolated" and 0.5 < l0 < 0.55 and l1 == -0.25
    ends = on_grid(made("darts"), 0.5, -0.25), on_grid(made("darts"), 0.55, -0.25)
    assert min(ends) < loss < max(ends)


def test_the_map_is_saved(page):
    """Sees a button without a file, or a file without the map."""
    for label, start in (("Save SVG", b"<svg"), ("Save PNG", b"\x89PNG")):
        with page.expect_download() as download:
            page.get_by_role("button", name=label).click()
        assert download.value.suggested_filename == f"landscape-darts-seed-3.{label[-3:].lower()}"
        content = Path(download.value.path()).read_bytes()
        assert content.startswith(start) and len(content) > 5000


@pytest.mark.parametrize("width", [1280, 420])
def test_it_fits_the_window(page, width):
    """Sees a map or a heat map wider than the page."""
    page.set_viewport_size({"width": width, "height": 900})
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_it_answers_at_once(page):
    """Sees a slider that waits for something: the numbers are there when the event returns."""
    shown = page.evaluate(
        """() => {
          const slider = document.querySelector(".flatlib-landscape [type=range]");
          slider.value = -0.3;
          slider.dispatchEvent(new Event("input"));
          return document.querySelector(".fx-said").textContent;
        }"""
    )
    assert shown.startswith("lambda 0 -0.300, lambda 1 0.000")


def test_live_in_jupyterlab(browser, folder, tmp_path):
    """Sees a widget that is not drawn, keys that Jupyter takes, another search's answer, or points in a queue.

    Ten moves while Python is busy with the first are two or three evaluations.
    """
    with jupyter_lab(folder, tmp_path, "live.ipynb") as address:
        page = browser.new_page(viewport={"width": 1280, "height": 1400})
        run_all(page, address)
        page.locator(SLIDER).first.wait_for(timeout=60_000)
        page.locator(SLIDER).first.focus()
        for _ in range(10):
            page.keyboard.press("ArrowRight")
            page.wait_for_timeout(200)  # longer than the module waits before it asks
        assert said(page)[0] == 0.5  # the grid's numbers go ahead
        page.get_by_text("7.0000 nats (evaluated live)").wait_for(timeout=20_000)
        assert said(page) == (0.5, 0, 7, "evaluated live")
        assert 2 <= float(page.locator(".flatlib-landscape dd").nth(2).inner_text().split()[0]) <= 4
        page.locator(SLIDER).nth(1).focus()
        page.keyboard.press("ArrowRight")
        page.get_by_text("7.0000 nats (evaluated live)").wait_for(timeout=20_000)
        assert said(page) == (0.5, 0.05, 7, "evaluated live")
        page.locator(".flatlib-landscape select").select_option("1")
        page.get_by_text("7.0100 nats (evaluated live)").wait_for(timeout=20_000)
        page.close()
