"""Found and published cells beside each other: depth and operations (Sec. F), and how far apart they are (Eq. 2)."""

from collections.abc import Sequence
from itertools import cycle
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from IPython.display import Markdown
from pandas.io.formats.style import Styler
from plotly.subplots import make_subplots

from flatlib.display.cell import cells, count_operations, depth, operation_color, short_name
from flatlib.display.plots import PALETTE, lay_out
from flatlib.evaluation.catalogue import catalogue
from flatlib.evaluation.cost import cost
from flatlib.evaluation.costs import SIZES
from flatlib.evaluation.plan import IMAGES, network_plan
from flatlib.evaluation.tables import found_name
from flatlib.neighborhoods import cell_distance
from flatlib.search.derive import one_hot_alphas
from flatlib.search.retrain import random_cell
from flatlib.search.runs import Run
from flatlib.spaces import DARTS, Genotype

PUBLISHED = "published"
HATCHES = {"dil": "/", "avg": "."}  # of operations that share a color
PLACES = ("top center", "bottom center", "middle right", "middle left")  # of names, in turn
RANDOM_CELLS = 200  # drawn to say how far apart any two cells are


class Shown(NamedTuple):
    """A cell of a figure."""

    group: str  # 'published', or the kind of search that found it
    name: str
    cell: Genotype


def gather(names: Sequence[str], runs: Sequence[Run]) -> list[Shown]:
    """Published cells by name, then the genotypes that finished searches found."""
    shown = [Shown(PUBLISHED, name, catalogue()[name].cell) for name in names]
    for run in runs:
        if run.result and isinstance(run.result.cell, Genotype):
            group = found_name(run.config)
            shown.append(Shown(group, f"{group}, seed {run.config.seed}", run.result.cell))
    return shown


# --- depth and operations (Sec. F) ------------------------------------------------------------------


def cells_frame(shown: Sequence[Shown]) -> pd.DataFrame:
    """A line a cell: what Section F speaks of, for its normal and its reduction cell."""
    channels, size = SIZES["cifar10"]
    lines = []
    for group, name, genotype in shown:
        line: dict[str, Any] = {"group": group, "cell": name}
        for kind, cell in cells(genotype).items():
            counts, short = count_operations(cell), kind.removesuffix(" cell")
            line |= {
                f"{short}: depth": depth(cell),
                f"{short}: without parameters %": 100 * counts.parameter_free_share,
            }
            line |= {f"{short}: 5x5": sum("5x5" in operation for operation, *_ in cell.operations)}
        plan = network_plan(genotype, IMAGES["cifar10"], channels=channels, cells=size)
        lines.append(line | {f"params (M), C = {channels}": cost(plan).params / 1e6})
    return pd.DataFrame(lines)


def depth_table(shown: Sequence[Shown]) -> Styler:
    """Published cells one by one, found ones as mean ± population standard deviation over the searches of a kind."""
    frame = cells_frame(shown)
    numbers = [name for name in frame.columns if name not in ("group", "cell")]
    rows: dict[str, list[str]] = {}
    for group, part in frame.groupby("group", sort=False):
        if group == PUBLISHED:
            rows |= {line["cell"]: [_number(line[name]) for name in numbers] for _, line in part.iterrows()}
        else:
            spread = [f" ± {_number(part[name].std(ddof=0))}" * (len(part) > 1) for name in numbers]
            means = [_number(part[name].mean()) for name in numbers]
            rows[f"{group} (n = {len(part)})"] = [mean + std for mean, std in zip(means, spread, strict=True)]
    table = pd.DataFrame.from_dict(rows, orient="index", columns=numbers)
    return table.style.set_table_attributes('class="dataframe"')


