import base64
import re
from dataclasses import replace

import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from flatlib.display.explorer import Explorer, state
from flatlib.display.exporter import STATE_MIME, WIDGET_MIME, FlatlibExporter
from flatlib.spaces import all_archs, arch_to_string


@pytest.fixture(scope="module")
def walk(synthetic_experiment):
    return Explorer(synthetic_experiment)


def unpacked(text: str, dtype: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), dtype)


def test_numbers_are_those_of_the_experiment(walk, synthetic_experiment, plain_paper):
    """Sees rows in another order, one column under another's label, ranks from sharp to flat, a bloated page."""
    data = walk.data
    assert np.array_equal(all_archs()[unpacked(data["numbers"], "<u2")], synthetic_experiment.table.archs)
    assert np.array_equal(unpacked(data["f"], "<f4"), synthetic_experiment.f.astype(np.float32))
    assert [column for column, _ in data["tests"]] == list(synthetic_experiment.targets)
    for column, text in data["tests"]:
        assert np.array_equal(unpacked(text, "<f4"), synthetic_experiment.targets[column].astype(np.float32))
    cells = [arch_to_string(arch) for arch in synthetic_experiment.table.archs]
    paper = plain_paper(dict(zip(cells, synthetic_experiment.f, strict=True)), {})
    flatness = unpacked(data["flatness"], "<u2")
    variances = [paper.neighbor_variance(cells[row]) for row in np.argsort(flatness)]
    assert sorted(flatness) == list(range(1, 15626))
    assert np.all(np.diff(variances) >= -1e-9)
    assert sum(map(len, [data["f"], data["flatness"], data["numbers"], *dict(data["tests"]).values()])) < 500_000


def test_flatness_is_that_of_the_shown_neighbors(synthetic_experiment):
    """Sees a rank taken over d = 2 beside a grid of d = 1."""
    wide = replace(synthetic_experiment, neighbors=synthetic_experiment.table.neighbors(2))
    assert state(wide)["flatness"] == state(synthetic_experiment)["flatness"]


def test_it_starts_at_the_best_cell(synthetic_experiment, walk):
    """Sees another start than the best cell, or a browser's path cut off."""
    best = int(np.argmin(synthetic_experiment.f))
    assert (walk.cell, walk.path) == (best, [best])
    moved = Explorer(synthetic_experiment)
    moved.set_state({"path": [9, 12], "cell": 12})  # as a move in the browser arrives
    assert (moved.cell, moved.path) == (12, [9, 12])


# --- the exported page ----------------------------------------------------------------------------


def page_of(state: dict | None, *, widgets: object = None) -> str:
    view = {WIDGET_MIME: {"model_id": "m1", "version_major": 2}, "text/plain": "Explorer()"}
    cell = new_code_cell("walk", execution_count=1, outputs=[new_output("display_data", view)])
    notebook = new_notebook(cells=[new_markdown_cell("# A title"), cell])
    stored = {STATE_MIME: {"state": {"m1": {"model_name": "AnyModel", "state": state}}}}
    notebook.metadata["widgets"] = stored if state is not None else widgets
    if notebook.metadata["widgets"] is None:
        del notebook.metadata["widgets"]
    return FlatlibExporter().from_notebook_node(notebook)[0]


def test_the_page_holds_state_and_module(walk):
    """Sees the widget dropped from the page, its module twice, or a </script> inside that ends it."""
    page = page_of(walk.get_state())
    assert page.count('class="output explorer"') == 1 and page.count("export default { render };") == 1
    assert walk.data["f"] in page and "fx-plot" in page and "Explorer()" not in page
    assert "</script" not in walk._esm and "</style" not in walk._css
    assert not re.search(r"https?:|url\(|@import", (walk._esm + walk._css).replace("http://www.w3.org/2000/svg", ""))


def test_foreign_code_stays_out(walk):
    """Sees a notebook's own widget code, style sheet or markup run in the page."""
    state = walk.get_state()
    page = page_of(state | {"_esm": state["_esm"] + "\nalert('evil')", "_css": "evil"})
    assert "evil" not in page and "export default" not in page
    page = page_of(state | {"_css": "</style>evil-css", "data": state["data"] | {"setting": "</script><b>evil</b>"}})
    assert "evil-css" not in page and "<b>evil" not in page and "export default" in page


@pytest.mark.parametrize("widgets", [None, {"x": 1}, {STATE_MIME: {"state": {}}}])
def test_a_widget_without_state_shows_nothing(widgets):
    """Sees an export that fails or shows a repr where the state was not stored."""
    page = page_of(None, widgets=widgets)
    assert "A title" in page and "Explorer()" not in page and "export default" not in page
