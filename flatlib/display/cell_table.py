"""Found and published cells beside each other: depth, operations, what Section F says of them, a map by Eq. 2."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import plotly.express as px
import plotly.graph_objects as go
from pandas.io.formats.style import Styler
from sklearn.manifold import smacof

from flatlib.display.cell import cells, count_operations, depth, short_name
from flatlib.display.plots import PALETTE, lay_out
from flatlib.display.reproduction import COLUMNS, write_csv
from flatlib.display.tables import mean_and_std, plain
from flatlib.evaluation.catalogue import catalogue
from flatlib.evaluation.tables import group_names
from flatlib.neighborhoods import cell_distance
from flatlib.search.derive import one_hot_alphas, random_cell
from flatlib.search.runs import Run
from flatlib.spaces import DARTS, Genotype

PUBLISHED = "published"
CHANCE = "drawn at random"  # the setting of cells that no search found
RANDOM_CELLS = 200  # drawn to say what chance gives


class Shown(NamedTuple):
    """A cell of a figure."""

    group: str  # 'published', or the kind of search that found it
    name: str
    cell: Genotype
    note: str = ""  # where a published cell comes from, and what is not certain of it


def gather(published: Sequence[str], runs: Sequence[Run]) -> list[Shown]:
    """Published cells by name, then the genotypes that finished searches found."""
    known = [catalogue()[name] for name in dict.fromkeys(published)]
    found = [run for run in runs if isinstance(run.result.cell, Genotype)]
    names = group_names([run.config for run in found])
    return [Shown(PUBLISHED, one.name, one.cell, f"From {one.source}. {one.doubt}".strip()) for one in known] + [
        Shown(names[run.config], f"{names[run.config]}, seed {run.config.seed}", run.result.cell)  # type: ignore[arg-type]
        for run in sorted(found, key=lambda run: (names[run.config], run.config.seed))
    ]


def random_cells(seed: int) -> list[Shown]:
    """What chance gives: cells of the DARTS space."""
    rng = np.random.default_rng([seed, 7])
    drawn = [random_cell(DARTS, rng) for _ in range(RANDOM_CELLS)]
    return [Shown("random cells", str(n), cell) for n, cell in enumerate(drawn) if isinstance(cell, Genotype)]


# --- depth and operations -------------------------------------------------------------------------


def cells_frame(shown: Sequence[Shown], kind: str) -> pd.DataFrame:
    """A line a cell: what Section F speaks of, for its 'normal' or its 'reduction' cell; operations by short name."""
    lines: list[dict[str, Any]] = []
    for one in shown:
        cell = cells(one.cell)[f"{kind} cell"]
        counts, names = count_operations(cell), [operation for operation, *_ in cell.operations]
        line = {"group": one.group, "cell": one.name, "depth": depth(cell)}
        line |= {"without parameters %": 100 * counts.parameter_free_share}
        line |= {"convolutions": sum("conv" in name for name in names), "5×5": sum("5x5" in name for name in names)}
        lines.append(line | {short_name(name): n for name, n in counts.operations.items()})
    return pd.DataFrame(lines).fillna(0)


def _in_words(frame: pd.DataFrame) -> pd.DataFrame:
    """Mean ± population standard deviation over the cells of a group; published cells one by one."""
    size = frame.groupby("group").cell.transform("size").astype(str)
    lines = frame.cell.where(frame.group == PUBLISHED, frame.group + " (n = " + size + ")")
    numbers = frame.drop(columns=["group", "cell"])
    return numbers.groupby(lines.rename(None), sort=False).agg(partial(mean_and_std, digits=1))


def depth_table(shown: Sequence[Shown], kind: str) -> Styler:
    """Published cells one by one, found ones as mean ± deviation over the searches of a kind."""
    return plain(_in_words(cells_frame(shown, kind)))


def facts(shown: Sequence[Shown]) -> pd.DataFrame:
    """A line a cell: what Section F speaks of, of DARTS's two published cells and of all that are not published."""
    meant = [one for one in shown if one.group != PUBLISHED or one.name in ("DARTS_V1", "DARTS_V2")]
    normal, reduction = (cells_frame(meant, kind) for kind in ("normal", "reduction"))
    return pd.DataFrame(
        {
            "group": normal.group.replace(PUBLISHED, "DARTS, published"),
            "cell": normal.cell,
            "depth, normal cell": normal.depth,
            "5×5 operations, normal cell": normal["5×5"],
            "convolutions, reduction cell": reduction.convolutions,
            "without parameters %, reduction cell": reduction["without parameters %"],
        }
    )


def section_f(shown: Sequence[Shown]) -> Styler:
    """What Section F says, beside DARTS's two published cells and each kind of search."""
    says = ["NA-DARTS: mostly 3; DARTS: 1 or 2", "more with NA-DARTS", "both: very few", "both: most"]
    table = _in_words(facts(shown)).T
    table.insert(0, "Section F says", says)
    return plain(table)


