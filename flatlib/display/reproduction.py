"""Our numbers beside the published ones: the CSV files of the tables, and how a notebook shows them."""

import csv
import os
import re
from collections.abc import Iterable
from pathlib import Path

import pandas as pd
from pandas.io.formats.style import Styler

from flatlib import published
from flatlib.display.tables import plain
from flatlib.tabular.table import STANDS_FOR

COLUMNS = ["row", "column", "ours", "ours_std", "n", "paper", "paper_std", "unit", "setting", "note"]
REAL = published.BENCHMARK
CHECKOUT = Path(__file__).parents[2] / "reports"  # holds the project's own run on the real columns
ABSENT = "not measured here"


def _unit(table_id: str, column: str) -> str:
    """The paper's for its columns, else that of its first error or rank correlation."""
    units = {cell.column: cell.unit for cell in published.table(table_id)}
    return units.get(column) or next(unit for unit in units.values() if unit != "%^2")


def reproduction(
    table_id: str,
    measured: Iterable[published.Measured],
    *,
    source: str,  # the table's name, or the data set
    stands_for: dict[str, str] | None = None,  # a stand-in's column -> the paper's column
) -> pd.DataFrame:  # COLUMNS, one line a cell
    """Join measured cells with the published ones.

    A published number stands beside `ours` only where ours was measured on that data; a stand-in's
    line names what it stands for, and its `paper` stays empty. Published cells that were not
    measured are kept, with `ours` empty.
    """
    own = source in (published.BENCHMARK, published.IMAGES)
    paper = {(cell.row, cell.column): cell for cell in published.table(table_id)} if own else {}
    cells = [*measured]
    seen = {(cell.row, cell.column) for cell in cells}
    cells += [published.Measured(*at, None, None, None, "", ABSENT) for at in paper if at not in seen]
    lines = []
    for cell in cells:
        known = paper.get((cell.row, cell.column))
        stand_in = (stands_for or {}).get(cell.column)
        notes = [cell.note, known.note if known else "", f"stands for {stand_in}" if stand_in else ""]
        notes.sort(key=lambda note: note == ABSENT)  # comes last
        line = cell._asdict() | {"ours_std": cell.std, "note": "; ".join(filter(None, notes))}
        line["unit"] = _unit(table_id, cell.column)
        lines.append(line | ({"paper": known.value, "paper_std": known.std} if known else {}))
    frame = pd.DataFrame(lines, columns=COLUMNS)
    return frame.astype({"n": "Int64", **dict.fromkeys(["ours", "ours_std", "paper", "paper_std"], "float64")})


def csv_path(reports_dir: Path, source: str, table_id: str) -> Path:
    """`<reports_dir>/tables/<source>/table_<id>.csv`."""
    return reports_dir / "tables" / source / f"table_{table_id}.csv"


def write_csv(frame: pd.DataFrame, path: Path) -> Path:
    """Write beside and rename: complete or absent."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        frame.to_csv(beside, index=False, float_format="%.6g", quoting=csv.QUOTE_MINIMAL, lineterminator="\n")
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
    return path


def kept(reports_dir: Path, file: str) -> pd.DataFrame:
    """A file of the project's own run on the real columns, else of the reports folder's; empty where there is none."""
    paths = [folder / "tables" / REAL / file for folder in (CHECKOUT, reports_dir)]
    return next((pd.read_csv(path) for path in paths if path.exists()), pd.DataFrame())


def side_by_side(
    table_id: str,
    ours: Iterable[tuple[str, str, str, str]],  # block, row, column, text
) -> pd.DataFrame:
    """The published block and ours as texts: a line a row, columns (block, column)."""
    texts: dict[tuple[str, str], dict[str, str]] = {}
    for cell in published.table(table_id):
        texts.setdefault(("published", cell.column), {})[cell.row] = cell.text + "*" * bool(cell.note)
    for block, row, column, text in ours:
        texts.setdefault((block, column), {})[row] = text
    rows = list(dict.fromkeys(row for column in texts.values() for row in column))
    view = pd.DataFrame(texts.values(), index=pd.MultiIndex.from_tuples(texts), columns=rows)
    return view.fillna("").T


def _label(source: str, frame: pd.DataFrame) -> str:
    """A block's name, with the epoch and seeds of f where they are the same for all of it."""
    settings = frame[frame.ours.notna()].setting.unique()
    f = re.search(r"epoch .*", settings[0]) if len(settings) == 1 else None
    return f"{source}, ours" + (f" ({f.group()})" if f else "")


def turned_view(table_id: str, frame: pd.DataFrame, source: str, reports_dir: Path) -> pd.DataFrame:
    """Published, NAS-Bench-201's real columns and this run, one below the other: a line a data set."""
    frames = {source: frame}
    if source != REAL and len(real := kept(reports_dir, f"table_{table_id}.csv")):
        frames = {REAL: real} | frames
    ours = [
        (_label(name, one), line.row, line.column, mean_and_spread(line.ours, line.ours_std))
        for name, one in frames.items()
        for line in one[one.ours.notna()].itertuples()
    ]
    return side_by_side(table_id, ours).T


def mean_and_spread(mean: float, std: float) -> str:
    """'5.98 ± 0.21'; without the spread of a single one."""
    return f"{mean:.2f}" + ("" if pd.isna(std) else f" ± {std:.2f}")


def save_and_show(
    table_id: str,
    measured: Iterable[published.Measured],
    *,
    source: str,
    reports_dir: Path,
) -> Styler:
    """Write the table's CSV and return the side-by-side view for the notebook, with its caption."""
    frame = reproduction(table_id, measured, source=source, stands_for=STANDS_FOR)
    write_csv(frame, csv_path(reports_dir, source, table_id))
    view = turned_view(table_id, frame, source, reports_dir)
    return plain(view, f"Table {table_id}. {published.CAPTIONS[table_id]}")
