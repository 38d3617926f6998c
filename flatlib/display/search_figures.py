"""A search to watch: losses, alpha and the derived cell over time."""

import itertools
import math
from typing import NamedTuple

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from flatlib.display.cell import Counts, bar_style, cells, count_operations, short_name
from flatlib.display.plots import PALETTE, lay_out
from flatlib.search.derive import derive
from flatlib.search.runs import SearchTrace, entropy
from flatlib.spaces import Genotype, Space

DASHES = {"train": "solid", "f(α), validation": "dash", "g(f(N(α)))": "dot"}
LOSS, ACCURACY, ENTROPY = PANELS = ("cross-entropy (nats)", "accuracy (%)", "entropy of α, mean over edges (nats)")
GRAY = "#777777"


# --- losses, accuracy, entropy --------------------------------------------------------------------


class Curve(NamedTuple):
    """One quantity of a search over time."""

    panel: str
    quantity: str
    epochs: np.ndarray  # 0 is before the first
    values: np.ndarray


def progress(trace: SearchTrace) -> list[Curve]:
    """Losses and accuracies of each epoch, and alpha's entropy after each; g is left out where it is f itself."""
    train, valid, aggregate = DASHES
    columns = [(LOSS, train, "train_loss"), (LOSS, valid, "valid_loss"), (LOSS, aggregate, "objective")]
    columns += [(ACCURACY, train, "train_accuracy"), (ACCURACY, valid, "valid_accuracy")]
    if np.array_equal(trace.column("objective"), trace.column("valid_loss"), equal_nan=True):
        columns.pop(2)
    curves = [Curve(panel, name, trace.column("epoch"), trace.column(column)) for panel, name, column in columns]
    entropies = np.array([entropy(alphas) for alphas in trace.alphas])
    return [*curves, Curve(ENTROPY, train, np.arange(len(entropies)), entropies)]


def plot_progress(traces: dict[str, SearchTrace]) -> go.Figure:
    """Losses, accuracy and the entropy of alpha, epoch by epoch: a color a run, a dash a quantity."""
    figure = make_subplots(len(PANELS), 1, shared_xaxes=True, subplot_titles=PANELS, vertical_spacing=0.08)
    places = {panel: (row, 1) for row, panel in enumerate(PANELS, 1)}
    for (run, trace), color in zip(traces.items(), itertools.cycle(PALETTE[1:])):  # the colors go round
        add_curves(figure, run, trace, color, places)
    gray, place = {"color": GRAY, "width": 1, "dash": "dash"}, {"row": len(PANELS), "col": 1}
    for m in sorted({trace.alphas.shape[-1] for trace in traces.values()}):
        figure.add_hline(math.log(m), line=gray, annotation_text=f"uniform: log {m}", **place)
    figure.update_xaxes(title_text="epoch", row=len(PANELS))
    explain_dashes(figure)
    return lay_out(figure, "The search, epoch by epoch", 640).update_layout(legend={"y": -0.11})


def add_curves(figure: go.Figure, run: str, trace: SearchTrace, color: str, places: dict[str, tuple[int, int]]) -> None:
    for curve in progress(trace):
        if curve.panel in places:
            row, col = places[curve.panel]
            figure.add_scatter(
                x=curve.epochs,
                y=curve.values,
                mode="lines+markers",
                marker={"size": 4},
                name=run,
                line={"color": color, "dash": DASHES[curve.quantity]},
                hovertemplate=f"{'α' if curve.panel == ENTROPY else curve.quantity}<br>epoch %{{x}}: %{{y:.3f}}",
                row=row,
                col=col,
            )
    figure.update_xaxes(rangemode="tozero")


def explain_dashes(figure: go.Figure) -> None:
    for name, dash in DASHES.items():
        figure.add_scatter(
            x=[None], y=[None], mode="lines", name=name, line={"color": GRAY, "dash": dash}, row=1, col=1
        )


# --- alpha ----------------------------------------------------------------------------------------


def alpha_maps(alphas: np.ndarray, space: Space) -> list[go.Heatmap]:  # alphas (T, E, O)
    """Edges by operations, one a cell type; all share one color scale."""
    return [
        go.Heatmap(
            z=np.round(cell, 4),
            x=space.operations,
            y=[f"{source}→{target}" for source, target in space.edges],
            coloraxis="coloraxis",
            xgap=1,
            ygap=1,
            name=kind,
            hovertemplate="edge %{y}<br>%{x}<br>α = %{z:.4f}",
        )
        for cell, kind in zip(alphas, cell_kinds(space), strict=True)
    ]


def cell_kinds(space: Space) -> tuple[str, ...]:
    """What a search of the space finds, as `cells` names it."""
    return ("cell",) if space.name == "nas-bench-201" else ("normal cell", "reduction cell")