def figure_b(shown: Sequence[Shown]) -> pd.DataFrame:
    """Section F's numbers of found and random cells of the DARTS space, in the columns of all tables."""
    numbers = facts(shown).set_index("group").iloc[:, 1:4].rename_axis(columns="column").stack()
    grouped = numbers.groupby(level=["group", "column"], sort=False)
    frame = grouped.agg(ours="mean", ours_std=lambda values: values.std(ddof=0), n="size").reset_index()
    parts = frame.group.str.partition(", ")
    frame = frame.assign(row=parts[0], setting=parts[2].replace("", CHANCE), unit="operations")
    return frame[~frame.setting.str.contains("space ")].reindex(columns=COLUMNS)


def save(found: Sequence[Shown], others: Sequence[Shown], reports_dir: Path) -> list[Path]:
    """`tables/<data set>/figure_B.csv` for each data set searched on; `others`: cells to set them beside."""
    datasets = dict.fromkeys(one.group.rpartition(" ")[2] for one in found)
    alike = {name: [one for one in found if one.group.endswith(f" {name}")] for name in datasets}
    return [
        write_csv(figure_b([*cells, *others]), reports_dir / "tables" / dataset / "figure_B.csv")
        for dataset, cells in alike.items()
    ]


# --- a map by Eq. 2 -------------------------------------------------------------------------------


def outside(cell: Genotype) -> str:
    """Why a genotype is no cell of the DARTS space; '' where it is one."""
    if foreign := sorted({name for name, _ in (*cell.normal, *cell.reduce)} - {*DARTS.operations[1:]}):
        return f"has {', '.join(foreign)}"
    blocks = {(len(cell.normal), cell.normal_concat), (len(cell.reduce), cell.reduce_concat)}
    return "" if blocks == {(8, (2, 3, 4, 5))} else "has other blocks"


def distances(genotypes: Sequence[Genotype]) -> np.ndarray:  # (A, A) edges of both cells that differ
    """dist (Eq. 2) of cells of the DARTS space, normal and reduction cell together; an absent edge is `none`."""
    alphas = np.array([one_hot_alphas(DARTS, cell) for cell in genotypes])  # (A, 2, E, O)
    return np.array([cell_distance(alphas, own).sum(-1) for own in alphas])


def embed(given: np.ndarray) -> tuple[np.ndarray, float]:  # (A, A) distances -> (A, 2) points
    """Points whose distances come as near to the given ones as two axes allow, and Kruskal's stress-1: 0 if true."""
    if not given.any():
        return np.zeros((len(given), 2)), 0.0
    options = {"n_init": 8, "max_iter": 500, "eps": 1e-9, "random_state": 0, "normalized_stress": False}
    points, raw = smacof(given, n_components=2, **options)
    return points, float(np.sqrt(2 * raw / (given**2).sum()))


def plot_map(shown: Sequence[Shown]) -> go.Figure:
    """Cells of the DARTS space; near is alike. Found ones are named on hover."""
    inside = [one for one in shown if not outside(one.cell)]
    points, stress = embed(distances([one.cell for one in inside]))
    frame = pd.DataFrame(inside, columns=Shown._fields).assign(x=points[:, 0], y=points[:, 1])
    frame["text"] = frame.name.where(frame.group == PUBLISHED, "")
    look = {"color": "group", "symbol": "group", "color_discrete_sequence": PALETTE[1:]}
    figure = px.scatter(frame, x="x", y="y", text="text", hover_name="name", **look)
    figure.update_traces(textposition="top center", textfont_size=10, marker_size=10)
    reach = 1.3 * max([1.0, *np.abs(points).ravel()])  # room for names
    figure.update_yaxes(scaleanchor="x", title_text="edges")
    figure.update_xaxes(title_text="edges", range=[-reach, reach])
    return lay_out(figure, f"Cells by Eq. 2, normal and reduction together<br>stress {stress:.2f}", 560)


def nearest(shown: Sequence[Shown], seed: int) -> Styler:
    """For each cell of the map, found ones first, the nearest published and found one; last, for random cells."""
    inside = sorted((one for one in shown if not outside(one.cell)), key=lambda one: one.group == PUBLISHED)
    n, found = len(inside), sum(one.group != PUBLISHED for one in inside)
    apart = distances([one.cell for one in [*inside, *random_cells(seed)]])
    np.fill_diagonal(apart, np.inf)  # no cell is its own neighbor
    table = pd.DataFrame(index=[*(one.name for one in inside), "a random cell"])
    for column, others in (("nearest published", range(found, n)), ("nearest found", range(found))):
        if others:
            far, at = apart[:, others].min(1), apart[:, others].argmin(1)
            texts = [f"{far[row]:.0f}: {inside[others[at[row]]].name}" if far[row] < np.inf else "" for row in range(n)]
            table[column] = [*texts, mean_and_std(pd.Series(far[n:]), 1)]
    pairs = mean_and_std(pd.Series(apart[n:, n:][np.triu_indices(RANDOM_CELLS, 1)]), 1)
    left_out = [f"{one.name} ({why})" for one in shown if (why := outside(one.cell))]
    caption = f"Edges that differ. {RANDOM_CELLS} random cells: mean ± std; two of them: {pairs}."
    return plain(table, f"{caption} Not of the DARTS space, so left out: {', '.join(left_out) or 'none'}.")
