"""Sees a search drawn with other numbers than its trace holds, or at other epochs."""

import json
import math

import nbformat
import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_notebook
from synthetic_search import synthetic_trace

from flatlib.display import live
from flatlib.display import search_figures as search
from flatlib.display.card import PLOTLY_MIME
from flatlib.search.derive import one_hot_alphas
from flatlib.search.runs import SearchTrace
from flatlib.spaces import DARTS, NAS_BENCH_201, Genotype

SPACES = pytest.mark.parametrize("space", [DARTS, NAS_BENCH_201], ids=lambda space: space.name)
CELL = (("skip_connect", 0), ("sep_conv_3x3", 1)) * 3 + (("max_pool_3x3", 0), ("skip_connect", 4))
FOUND = Genotype(CELL, (2, 3, 4, 5), (("max_pool_3x3", 0), ("max_pool_3x3", 1)) * 4, (2, 3, 4, 5))
NB201 = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|nor_conv_1x1~0|avg_pool_3x3~1|skip_connect~2|"


def first_epochs(trace: SearchTrace, n: int) -> SearchTrace:
    return SearchTrace(trace.epochs[:n], trace.alphas[: n + 1])


# --- losses, accuracy, entropy --------------------------------------------------------------------


def test_progress():
    """Sees a loss under another's name, entropies one epoch off, or g drawn over f where it is f."""
    trace = synthetic_trace(DARTS)
    curves = {(curve.panel, curve.quantity): curve for curve in search.progress(trace)}
    expected = {
        (search.LOSS, "train"): "train_loss",
        (search.LOSS, "f(α), validation"): "valid_loss",
        (search.LOSS, "g(f(N(α)))"): "objective",
        (search.ACCURACY, "train"): "train_accuracy",
        (search.ACCURACY, "f(α), validation"): "valid_accuracy",
    }
    assert curves.keys() == expected.keys() | {(search.ENTROPY, "train")}
    for key, column in expected.items():
        np.testing.assert_array_equal(curves[key].values, [getattr(epoch, column) for epoch in trace.epochs])
        assert curves[key].epochs.tolist() == [1, 2, 3, 4, 5, 6]
    entropies = curves[search.ENTROPY, "train"]
    assert entropies.epochs.tolist() == [0, 1, 2, 3, 4, 5, 6] and entropies.values[0] == pytest.approx(math.log(8))
    np.testing.assert_allclose(entropies.values[1:], trace.column("entropy"))
    assert len(search.progress(synthetic_trace(DARTS, aware=False))) == 5


def test_plot_progress():
    """Sees two runs in one color, a curve in another panel, or the uniform entropy of another m."""
    traces = {"one": synthetic_trace(DARTS), "two": synthetic_trace(DARTS, 4, 1, aware=False)}
    figure = search.plot_progress(traces)
    lines = [line for line in figure.data if line.name in traces]
    axes = dict(zip(search.PANELS, ("y", "y2", "y3"), strict=True))
    drawn = [(run, curve) for run, trace in traces.items() for curve in search.progress(trace)]
    for line, (run, curve) in zip(lines, drawn, strict=True):
        assert (line.name, line.yaxis, line.line.dash) == (run, axes[curve.panel], search.DASHES[curve.quantity])
        np.testing.assert_array_equal([line.x, line.y], [curve.epochs, curve.values])
    colors = {run: {line.line.color for line in lines if line.name == run} for run in traces}
    assert len(colors["one"]) == len(colors["two"]) == 1 and colors["one"] != colors["two"]
    (uniform,) = figure.layout.shapes
    assert (uniform.yref, uniform.line.dash, uniform.y0, uniform.y1) == ("y3", "dash", math.log(8), math.log(8))
    assert [line.name for line in figure.data if line.showlegend is not False] == [*traces, *search.DASHES]


# --- alpha ----------------------------------------------------------------------------------------


@SPACES
def test_alphas_over_time(space):
    """Sees a slider one step short, a frame of another epoch, cells exchanged, or a scale that changes."""
    trace = synthetic_trace(space, 5)
    figure = search.plot_alphas_over_time(trace, space)
    kinds = list(range(trace.alphas.shape[1]))
    (slider,) = figure.layout.sliders
    assert len(slider.steps) == len(figure.frames) == 5 + 1 and slider.active == 5
    for epoch, (step, frame) in enumerate(zip(slider.steps, figure.frames, strict=True)):
        assert step.label == frame.name == str(epoch) and list(step.args[0]) == [frame.name]
        assert list(frame.traces) == kinds
        np.testing.assert_allclose([heatmap.z for heatmap in frame.data], trace.alphas[epoch], atol=5e-5)
    np.testing.assert_allclose([heatmap.z for heatmap in figure.data], trace.alphas[-1], atol=5e-5)
    scale = figure.layout.coloraxis
    assert (scale.cmin, scale.cmax) == (0, trace.alphas.max())
    assert all(heatmap.coloraxis == "coloraxis" for heatmap in figure.data) and not figure.layout.updatemenus


@SPACES
def test_alphas(space):
    """Sees a row under another edge's name, or a column under another operation's."""
    trace = synthetic_trace(space)
    figure = search.plot_alphas_over_time(trace, space)
    for heatmap, cell, kind in zip(figure.data, trace.alphas[-1], search.cell_kinds(space), strict=True):
        assert heatmap.name == kind and heatmap.x == space.operations
        assert heatmap.y == tuple(f"{source}→{target}" for source, target in space.edges)
        np.testing.assert_allclose(heatmap.z, cell, atol=5e-5)
    assert figure.layout.xaxis.tickvals == space.operations and figure.layout.xaxis.ticktext[1] in ("max 3×3", "skip")


# --- the derived cell -----------------------------------------------------------------------------


