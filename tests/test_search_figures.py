"""Sees a search drawn with other numbers than its trace holds, or at other epochs."""

import json
import math
from dataclasses import replace

import nbformat
import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from synthetic_search import synthetic_trace

from flatlib.display import search_figures as search
from flatlib.display.card import PLOTLY_MIME
from flatlib.display.cell import draw_cells
from flatlib.search.config import SearchConfig
from flatlib.search.derive import one_hot_alphas
from flatlib.search.runs import SearchTrace
from flatlib.spaces import DARTS, NAS_BENCH_201, Genotype

SPACES = pytest.mark.parametrize("space", [DARTS, NAS_BENCH_201], ids=lambda space: space.name)
CELL = (("skip_connect", 0), ("sep_conv_3x3", 1)) * 3 + (("max_pool_3x3", 0), ("skip_connect", 4))
FOUND = Genotype(CELL, (2, 3, 4, 5), (("max_pool_3x3", 0), ("max_pool_3x3", 1)) * 4, (2, 3, 4, 5))
AXES = {1: ("y3", "y2", "y"), 3: ("y", "y2", "y3")}  # columns -> of losses, accuracy, entropy


# --- losses, accuracy, entropy --------------------------------------------------------------------


def test_progress():
    """Sees a loss under another's name or run, entropies one epoch off, or g drawn over f where it is f."""
    traces = {"one": synthetic_trace(DARTS), "two": synthetic_trace(DARTS, 4, 1, aware=False)}
    curves = {key: rows for key, rows in search.progress(traces).groupby(["run", "panel", "quantity"])}
    expected = {(run, *place): (run, column) for run in traces for column, place in search.CURVES.items()}
    del expected["two", search.LOSS, "g(f(N(α)))"]
    assert curves.keys() == expected.keys()
    for key, (run, column) in expected.items():
        assert curves[key].value.tolist() == [getattr(epoch, column) for epoch in traces[run].epochs]
        assert curves[key].epoch.tolist() == list(range(1, len(traces[run].epochs) + 1))


@pytest.mark.parametrize("columns", [1, 3])
def test_plot_progress(columns):
    """Sees two runs in one color, a curve in another panel or dash, or the uniform entropy of another m."""
    traces = {"one": synthetic_trace(DARTS), "two": synthetic_trace(DARTS, 4, 1, aware=False)}
    figure = search.plot_progress(traces, columns=columns)
    titles = {note.text for note in figure.layout.annotations}
    assert titles == {search.LOSS, search.ACCURACY, search.ENTROPY, "uniform: log 8"}
    drawn = {(line.name, line.yaxis, line.line.dash, *line.x, *line.y) for line in figure.data}
    axes = dict(zip((search.LOSS, search.ACCURACY, search.ENTROPY), AXES[columns], strict=True))
    expected = search.progress(traces).groupby(["run", "panel", "quantity"])
    assert drawn == {
        (run, axes[panel], search.DASHES[quantity], *rows.epoch, *rows.value)
        for (run, panel, quantity), rows in expected
    }
    colors = {run: {line.line.color for line in figure.data if line.name == run} for run in traces}
    assert len(colors["one"]) == len(colors["two"]) == 1 and colors["one"] != colors["two"]
    (uniform,) = figure.layout.shapes
    assert (uniform.yref, uniform.line.dash, uniform.y0) == (axes[search.ENTROPY], "dash", math.log(8))
    assert [line.name for line in figure.data if line.showlegend] == [*traces]


def watched(seed: int) -> SearchTrace:
    trace = synthetic_trace(DARTS, seed=seed)
    lines = tuple(line._replace(eigenvalue=0.1 * line.epoch + seed) for line in trace.epochs)
    return replace(trace, epochs=lines)


def test_plot_eigenvalues():
    """Sees an eigenvalue under another's name or epoch, or an empty line for a method that takes none."""
    traces = {"darts": synthetic_trace(DARTS), "darts-es": watched(0), "na-darts-es": watched(1)}
    figure = search.plot_eigenvalues(traces)
    assert [line.name for line in figure.data] == ["darts-es", "na-darts-es"]
    for seed, line in enumerate(figure.data):
        assert list(line.x) == [1, 2, 3, 4, 5, 6]
        assert list(line.y) == pytest.approx([0.1 * epoch + seed for epoch in line.x])
    assert "one fixed validation batch" in figure.layout.title.text


def test_plot_eigenvalues_of_none():
    """Sees an empty figure that does not say why it is empty."""
    figure = search.plot_eigenvalues({"darts": synthetic_trace(DARTS)})
    assert not figure.data and "no method that was run takes it" in figure.layout.title.text


# --- alpha ----------------------------------------------------------------------------------------


@SPACES
def test_alphas_over_time(space):
    """Sees a slider one step short, a frame of another epoch, cells or edges exchanged, or a scale that changes."""
    trace = synthetic_trace(space, 5)
    figure = search.plot_alphas_over_time(trace, space)
    (slider,) = figure.layout.sliders
    assert len(slider.steps) == len(figure.frames) == 5 + 1 and slider.active == 5
    for epoch, (step, frame) in enumerate(zip(slider.steps, figure.frames, strict=True)):
        assert step.label == frame.name == str(epoch) and list(step.args[0]) == [frame.name]
        np.testing.assert_allclose([heatmap.z for heatmap in frame.data], trace.alphas[epoch], atol=5e-5)
    np.testing.assert_allclose([heatmap.z for heatmap in figure.data], trace.alphas[-1], atol=5e-5)
    scale = figure.layout.coloraxis
    assert (scale.cmin, scale.cmax) == (0, trace.alphas.max()) and not figure.layout.updatemenus
    assert [note.text for note in figure.layout.annotations] == list(search.cell_kinds(space))
    for heatmap in figure.data:
        assert heatmap.coloraxis == "coloraxis" and heatmap.x[1] in ("max 3×3", "skip")
        assert list(heatmap.y) == [f"{source}→{target}" for source, target in space.edges]


