"""A panel that is drawn anew after each epoch of a running search."""

import json
from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go
from IPython import get_ipython
from IPython.display import clear_output, display
from plotly.subplots import make_subplots

from flatlib.display.card import PLOTLY_MIME
from flatlib.display.cell import cells, short_name
from flatlib.display.plots import PALETTE, lay_out
from flatlib.display.search_figures import (
    ACCURACY,
    LOSS,
    add_curves,
    alpha_maps,
    cell_kinds,
    derived_cells,
    explain_dashes,
    style_alphas,
)
from flatlib.run.progress import duration
from flatlib.search.runs import SearchTrace
from flatlib.spaces import Space


def pace(trace: SearchTrace, epochs: int) -> str:
    """How far a search is, and for how long it goes on at the mean pace so far: the line above the figure."""
    seconds = trace.column("seconds")
    done, left = len(seconds), ""
    if 0 < done < epochs:
        left = f", about {duration(float(seconds.mean()) * (epochs - done))} left"
    return f"epoch {done} of {epochs}, {duration(float(seconds.sum()))} spent{left}"


def cell_lines(trace: SearchTrace, space: Space) -> list[list[str]]:
    """Each cell found so far as lines 'node: operation (source), ...', numbered as the edges of the alphas."""
    return [
        [
            f"{node}: " + ", ".join(f"{short_name(op)} ({source})" for op, source, to in cell.edges if to == node)
            for node in range(cell.n_inputs, cell.n_nodes)
        ]
        for cell in cells(derived_cells(trace, space)[-1]).values()
    ]


def plot_live(trace: SearchTrace, space: Space, epochs: int, title: str) -> go.Figure:
    """Losses and accuracy so far, alpha now, and the cell found so far."""
    kinds, lines = cell_kinds(space), cell_lines(trace, space)
    below = {"colspan": 2} if len(kinds) == 1 else {}
    rows = [170, 20 * len(space.edges)]
    figure = make_subplots(
        2,
        2,
        specs=[[{}, {}], [below, {} if not below else None]],
        subplot_titles=[LOSS, ACCURACY, *(f"α, {kind}" for kind in kinds)],
        row_heights=rows,
        vertical_spacing=70 / (70 + sum(rows)),
        horizontal_spacing=0.1,
    )
    add_curves(figure, title, trace, PALETTE[1], {LOSS: (1, 1), ACCURACY: (1, 2)})
    figure.update_traces(showlegend=False).update_xaxes(range=[0, epochs + 0.5], row=1)
    for col, heatmap in enumerate(alpha_maps(trace.alphas[-1], space), 1):
        figure.add_trace(heatmap, row=2, col=col)
    style_alphas(figure, space, float(trace.alphas.max()), row=2)
    figure.update_yaxes(showticklabels=False, row=2, col=2)  # the edges of the first, on a phone over its squares
    explain_dashes(figure)
    for axis, found in zip(figure.select_xaxes(row=2), lines, strict=True):
        place = {"xref": "paper", "x": axis.domain[0], "xanchor": "left", "yref": "paper", "y": 0, "yanchor": "top"}
        figure.add_annotation(text="<br>".join(found), showarrow=False, align="left", yshift=-55, **place)
    lay_out(figure, f"{title}<br>{pace(trace, epochs)}", 90 + 70 + sum(rows) + 190)
    figure.update_annotations(font_size=10, selector={"align": "left"})  # the cell, on a phone
    legend = {"yref": "container", "y": 0.01, "yanchor": "bottom", "traceorder": "normal"}
    figure.update_layout(margin={"t": 90, "b": 190}, legend=legend)
    return figure.update_coloraxes(colorbar={"y": 0, "yanchor": "bottom", "len": rows[1] / (70 + sum(rows))})


class LivePanel:
    """A figure that `update` replaces, below those of the searches before it; the last state is what is stored.

    JupyterLab's renderer of figures ignores updates of a display, so the cell's output is cleared and drawn again.
    Without IPython nothing happens.
    """

    def __init__(self, space: Space, epochs: int, title: str, above: Sequence[dict[str, Any]] = ()) -> None:
        self.space, self.epochs, self.title, self.above = space, epochs, title, above
        self.bundle: dict[str, Any] = {}  # MIME type -> content

    def update(self, trace: SearchTrace) -> None:
        if get_ipython() is None:
            return
        figure = plot_live(trace, self.space, self.epochs, self.title)
        words = f"{self.title}: {pace(trace, self.epochs)}"
        self.bundle = {PLOTLY_MIME: json.loads(figure.to_json()), "text/plain": words}
        clear_output(wait=True)
        for bundle in (*self.above, self.bundle):
            display(bundle, raw=True)
