"""A search to watch, while it runs and afterwards: losses, alpha and the derived cell over time."""

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
import plotly.express as px
import plotly.graph_objects as go
from IPython import get_ipython
from IPython.display import clear_output, display

from flatlib.display.cell import bar_style, cells, count_operations, draw_cells, short_name
from flatlib.display.plots import FACETS, GRAY, OWN_AXIS, PALETTE, lay_out, name_colors, name_panels
from flatlib.run.progress import duration
from flatlib.search.config import SearchConfig
from flatlib.search.derive import derive
from flatlib.search.runs import SearchTrace
from flatlib.spaces import SPACES, Genotype, Space

LOSS, ACCURACY, ENTROPY = "cross-entropy (nats)", "accuracy (%)", "entropy of α, mean over edges (nats)"
CURVES = {  # column of a trace -> panel, quantity
    "train_loss": (LOSS, "train"),
    "valid_loss": (LOSS, "validation"),
    "objective": (LOSS, "g(f(N(α)))"),
    "train_accuracy": (ACCURACY, "train"),
    "valid_accuracy": (ACCURACY, "validation"),
    "entropy": (ENTROPY, "α"),
}
DASHES = {"train": "solid", "validation": "dash", "g(f(N(α)))": "dot", "α": "solid"}


def epochs_of(traces: Mapping[str, SearchTrace]) -> pd.DataFrame:
    """The columns of trace.csv, and whose: `run`."""
    return pd.concat([pd.DataFrame(trace.epochs).assign(run=run) for run, trace in traces.items()])


def progress(traces: Mapping[str, SearchTrace]) -> pd.DataFrame:
    """run, epoch, value, panel, quantity; without g where it is f itself."""
    frame = epochs_of(traces)
    frame["objective"] = frame.objective.where(frame.objective != frame.valid_loss)
    places = pd.DataFrame.from_dict(CURVES, orient="index", columns=["panel", "quantity"])
    return frame.melt(["run", "epoch"], [*CURVES]).dropna().join(places, on="variable")


def plot_progress(traces: Mapping[str, SearchTrace], *, columns: int = 1) -> go.Figure:
    """Losses, accuracy and the entropy of alpha, epoch by epoch: a color a run, a dash a quantity."""
    place = {"x": "epoch", "y": "value", "color": "run", "line_dash": "quantity", "facet_col": "panel"}
    wrap = {"facet_col_wrap": columns, "facet_row_spacing": 0.08}
    figure = px.line(progress(traces), **place, **wrap, line_dash_map=DASHES, markers=True, **FACETS)
    name_panels(name_colors(figure)).update_traces(marker_size=4)
    figure.update_yaxes(**OWN_AXIS, rangemode="tozero", title_text="")
    m = next(iter(traces.values())).alphas.shape[-1]
    uniform = {"line_dash": "dash", "line_color": GRAY, "annotation_text": f"uniform: log {m}"}
    figure.add_hline(math.log(m), **uniform, row=1, col=columns)
    title = "The search, epoch by epoch<br>solid: training, dashed: validation loss f(α), dotted: g(f(N(α)))"
    return lay_out(figure, title, 640 if columns == 1 else 320).update_layout(legend_y=-0.11)


def plot_eigenvalues(traces: Mapping[str, SearchTrace]) -> go.Figure:
    """The largest eigenvalue of the Hessian with respect to the logits, after each epoch (DARTS-ES)."""
    frame = epochs_of(traces).dropna(subset="eigenvalue")
    place = {"x": "epoch", "y": "eigenvalue", "color": "run", "labels": {"eigenvalue": "largest eigenvalue"}}
    figure = px.line(frame, **place, markers=True, color_discrete_sequence=PALETTE[1:]).update_yaxes(rangemode="tozero")
    found = "no method that was run takes it" if frame.empty else "one fixed validation batch"
    return lay_out(figure, f"Curvature of the validation loss at alpha ({found})", 340)


def cell_kinds(space: Space) -> tuple[str, ...]:
    """What a search of the space finds, as `cells` names it."""
    return ("cell",) if space.name == "nas-bench-201" else ("normal cell", "reduction cell")


