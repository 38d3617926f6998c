"""Figures of the loss landscape (Sec. E, Figures 1 and A): numbers come from `flatlib.landscape`."""

from collections.abc import Sequence
from itertools import cycle, product
from typing import Any

import numpy as np
import pandas as pd
import plotly.express as px
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from flatlib.display.flatness import levels
from flatlib.display.plots import PALETTE, lay_out, name_panels
from flatlib.landscape.landscape import Landscape
from flatlib.landscape.plane import Plane

SCALE = ("#f7fbff", "#deebf7", "#c6dbef", "#9ecae1", "#6baed6", "#4292c6")  # one hue, black labels readable on all
AXES = ("λ<sub>0</sub>", "λ<sub>1</sub>")


# --- the plane ------------------------------------------------------------------------------------


def _methods(landscapes: Sequence[Landscape]) -> list[str]:
    return list(dict.fromkeys(one.method for one in landscapes))


def _panels(landscapes: Sequence[Landscape], **options: Any) -> tuple[go.Figure, list[tuple[int, int]]]:
    """A column a method, a row a seed, so that methods stand side by side."""
    methods = _methods(landscapes)
    places, counts = [], dict.fromkeys(methods, 0)
    for one in landscapes:
        counts[one.method] += 1
        places.append((counts[one.method], 1 + methods.index(one.method)))
    rows = max(counts.values())
    names = {place: one.name for place, one in zip(places, landscapes, strict=True)}
    titles = [names.get(place, "") for place in product(range(1, rows + 1), range(1, len(methods) + 1))]
    return make_subplots(rows, len(methods), subplot_titles=titles, **options), places


