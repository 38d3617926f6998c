"""Searches as a notebook makes, watches and compares them: losses, alpha and the derived cell over time."""

import inspect
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
import pandas as pd
import plotly.express as px
import plotly.graph_objects as go
from IPython import get_ipython
from IPython.display import Markdown, clear_output, display
from pandas.io.formats.style import Styler

from flatlib.display.cell import cell_kinds, cells, describe, draw_cells, operation_color, short_name
from flatlib.display.plots import FACETS, OWN_AXIS, lay_out, name_colors, name_panels
from flatlib.display.tables import estimates_of, mean_and_std, with_n
from flatlib.run.config import seeds
from flatlib.run.progress import duration
from flatlib.run.workers import run_side_by_side
from flatlib.search.config import SearchConfig
from flatlib.search.derive import derive
from flatlib.search.runs import Run, SearchTrace
from flatlib.search.search import estimate, search
from flatlib.spaces import SPACES, Genotype, Space

Configs = Mapping[str, SearchConfig]  # method -> the search from the first seed
Found = Mapping[str, list[Run]]  # method -> a run for each seed
LABELS = {
    "valid_loss": "validation loss (nats)",
    "valid_accuracy": "validation accuracy (%)",
    "spread": "spread over neighbors (nats)",
    "entropy": "entropy of alpha (nats)",
}
LOSS, ACCURACY, ENTROPY = "cross-entropy (nats)", "accuracy (%)", "entropy of α, mean over edges (nats)"
CURVES = {  # column of a trace -> panel, quantity
    "train_loss": (LOSS, "train"),
    "valid_loss": (LOSS, "validation"),
    "objective": (LOSS, "g(f(N(α)))"),
    "train_accuracy": (ACCURACY, "train"),
    "valid_accuracy": (ACCURACY, "validation"),
    "entropy": (ENTROPY, "α"),
    "eigenvalue": ("largest eigenvalue of the Hessian (logits)", "α"),  # of DARTS-ES
}
DASHES = {"train": "solid", "validation": "dash", "g(f(N(α)))": "dot", "α": "solid"}


def source(*functions: Callable) -> Markdown:
    """The lines of some functions, to stand beside their equations."""
    return Markdown("\n\n".join(f"```python\n{textwrap.dedent(inspect.getsource(f)).rstrip()}\n```" for f in functions))


def estimates(configs: Configs, runs: int, runs_dir: Any) -> Styler:
    """What each method's searches will take on this machine; finished ones are read, not repeated."""
    return estimates_of(configs, runs, partial(Run.finished, runs_dir), estimate)


def run_searches(configs: Configs, runs: int, runs_dir: Any) -> dict[str, list[Run]]:
    """Search with each method from each seed, drawn while it runs."""
    every = [one for config in configs.values() for one in seeds(config, runs)]
    found = iter(run_side_by_side(search, Run, every, runs_dir, show_live))
    if get_ipython():
        clear_output()  # the notebook's figures follow
    return {method: [*islice(found, runs)] for method in configs}


def first_traces(found: Found) -> dict[str, SearchTrace]:
    """The trace of each method's first seed, by a name for legends."""
    return {f"{method}, seed {runs[0].config.seed}": runs[0].trace for method, runs in found.items()}


def summary_frame(found: Found) -> pd.DataFrame:
    """One line a run: its last numbers and what its cells are made of."""
    lines = []
    for method, run in ((method, run) for method, runs in found.items() for run in runs):
        line: dict[str, Any] = {"method": method, "epochs": run.result.epoch}
        line |= {label: run.result.final[name] for name, label in LABELS.items()}
        if run.config.neighbors == 1:
            line[LABELS["spread"]] = np.nan  # of one neighbor
        for kind, cell in cells(run.result.cell).items():
            line |= {f"{kind}: {name}": number for name, number in describe(cell).items()}
        lines.append(line | {"seconds": run.trace.column("seconds").sum()})
    return pd.DataFrame(lines)


def summary(found: Found) -> Styler:
    """Mean ± population standard deviation over the seeds of each method, a line a number."""
    frame = summary_frame(found)
    groups = frame.drop(columns="method").groupby(with_n(frame.method), sort=False)
    return groups.agg(partial(mean_and_std, digits=3)).T.style


# --- over time ------------------------------------------------------------------------------------


def progress(traces: Mapping[str, SearchTrace]) -> pd.DataFrame:
    """run, epoch, value, panel, quantity; without g where it is f itself."""
    frame = pd.concat([pd.DataFrame(trace.epochs).assign(run=run) for run, trace in traces.items()])
    frame["objective"] = frame.objective.where(frame.objective != frame.valid_loss)
    places = pd.DataFrame.from_dict(CURVES, orient="index", columns=["panel", "quantity"])
    return frame.melt(["run", "epoch"], [*CURVES]).dropna().join(places, on="variable")


