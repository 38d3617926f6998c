"""Our numbers beside the published ones: the CSV files of the tables, and how a notebook shows them."""

import csv
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd
from pandas.io.formats.style import Styler

from flatlib import published
from flatlib.display.tables import plain

COLUMNS = ["row", "column", "ours", "ours_std", "n", "paper", "paper_std", "unit", "setting", "note"]
REAL = published.BENCHMARK


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
    lines: list[dict[str, Any]] = []
    seen = set()
    for cell in measured:
        known = paper.get((cell.row, cell.column))
        seen.add((cell.row, cell.column))
        stand_in = (stands_for or {}).get(cell.column)
        notes = [cell.note, known.note if known else "", f"stands for {stand_in}" if stand_in else ""]
        lines.append(
            {
                "row": cell.row,
                "column": cell.column,
                "ours": cell.ours,
                "ours_std": cell.std,
                "n": cell.n,
                "paper": known.value if known else None,
                "paper_std": known.std if known else None,
                "unit": _unit(table_id, cell.column),
                "setting": cell.setting,
                "note": "; ".join(filter(None, notes)),
            }
        )
    lines += [
        {
            "row": cell.row,
            "column": cell.column,
            "paper": cell.value,
            "paper_std": cell.std,
            "unit": cell.unit,
            "note": "; ".join(filter(None, [cell.note, "not measured here"])),
        }
        for place, cell in paper.items()
        if place not in seen
    ]
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


def kept_folder(reports_dir: Path, file: str) -> Path | None:
    """The folder that holds a file of the project's own run on the real columns, if there is one."""
    checkout = Path(__file__).parents[2] / "reports"
    folders = [folder / "tables" / REAL for folder in (checkout, reports_dir)]
    return next((folder for folder in folders if (folder / file).exists()), None)


def _text(value: float | None, std: float | None, digits: int) -> str:
    if value is None or pd.isna(value):
        return ""
    return f"{value:.{digits}f}" + ("" if std is None or pd.isna(std) else f" ± {std:.{digits}f}")


def _block(frame: pd.DataFrame, value: str, std: str) -> pd.DataFrame:  # (columns, rows) of text
    """One block of numbers, the paper's table turned on its side: a line a data set."""
    texts = frame.assign(text=[_text(row[value], row[std], 2) for _, row in frame.iterrows()])
    filled = texts[texts.text != ""]
    rows, columns = (list(dict.fromkeys(filled[axis])) for axis in ("row", "column"))
    return filled.pivot(index="column", columns="row", values="text").reindex(index=columns, columns=rows).fillna("")


def _published_block(table_id: str) -> pd.DataFrame:
    cells = published.table(table_id)
    frame = pd.DataFrame([{"row": c.row, "column": c.column, "paper": c.value, "paper_std": c.std} for c in cells])
    return _block(frame, "paper", "paper_std")


def _label(source: str, frame: pd.DataFrame) -> str:
    """A block's name, with the epoch and seeds of f where they are the same for all of it."""
    settings = frame[frame.ours.notna()].setting.unique()
    f = re.search(r"epoch .*", settings[0]) if len(settings) == 1 else None
    return f"{source}, ours" + (f" ({f.group()})" if f else "")


def side_by_side(table_id: str, frame: pd.DataFrame, source: str, reports_dir: Path) -> pd.DataFrame:
    """Published, NAS-Bench-201's real columns and this run, one below the other: a line a data set."""
    blocks = {"published": _published_block(table_id)}
    kept = None if source == REAL else kept_folder(reports_dir, f"table_{table_id}.csv")
    if kept:
        real = pd.read_csv(csv_path(kept.parents[1], REAL, table_id))
        blocks[_label(REAL, real)] = _block(real, "ours", "ours_std")
    blocks[_label(source, frame)] = _block(frame, "ours", "ours_std")
    joined = pd.concat({name: block for name, block in blocks.items() if len(block)}).fillna("")
    joined.index.names, joined.columns.name = [None, None], None
    return joined


def save_and_show(
    table_id: str,
    measured: Iterable[published.Measured],
    *,
    source: str,
    reports_dir: Path,
    stands_for: dict[str, str] | None = None,
) -> Styler:
    """Write the table's CSV and return the side-by-side view for the notebook, with its caption."""
    frame = reproduction(table_id, measured, source=source, stands_for=stands_for)
    write_csv(frame, csv_path(reports_dir, source, table_id))
    view = side_by_side(table_id, frame, source, reports_dir)
    return plain(view, f"Table {table_id}. {published.CAPTIONS[table_id]}")