def plot_planes(landscapes: Sequence[Landscape], *, random: bool = False) -> go.Figure:
    """Contours of the loss (Figure A), one panel a run on one color scale; `random`: over the random plane."""
    planes = [one.random if random else one.plane for one in landscapes]
    figure, places = _panels(
        landscapes, shared_xaxes="all", shared_yaxes="all", horizontal_spacing=0.03, vertical_spacing=0.09
    )
    for plane, (row, col) in zip(planes, places, strict=True):
        figure.add_trace(_contour(plane, levels(planes)), row=row, col=col)
        figure.add_scatter(
            x=[0], y=[0], mode="markers", marker={"symbol": "x", "color": "#D55E00", "size": 9}, row=row, col=col,
            hoverinfo="skip",
        )  # fmt: skip
    last, columns = (max(numbers) for numbers in zip(*places, strict=True))
    _square(figure)
    figure.update_xaxes(title_text=AXES[0], row=last).update_yaxes(title_text=AXES[1], title_standoff=2, col=1)
    figure.update_traces(showlegend=False)
    first, end, _ = levels(planes)
    bar = {"title": "loss<br>(nats)", "thickness": 12}
    figure.update_layout(coloraxis={"colorscale": SCALE, "cmin": first, "cmax": end, "colorbar": bar})
    which = "two random directions" if random else "v<sub>0</sub> and v<sub>1</sub>"
    title = f"Validation loss around the found architecture (×), along {which}<br>{_setting(landscapes)}"
    return lay_out(figure, title, 150 + last * min(440, 840 // columns)).update_layout(margin_t=95)


def _square(figure: go.Figure) -> None:
    """A step along one axis is as long as one along the other; all panels share one pair of axes."""
    figure.update_yaxes(constrain="domain", constraintoward="top").update_xaxes(constrain="domain")
    free = next(axis for axis in figure.select_yaxes() if axis.matches is None)  # Plotly ignores it on the others
    free.scaleanchor = free.anchor


def _setting(landscapes: Sequence[Landscape]) -> str:
    of = landscapes[0].of_alpha
    return f"{of.images} validation images, batch size {of.batch_size}"


def _contour(plane: Plane, scale: tuple[float, float, float]) -> go.Contour:
    first, end, step = scale
    return go.Contour(
        x=plane.lambdas,
        y=plane.lambdas,
        z=plane.losses.round(4),
        customdata=np.stack([plane.accuracy, 100 * plane.clipped], -1).round(2),
        autocontour=False,
        contours={"start": first, "end": end, "size": step, "showlabels": True, "labelfont": {"color": "#000000"}},
        line={"width": 0.8, "color": "#444444"},
        hovertemplate="λ<sub>0</sub> %{x:.2f}, λ<sub>1</sub> %{y:.2f}<br>loss %{z:.4f}<br>"
        "accuracy %{customdata[0]:.1f} %<br>clipped %{customdata[1]:.1f} %<extra></extra>",
        coloraxis="coloraxis",
    )


def plot_surfaces(landscapes: Sequence[Landscape]) -> go.Figure:
    """The loss as a surface, the first run of the first two methods, on one scale."""
    firsts = [next(one for one in landscapes if one.method == method) for method in _methods(landscapes)[:2]]
    first, end, _ = levels([one.plane for one in landscapes])
    specs = [[{"type": "surface"}] * len(firsts)]
    figure = make_subplots(
        1, len(firsts), specs=specs, subplot_titles=[one.name for one in firsts], horizontal_spacing=0.02
    )
    for col, one in enumerate(firsts, 1):
        axes = {"x": one.plane.lambdas, "y": one.plane.lambdas, "z": one.plane.losses.round(4)}
        hover = "λ0 %{x:.2f}, λ1 %{y:.2f}<br>loss %{z:.4f}<extra></extra>"
        figure.add_trace(go.Surface(**axes, coloraxis="coloraxis", hovertemplate=hover), row=1, col=col)
    scene = {"xaxis_title": "λ0", "yaxis_title": "λ1", "zaxis": {"title": "loss (nats)", "range": [first, end]}}
    figure.update_scenes(**scene, camera_eye={"x": 1.5, "y": -1.5, "z": 0.9})
    bar = {"title": "loss<br>(nats)", "thickness": 12, "len": 0.7}
    figure.update_layout(coloraxis={"colorscale": "Cividis", "cmin": first, "cmax": end, "colorbar": bar})
    return lay_out(figure, "The same as a surface (drag to turn)", 460).update_layout(margin={"l": 10, "b": 10})


# --- lines and points -------------------------------------------------------------------------------


def cuts(one: Landscape) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Direction -> lambdas and the rise of the loss over that of alpha, nats."""
    found: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for name, plane in (("v<sub>{}</sub>", one.plane), ("random direction {}", one.random)):
        lines = plane.losses[plane.middle], plane.losses[:, plane.middle]
        found |= {name.format(at): (plane.lambdas, line - plane.loss) for at, line in enumerate(lines)}
    return found


def plot_cuts(landscapes: Sequence[Landscape]) -> go.Figure:
    """The loss along each direction alone."""
    parts = [
        pd.DataFrame({"λ": x, "rise of the loss (nats)": y.round(5), "search": one.name, "panel": f"along {direction}"})
        for one in landscapes
        for direction, (x, y) in cuts(one).items()
    ]
    place = {"x": "λ", "y": "rise of the loss (nats)", "color": "search", "facet_col": "panel"}
    figure = name_panels(px.line(pd.concat(parts), **place, facet_col_spacing=0.02))
    colors = _colors(landscapes)
    figure.for_each_trace(lambda trace: trace.update(line=colors[trace.name]))
    return lay_out(figure, "Cuts through the landscape", 380)


def _colors(landscapes: Sequence[Landscape]) -> dict[str, dict[str, str]]:
    """A color a method, a dash a seed."""
    colors = dict(zip(_methods(landscapes), cycle(PALETTE[1:])))
    dashes = dict(zip(dict.fromkeys(one.seed for one in landscapes), cycle(("solid", "dash", "dot", "dashdot"))))
    return {one.name: {"color": colors[one.method], "dash": dashes[one.seed]} for one in landscapes}


def plot_discrete(landscapes: Sequence[Landscape]) -> go.Figure:
    """Loss of sampled one-hot cells by their distance from the derived one; a point a cell, a line their mean.

    A thin dotted line at the loss of alpha itself, the mixture, in the run's color.
    """
    figure, colors = go.Figure(), _colors(landscapes)
    for at, one in enumerate(landscapes):
        losses, line = one.discrete, colors[one.name]
        distances = np.arange(len(losses)) + _shift(at, len(landscapes), 0.6)
        points = {"mode": "markers", "marker": {"size": 4, "opacity": 0.5, "color": line["color"]}}
        hover = {"showlegend": False, "hovertemplate": f"{one.name}<br>loss %{{y:.3f}}<extra></extra>"}
        figure.add_scatter(x=np.repeat(distances, losses.shape[1]), y=losses.ravel().round(4), **points, **hover)
        figure.add_scatter(x=distances, y=losses.mean(1).round(4), mode="lines+markers", name=one.name, line=line)
        figure.add_scatter(
            x=[-0.5, len(losses) - 0.5], y=[round(one.plane.loss, 4)] * 2, mode="lines", name="alpha itself",
            line={"color": line["color"], "dash": "dot", "width": 1}, legendrank=2000,
            hovertemplate=f"{one.name}<br>loss at alpha %{{y:.3f}}<extra></extra>",
        )  # fmt: skip
    figure.update_xaxes(title_text="distance from the derived cell, edges of each cell type", dtick=1)
    figure.update_yaxes(title_text="validation loss (nats)", rangemode="tozero")
    n = landscapes[0].discrete.shape[1]
    return lay_out(figure, f"Discrete neighbors with the search's weights ({n} sampled at each distance)", 420)


def _shift(at: int, n: int, width: float) -> float:
    """Of the at-th of n runs, beside each other within a width around 0."""
    return (at - (n - 1) / 2) * width / n


def plot_spectrum(landscapes: Sequence[Landscape]) -> go.Figure:
    """The two largest eigenvalues of either Hessian; the bar spans those of the two halves of the images."""
    kinds = {"with respect to alpha": "of_alpha", "with respect to the logits": "of_logits"}
    figure, colors = make_subplots(1, 2, subplot_titles=[*kinds], horizontal_spacing=0.09), _colors(landscapes)
    for (at, one), (col, kind) in product(enumerate(landscapes), enumerate(kinds.values(), 1)):
        own = getattr(one, kind)
        values, ends = own.pairs.values, np.vstack([own.halves, own.pairs.values])
        figure.add_scatter(
            x=np.arange(len(values)) + _shift(at, len(landscapes), 0.3),
            y=values,
            error_y={"array": np.nanmax(ends, 0) - values, "arrayminus": values - np.nanmin(ends, 0), "thickness": 1},
            mode="markers+lines",
            marker={"size": 9},
            name=one.name,
            line=colors[one.name],
            hovertemplate=f"{one.name}<br>eigenvalue %{{y:.3g}}<extra></extra>",
            row=1,
            col=col,
        )
    figure.update_xaxes(tickvals=[0, 1], ticktext=["largest", "second"], range=[-0.4, 1.4])
    figure.update_yaxes(rangemode="tozero").update_yaxes(title_text="eigenvalue", col=1)
    return lay_out(figure, f"Curvature at the found architecture; {_setting(landscapes)}; bars: either half", 400)