def plot_alphas_over_time(trace: SearchTrace, space: Space, title: str = "α over time") -> go.Figure:
    """Alpha with a slider over the epochs, first seen after the last; works without Python."""
    figure = px.imshow(
        np.round(trace.alphas, 4),  # (epochs + 1, T, E, O)
        animation_frame=0,
        facet_col=1,
        x=[short_name(operation) for operation in space.operations],
        y=[f"{source}→{target}" for source, target in space.edges],
        labels={"x": "", "y": "edge", "color": "α", "animation_frame": "after epoch"},
        color_continuous_scale="Blues",
        range_color=(0, float(trace.alphas.max())),
        aspect="auto",
    )
    for note, kind in zip(figure.layout.annotations, cell_kinds(space), strict=True):
        note.text = kind
    figure.update_traces(xgap=1, ygap=1).update_xaxes(tickangle=-90).update_yaxes(dtick=1)
    if len(cell_kinds(space)) == 2:
        figure.update_yaxes(title_text="edge (0 is c<sub>k-2</sub>, 1 is c<sub>k-1</sub>)", col=1)
    for heatmap, alphas in zip(figure.data, trace.alphas[-1], strict=True):
        heatmap.z = np.round(alphas, 4)
    for slider in figure.layout.sliders:  # none with one epoch
        slider.update(active=len(trace.alphas) - 1, pad={"t": 70})
    figure.layout.updatemenus = ()  # it does not play by itself
    return lay_out(figure, title, 280 + 20 * len(space.edges))


# --- the derived cell -----------------------------------------------------------------------------


def derived_cells(trace: SearchTrace, space: Space) -> list[Genotype | str]:
    """The cell that the search would have found after each epoch, the first before any."""
    weights = [None] * len(trace.alphas) if trace.edge_weights is None else trace.edge_weights
    return [derive(space, alphas, weight) for alphas, weight in zip(trace.alphas, weights, strict=True)]


def operation_counts(traces: Mapping[str, SearchTrace], space: Space) -> pd.DataFrame:
    """run, cell, epoch, operation, edges: what the derived cells are made of, for all operations that occur."""
    order = sorted(space.operations, key=lambda name: (name != "skip_connect", "pool" not in name, name == "none"))
    lines = [
        (run, kind, epoch, operation, count_operations(cell).operations.get(operation, 0))
        for run, trace in traces.items()
        for epoch, found in enumerate(derived_cells(trace, space))
        for kind, cell in cells(found).items()
        for operation in order
    ]
    frame = pd.DataFrame(lines, columns=["run", "cell", "epoch", "operation", "edges"])
    return frame[frame.groupby("operation").edges.transform("any")]


def plot_operation_counts(traces: Mapping[str, SearchTrace], space: Space) -> go.Figure:
    """Operations of the derived cell after each epoch, stacked: skips lowest, then pooling, then the rest."""
    frame, height = operation_counts(traces, space), 160 + 200 * len(traces)
    frame = frame.assign(panel=frame.run + ", " + frame.cell)
    place = {"x": "epoch", "y": "edges", "color": "operation", "facet_col": "panel"}
    wrap = {"facet_col_wrap": len(cell_kinds(space)), "facet_row_spacing": 40 / height, "facet_col_spacing": 0.08}
    figure = name_panels(px.bar(frame, **place, **wrap)).update_yaxes(dtick=2)
    figure.for_each_trace(lambda bars: bars.update(bar_style(bars.name)))
    lay_out(figure, "What the derived cell is made of after each epoch", height)
    return figure.update_layout(bargap=0.08, legend={"y": -60 / (height - 135), "traceorder": "normal"})


# --- while it runs --------------------------------------------------------------------------------


def pace(trace: SearchTrace, epochs: int) -> str:
    """How far a search is, and for how long it goes on at the mean pace so far."""
    seconds = trace.column("seconds")
    left = seconds.mean() * (epochs - len(seconds))
    spent = f"epoch {len(seconds)} of {epochs}, {duration(seconds.sum())} spent"
    return spent + (f", about {duration(left)} left" if left else "")


def show_live(config: SearchConfig, trace: SearchTrace) -> None:
    """Losses so far, alpha and the cell in place of the notebook cell's output; without IPython nothing.

    JupyterLab's renderer of figures ignores updates of a display, so the output is cleared and drawn again.
    """
    if get_ipython() is None:
        return
    name, space = f"{config.method} on {config.dataset}, seed {config.seed}", SPACES[config.space]
    curves = plot_progress({name: trace}, columns=3).update_xaxes(range=[0, config.epochs + 0.5])
    curves.update_layout(title_text=f"{name}<br>{pace(trace, config.epochs)}", showlegend=False)
    now = plot_alphas_over_time(replace(trace, alphas=trace.alphas[-1:]), space, "α")
    shown = [curves, now, draw_cells(derived_cells(trace, space)[-1], "so far")]
    clear_output(wait=True)
    for one in shown:
        display(one)
