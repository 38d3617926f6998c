"""Found and published cells beside each other: depth, operations, what Section F says of them, a map by Eq. 2."""

from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import plotly.express as px
import plotly.graph_objects as go
from pandas.io.formats.style import Styler

from flatlib.display.cell import cells, describe, short_name
from flatlib.display.plots import lay_out
from flatlib.display.reproduction import COLUMNS, write_csv
from flatlib.display.tables import mean_and_std, plain, with_n
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
    found = [(run.config, run.result.cell) for run in runs if isinstance(run.result.cell, Genotype)]
    names = group_names([config for config, _ in found])
    ordered = sorted(found, key=lambda one: (names[one[0]], one[0].seed))
    return [Shown(PUBLISHED, one.name, one.cell, f"From {one.source}. {one.doubt}".strip()) for one in known] + [
        Shown(names[config], f"{names[config]}, seed {config.seed}", cell) for config, cell in ordered
    ]


def random_cells(seed: int) -> list[Shown]:
    """What chance gives: cells of the DARTS space."""
    rng = np.random.default_rng([seed, 7])
    drawn = [random_cell(DARTS, rng) for _ in range(RANDOM_CELLS)]
    return [Shown("random cells", str(n), cell) for n, cell in enumerate(drawn) if isinstance(cell, Genotype)]


# --- depth and operations -------------------------------------------------------------------------


def cells_frame(shown: Sequence[Shown], kind: str) -> pd.DataFrame:
    """A line a cell: what Section F speaks of, for its 'normal' or its 'reduction' cell; operations by short name."""
    lines = []
    for one in shown:
        cell = cells(one.cell)[f"{kind} cell"]
        counts = Counter(short_name(operation) for operation, *_ in cell.edges)
        lines.append({"group": one.group, "cell": one.name} | describe(cell) | counts)
    return pd.DataFrame(lines).fillna(0)


def _in_words(frame: pd.DataFrame) -> pd.DataFrame:
    """Mean ± population standard deviation over the cells of a group; published cells one by one."""
    lines = frame.cell.where(frame.group == PUBLISHED, with_n(frame.group))
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
    """What Section F says, above DARTS's two published cells and each kind of search, a line each."""
    says = ["NA-DARTS: mostly 3; DARTS: 1 or 2", "more with NA-DARTS", "both: very few", "both: most"]
    table = _in_words(facts(shown))
    return plain(pd.concat([pd.DataFrame([says], ["Section F says"], table.columns), table]))


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


def is_darts(cell: Genotype) -> bool:
    """Whether a genotype is a cell of the DARTS space; others have more blocks, or operations of their own."""
    blocks = {(len(cell.normal), cell.normal_concat), (len(cell.reduce), cell.reduce_concat)}
    return blocks == {(8, (2, 3, 4, 5))} and {name for name, _ in cell.normal + cell.reduce} <= {*DARTS.operations[1:]}


def distances(genotypes: Sequence[Genotype]) -> np.ndarray:  # (A, A) edges of both cells that differ
    """dist (Eq. 2) of cells of the DARTS space, normal and reduction cell together; an absent edge is `none`."""
    alphas = np.array([one_hot_alphas(DARTS, cell) for cell in genotypes])  # (A, 2, E, O)
    return np.array([cell_distance(alphas, own).sum(-1) for own in alphas]).reshape(len(alphas), len(alphas))


def plot_map(shown: Sequence[Shown]) -> go.Figure:
    """How far apart the cells of the DARTS space are, found ones last; dark is alike."""
    inside, left_out = ([one for one in shown if is_darts(one.cell) == kind] for kind in (True, False))
    names, others = ([one.name for one in part] for part in (inside, left_out))
    apart = distances([one.cell for one in inside])
    look = {"text_auto": ".0f", "color_continuous_scale": "Blues_r", "aspect": "auto"}
    figure = px.imshow(pd.DataFrame(apart, names, names), **look, labels={"color": "edges"})
    without = f"not of the DARTS space, so left out: {', '.join(others) or 'none'}"
    return lay_out(figure, f"Edges that differ, of 28 (Eq. 2)<br>{without}", 260 + 24 * len(names))
