"""What can be counted without training: sizes of the published cells' networks beside the printed ones."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from IPython.display import Markdown
from pandas.io.formats.style import Styler

from flatlib import published
from flatlib.display.plots import lay_out
from flatlib.display.tables import plain
from flatlib.evaluation.catalogue import catalogue
from flatlib.evaluation.costs import SIZES, solved, usual_cost


def counts_frame() -> pd.DataFrame:
    """A line a published cell and size: counted and printed numbers, both in millions, and what is solved."""
    lines = []
    for cell in catalogue().values():
        for dataset, tables in (("cifar10", "43"), ("imagenet", "5")):
            channels, cells = SIZES[dataset]
            params, multi_adds = usual_cost(cell.cell, dataset)
            table = next((table for table in tables if table in cell.rows), "")
            printed = {
                c.column: c.value for c in (published.table(table) if table else ()) if c.row == cell.rows[table]
            }
            lines.append(
                {
                    "cell": cell.name,
                    "size": f"{'CIFAR' if dataset == 'cifar10' else 'ImageNet'}, C = {channels}, {cells} cells",
                    "params": params / 1e6,
                    "params, published": printed.get("Params", printed.get("Params / CIFAR", np.nan)),
                    "multiply-adds": multi_adds / 1e6,
                    "multiply-adds, published": printed.get("+x", np.nan),
                    "C by Sec. D.1": solved(cell.cell, dataset, cells),
                }
            )
    frame = pd.DataFrame(lines)
    for name in ("params", "multiply-adds"):
        frame[f"{name}, difference %"] = 100 * (frame[name] / frame[f"{name}, published"] - 1)
    return frame


def show_counts(frame: pd.DataFrame) -> Styler:
    """The counts, with an empty cell where nothing was published."""
    numbers = {name: "{:+.1f}" if name.endswith("%") else "{:.2f}" for name in frame.columns[2:] if "C by" not in name}
    return plain(frame.set_index(["cell", "size"])).format(numbers, na_rep="")


def plot_counts(frame: pd.DataFrame) -> go.Figure:
    """How far the published numbers lie from what the public cells have."""
    figure = go.Figure()
    for name, symbol in (("params", "circle"), ("multiply-adds", "diamond")):
        rows = frame[frame[f"{name}, difference %"].notna()]
        labels = rows.cell + rows["size"].str.split(",").str[0].map(" ({})".format)
        marker = {"size": 10, "symbol": symbol}
        figure.add_scatter(x=rows[f"{name}, difference %"], y=labels, mode="markers", name=name, marker=marker)
    figure.add_vline(0, line_dash="dot").update_yaxes(autorange="reversed", automargin=True, dtick=1)
    figure.update_xaxes(title_text="counted above published (%)")
    return lay_out(figure, "Counted and published sizes", 560)


def doubts() -> Markdown:
    """What is not certain of the published cells, with their sources."""
    doubtful = [cell for cell in catalogue().values() if cell.doubt]
    return Markdown("\n".join(f"- **{cell.name}** ({cell.source}): {cell.doubt}" for cell in doubtful))