def plot_progress(traces: Mapping[str, SearchTrace], *, wide: bool = False) -> go.Figure:
    """Losses, accuracy, entropy of alpha and what DARTS-ES watches: a color a run, a dash a quantity."""
    frame = progress(traces)
    place = {"x": "epoch", "y": "value", "color": "run", "line_dash": "quantity", "facet_col": "panel"}
    wrap = {} if wide else {"facet_col_wrap": 1, "facet_row_spacing": 0.08}
    figure = px.line(frame, **place, **wrap, line_dash_map=DASHES, markers=True, **FACETS)
    name_panels(name_colors(figure)).update_traces(marker_size=4)
    figure.update_yaxes(**OWN_AXIS, rangemode="tozero", title_text="")
    title = "The search, epoch by epoch<br>solid: training, dashed: validation loss f(α), dotted: g(f(N(α)))"
    return lay_out(figure, title, 320 if wide else 130 + 170 * frame.panel.nunique()).update_layout(legend_y=-0.11)


def plot_alphas_over_time(trace: SearchTrace, space: Space, title: str = "α over time") -> go.Figure:
    """Alpha with a slider over the epochs, first seen after the last; works without Python."""
    edges, operations = [f"{at}→{to}" for at, to in space.edges], [short_name(name) for name in space.operations]
    labels = {"x": "", "y": "edge", "color": "α", "animation_frame": "after epoch"}
    look = {"color_continuous_scale": "Blues", "range_color": (0, float(trace.alphas.max())), "aspect": "auto"}
    values = np.round(trace.alphas, 4)  # (epochs + 1, T, E, O)
    figure = px.imshow(values, animation_frame=0, facet_col=1, x=operations, y=edges, labels=labels, **look)
    for note, kind in zip(figure.layout.annotations, cell_kinds(space), strict=True):
        note.text = kind
    figure.update_traces(xgap=1, ygap=1).update_xaxes(tickangle=-90).update_yaxes(dtick=1)
    for heatmap, last in zip(figure.data, values[-1], strict=True):
        heatmap.z = last
    for slider in figure.layout.sliders:  # none with one epoch
        slider.update(active=len(trace.alphas) - 1, pad={"t": 70})
    figure.layout.updatemenus = ()  # it does not play by itself
    return lay_out(figure, title, 280 + 20 * len(space.edges))


def derived_cells(trace: SearchTrace, space: Space) -> list[Genotype | str]:
    """The cell that the search would have found after each epoch, the first before any."""
    weights = [None] * len(trace.alphas) if trace.edge_weights is None else trace.edge_weights
    return [derive(space, alphas, weight) for alphas, weight in zip(trace.alphas, weights, strict=True)]


def operation_counts(traces: Mapping[str, SearchTrace], space: Space) -> pd.DataFrame:
    """panel, epoch, operation, edges: what the derived cells are made of."""
    lines = [
        (f"{run}, {kind}", epoch, operation)
        for run, trace in traces.items()
        for epoch, found in enumerate(derived_cells(trace, space))
        for kind, cell in cells(found).items()
        for operation, *_ in cell.edges
    ]
    frame = pd.DataFrame(lines, columns=["panel", "epoch", "operation"])
    return frame.groupby([*frame], sort=False).size().reset_index(name="edges")


def plot_operation_counts(traces: Mapping[str, SearchTrace], space: Space) -> go.Figure:
    """Operations of the derived cell after each epoch, stacked: skips lowest, then pooling, then the rest."""
    frame, height = operation_counts(traces, space), 160 + 200 * len(traces)
    order = sorted(space.operations, key=lambda name: (name != "skip_connect", "pool" not in name, name == "none"))
    names = {operation: short_name(operation) for operation in order}
    look = {
        "color_discrete_map": {name: operation_color(operation) for operation, name in names.items()},
        "pattern_shape_map": {name: {"dil": "/", "avg": "."}.get(name[:3], "") for name in names.values()},
        "category_orders": {"operation": [*names.values()]},
    }
    place = {"x": "epoch", "y": "edges", "color": "operation", "pattern_shape": "operation", "facet_col": "panel"}
    wrap = {"facet_col_wrap": len(cell_kinds(space)), "facet_row_spacing": 40 / height, "facet_col_spacing": 0.08}
    figure = px.bar(frame.replace({"operation": names}), **place, **wrap, **look)
    lay_out(name_panels(figure), "What the derived cell is made of after each epoch", height)
    return figure.update_layout(bargap=0.08, legend={"y": -60 / (height - 135), "traceorder": "normal"})


def show_live(config: SearchConfig, trace: SearchTrace) -> None:
    """Losses so far, alpha and the cell in place of the notebook cell's output; without IPython nothing.

    JupyterLab's renderer of figures ignores updates of a display, so the output is cleared and drawn again.
    """
    if get_ipython() is None:
        return
    name, space, spent = (
        f"{config.method} on {config.dataset}, seed {config.seed}",
        SPACES[config.space],
        trace.column("seconds"),
    )
    left = duration(spent.mean() * (config.epochs - len(spent)))
    pace = f"epoch {len(spent)} of {config.epochs}, {duration(spent.sum())} spent, about {left} left"
    curves = plot_progress({name: trace}, wide=True).update_xaxes(range=[0, config.epochs + 0.5])
    curves.update_layout(title_text=f"{name}<br>{pace}", showlegend=False)
    now = plot_alphas_over_time(replace(trace, alphas=trace.alphas[-1:]), space, "α")
    cell = draw_cells(derived_cells(trace, space)[-1], "so far")
    clear_output(wait=True)
    display(curves, now, cell)