# --- the derived cell -----------------------------------------------------------------------------


def test_operation_counts():
    """Sees cells one epoch off, normal and reduction cells exchanged, or PC-DARTS's edge weights ignored."""
    uniform = np.full((2, 14, 8), 1 / 8)
    alphas = np.stack([uniform, one_hot_alphas(DARTS, FOUND)])
    frame = search.operation_counts({"a": SearchTrace((), alphas)}, DARTS)
    counts = frame[frame.edges > 0].groupby(["epoch", "cell"])[["operation", "edges"]].agg(list)
    expected = {  # of equals the first: max pooling
        (0, "normal cell"): {"max_pool_3x3": 8},
        (0, "reduction cell"): {"max_pool_3x3": 8},
        (1, "normal cell"): {"skip_connect": 4, "sep_conv_3x3": 3, "max_pool_3x3": 1},
        (1, "reduction cell"): {"max_pool_3x3": 8},
    }
    assert {at: dict(zip(*line, strict=True)) for at, *line in counts.itertuples()} == expected
    assert set(frame.operation) == {"skip_connect", "sep_conv_3x3", "max_pool_3x3"}
    weights = np.ones((2, 2, 14))
    weights[:, :, 11:] = 0.001, 1000, 1000  # node 5 reads 3 and 4 where alpha allows
    cell = search.derived_cells(SearchTrace((), alphas, weights), DARTS)[0]
    assert cell.normal[6:] == (("max_pool_3x3", 3), ("max_pool_3x3", 4))


@SPACES
def test_plot_operation_counts(space):
    """Sees bars of another run, epoch or cell, an operation left out, or skips that are not lowest."""
    traces = {"one": synthetic_trace(space, 5), "two": synthetic_trace(space, 3, 1)}
    figure = search.plot_operation_counts(traces, space)
    drawn, panels = set(), {}
    for bar in figure.data:
        panels.setdefault(bar.xaxis, []).append(bar.legendgroup)
        drawn.add((bar.legendgroup, *bar.x, *bar.y))
    counts = search.operation_counts(traces, space).groupby(["run", "cell", "operation"])
    assert drawn == {(operation, *rows.epoch, *rows.edges) for (_, _, operation), rows in counts}
    assert all(names[0] == "skip_connect" for names in panels.values())
    titles = {note.text for note in figure.layout.annotations}
    assert titles == {f"{run}, {kind}" for run in traces for kind in search.cell_kinds(space)}
    assert len(panels) == len(titles)


# --- while it runs --------------------------------------------------------------------------------


def test_pace():
    """Sees time left from the total, of the last epoch only, or shown when all is done."""
    trace = synthetic_trace(DARTS, 3)  # 5, 6 and 7 seconds
    assert search.pace(trace, 10) == "epoch 3 of 10, 18 s spent, about 42 s left"
    assert search.pace(trace, 3) == "epoch 3 of 3, 18 s spent"


@SPACES
@pytest.mark.parametrize("done", [1, 4])
def test_show_live(monkeypatch, space, done):
    """Sees losses, alphas or a cell of another epoch, or a slider that goes nowhere."""
    shown: list = []
    monkeypatch.setattr(search, "get_ipython", lambda: True)
    monkeypatch.setattr(search, "clear_output", lambda wait: shown.append(wait))
    monkeypatch.setattr(search, "display", shown.append)
    trace = synthetic_trace(space, 6)
    trace = SearchTrace(trace.epochs[:done], trace.alphas[: done + 1])
    search.show_live(SearchConfig(space=space.name, cells=3, epochs=6, seed=2), trace)
    wait, curves, maps, cell = shown
    assert wait is True and curves.layout.title.text.startswith(f"na-darts on digits, seed 2<br>epoch {done} of 6")
    assert list(curves.data[0].y) == trace.column("train_loss").tolist()
    np.testing.assert_allclose([heatmap.z for heatmap in maps.data], trace.alphas[-1], atol=5e-5)
    assert not maps.layout.sliders
    assert cell.html == draw_cells(search.derived_cells(trace, space)[-1], "so far").html


def test_nothing_is_shown_without_ipython(capsys):
    """Sees a figure's JSON printed by a plain Python program."""
    search.show_live(SearchConfig(epochs=3), synthetic_trace(DARTS, 3))
    assert capsys.readouterr() == ("", "")


SOURCE = """
import sys
sys.path.insert(0, {tests!r})
from synthetic_search import synthetic_trace
from flatlib.display.search_figures import show_live
from flatlib.search.config import SearchConfig
from flatlib.search.runs import SearchTrace
from flatlib.spaces import DARTS
trace = synthetic_trace(DARTS, 3)
for n in range(1, 4):
    show_live(SearchConfig(epochs=3), SearchTrace(trace.epochs[:n], trace.alphas[:n + 1]))
"""


@pytest.mark.notebooks
def test_a_run_notebook_stores_one_panel(tmp_path, request):
    """Sees outputs of every epoch, or the first state in the place of the last, in what papermill stores."""
    papermill = pytest.importorskip("papermill")
    cell = new_code_cell(SOURCE.format(tests=str(request.path.parent)))
    nbformat.write(new_notebook(cells=[cell]), tmp_path / "in.ipynb")
    done = papermill.execute_notebook(
        tmp_path / "in.ipynb", None, kernel_name="python3", language="python", progress_bar=False
    )
    curves, _, found = done.cells[0].outputs
    assert "epoch 3 of 3, 18 s spent" in json.dumps(curves.data[PLOTLY_MIME]) and "<svg" in found.data["text/html"]