def style_alphas(figure: go.Figure, space: Space, highest: float, row: int = 1) -> None:
    names = [short_name(operation) for operation in space.operations]
    figure.update_xaxes(tickvals=space.operations, ticktext=names, tickangle=-90, row=row)
    figure.update_yaxes(autorange="reversed", dtick=1, row=row)
    title = "edge (0 is c<sub>k-2</sub>, 1 is c<sub>k-1</sub>)" if len(cell_kinds(space)) == 2 else "edge"
    figure.update_yaxes(title_text=title, title_standoff=4, row=row, col=1)
    scale = {"colorscale": "Blues", "cmin": 0, "cmax": highest, "colorbar": {"title": "α", "thickness": 10}}
    figure.update_layout(coloraxis=scale)


def plot_alphas_over_time(trace: SearchTrace, space: Space, title: str = "α over time") -> go.Figure:
    """Alpha with a slider over the epochs, first seen after the last; works without Python."""
    last, kinds = len(trace.alphas) - 1, cell_kinds(space)
    figure = make_subplots(1, len(kinds), subplot_titles=kinds, shared_yaxes=True, horizontal_spacing=0.04)
    for col, heatmap in enumerate(alpha_maps(trace.alphas[-1], space), 1):
        figure.add_trace(heatmap, row=1, col=col)
    style_alphas(figure, space, float(trace.alphas.max()))
    drawn = list(range(len(figure.data)))
    figure.frames = [
        go.Frame(name=str(epoch), data=[{"type": "heatmap", "z": np.round(z, 4)} for z in alphas], traces=drawn)
        for epoch, alphas in enumerate(trace.alphas)
    ]
    at_once = {"mode": "immediate", "frame": {"duration": 0, "redraw": True}, "transition": {"duration": 0}}
    steps = [{"label": f.name, "method": "animate", "args": [[f.name], at_once]} for f in figure.frames]
    slider = {"active": last, "steps": steps, "currentvalue": {"prefix": "after epoch "}, "pad": {"t": 70}}
    return lay_out(figure, title, 280 + 20 * len(space.edges)).update_layout(sliders=[slider])


# --- the derived cell -----------------------------------------------------------------------------


def derived_cells(trace: SearchTrace, space: Space) -> list[Genotype | str]:
    """The cell that the search would have found after each epoch, the first before any."""
    weights = [None] * len(trace.alphas) if trace.edge_weights is None else trace.edge_weights
    return [derive(space, alphas, weight) for alphas, weight in zip(trace.alphas, weights, strict=True)]


def counts_over_time(trace: SearchTrace, space: Space) -> list[list[Counts]]:  # (epochs + 1, T)
    """What the derived cells are made of, before the first epoch and after each."""
    return [[count_operations(cell) for cell in cells(found).values()] for found in derived_cells(trace, space)]


def plot_operation_counts(traces: dict[str, SearchTrace], space: Space) -> go.Figure:
    """Operations of the derived cell after each epoch, stacked: skips lowest, then pooling, then the rest."""
    counted = {run: counts_over_time(trace, space) for run, trace in traces.items()}
    titles = [
        f"{run}, {kind}<br>at the end: skip {end.skip_share:.0%},<br>parameter-free {end.parameter_free_share:.0%}"
        for run, counts in counted.items()
        for kind, end in zip(cell_kinds(space), counts[-1], strict=True)
    ]
    n, height = len(counted), 160 + 230 * len(counted)
    gap = {"vertical_spacing": 85 / (height - 165), "horizontal_spacing": 0.08}
    figure = make_subplots(
        n, len(cell_kinds(space)), subplot_titles=titles, shared_xaxes=True, shared_yaxes=True, **gap
    )
    used = {name for counts in counted.values() for each in counts for one in each for name in one.operations}
    order = [name for name in space.operations if name in used]
    order.sort(key=lambda name: (name != "skip_connect", "pool" not in name, name == "none"))
    for row, counts in enumerate(counted.values(), 1):
        for col, name in itertools.product(range(1, len(cell_kinds(space)) + 1), order):
            figure.add_bar(
                x=np.arange(len(counts)),
                y=[each[col - 1].operations.get(name, 0) for each in counts],
                **bar_style(name),
                hovertemplate=f"{name}<br>epoch %{{x}}: %{{y}}<extra></extra>",
                row=row,
                col=col,
            )
    figure.update_layout(barmode="stack", bargap=0.08)
    figure.update_xaxes(title_text="epoch", row=n)
    figure.update_yaxes(title_text="edges", dtick=2, col=1)
    lay_out(figure, "What the derived cell is made of after each epoch", height)
    return figure.update_layout(margin={"t": 110}, legend={"y": -60 / (height - 165), "traceorder": "normal"})
