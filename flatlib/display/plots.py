"""Figures of the tabular notebooks: numbers come from `tabular`, a function here only draws them."""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
import plotly.express as px
import plotly.graph_objects as go
from plotly.colors import hex_to_rgb
from plotly.subplots import make_subplots
from scipy.stats import sem

from flatlib.tabular.analysis import Searches, flat_and_sharp, rank_correlation, regret
from flatlib.tabular.experiment import CRITERIA, Experiment
from flatlib.tabular.rivals import RivalPoint
from flatlib.tabular.when import noise_floor, settings_of_f

# Okabe and Ito's palette: distinct for color-blind readers.
PALETTE = ("#000000", "#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7", "#56B4E9")
CRITERION_COLOR = dict(zip(CRITERIA, PALETTE, strict=False))
MAX_POINTS = 2000  # of a scatter: more only slows the page
OWN_AXIS = {"matches": None, "showticklabels": True}  # of a panel
FACETS = {"facet_col_spacing": 0.08, "color_discrete_sequence": PALETTE[1:]}
SHOWN_SHARE = 0.97  # of the cells within a scatter's axes: a few useless cells would squeeze the rest


def lay_out(figure: go.Figure, title: str, height: int = 380) -> go.Figure:
    """The look of all figures; curves and bars of one name are one entry of the legend."""
    entries: set[str] = set()
    for trace in figure.select_traces(lambda trace: trace.type in ("scatter", "bar") and trace.showlegend is None):
        entry = trace.legendgroup or trace.name
        trace.update(legendgroup=entry, showlegend=entry not in entries)
        entries.add(entry)
    figure.update_annotations(font_size=12)
    return figure.update_layout(
        template="plotly_white",
        title={"text": title, "font": {"size": 15}},
        height=height,
        margin={"l": 60, "r": 20, "t": 80, "b": 55},
        font={"size": 12},
        colorway=PALETTE[1:],
        legend={"orientation": "h", "y": -0.25, "title": {"text": ""}},
    )


def name_panels(figure: go.Figure) -> go.Figure:
    """Panels of plotly.express, titled by their value alone."""
    return figure.for_each_annotation(lambda note: note.update(text=note.text.split("=", 1)[1]))


def _epoch_axis(figure: go.Figure, epochs: Iterable[int]) -> None:
    """A logarithmic axis with only as many labels as fit."""
    ticks: list[int] = []
    for epoch in sorted({*epochs}, reverse=True):
        if not ticks or ticks[-1] >= 1.3 * epoch:
            ticks.append(epoch)
    title = "epoch at which f is read"
    figure.update_xaxes(title_text=title, type="log", tickvals=ticks, ticktext=[*map(str, ticks)], tickangle=0)


def plot_flat_and_sharp(experiment: Experiment, n_top: int) -> go.Figure:
    """Test errors of flat and sharp minima, and the interval of their difference (Table 1a)."""
    groups, parts = flat_and_sharp(experiment, n_top), []
    for column, errors in experiment.targets.items():
        gain = groups.gain(errors)
        panel = f"{column}<br>sharp - flat: {gain.value:+.2f} [{gain.low:+.2f}, {gain.high:+.2f}]"
        for half, rows, n in zip(("Flat", "Sharp"), (groups.flat, groups.sharp), groups.networks, strict=True):
            name = f"{half}, {n} networks"
            parts.append(pd.DataFrame({"minima": name, "test error (%)": errors[rows], "panel": panel}))
    figure = px.box(
        pd.concat(parts), x="minima", y="test error (%)", color="minima", facet_col="panel", points="all", **FACETS
    )
    figure.update_traces(jitter=0.6, pointpos=0, boxmean=True, marker={"size": 4, "opacity": 0.5}, showlegend=False)
    name_panels(figure).update_xaxes(title_text="").update_yaxes(**OWN_AXIS, hoverformat=".2f")
    figure.update_layout(boxmode="overlay")
    return lay_out(
        figure, f"Flat and sharp minima: halves of the {n_top} best cells, 95 % interval of the difference", 420
    )


def _most(values: np.ndarray) -> list[float]:
    """The range of an axis that shows most cells."""
    low, high = np.quantile(values, [0, SHOWN_SHARE])
    return [float(low) - 0.5, float(high) + 0.5]


def plot_ranking(experiment: Experiment, column: str) -> go.Figure:
    """Test error against f and against the mean of the neighborhood, all cells (Table 1b)."""
    errors = experiment.targets[column]
    shown = np.random.default_rng(0).permutation(len(errors))[:MAX_POINTS]
    rows = ("Baseline", "Ours - mean")
    scores = {row: experiment.score(row) for row in rows}
    titles = [f"{row}: tau = {rank_correlation(scores[row], errors):.3f} over all cells" for row in rows]
    figure = make_subplots(1, 2, subplot_titles=titles, shared_yaxes=True, horizontal_spacing=0.05)
    for at, row in enumerate(rows, 1):
        figure.add_scattergl(
            x=scores[row][shown].round(3),
            y=errors[shown].round(3),
            mode="markers",
            name=row,
            marker={"size": 4, "opacity": 0.4, "color": CRITERION_COLOR[row]},
            showlegend=False,
            row=1,
            col=at,
        )
        figure.update_xaxes(title_text="f (%)" if at == 1 else "mean of f over the neighborhood (%)", row=1, col=at)
        figure.update_xaxes(range=_most(scores[row]), row=1, col=at)
    figure.update_yaxes(range=_most(errors))
    figure.update_yaxes(title_text=f"test error, {column} (%)", col=1)
    shown_of = f"{len(shown):,} of {len(errors):,} cells, double-click shows the worst too"
    return lay_out(figure, f"What ranks cells better? ({shown_of})", 420)