def _number(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")


def plot_operations(shown: Sequence[Shown]) -> go.Figure:
    """What each cell is made of: a bar a cell, a color an operation."""
    kinds = ("normal cell", "reduction cell")
    figure = make_subplots(
        1, 2, subplot_titles=[f"{kind}s" for kind in kinds], shared_yaxes=True, horizontal_spacing=0.03
    )
    counts = {(kind, name): count_operations(cells(cell)[kind]).operations for kind in kinds for _, name, cell in shown}
    operations = sorted(
        {name for found in counts.values() for name in found}, key=lambda name: (operation_color(name), name)
    )
    for operation in operations:
        for column, kind in enumerate(kinds, 1):
            figure.add_bar(
                x=[counts[kind, name].get(operation, 0) for _, name, _ in shown],
                y=[name for _, name, _ in shown],
                orientation="h",
                name=short_name(operation),
                legendgroup=operation,
                showlegend=column == 1,
                marker={"color": operation_color(operation), "pattern": {"shape": HATCHES.get(operation[:3], "")}},
                hovertemplate=f"%{{y}}: %{{x}} × {operation}<extra></extra>",
                row=1,
                col=column,
            )
    figure.update_layout(barmode="stack").update_yaxes(autorange="reversed", automargin=True)
    figure.update_xaxes(title_text="operations")
    return lay_out(figure, "What the cells are made of", 200 + 22 * len(shown))


# --- distances (Eq. 2) ------------------------------------------------------------------------------


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
    kept: float  # share of the squared distances' sum that the two axes show


def embed(given: np.ndarray) -> Plane:  # (A, A)
    """Classical scaling: the two largest eigenvectors of -1/2 J D^2 J, with the larger entries positive."""
    n = len(given)
    center = np.eye(n) - 1 / n
    values, vectors = np.linalg.eigh(-0.5 * center @ given**2 @ center)
    values, vectors = values[::-1], vectors[:, ::-1]
    axes = vectors[:, :2] * np.sqrt(np.clip(values[:2], 0, None))
    signs = np.sign(axes[np.abs(axes).argmax(0), [0, 1]])
    return Plane(axes * np.where(signs == 0, 1, signs), float(values[:2].sum() / np.abs(values).sum()))


def plot_map(shown: Sequence[Shown]) -> go.Figure:
    """Cells of the DARTS space; near is alike."""
    inside = [one for one in shown if not outside(one.cell)]
    plane = embed(distances([one.cell for one in inside]))
    figure = go.Figure()
    for group, color in zip(dict.fromkeys(one.group for one in inside), cycle(PALETTE[1:])):
        at = [row for row, one in enumerate(inside) if one.group == group]
        labeled = group == PUBLISHED
        figure.add_scatter(
            x=plane.points[at, 0],
            y=plane.points[at, 1],
            mode="markers+text" if labeled else "markers",
            text=[inside[row].name for row in at],
            textposition=[PLACES[row % len(PLACES)] for row in at],
            name=group,
            marker={"size": 11, "color": color, "symbol": "circle" if labeled else "diamond"},
            hovertemplate="%{text}<extra></extra>",
        )
    figure.update_yaxes(scaleanchor="x", title_text="edges").update_xaxes(title_text="edges")
    return lay_out(figure, f"Cells by Eq. 2: two axes show {plane.kept:.0%} of the squared distances", 560)


def nearest(shown: Sequence[Shown], seed: int) -> Styler:
    """For each found cell the nearest published one; last, how far apart random cells are."""
    inside = [one for one in shown if not outside(one.cell)]
    known = [one for one in inside if one.group == PUBLISHED]
    rng = np.random.default_rng([seed, 7])
    drawn = distances([random_cell(DARTS, rng) for _ in range(RANDOM_CELLS)])  # type: ignore[misc]
    apart = drawn[np.triu_indices(RANDOM_CELLS, 1)]
    lines = []
    for one in inside:
        others = [other for other in known if other.name != one.name]
        if others:
            far = distances([one.cell, *(other.cell for other in others)])[0, 1:]
            lines.append(
                {"cell": one.name, "nearest published": others[far.argmin()].name, "edges": f"{far.min():.0f}"}
            )
    spread = f"{apart.mean():.1f} ± {apart.std():.1f}"
    lines.append({"cell": f"two of {RANDOM_CELLS} random cells", "nearest published": "", "edges": spread})
    return pd.DataFrame(lines).set_index("cell").style.set_table_attributes('class="dataframe"')
