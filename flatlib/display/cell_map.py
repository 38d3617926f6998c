"""How far apart found and published cells are (Eq. 2), as a map and as nearest neighbors."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from IPython.display import Markdown
from pandas.io.formats.style import Styler
from sklearn.manifold import smacof

from flatlib.display.cell_table import PUBLISHED, Shown
from flatlib.display.plots import lay_out
from flatlib.display.tables import plain
from flatlib.neighborhoods import cell_distance
from flatlib.search.derive import one_hot_alphas, random_cell
from flatlib.spaces import DARTS, Genotype

RANDOM_CELLS = 200  # drawn to say how far apart any two cells are


def outside(cell: Genotype) -> str:
    """Why a genotype is no cell of the DARTS space; '' where it is one."""
    pairs = [*cell.normal, *cell.reduce]
    if foreign := sorted({name for name, _ in pairs} - {*DARTS.operations} | {"none"} & {name for name, _ in pairs}):
        return f"has {', '.join(foreign)}"
    if {len(cell.normal), len(cell.reduce)} != {8} or {cell.normal_concat, cell.reduce_concat} != {(2, 3, 4, 5)}:
        return "has other blocks"
    if any(a[1] == b[1] for half in (cell.normal, cell.reduce) for a, b in zip(half[::2], half[1::2], strict=True)):
        return "uses one edge twice"
    return ""


def left_out(shown: Sequence[Shown]) -> Markdown:
    """Which cells the map cannot have, and why; one sentence."""
    reasons = [f"{one.name} ({why})" for one in shown if (why := outside(one.cell))]
    kept = "No cell is left out."
    return Markdown(f"Left out, since Eq. 2 compares edges of one space: {', '.join(reasons)}." if reasons else kept)


def distances(genotypes: Sequence[Genotype]) -> np.ndarray:  # (A, A) edges of both cells that differ
    """dist (Eq. 2) of cells of the DARTS space, normal and reduction cell together; an absent edge is `none`."""
    alphas = np.array([one_hot_alphas(DARTS, cell) for cell in genotypes])  # (A, 2, E, O)
    return np.array([cell_distance(alphas, own).sum(-1) for own in alphas])


class Plane(NamedTuple):
    """Points whose distances come as near to the given ones as two axes allow."""

    points: np.ndarray  # (A, 2)
    stress: float  # Kruskal's stress-1: 0 for a true picture


def embed(given: np.ndarray) -> Plane:  # (A, A)
    """Metric scaling: least squares of the distances, the best of 8 starts that are always the same."""
    if not given.any():
        return Plane(np.zeros((len(given), 2)), 0.0)
    options = {"n_init": 8, "max_iter": 500, "eps": 1e-9, "random_state": 0, "normalized_stress": False}
    points, raw = smacof(given, n_components=2, **options)
    return Plane(points, float(np.sqrt(2 * raw / (given**2).sum())))


def plot_map(shown: Sequence[Shown]) -> go.Figure:
    """Cells of the DARTS space; near is alike."""
    inside = [one for one in shown if not outside(one.cell)]
    plane = embed(distances([one.cell for one in inside]))
    reach = 1.3 * max([1.0, *np.abs(plane.points).ravel()])  # room for names
    outwards = [f"{'top' if y > 0 else 'bottom'} {'right' if x > 0 else 'left'}" for x, y in plane.points]
    figure = go.Figure()
    for group in dict.fromkeys(one.group for one in inside):
        at = [row for row, one in enumerate(inside) if one.group == group]
        figure.add_scatter(
            x=plane.points[at, 0],
            y=plane.points[at, 1],
            mode="markers+text" if group == PUBLISHED else "markers",
            text=[inside[row].name for row in at],
            textposition=[outwards[row] for row in at],
            textfont={"size": 10},
            name=group,
            marker={"size": 10, "symbol": "circle" if group == PUBLISHED else "diamond"},
            hovertemplate="%{text}<extra></extra>",
        )
    figure.update_yaxes(scaleanchor="x", title_text="edges")
    figure.update_xaxes(title_text="edges", range=[-reach, reach])
    return lay_out(figure, f"Cells by Eq. 2, normal and reduction together<br>stress {plane.stress:.2f}", 560)


def random_cells(seed: int) -> list[Shown]:
    """What chance gives: cells of the DARTS space."""
    rng = np.random.default_rng([seed, 7])
    drawn = [random_cell(DARTS, rng) for _ in range(RANDOM_CELLS)]
    return [Shown("random cells", str(n), cell) for n, cell in enumerate(drawn) if isinstance(cell, Genotype)]


def nearest(shown: Sequence[Shown], seed: int) -> Styler:
    """For each cell of the map, found ones first, the nearest published and found one; last, for random cells."""
    inside = sorted((one for one in shown if not outside(one.cell)), key=lambda one: one.group == PUBLISHED)
    n, found = len(inside), sum(one.group != PUBLISHED for one in inside)
    apart = distances([one.cell for one in [*inside, *random_cells(seed)]])
    np.fill_diagonal(apart, np.inf)  # no cell is its own neighbor
    columns = {"nearest published": slice(found, n), "nearest found": slice(0, found)}
    columns = {name: at for name, at in columns.items() if inside[at]}
    lines = {
        one.name: {name: _nearest(apart[row, at], inside[at]) for name, at in columns.items()}
        for row, one in enumerate(inside)
    }
    lines["a random cell"] = {name: _spread(apart[n:, at].min(1)) for name, at in columns.items()}
    pairs = _spread(apart[n:, n:][np.triu_indices(RANDOM_CELLS, 1)])
    caption = f"Edges that differ. {RANDOM_CELLS} random cells: mean ± std; two of them: {pairs}."
    return plain(pd.DataFrame.from_dict(lines, orient="index"), caption)


def _nearest(far: np.ndarray, others: Sequence[Shown]) -> str:
    """'7: DARTS_V2'; of equals the first, '' where a cell is alone."""
    return f"{far.min():.0f}: {others[int(far.argmin())].name}" if np.isfinite(far.min()) else ""


def _spread(values: np.ndarray) -> str:
    return f"{values.mean():.1f} ± {values.std():.1f}"