def test_counts_over_time():
    """Sees cells one epoch off, normal and reduction cells exchanged, or PC-DARTS's edge weights ignored."""
    uniform = np.full((2, 14, 8), 1 / 8)
    alphas = np.stack([uniform, one_hot_alphas(DARTS, FOUND)])
    before, after = search.counts_over_time(SearchTrace((), alphas), DARTS)
    assert [counts.operations for counts in before] == [{"max_pool_3x3": 8}] * 2  # of equals the first: max pooling
    assert after[0].operations == {"skip_connect": 4, "sep_conv_3x3": 3, "max_pool_3x3": 1}
    assert after[1].operations == {"max_pool_3x3": 8}
    weights = np.ones((2, 2, 14))
    weights[:, :, 11:] = 0.001, 1000, 1000  # node 5 reads 3 and 4 where alpha allows
    cell = search.derived_cells(SearchTrace((), alphas, weights), DARTS)[0]
    assert cell.normal[6:] == (("max_pool_3x3", 3), ("max_pool_3x3", 4))


@SPACES
def test_plot_operation_counts(space):
    """Sees bars of another run, epoch or cell, or a title that states other shares."""
    traces = {"one": synthetic_trace(space, 5), "two": synthetic_trace(space, 3, 1)}
    figure = search.plot_operation_counts(traces, space)
    panels = [(run, kind) for run in traces for kind in range(len(search.cell_kinds(space)))]
    bars = {}
    for bar in figure.data:
        bars.setdefault(bar.xaxis, {})[bar.legendgroup] = bar
    for (run, kind), panel, title in zip(panels, bars.values(), figure.layout.annotations, strict=True):
        counts = [each[kind] for each in search.counts_over_time(traces[run], space)]
        assert {name for each in counts for name in each.operations} <= panel.keys()
        for name in panel:
            np.testing.assert_array_equal(panel[name].y, [each.operations.get(name, 0) for each in counts])
            assert list(panel[name].x) == list(range(len(traces[run].alphas)))
        assert next(iter(panel)) == "skip_connect"  # lowest
        assert title.text.startswith(f"{run}, ") and f"skip {counts[-1].skip_share:.0%}" in title.text
        assert title.text.endswith(f"parameter-free {counts[-1].parameter_free_share:.0%}")


# --- live -----------------------------------------------------------------------------------------


def test_pace():
    """Sees time left from the total, of the last epoch only, or shown when all is done."""
    trace = synthetic_trace(DARTS, 3)  # 5, 6 and 7 seconds
    assert live.pace(trace, 10) == "epoch 3 of 10, 18 s spent, about 42 s left"
    assert live.pace(first_epochs(trace, 0), 10) == "epoch 0 of 10, 0.0 s spent"
    assert live.pace(trace, 3) == "epoch 3 of 3, 18 s spent"


@SPACES
@pytest.mark.parametrize("done", [0, 1, 4])
def test_plot_live(space, done):
    """Sees alphas or a cell of another epoch, or a panel that fails before the first."""
    trace = first_epochs(synthetic_trace(space, 6), done)
    figure = live.plot_live(trace, space, 6, "a search")
    maps = [heatmap.z for heatmap in figure.data if heatmap.type == "heatmap"]
    np.testing.assert_allclose(maps, trace.alphas[-1], atol=5e-5)
    assert f"epoch {done} of 6" in figure.layout.title.text
    lines = [line.split("<br>") for line in (a.text for a in figure.layout.annotations) if "<br>" in line]
    assert lines == live.cell_lines(trace, space)


def test_cell_lines():
    """Sees a source or an operation of another node in the genotype's text."""
    trace = SearchTrace((), one_hot_alphas(NAS_BENCH_201, NB201)[None])
    assert live.cell_lines(trace, NAS_BENCH_201) == [
        ["1: conv 3×3 (0)", "2: none (0), skip (1)", "3: conv 1×1 (0), avg 3×3 (1), skip (2)"]
    ]
    normal, reduce = live.cell_lines(SearchTrace((), one_hot_alphas(DARTS, FOUND)[None]), DARTS)
    assert normal[0] == "2: skip (0), sep 3×3 (1)" and normal[3] == "5: max 3×3 (0), skip (4)"
    assert reduce[2] == "4: max 3×3 (0), max 3×3 (1)"


def test_live_panel_without_ipython(capsys):
    """Sees a figure's JSON printed by a plain Python program."""
    panel = live.LivePanel(DARTS, 3, "a search")
    panel.update(synthetic_trace(DARTS, 3))
    assert capsys.readouterr() == ("", "")


SOURCE = """
import sys
sys.path.insert(0, {tests!r})
from synthetic_search import synthetic_trace
from flatlib.display.live import LivePanel
from flatlib.search.runs import SearchTrace
from flatlib.spaces import DARTS
trace, panel = synthetic_trace(DARTS, 3), LivePanel(DARTS, 3, "a search")
for n in range(4):
    panel.update(SearchTrace(trace.epochs[:n], trace.alphas[:n + 1]))
"""


@pytest.mark.notebooks
def test_a_run_notebook_stores_one_panel(tmp_path, request):
    """Sees an output an epoch, or the first state in the place of the last, in what papermill stores."""
    papermill = pytest.importorskip("papermill")
    cell = new_code_cell(SOURCE.format(tests=str(request.path.parent)))
    nbformat.write(new_notebook(cells=[cell]), tmp_path / "in.ipynb")
    done = papermill.execute_notebook(
        tmp_path / "in.ipynb", None, kernel_name="python3", language="python", progress_bar=False
    )
    (output,) = done.cells[0].outputs
    assert "epoch 3 of 3, 18 s spent" in json.dumps(output.data[PLOTLY_MIME])
