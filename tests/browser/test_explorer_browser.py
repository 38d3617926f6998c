"""The explorer in a real browser: exported, from disk with the network off, and live in JupyterLab."""

import base64
import re
import time
from pathlib import Path

import nbformat
import numpy as np
import pytest
from in_browser import CHROMIUM, chromium, jupyter_lab, offline_page, run_all
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from flatlib.display.explorer import module as source
from flatlib.display.report import run_and_export
from flatlib.tabular.experiment import open_experiment
from flatlib.tabular.table_file import save_table

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]
OPEN = """from pathlib import Path
from flatlib.display.explorer import Explorer
from flatlib.tabular.experiment import open_experiment
walk = Explorer(open_experiment({table!r}))
walk.observe(lambda change: Path("walked.txt").write_text(f"{{walk.cell}} {{walk.path}}"), ["cell", "path"])
walk"""
BUTTON = ".flatlib-explorer td button"


@pytest.fixture(scope="module")
def folder(tmp_path_factory, small_table):
    """A notebook with the explorer of a table in shuffled order, run and exported."""
    folder = tmp_path_factory.mktemp("walk")
    table = folder / "table.npz"
    save_table(small_table, table)
    cells = [new_markdown_cell("# Walk"), new_code_cell(OPEN.format(table=str(table)))]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(new_notebook(cells=cells, metadata={"kernelspec": kernel}), folder / "walk.ipynb")
    run_and_export([folder / "walk.ipynb"], folder / "reports")
    return folder


@pytest.fixture(scope="module")
def experiment(folder):
    return open_experiment(folder / "table.npz")


@pytest.fixture(scope="module")
def browser():
    with chromium() as started:
        yield started


@pytest.fixture
def page(browser, folder):
    with offline_page(browser, folder / "reports" / "walk.html") as page:
        page.locator(BUTTON).first.wait_for()
        yield page


def cell_of(page) -> int:
    return int(page.locator(".flatlib-explorer h3", has_text=re.compile(r"^Cell \d+$")).inner_text().split()[1])


def path_of(page) -> list[int]:
    return [int(re.search(r"cell (\d+)", item.inner_text())[1]) for item in page.locator(".flatlib-explorer li").all()]


def changed(experiment, row: int, edge: int, op: int) -> int:
    """The row of a cell with another operation on one edge."""
    arch = experiment.table.archs[row].copy()
    arch[edge] = op
    return experiment.table.row(arch)


def test_the_module_computes_the_tables_neighborhoods(page, experiment, folder):
    """Sees neighbors, means, deviations or strings in JavaScript that differ from Python's, the table's order lost."""
    from flatlib.display.explorer import Explorer
    from flatlib.spaces import arch_to_string

    module = base64.b64encode(source("explorer").encode()).decode()
    found = page.evaluate(
        """async ([module, data]) => {
          const { readTable, describe, cellString, findCell } = await import(`data:text/javascript;base64,${module}`);
          const table = readTable(data);
          const rows = Array.from(table.f.keys());
          const names = rows.map((row) => cellString(table, row));
          return { around: rows.map((row) => describe(table, row)), names, back: names.map((n) => findCell(table, n)),
            none: ["", "15625", "x", names[0] + "|", "|none~0|"].map((text) => findCell(table, text)) };
        }""",
        [module, Explorer(experiment).data],
    )
    neighbors = np.sort(experiment.neighbors, axis=1)
    grids = np.array([around["grid"] for around in found["around"]]).reshape(len(neighbors), 30)
    assert all(set(grid) == set(row) for grid, row in zip(grids.tolist(), neighbors.tolist(), strict=True))
    archs = experiment.table.archs
    for row in (0, 4711, 15624):
        expected = [[changed(experiment, row, edge, op) for op in range(5)] for edge in range(6)]
        assert found["around"][row]["grid"] == expected
    np.testing.assert_allclose([a["mean"] for a in found["around"]], experiment.score("Ours - mean"), atol=1e-4)
    np.testing.assert_allclose([a["std"] for a in found["around"]], experiment.spread, atol=1e-4)
    assert found["names"] == [arch_to_string(arch) for arch in archs]
    assert found["back"] == list(range(len(archs))) and found["none"] == [-1] * 5


