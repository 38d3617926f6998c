"""Found and published cells beside each other: depth, operations, and what Section F says of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import plotly.graph_objects as go
from pandas.io.formats.style import Styler
from plotly.subplots import make_subplots

from flatlib.display.cell import bar_style, cells, count_operations, depth, operation_color, short_name
from flatlib.display.plots import lay_out
from flatlib.display.reproduction import COLUMNS, write_csv
from flatlib.display.tables import mean_and_std, plain
from flatlib.evaluation.catalogue import catalogue
from flatlib.evaluation.costs import SIZES, usual_cost
from flatlib.evaluation.tables import group_names
from flatlib.search.runs import Run
from flatlib.spaces import PUBLISHED as EVALUATED
from flatlib.spaces import Genotype

PUBLISHED = "published"
CHANCE = "drawn at random"  # the setting of cells that no search found
KINDS = {"normal": "normal cell", "reduction": "reduction cell"}
CLAIMS = {  # of Section F
    "normal cells of depth 3": "NA-DARTS: most",
    "normal cells of depth 1 or 2": "DARTS: most",
    "5×5 operations in a normal cell": "more with NA-DARTS",
    "convolutions in a reduction cell": "both: very few",
    "without parameters in a reduction cell, %": "both: most",
}


class Shown(NamedTuple):
    """A cell of a figure."""

    group: str  # 'published', or the kind of search that found it
    name: str
    cell: Genotype
    note: str = ""  # where a published cell comes from, and what is not certain of it


def gather(published: Sequence[str], runs: Sequence[Run]) -> list[Shown]:
    """Published cells by name, then the genotypes that finished searches found."""
    known = [catalogue()[name] for name in dict.fromkeys(published)]
    shown = [Shown(PUBLISHED, one.name, one.cell, f"From {one.source}. {one.doubt}".strip()) for one in known]
    genotypes = [run for run in runs if run.result and isinstance(run.result.cell, Genotype)]
    groups = [
        name.replace(", found on", " on") for name in group_names([run.config for run in genotypes])
    ]  # beside bars
    for group, run in sorted(zip(groups, genotypes, strict=True), key=lambda pair: (pair[0], pair[1].config.seed)):
        shown.append(Shown(group, f"{group}, seed {run.config.seed}", run.result.cell))  # type: ignore[union-attr, arg-type]
    return shown


def cells_frame(shown: Sequence[Shown], kind: str) -> pd.DataFrame:
    """A line a cell: what Section F speaks of, for its 'normal' or its 'reduction' cell."""
    lines = []
    for one in shown:
        cell = cells(one.cell)[KINDS[kind]]
        counts, names = count_operations(cell), [operation for operation, *_ in cell.operations]
        line: dict[str, Any] = {"group": one.group, "cell": one.name, "depth": depth(cell)}
        line |= {"without parameters %": 100 * counts.parameter_free_share}
        line |= {"convolutions": sum("conv" in name for name in names), "5×5": sum("5x5" in name for name in names)}
        line |= {short_name(name): counts.operations.get(name, 0) for name in EVALUATED.operations}
        lines.append(line | {f"params (M), C = {SIZES['cifar10'][0]}": usual_cost(one.cell, "cifar10").params / 1e6})
    frame = pd.DataFrame(lines)
    unused = [short for name in EVALUATED.operations if not frame[short := short_name(name)].any()]
    return frame.drop(columns=unused)


def depth_table(shown: Sequence[Shown], kind: str) -> Styler:
    """Published cells one by one, found ones as mean ± population standard deviation over the searches of a kind."""
    frame = cells_frame(shown, kind)
    numbers = [name for name in frame.columns if name not in ("group", "cell")]
    digits = {name: 0 if "%" in name else 2 if "params" in name else 1 for name in numbers}
    rows: dict[str, list[str]] = {}
    for group, part in frame.groupby("group", sort=False):
        parts = {f"{group} (n = {len(part)})": part}
        if group == PUBLISHED:
            parts = {str(name): line for name, line in part.groupby("cell", sort=False)}
        rows |= {name: [mean_and_std(lines[of], digits[of]) for of in numbers] for name, lines in parts.items()}
    return plain(pd.DataFrame.from_dict(rows, orient="index", columns=numbers))


def _parts(shown: Sequence[Shown]) -> dict[str, list[Shown]]:
    """DARTS's two published cells, and each kind of search."""
    parts: dict[str, list[Shown]] = {}
    for one in shown:
        if one.group != PUBLISHED or one.name in ("DARTS_V1", "DARTS_V2"):
            parts.setdefault("DARTS, published" if one.group == PUBLISHED else one.group, []).append(one)
    return parts


