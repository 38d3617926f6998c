"""Sees a search drawn with other numbers than its trace holds, or at other epochs."""

from dataclasses import replace

import numpy as np
import pytest
from synthetic_search import synthetic_trace

from flatlib.display import searches as search
from flatlib.display.cell import cell_kinds, draw_cells, short_name
from flatlib.search.config import SearchConfig
from flatlib.search.derive import one_hot_alphas
from flatlib.search.runs import SearchTrace
from flatlib.spaces import DARTS, NAS_BENCH_201, Genotype

SPACES = pytest.mark.parametrize("space", [DARTS, NAS_BENCH_201], ids=lambda space: space.name)
CELL = (("skip_connect", 0), ("sep_conv_3x3", 1)) * 3 + (("max_pool_3x3", 0), ("skip_connect", 4))
FOUND = Genotype(CELL, (2, 3, 4, 5), (("max_pool_3x3", 0), ("max_pool_3x3", 1)) * 4, (2, 3, 4, 5))


# --- losses, accuracy, entropy --------------------------------------------------------------------


def test_progress():
    """Sees a loss under another's name or run, entropies one epoch off, or g drawn over f where it is f."""
    traces = {"one": synthetic_trace(DARTS), "two": synthetic_trace(DARTS, 4, 1, aware=False)}
    curves = {key: rows for key, rows in search.progress(traces).groupby(["run", "panel", "quantity"])}
    expected = {(run, *place): (run, column) for run in traces for column, place in search.CURVES.items()}
    del expected["two", search.LOSS, "g(f(N(α)))"]
    for run in traces:
        del expected[(run, *search.CURVES["eigenvalue"])]
    assert curves.keys() == expected.keys()
    for key, (run, column) in expected.items():
        assert curves[key].value.tolist() == [getattr(epoch, column) for epoch in traces[run].epochs]
        assert curves[key].epoch.tolist() == list(range(1, len(traces[run].epochs) + 1))


@pytest.mark.parametrize("wide", [True, False])
def test_plot_progress(wide):
    """Sees two runs in one color, a curve in another panel or dash, or an eigenvalue where none is watched."""
    traces = {"one": synthetic_trace(DARTS), "two": synthetic_trace(DARTS, 4, 1, aware=False), "es": watched(0)}
    figure = search.plot_progress(traces, wide=wide)
    titles = [note.text for note in figure.layout.annotations]
    assert set(titles) == {panel for panel, _ in search.CURVES.values()}
    axes = {title: f"y{at or ''}" for title, at in zip(titles, (0, 2, 3, 4), strict=True)}
    drawn = {(line.name, line.yaxis, line.line.dash, *line.x, *line.y) for line in figure.data}
    expected = search.progress(traces).groupby(["run", "panel", "quantity"])
    assert drawn == {
        (run, axes[panel], search.DASHES[quantity], *rows.epoch, *rows.value)
        for (run, panel, quantity), rows in expected
    }
    colors = {run: {line.line.color for line in figure.data if line.name == run} for run in traces}
    assert all(len(own) == 1 for own in colors.values()) and len(set.union(*colors.values())) == 3
    assert [line.name for line in figure.data if line.showlegend] == [*traces]
    assert len({note.text for note in search.plot_progress({"one": traces["one"]}).layout.annotations}) == 3


def watched(seed: int) -> SearchTrace:
    trace = synthetic_trace(DARTS, seed=seed)
    lines = tuple(line._replace(eigenvalue=0.1 * line.epoch + seed) for line in trace.epochs)
    return replace(trace, epochs=lines)


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
    assert [note.text for note in figure.layout.annotations] == list(cell_kinds(space))
    for heatmap in figure.data:
        assert heatmap.coloraxis == "coloraxis" and heatmap.x[1] in ("max 3×3", "skip")
        assert list(heatmap.y) == [f"{source}→{target}" for source, target in space.edges]


# --- the derived cell -----------------------------------------------------------------------------


def test_operation_counts():
    """Sees cells one epoch off, normal and reduction cells exchanged, or PC-DARTS's edge weights ignored."""
    uniform = np.full((2, 14, 8), 1 / 8)
    alphas = np.stack([uniform, one_hot_alphas(DARTS, FOUND)])
    frame = search.operation_counts({"a": SearchTrace((), alphas)}, DARTS)
    counts = frame.groupby(["epoch", "panel"])[["operation", "edges"]].agg(list)
    expected = {  # of equals the first: max pooling
        (0, "a, normal cell"): {"max_pool_3x3": 8},
        (0, "a, reduction cell"): {"max_pool_3x3": 8},
        (1, "a, normal cell"): {"skip_connect": 4, "sep_conv_3x3": 3, "max_pool_3x3": 1},
        (1, "a, reduction cell"): {"max_pool_3x3": 8},
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
        panels.setdefault(bar.xaxis, []).append(bar.name)
        drawn.add((bar.name, *bar.x, *bar.y))
    counts = search.operation_counts(traces, space).groupby(["panel", "operation"])
    assert drawn == {(short_name(operation), *rows.epoch, *rows.edges) for (_, operation), rows in counts}
    assert all("skip" in names[:1] or "skip" not in names for names in panels.values())
    titles = {note.text for note in figure.layout.annotations}
    assert titles == {f"{run}, {kind}" for run in traces for kind in cell_kinds(space)}
    assert len(panels) == len(titles)


# --- while it runs --------------------------------------------------------------------------------


TOLD = {1: "5.0 s spent, about 25 s left", 4: "26 s spent, about 13 s left"}  # 5, 6, 7 and 8 seconds


@SPACES
@pytest.mark.parametrize("done", TOLD)
def test_show_live(monkeypatch, space, done):
    """Sees losses, alphas or a cell of another epoch, or a slider that goes nowhere."""
    shown: list = []
    monkeypatch.setattr(search, "get_ipython", lambda: True)
    monkeypatch.setattr(search, "clear_output", lambda wait: shown.append(wait))
    monkeypatch.setattr(search, "display", lambda *parts: shown.extend(parts))
    trace = synthetic_trace(space, 6)
    trace = SearchTrace(trace.epochs[:done], trace.alphas[: done + 1])
    search.show_live(SearchConfig(space=space.name, cells=3, epochs=6, seed=2), trace)
    wait, curves, maps, cell = shown
    assert wait is True and curves.layout.title.text == f"na-darts on digits, seed 2<br>epoch {done} of 6, {TOLD[done]}"
    assert list(curves.data[0].y) == trace.column("train_loss").tolist()
    np.testing.assert_allclose([heatmap.z for heatmap in maps.data], trace.alphas[-1], atol=5e-5)
    assert not maps.layout.sliders
    assert cell.data == draw_cells(search.derived_cells(trace, space)[-1], "so far").data


def test_nothing_is_shown_without_ipython(capsys):
    """Sees a figure's JSON printed by a plain Python program."""
    search.show_live(SearchConfig(epochs=3), synthetic_trace(DARTS, 3))
    assert capsys.readouterr() == ("", "")
