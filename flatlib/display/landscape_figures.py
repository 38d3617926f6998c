"""Figures of the loss landscape (Sec. E, Figures 1 and A): numbers come from `flatlib.landscape`."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.express as px
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from flatlib.display.plots import FACETS, INTERVAL, OWN_AXIS, PALETTE, lay_out, name_panels
from flatlib.landscape.landscape import Landscape
from flatlib.landscape.plane import Plane

SCALE = ("#f7fbff", "#deebf7", "#c6dbef", "#9ecae1", "#6baed6", "#4292c6")  # one hue, black labels readable on all
BAR = {"title": "loss<br>(nats)", "thickness": 12}


def levels(planes: Sequence[Plane], n: int = 10) -> tuple[float, float, float]:
    """First level, last level and step (nats), the same for all planes: a round step, up to nearly the largest loss.

    >>> zero = np.zeros((3, 3))
    >>> levels([Plane(np.arange(3), np.array([[0.0, 1, 2], [3, 4, 5], [6, 7, 8]]), *[zero] * 5)])
    (0.0, 8.0, 1.0)
    """
    values = np.concatenate([plane.losses.ravel() for plane in planes])
    low, high = np.quantile(values[np.isfinite(values)], [0, 0.995])
    rough = max((high - low) / n, 1e-6)
    size = 10 ** np.floor(np.log10(rough))
    step = size * next(nice for nice in (1, 2, 2.5, 5, 10) if nice * size >= 0.75 * rough)
    return float(step * np.floor(low / step)), float(step * np.ceil(high / step)), float(step)


def plot_planes(landscapes: Sequence[Landscape], *, random: bool = False) -> go.Figure:
    """Contours of the loss (Figure A) on one color scale, a row a seed; `random`: over the random plane."""
    columns = len({one.method for one in landscapes})
    ordered = sorted(landscapes, key=lambda one: one.seed)  # methods stay in their order
    planes, names = [one.random if random else one.plane for one in ordered], [one.name for one in ordered]
    rows, (first, end, step) = -(-len(planes) // columns), levels(planes)
    gaps = {"horizontal_spacing": 0.03, "vertical_spacing": 0.09}
    figure = make_subplots(rows, columns, subplot_titles=names, shared_xaxes="all", shared_yaxes="all", **gaps)
    contours = {"start": first, "end": end, "size": step, "showlabels": True, "labelfont": {"color": "#000000"}}
    middle = {"mode": "markers", "marker": {"symbol": "x", "color": PALETTE[2], "size": 9}, "hoverinfo": "skip"}
    for at, plane in enumerate(planes):
        place = {"row": at // columns + 1, "col": at % columns + 1}
        figure.add_contour(
            x=plane.lambdas,
            y=plane.lambdas,
            z=plane.losses.round(4),
            customdata=np.stack([plane.accuracy, 100 * plane.clipped], -1).round(2),
            contours=contours,
            line={"width": 0.8, "color": "#444444"},
            hovertemplate="λ<sub>0</sub> %{x:.2f}, λ<sub>1</sub> %{y:.2f}<br>loss %{z:.4f}<br>"
            "accuracy %{customdata[0]:.1f} %<br>clipped %{customdata[1]:.1f} %<extra></extra>",
            coloraxis="coloraxis",
            **place,
        )
        figure.add_scatter(x=[0], y=[0], showlegend=False, **middle, **place)
    figure.update_yaxes(constrain="domain", constraintoward="top").update_xaxes(constrain="domain")
    free = next(axis for axis in figure.select_yaxes() if axis.matches is None)
    free.scaleanchor = free.anchor  # steps are as long on either axis; Plotly ignores it on axes that match another
    figure.update_xaxes(title_text="λ<sub>0</sub>", row=rows)
    figure.update_yaxes(title_text="λ<sub>1</sub>", title_standoff=2, col=1)
    figure.update_layout(coloraxis={"colorscale": SCALE, "cmin": first, "cmax": end, "colorbar": BAR})
    which = "two random directions" if random else "v<sub>0</sub> and v<sub>1</sub>"
    title = f"Validation loss around the found architecture (×), along {which}<br>{setting(landscapes)}"
    return lay_out(figure, title, 150 + rows * min(440, 840 // columns)).update_layout(margin_t=95)


def setting(landscapes: Sequence[Landscape]) -> str:
    """What the numbers are measured on, the same for all."""
    of = landscapes[0].of_alpha
    return f"{of.images} validation images, batch size {of.batch_size}"


def plot_surfaces(landscapes: Sequence[Landscape]) -> go.Figure:
    """The loss as a surface, the first run of the first two methods, on one scale."""
    methods = dict.fromkeys(one.method for one in landscapes)
    firsts = [next(one for one in landscapes if one.method == method) for method in methods][:2]
    first, end, _ = levels([one.plane for one in landscapes])
    specs, names = [[{"type": "surface"}] * len(firsts)], [one.name for one in firsts]
    figure = make_subplots(1, len(firsts), specs=specs, subplot_titles=names, horizontal_spacing=0.02)
    hover = "λ0 %{x:.2f}, λ1 %{y:.2f}<br>loss %{z:.4f}<extra></extra>"
    for col, one in enumerate(firsts, 1):
        axes = {"x": one.plane.lambdas, "y": one.plane.lambdas, "z": one.plane.losses.round(4)}
        figure.add_surface(**axes, coloraxis="coloraxis", hovertemplate=hover, row=1, col=col)
    scene = {"xaxis_title": "λ0", "yaxis_title": "λ1", "zaxis": {"title": "loss (nats)", "range": [first, end]}}
    figure.update_scenes(**scene, camera_eye={"x": 1.5, "y": -1.5, "z": 0.9})
    figure.update_layout(coloraxis={"colorscale": "Cividis", "cmin": first, "cmax": end, "colorbar": BAR})
    return lay_out(figure, "The same as a surface (drag to turn)", 460).update_layout(margin={"l": 10, "b": 10})


def cuts(one: Landscape) -> pd.DataFrame:
    """direction, λ, and the rise of the loss over that of alpha, nats, along each direction alone."""
    parts = []
    for name, plane in (("v<sub>{}</sub>", one.plane), ("random direction {}", one.random)):
        for at, line in enumerate((plane.losses[plane.middle], plane.losses[:, plane.middle])):
            rise = {"λ": plane.lambdas, "rise of the loss (nats)": line - plane.loss}
            parts.append(pd.DataFrame({"direction": f"along {name.format(at)}"} | rise))
    return pd.concat(parts)


def plot_cuts(landscapes: Sequence[Landscape]) -> go.Figure:
    """The loss along each direction alone: a color a method, a dash a seed."""
    frame = pd.concat([cuts(one).assign(method=one.method, seed=one.seed) for one in landscapes]).round(5)
    place = {"x": "λ", "y": "rise of the loss (nats)", "color": "method", "line_dash": "seed", "facet_col": "direction"}
    figure = px.line(frame, **place, **FACETS | {"facet_col_spacing": 0.02})
    return lay_out(name_panels(figure), "Cuts through the landscape")


def plot_discrete(landscapes: Sequence[Landscape]) -> go.Figure:
    """Loss of sampled one-hot cells by their distance from the derived one, beside that of alpha, the mixture."""
    parts = []
    for one in landscapes:
        at = np.repeat(np.arange(len(one.discrete)), one.discrete.shape[1]).astype(str)
        losses = {"cell": ["alpha itself", *at], "loss": [one.plane.loss, *one.discrete.ravel()]}
        parts.append(pd.DataFrame({"search": one.name} | losses).round(4))
    place = {"x": "cell", "y": "loss", "color": "search", "points": "all"}
    figure = px.box(pd.concat(parts), **place, color_discrete_sequence=PALETTE[1:])
    figure.update_traces(boxmean=True, pointpos=0, marker={"size": 4, "opacity": 0.5})
    figure.update_xaxes(title_text="distance from the derived cell, edges of each cell type", type="category")
    figure.update_yaxes(title_text="validation loss (nats)", rangemode="tozero")
    n = landscapes[0].discrete.shape[1]
    return lay_out(figure, f"Discrete neighbors with the search's weights ({n} sampled at each distance)", 420)


def plot_spectrum(landscapes: Sequence[Landscape]) -> go.Figure:
    """The two largest eigenvalues of either Hessian; the bar spans those of the two halves of the images."""
    parts = []
    for one in landscapes:
        for kind, own in (("alpha", one.of_alpha), ("the logits", one.of_logits)):
            values, ends = own.pairs.values, np.vstack([own.halves, own.pairs.values])
            bars = {"above": np.nanmax(ends, 0) - values, "below": values - np.nanmin(ends, 0)}
            numbers = {"which": ["largest", "second"], "eigenvalue": values} | bars
            parts.append(pd.DataFrame({"search": one.name, "panel": f"with respect to {kind}"} | numbers))
    place = {"x": "which", "y": "eigenvalue", "error_y": "above", "error_y_minus": "below", "color": "search"}
    figure = name_panels(px.scatter(pd.concat(parts), **place, facet_col="panel", **FACETS))
    figure.update_traces(marker_size=9, error_y=INTERVAL).update_layout(scattermode="group", scattergap=0.5)
    figure.update_xaxes(title_text="").update_yaxes(**OWN_AXIS, rangemode="tozero")
    return lay_out(figure, f"Curvature at the found architecture; {setting(landscapes)}; bars: either half", 400)