def test_a_walk_from_disk(page, experiment):
    """Sees an exported explorer that cannot choose, move, go back, or shows another cell's numbers."""
    assert cell_of(page) == int(np.argmin(experiment.f))
    start = int(experiment.best(experiment.f, 7)[6])
    page.get_by_label("Best cells by f").select_option(str(start))
    assert (cell_of(page), path_of(page)) == (start, [start])
    op = int(experiment.table.archs[start, 4] + 1) % 5
    second = changed(experiment, start, 4, op)
    page.locator(BUTTON).nth(4 * 5 + op).click()
    assert (cell_of(page), path_of(page)) == (second, [start, second])
    facts = page.locator(".flatlib-explorer dd").all_inner_texts()
    mean, std = experiment.score("Ours - mean")[second], experiment.spread[second]
    tests = [f"{errors[second]:.2f} %" for errors in experiment.targets.values()]
    assert facts[1] == f"{mean:.2f} \u00b1 {std:.2f} %" and facts[3:] == tests
    shown = [float(text) for text in page.locator(BUTTON).all_inner_texts()]
    grid = [changed(experiment, second, edge, op) for edge in range(6) for op in range(5)]
    np.testing.assert_allclose(shown, experiment.f[grid], atol=0.051)
    own = page.locator(f"{BUTTON}[aria-current]").evaluate_all("all => all.map((one) => one.ariaLabel)")
    assert len(own) == 6 and all("this cell" in label for label in own)
    assert page.locator(".fx-neighbor").count() == 24 and page.locator(".fx-step").count() == 2
    page.locator(BUTTON).nth(2 if experiment.table.archs[second, 0] != 2 else 3).click()
    assert len(path_of(page)) == 3
    page.get_by_role("button", name="Back").click()
    assert path_of(page) == [start, second]
    page.get_by_role("button", name="Reset").click()
    assert (cell_of(page), path_of(page)) == (start, [start])


def test_a_cell_is_chosen_by_text_and_in_the_scatter(page, experiment):
    """Sees a mistake in the text box that goes unsaid, or a click that lands on another cell than it shows."""
    page.get_by_label("Cell", exact=True).fill("20000")
    page.keyboard.press("Enter")
    assert "0 to 15624" in page.locator("[role=alert]").inner_text()
    page.get_by_label("Cell", exact=True).fill("4711")
    page.keyboard.press("Enter")
    assert path_of(page) == [4711] and not page.locator("[role=alert]").inner_text()
    box = page.locator(".fx-plot").bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.4, box["y"] + box["height"] * 0.6)
    said = page.get_by_text(re.compile(r"^Cell \d+: f ")).inner_text()
    page.mouse.down()
    page.mouse.up()
    row = cell_of(page)
    assert said.startswith(f"Cell {row}: f {experiment.f[row]:.2f} %") and path_of(page) == [row]


def test_a_walk_by_keyboard(page, experiment):
    """Sees a grid that Tab does not reach, arrows that scroll the page, Enter that does nothing, focus unseen."""
    page.get_by_label("Cell", exact=True).fill("100")
    page.keyboard.press("Enter")
    page.get_by_label("test error on the vertical axis").focus()
    page.keyboard.press("Tab")
    for key in ("End", "Home", "ArrowDown", "ArrowDown", "ArrowRight", "ArrowRight", "ArrowUp", "ArrowLeft"):
        page.keyboard.press(key)
    focus = page.evaluate("[document.activeElement.ariaLabel, getComputedStyle(document.activeElement).outlineStyle]")
    assert focus[0].startswith("edge 0\u21922, skip") and focus[1] == "solid"
    assert page.locator(".fx-lit").get_attribute("data-edge") == "1"
    op = 1 if experiment.table.archs[100, 1] != 1 else 2
    page.keyboard.press("ArrowRight" if op == 2 else "Shift")
    page.keyboard.press("Enter")
    assert path_of(page) == [100, changed(experiment, 100, 1, op)]
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # Back
    assert path_of(page) == [100]


@pytest.mark.parametrize("width", [1280, 420])
def test_it_fits_the_window(page, width):
    """Sees a grid or a graph wider than the page."""
    page.set_viewport_size({"width": width, "height": 900})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    inside = page.locator(BUTTON).evaluate_all("all => all.every((one) => one.scrollWidth <= one.clientWidth)")
    assert inside


# --- live -----------------------------------------------------------------------------------------


@pytest.fixture
def lab(folder, tmp_path):
    with jupyter_lab(folder, tmp_path, "walk.ipynb") as address:
        yield address


def test_live_in_jupyterlab(browser, lab, folder, experiment):
    """Sees a widget that JupyterLab does not draw, whose moves Python does not hear, or whose keys Jupyter takes."""
    page = browser.new_page(viewport={"width": 1280, "height": 1400})
    run_all(page, lab)
    page.locator(BUTTON).first.wait_for(timeout=60_000)
    start = cell_of(page)
    op = next(op for op in range(5) if op not in experiment.table.archs[start, 4:])
    second = changed(experiment, start, 5, op)
    page.locator(BUTTON).nth(25 + op).click()
    assert heard(folder, f"{second} [{start}, {second}]") and path_of(page) == [start, second]
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    third = changed(experiment, second, 4, op)
    assert heard(folder, f"{third} [{start}, {second}, {third}]") and cell_of(page) == third
    page.close()


def heard(folder: Path, text: str) -> bool:
    """Whether the kernel notes the walk within ten seconds."""
    for _ in range(100):
        if (folder / "walked.txt").exists() and (folder / "walked.txt").read_text() == text:
            return True
        time.sleep(0.1)
    return False
