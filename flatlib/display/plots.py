"""Figures of the tabular notebooks, and the look of all: numbers are measured elsewhere, functions only draw."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.express as px
import plotly.graph_objects as go
from scipy.stats import sem

from flatlib.tabular.analysis import Searches, flat_and_sharp, rank_correlation, regret
from flatlib.tabular.experiment import CRITERIA, Experiment
from flatlib.tabular.when import noise_floor, settings_of_f

# Okabe and Ito's palette: distinct for color-blind readers.
PALETTE = ("#000000", "#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7", "#56B4E9")
GRAY = "#999999"
MAX_POINTS = 2000  # of a scatter: more only slows the page
FACETS = {"facet_col_spacing": 0.08, "color_discrete_sequence": PALETTE[1:]}
OWN_AXIS = {"matches": None, "showticklabels": True}  # of a panel
TICKS = (1, 2, 5, 10, 20, 50, 100, 200)  # of a logarithmic axis
EPOCHS = {"title_text": "epoch at which f is read", "type": "log", "tickvals": TICKS}
INTERVAL = {"thickness": 1, "width": 2}


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


def name_colors(figure: go.Figure) -> go.Figure:
    """Curves of plotly.express named by their color alone, without ', ' and their dash or symbol."""
    for trace in figure.data:
        trace.update(name=trace.name.rpartition(", ")[0], legendgroup=None, showlegend=None)
    return figure


def plot_flat_and_sharp(experiment: Experiment, n_top: int) -> go.Figure:
    """Test errors of flat and sharp minima, and the interval of their difference (Table 1a)."""
    groups, parts = flat_and_sharp(experiment, n_top), []
    for column, errors in experiment.targets.items():
        gain = groups.gain(errors)
        panel = f"{column}<br>sharp - flat: {gain.value:+.2f} [{gain.low:+.2f}, {gain.high:+.2f}]"
        for half, rows, n in zip(("Flat", "Sharp"), (groups.flat, groups.sharp), groups.networks, strict=True):
            name = f"{half}, {n} networks"
            parts.append(pd.DataFrame({"minima": name, "test error (%)": errors[rows], "panel": panel}))
    place = {"x": "minima", "y": "test error (%)", "color": "minima", "facet_col": "panel", "points": "all"}
    figure = name_panels(px.box(pd.concat(parts), **place, **FACETS))
    figure.update_traces(jitter=0.6, pointpos=0, boxmean=True, marker={"size": 4, "opacity": 0.5}, showlegend=False)
    figure.update_xaxes(title_text="").update_yaxes(**OWN_AXIS, hoverformat=".2f").update_layout(boxmode="overlay")
    title = f"Flat and sharp minima: halves of the {n_top} best cells, 95 % interval of the difference"
    return lay_out(figure, title, 420)


def plot_ranking(experiment: Experiment, column: str) -> go.Figure:
    """Test error against f and against the mean of the neighborhood, all cells (Table 1b)."""
    errors, parts = experiment.targets[column], []
    shown = np.random.default_rng(0).permutation(len(errors))[:MAX_POINTS]
    for row, name in (("Baseline", "f"), ("Ours - mean", "mean of f over the neighborhood")):
        score = experiment.score(row)
        panel = f"{name}: tau = {rank_correlation(score, errors):.3f} over all cells"
        parts.append(pd.DataFrame({"judged by (%)": score[shown], "error": errors[shown], "panel": panel}).round(3))
    place = {"x": "judged by (%)", "y": "error", "color": "panel", "facet_col": "panel", "render_mode": "webgl"}
    logarithmic = {"log_x": True, "log_y": True}  # a few useless cells would squeeze the rest
    figure = name_panels(px.scatter(pd.concat(parts), **place, **logarithmic, opacity=0.4, **FACETS))
    figure.update_traces(marker_size=4, showlegend=False).update_yaxes(title_text=f"test error, {column} (%)", col=1)
    figure.update_xaxes(tickvals=TICKS).update_yaxes(tickvals=TICKS)
    return lay_out(figure, f"What ranks cells better? ({len(shown):,} of {len(errors):,} cells)", 420)


def plot_rank_by_epoch(experiment: Experiment, points: pd.DataFrame, column: str) -> go.Figure:
    """tau against the epoch at which f is read, for each criterion, with the tau of another seed."""
    frame = points.replace({"trial": {"first": "first seed", "mean": "seed mean"}})
    place = {"x": "epoch", "y": "tau", "color": "criterion", "line_dash": "trial", "symbol": "trial"}
    colors = dict(zip(CRITERIA, PALETTE, strict=False))
    figure = px.line(frame, **place, line_group="key", markers=True, color_discrete_map=colors)
    noise = [(then.epoch, noise_floor(then.table, then.key, then.epoch).tau) for then in settings_of_f(experiment)]
    floors = pd.DataFrame(noise, columns=["epoch", "tau"]).dropna()  # without those of one seed
    look = {"name": "f against f of another seed", "mode": "lines+markers", "line": {"color": GRAY, "dash": "dash"}}
    figure.add_scatter(x=floors.epoch, y=floors.tau, **look)
    figure.update_xaxes(**EPOCHS).update_yaxes(title_text="Kendall's tau")
    return lay_out(figure, f"Rank correlation with the test error on {column}, all cells", 520)


def plot_regret(experiment: Experiment, searches: Sequence[Searches], column: str) -> go.Figure:
    """Mean regret of the incumbent against evaluations, with the middle half of the runs as a band."""
    figure, n = go.Figure(), len(searches[0].trace.found)
    for (row, trace), color in zip(searches, PALETTE[1:], strict=False):
        values = regret(experiment, trace, column)
        steps = np.unique(np.geomspace(1, values.shape[1], 60).astype(int)) - 1
        x, (low, high) = trace.evaluations[steps], np.quantile(values[:, steps], [0.25, 0.75], axis=0).round(4)
        shared = {"mode": "lines", "legendgroup": row}
        band = {"fill": "toself", "opacity": 0.3, "hoverinfo": "skip", "showlegend": False}
        line = {"color": color, "width": 0}
        figure.add_scatter(x=[*x, *x[::-1]], y=[*high, *low[::-1]], line=line, **band, **shared)
        name = row if len(values) == n else f"{row}, {len(values)} runs"
        figure.add_scatter(x=x, y=values[:, steps].mean(0).round(4), name=name, line_color=color, **shared)
    figure.update_xaxes(title_text="evaluations of f (repeats count)", type="log")
    figure.update_yaxes(title_text=f"regret on {column} (percentage points)", rangemode="tozero")
    return lay_out(figure, f"Regret of the incumbent (mean of {n} runs; band: middle half)", 440)


def plot_rivals(points: pd.DataFrame, column: str) -> go.Figure:
    """Mean test error of what each sampler finds against the epoch of f, with 95 % intervals of the mean."""
    lines = [
        (point.key, point.epoch, point.row, float(point.errors.mean()), 1.96 * float(sem(point.errors)))
        for point in points[points.column == column].itertuples()
    ]
    frame = pd.DataFrame(lines, columns=["f", "epoch", "sampler", "error", "half"])
    rows = list(frame.sampler.unique())
    half = len(rows) // 2  # on f, then the same samplers on the neighborhood
    place = {"x": "epoch", "y": "error", "error_y": "half", "color": "sampler", "line_dash": "sampler"}
    colors = dict(zip(rows, PALETTE[1 : half + 1] * 2, strict=True))
    dashes = dict(zip(rows, ["solid"] * half + ["dot"] * half, strict=True))
    looks = {"color_discrete_map": colors, "line_dash_map": dashes, "markers": True}
    figure = px.line(frame, **place, **looks, line_group="f", hover_name="f").update_traces(error_y=INTERVAL)
    figure.update_xaxes(**EPOCHS).update_yaxes(title_text=f"test error, {column} (%)")
    return lay_out(figure, f"What {len(points.errors[0])} runs of each sampler find (dotted: on the neighborhood)", 480)


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
    figure = name_panels(px.line(frame, **place, color="column", symbol="f", markers=True, **FACETS))
    name_colors(figure).update_traces(error_y=INTERVAL).update_xaxes(**EPOCHS).update_yaxes(**OWN_AXIS, title_text="")
    figure.add_hline(y=0, line={"color": GRAY, "width": 1})
    return lay_out(figure, "The paper's claims by the epoch of f (above 0 is in their favor; all seeds of f)", 420)
