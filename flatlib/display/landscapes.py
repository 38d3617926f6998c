"""Landscapes as notebook 06 makes, draws and compares them (Sec. E, Figures 1 and A)."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import plotly.express as px
import plotly.graph_objects as go
from IPython.display import Markdown
from pandas.io.formats.style import Styler
from plotly.subplots import make_subplots
from tqdm.auto import tqdm

from flatlib.display.plots import FACETS, PALETTE, lay_out, name_panels
from flatlib.display.reproduction import COLUMNS, write_csv
from flatlib.display.searches import run_searches
from flatlib.landscape.config import LandscapeConfig
from flatlib.landscape.found import Source
from flatlib.landscape.landscape import Landscape, estimate, known_landscape, look_around
from flatlib.landscape.plane import Plane, losses, mean_rise
from flatlib.run.workers import workers
from flatlib.search.config import SearchConfig
from flatlib.search.runs import Run

SCALE = ("#f7fbff", "#deebf7", "#c6dbef", "#9ecae1", "#6baed6", "#4292c6")  # one hue, black labels readable on all
BAR = {"title": "loss<br>(nats)", "thickness": 12}


def searched(configs: Mapping[str, SearchConfig], runs: int, runs_dir: Any, folders: Sequence[str] = ()) -> list[Run]:
    """The finished searches of some folders, else these searches, made where they are not finished yet."""
    if folders:
        return [Run.read(folder) for folder in folders]
    return [run for of_method in run_searches(configs, runs, runs_dir).values() for run in of_method]


def estimate_all(runs: Sequence[Run], config: LandscapeConfig) -> Markdown:
    """What is to do, and for how long on this machine."""
    waiting = [run for run in runs if known_landscape(run, config) is None]
    each = f", each: {estimate(waiting[0], config)}" if waiting else ""
    return Markdown(f"{len(waiting)} of {len(runs)} landscapes to compute{each}")


def look_around_all(runs: Sequence[Run], config: LandscapeConfig) -> list[Landscape]:
    """The landscape of each search, with a bar; those known already are read."""
    waiting = [Source(str(run.folder), config.n_valid) for run in runs if known_landscape(run, config) is None]
    with workers(max((len(source.open().batches) for source in waiting), default=1)) as pool:
        return [look_around(run, config, pool=pool) for run in tqdm(runs, desc="landscapes", disable=not waiting)]


def evaluator(runs: Sequence[Run], config: LandscapeConfig) -> Callable[[int, np.ndarray], np.ndarray]:
    """For the explorer: (number of the run, alpha (T, E, O)) -> loss and accuracy with the model at hand."""
    sources = [Source(str(run.folder), config.n_valid) for run in runs]
    return lambda run, alphas: losses(sources[run], alphas[None])[:, 0]


def setting(landscapes: Sequence[Landscape]) -> str:
    """What the numbers are measured on, the same for all."""
    of = landscapes[0].of_alpha
    return f"{of.images} validation images, batch size {of.batch_size}"


# --- how flat it is -------------------------------------------------------------------------------


def flatness(one: Landscape) -> dict[str, float]:
    """Label (unit) -> number. Half the difference is no error bar: both halves may lie above all of the images."""
    plane, alpha, logits = one.plane, one.of_alpha, one.of_logits
    numbers = {
        "loss at alpha (nats)": plane.loss,
        "accuracy at alpha (%)": plane.accuracy[plane.middle, plane.middle],
        **{f"mean rise within r = {r:g} (nats)": mean_rise(plane, r) for r in (0.25, 0.5, 1.0)},
        "mean rise within r = 1, random plane (nats)": mean_rise(one.random, 1.0),
        "largest eigenvalue, alpha (nats)": alpha.pairs.values[0],
        "second eigenvalue, alpha (nats)": alpha.pairs.values[1],
        "half the difference of the halves' largest, alpha (nats)": abs(alpha.halves[0, 0] - alpha.halves[1, 0]) / 2,
        "trace, alpha (nats)": alpha.pairs.trace,
        "largest eigenvalue, logits (nats)": logits.pairs.values[0],
        "second eigenvalue, logits (nats)": logits.pairs.values[1],
        "half the difference of the halves' largest, logits (nats)": abs(logits.halves[0, 0] - logits.halves[1, 0]) / 2,
        "largest residual |Hv - kv|, alpha (nats)": alpha.pairs.residuals.max(),
        "entries clipped at 0, mean over the plane (%)": 100 * plane.clipped.mean(),
        "loss of the derived cell (nats)": one.discrete[0].mean(),
        "mean loss at distance 1 from it (nats)": one.discrete[1].mean(),
    }
    return {name: float(number) for name, number in numbers.items()}


def figure_a(landscapes: Sequence[Landscape], dataset: str) -> pd.DataFrame:
    """The numbers beside Figure A in the columns of all tables: mean and population deviation over seeds."""
    frame = pd.DataFrame([flatness(one) for one in landscapes])
    labels = frame.columns.str.extract(r"(?P<column>.*) \((?P<unit>.*)\)$")
    lines = []
    for method, rows in frame.groupby(np.array([one.method for one in landscapes]), sort=False):
        n, mean, std = len(rows), rows.mean(skipna=False), rows.std(ddof=0, skipna=False)  # a nan stays one
        lines.append(labels.assign(row=method, ours=mean.array, ours_std=std.array if n > 1 else np.nan, n=n))
    note = "Figure A of the paper is a picture without numbers"
    told = pd.concat(lines).assign(setting=f"{dataset}, {setting(landscapes)}", note=note)
    return told.reindex(columns=COLUMNS)


def save_and_show(landscapes: Sequence[Landscape], dataset: str, reports_dir: Path) -> Styler:
    """Write `tables/<dataset>/figure_A.csv`, and return it for the eye: a column a method and a line a number."""
    frame = figure_a(landscapes, dataset)
    write_csv(frame, reports_dir / "tables" / dataset / "figure_A.csv")
    numbers = zip(frame.ours, frame.ours_std, frame.n, strict=True)
    text = [f"{mean:.3g}" + f" ± {std:.2g}" * (n > 1) for mean, std, n in numbers]
    lines, columns = frame.column + " (" + frame.unit + ")", frame.row + " (n = " + frame.n.astype(str) + ")"
    return pd.Series(text, [lines, columns]).unstack(sort=False).style


# --- figures --------------------------------------------------------------------------------------


def levels(planes: Sequence[Plane], n: int = 10) -> tuple[float, float, float]:
    """First level, last level and step (nats), the same for all planes: a step of one digit, up to nearly the top."""
    values = np.concatenate([plane.losses.ravel() for plane in planes])
    low, high = np.quantile(values[np.isfinite(values)], [0, 0.995])
    step = float(f"{max((high - low) / n, 1e-6):.0e}")
    return float(step * np.floor(low / step)), float(step * np.ceil(high / step)), step


def plot_planes(landscapes: Sequence[Landscape], *, random: bool = False) -> go.Figure:
    """Contours of the loss (Figure A) on one color scale, a row a seed; `random`: over the random plane."""
    columns = len({one.method for one in landscapes})
    ordered = sorted(landscapes, key=lambda one: one.seed)  # methods stay in their order
    planes, names = [one.random if random else one.plane for one in ordered], [one.name for one in ordered]
    rows, (first, end, step) = -(-len(planes) // columns), levels(planes)
    gaps = {"horizontal_spacing": 0.03, "vertical_spacing": 0.09}
    figure = make_subplots(rows, columns, subplot_titles=names, shared_xaxes="all", shared_yaxes="all", **gaps)
    contours = {"start": first, "end": end, "size": step, "showlabels": True, "labelfont": {"color": "#000000"}}
    look = {"contours": contours, "line": {"width": 0.8, "color": "#444444"}, "coloraxis": "coloraxis"}
    look["hovertemplate"] = "λ<sub>0</sub> %{x:.2f}, λ<sub>1</sub> %{y:.2f}<br>loss %{z:.4f} nats<extra></extra>"
    middle = {"mode": "markers", "marker": {"symbol": "x", "color": PALETTE[2], "size": 9}, "hoverinfo": "skip"}
    for at, plane in enumerate(planes):
        place = {"row": at // columns + 1, "col": at % columns + 1}
        figure.add_contour(x=plane.lambdas, y=plane.lambdas, z=plane.losses.round(4), **look, **place)
        figure.add_scatter(x=[0], y=[0], showlegend=False, **middle, **place)
    figure.update_xaxes(title_text="λ<sub>0</sub>", row=rows).update_yaxes(title_text="λ<sub>1</sub>", col=1)
    figure.update_layout(coloraxis={"colorscale": SCALE, "cmin": first, "cmax": end, "colorbar": BAR})
    which = "two random directions" if random else "v<sub>0</sub> and v<sub>1</sub>"
    title = f"Validation loss around the found architecture (×), along {which}<br>{setting(landscapes)}"
    return lay_out(figure, title, 150 + rows * min(440, 840 // columns)).update_layout(margin_t=95)


def plot_surfaces(landscapes: Sequence[Landscape]) -> go.Figure:
    """The loss as a surface, the first run of the first two methods, on one scale."""
    firsts = [one for at, one in enumerate(landscapes) if one.method not in {x.method for x in landscapes[:at]}][:2]
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


def plot_cuts(landscapes: Sequence[Landscape]) -> go.Figure:
    """The rise of the loss over that of alpha along each direction alone: a color a method, a dash a seed."""
    parts, rise = [], "rise of the loss (nats)"
    for one in landscapes:
        for name, plane in (("v<sub>{}</sub>", one.plane), ("random direction {}", one.random)):
            for at, line in enumerate((plane.losses[plane.middle], plane.losses[:, plane.middle])):
                part = pd.DataFrame({"λ": plane.lambdas, rise: line - plane.loss}).round(5)
                parts.append(part.assign(direction=f"along {name.format(at)}", method=one.method, seed=one.seed))
    place = {"x": "λ", "y": rise, "color": "method", "line_dash": "seed", "facet_col": "direction"}
    figure = px.line(pd.concat(parts), **place, **FACETS | {"facet_col_spacing": 0.02})
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
