"""How far apart found and published cells are (Eq. 2), as a map and as nearest neighbors."""

from collections.abc import Sequence
from itertools import cycle
from typing import NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from IPython.display import Markdown
from pandas.io.formats.style import Styler

from flatlib.display.cell_table import PUBLISHED, Shown
from flatlib.display.plots import PALETTE, lay_out
from flatlib.neighborhoods import cell_distance
from flatlib.search.derive import one_hot_alphas, random_cell
from flatlib.spaces import DARTS, Genotype

RANDOM_CELLS = 200  # drawn to say how far apart any two cells are


def outside(cell: Genotype) -> str:
    """Why a genotype is no cell of the DARTS space; '' where it is one."""
    pairs = [*cell.normal, *cell.reduce]
    if foreign := sorted(
        {name for name, _ in pairs} - set(DARTS.operations) | ({"none"} & {name for name, _ in pairs})
    ):
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


def embed(given: np.ndarray, steps: int = 500) -> Plane:  # (A, A)
    """Metric scaling: least squares of the distances, by majorization from classical scaling, so without a draw."""
    n = len(given)
    if n < 2:
        return Plane(np.zeros((n, 2)), 0.0)
    points = _classical(given)
    for _ in range(steps):  # Guttman's transform: the stress never grows
        ratio = np.divide(given, drawn := _apart(points), out=np.zeros((n, n)), where=drawn > 0)
        points = (np.diag(ratio.sum(1)) - ratio) @ points / n
    total = (given**2).sum()
    return Plane(points, float(np.sqrt(((_apart(points) - given) ** 2).sum() / total)) if total else 0.0)


def _apart(points: np.ndarray) -> np.ndarray:  # (A, 2) -> (A, A)
    return np.linalg.norm(points[:, None] - points[None], axis=-1)


def _classical(given: np.ndarray) -> np.ndarray:  # (A, A) -> (A, 2)
    """The two largest eigenvectors of -1/2 J D^2 J, their largest entries positive."""
    n = len(given)
    center = np.eye(n) - 1 / n
    values, vectors = np.linalg.eigh(-0.5 * center @ given**2 @ center)
    axes = np.zeros((n, 2))
    axes[:, : min(n, 2)] = vectors[:, ::-1][:, :2] * np.sqrt(np.clip(values[::-1][:2], 0, None))
    signs = np.sign(axes[np.abs(axes).argmax(0), [0, 1]])
    return axes * np.where(signs == 0, 1, signs)


def plot_map(shown: Sequence[Shown]) -> go.Figure:
    """Cells of the DARTS space; near is alike."""
    inside = [one for one in shown if not outside(one.cell)]
    plane = embed(distances([one.cell for one in inside]))
    reach = 1.3 * max([1.0, *np.abs(plane.points).ravel()])  # room for names
    places = _places(plane.points, [one.name * (one.group == PUBLISHED) for one in inside], reach)
    figure = go.Figure()
    for group, color in zip(dict.fromkeys(one.group for one in inside), cycle(PALETTE[1:])):
        at = [row for row, one in enumerate(inside) if one.group == group]
        labeled = group == PUBLISHED
        figure.add_scatter(
            x=plane.points[at, 0],
            y=plane.points[at, 1],
            mode="markers+text" if labeled else "markers",
            text=[inside[row].name for row in at],
            textposition=[places[row] for row in at],
            textfont={"size": 10},
            name=group,
            marker={"size": 10, "color": color, "symbol": "circle" if labeled else "diamond"},
            hovertemplate="%{text}<extra></extra>",
        )
    figure.update_yaxes(scaleanchor="x", title_text="edges")
    figure.update_xaxes(title_text="edges", range=[-reach, reach])
    return lay_out(figure, f"Cells by Eq. 2, normal and reduction together<br>stress {plane.stress:.2f}", 560)


def _places(points: np.ndarray, names: Sequence[str], reach: float) -> list[str]:
    """Where each name stands such that it meets few points and earlier names; '' needs no place."""
    letter, row = reach / 22, reach / 9  # of a small font on a page that is `reach` wide to each side
    boxes, places = [(x, y, 0.0) for x, y in points.tolist()], []
    for (x, y), name in zip(points.tolist(), names, strict=True):
        width = letter * len(name)
        aside = width / 2 + row / 2
        options = {"top center": (x, y + row), "bottom center": (x, y - row)}
        options |= {"middle right": (x + aside, y), "middle left": (x - aside, y)}
        crowds = {
            place: sum(abs(u - a) < (width + w) / 2 and abs(v - b) < 0.7 * row for a, b, w in boxes)
            + 9 * (abs(u) + width / 2 > reach)
            for place, (u, v) in options.items()
        }
        places.append(min(options, key=crowds.__getitem__))
        boxes += [(*options[places[-1]], width)] if name else []
    return places


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
    style = pd.DataFrame.from_dict(lines, orient="index").style.set_table_attributes('class="dataframe"')
    pairs = _spread(apart[n:, n:][np.triu_indices(RANDOM_CELLS, 1)])
    return style.set_caption(f"Edges that differ. {RANDOM_CELLS} random cells: mean ± std; two of them: {pairs}.")


def _nearest(far: np.ndarray, others: Sequence[Shown]) -> str:
    """'7: DARTS_V2'; of equals the first, '' where a cell is alone."""
    return f"{far.min():.0f}: {others[int(far.argmin())].name}" if np.isfinite(far.min()) else ""


def _spread(values: np.ndarray) -> str:
    return f"{values.mean():.1f} ± {values.std():.1f}"