def section_f(shown: Sequence[Shown]) -> Styler:
    """What Section F says, beside DARTS's two published cells and each kind of search; mean ± population deviation."""
    table = {"Section F says": CLAIMS}
    for name, part in _parts(shown).items():
        normal, reduction = (cells_frame(part, kind) for kind in KINDS)
        counted = [f"{sum(normal.depth.isin(depths))} of {len(part)}" for depths in ((3,), (1, 2))]
        measured = [normal["5×5"], reduction.convolutions, reduction["without parameters %"]]
        texts = [mean_and_std(values, digits) for values, digits in zip(measured, (1, 1, 0), strict=True)]
        table[f"{name} (n = {len(part)})"] = dict(zip(CLAIMS, counted + texts, strict=True))
    return plain(pd.DataFrame(table))


def figure_b(shown: Sequence[Shown]) -> pd.DataFrame:
    """Section F's numbers of found and random cells of the DARTS space, in the columns of all tables."""
    lines = []
    for name, part in _parts(shown).items():
        found, _, dataset = name.rpartition(" on ")
        row, _, how = f"{found}, found on {dataset}".partition(", ")
        normal, reduction = (cells_frame(part, kind) for kind in KINDS)
        numbers = {"depth, normal cell": normal.depth, "5×5 operations, normal cell": normal["5×5"]}
        numbers["convolutions, reduction cell"] = reduction.convolutions
        lines += [
            dict.fromkeys(COLUMNS)
            | {"row": row or name, "column": column, "unit": "operations", "setting": how if row else CHANCE}
            | {"ours": values.mean(), "ours_std": values.std(ddof=0), "n": len(values)}
            for column, values in numbers.items()
            if "space " not in how
        ]
    return pd.DataFrame(lines, columns=COLUMNS)


def save(shown: Sequence[Shown], others: Sequence[Shown], reports_dir: Path) -> list[Path]:
    """`tables/<data set>/figure_B.csv` for each data set searched on; `others`: cells to set them beside."""
    of: dict[str, list[Shown]] = {}
    for one in shown:
        if one.group != PUBLISHED:
            of.setdefault(one.group.rpartition(" on ")[2], []).append(one)
    return [
        write_csv(figure_b([*found, *others]), reports_dir / "tables" / dataset / "figure_B.csv")
        for dataset, found in of.items()
    ]


def plot_operations(shown: Sequence[Shown]) -> go.Figure:
    """What each cell is made of: a bar a cell, a color an operation."""
    titles, height = [f"{kind}s" for kind in KINDS.values()], 2 * 17 * len(shown)
    figure = make_subplots(2, 1, subplot_titles=titles, shared_xaxes=True, vertical_spacing=50 / (height + 50))
    counts = {
        (kind, one.name): count_operations(cells(one.cell)[kind]).operations for kind in KINDS.values() for one in shown
    }
    operations = sorted(
        {name for found in counts.values() for name in found}, key=lambda name: (operation_color(name), name)
    )
    for operation in operations:
        for row, kind in enumerate(KINDS.values(), 1):
            figure.add_bar(
                x=[counts[kind, one.name].get(operation, 0) for one in shown],
                y=[one.name for one in shown],
                orientation="h",
                **bar_style(operation),
                hovertemplate=f"%{{y}}: %{{x}} × {operation}<extra></extra>",
                row=row,
                col=1,
            )
    figure.update_layout(barmode="stack")
    figure.update_yaxes(autorange="reversed", automargin=True, dtick=1, tickfont_size=10)
    figure.update_xaxes(title_text="operations", row=2)
    lay_out(figure, "What the cells are made of", 280 + height)
    return figure.update_layout(legend={"y": -60 / (height + 50), "yanchor": "top"})