def plot_rank_by_epoch(experiment: Experiment, points: pd.DataFrame, column: str) -> go.Figure:
    """tau against the epoch at which f is read, for each criterion, with the tau of another seed."""
    frame = points.replace({"trial": {"first": "first seed", "mean": "seed mean"}})
    place = {"x": "epoch", "y": "tau", "color": "criterion", "line_dash": "trial", "symbol": "trial"}
    figure = px.line(frame, **place, line_group="key", markers=True, color_discrete_map=CRITERION_COLOR)
    floors = [
        (then.epoch, floor.tau)
        for then in settings_of_f(experiment)
        if (floor := noise_floor(then.table, then.key, then.epoch)).cells
    ]
    figure.add_scatter(
        x=[epoch for epoch, _ in floors],
        y=[tau for _, tau in floors],
        mode="lines+markers",
        name="f against f of another seed",
        line={"color": "#999999", "dash": "dash"},
    )
    _epoch_axis(figure, points.epoch)
    figure.update_yaxes(title_text="Kendall's tau")
    return lay_out(figure, f"Rank correlation with the test error on {column}, all cells", 520)


def plot_regret(experiment: Experiment, searches: Sequence[Searches], column: str) -> go.Figure:
    """Mean regret of the incumbent against evaluations, with the middle half of the runs as a band."""
    figure, n = go.Figure(), len(searches[0].trace.found)
    for (row, trace), color in zip(searches, PALETTE[1:], strict=False):
        values = regret(experiment, trace, column)
        steps = np.unique(np.geomspace(1, values.shape[1], 60).astype(int)) - 1
        x = trace.evaluations[steps]
        low, high = np.quantile(values[:, steps], [0.25, 0.75], axis=0)
        figure.add_scatter(
            x=[*x, *x[::-1]],
            y=[*high.round(4), *low[::-1].round(4)],
            fill="toself",
            mode="lines",
            line={"width": 0},
            fillcolor=f"rgba{(*hex_to_rgb(color), 0.15)}",
            hoverinfo="skip",
            showlegend=False,
            legendgroup=row,
        )
        figure.add_scatter(
            x=x,
            y=values[:, steps].mean(0).round(4),
            mode="lines",
            name=row if len(values) == n else f"{row}, {len(values)} runs",
            legendgroup=row,
            line={"color": color},
        )
    figure.update_xaxes(title_text="evaluations of f (repeats count)", type="log")
    figure.update_yaxes(title_text=f"regret on {column} (percentage points)", rangemode="tozero")
    return lay_out(figure, f"Regret of the incumbent (mean of {n} runs; band: middle half)", 440)


def plot_rivals(points: Sequence[RivalPoint], column: str) -> go.Figure:
    """Mean test error of what each sampler finds against the epoch of f, with 95 % intervals of the mean."""
    figure = go.Figure()
    points = [point for point in points if point.column == column]
    rows = list(dict.fromkeys(point.row for point in points))
    half = len(rows) // 2  # on f, then the same samplers on the neighborhood
    for key, (at, row) in [(key, r) for key in dict.fromkeys(p.key for p in points) for r in enumerate(rows)]:
        line = [point for point in points if (point.key, point.row) == (key, row)]
        figure.add_scatter(
            x=[point.epoch for point in line],
            y=[float(point.errors.mean()) for point in line],
            error_y={"array": [1.96 * float(sem(point.errors)) for point in line], "thickness": 1, "width": 2},
            mode="lines+markers",
            name=row,
            line={"color": PALETTE[1 + at % half], "dash": "solid" if at < half else "dot"},
            hovertemplate=f"{row}, f = {key}<br>epoch %{{x}}: %{{y:.2f}} %<extra></extra>",
        )
    _epoch_axis(figure, [point.epoch for point in points])
    figure.update_yaxes(title_text=f"test error, {column} (%)")
    n = len(points[0].errors)
    return lay_out(figure, f"What {n} runs of each sampler find (dotted: on the neighborhood)", 480)


def plot_claims(points: pd.DataFrame, chosen: Sequence[str] = ("flat", "ranking", "search")) -> go.Figure:
    """Gains of the paper's claims against the epoch of f, with 95 % intervals; above 0 is in favor."""
    titles = {
        "flat": "Table 1a: sharp - flat minima (points)",
        "ranking": "Table 1b: tau of mean - tau of f",
        "search": "Table 2: RS - NA-RS (points)",
    }
    frame = pd.concat([points[points.claim == name].assign(claim=titles[name]) for name in chosen])
    frame = frame.assign(gain=frame.value, above=frame.high - frame.value, below=frame.value - frame.low)
    place = {"x": "epoch", "y": "gain", "error_y": "above", "error_y_minus": "below", "facet_col": "claim"}
    names = {"labels": {"column": "judged on"}}
    figure = px.line(frame, **place, **names, color="column", symbol="f", markers=True, **FACETS)
    for trace in figure.data:  # the legend tells the colors
        trace.update(name=trace.name.partition(", ")[0], legendgroup=None, showlegend=None)
    name_panels(figure).update_yaxes(**OWN_AXIS, title_text="").update_traces(error_y={"thickness": 1, "width": 2})
    _epoch_axis(figure, points.epoch)
    figure.add_hline(y=0, line={"color": "#999999", "width": 1})
    return lay_out(figure, "The paper's claims by the epoch of f (above 0 is in their favor; all seeds of f)", 420)
