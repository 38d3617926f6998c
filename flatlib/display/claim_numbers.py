"""The paper's claims as data, and the gains that CSV files hold of them."""

import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

from flatlib import published
from flatlib.display.cell_table import CHANCE
from flatlib.evaluation.tables import NEIGHBORHOOD
from flatlib.tabular.analysis import EPOCH_TOLERANCE
from flatlib.tabular.experiment import PAPER_SHARE
from flatlib.tabular.gains import Gain, Mean, difference
from flatlib.tabular.table import STANDS_FOR

TABLE = ("row", "column", "ours", "ours_std", "n", "setting", "note")
GAIN = ("f", "epoch", "seeds", "column", "value", "low", "high")
LATE = " (90 of 200 in the paper)"
PAPER_NAMES = STANDS_FOR | {"digits-valid": "CIFAR-10-Validation", "Neighbor-Std": "Neighbor-Var"}


@dataclass(frozen=True)
class Claim:
    """One claim of the paper; numbers in its text stand as {table|row|column} and come from published.py."""

    id: str
    section: str
    claim: str
    table: str  # of the paper; '' where it has none
    compare: tuple[Any, ...]  # (better row, other row or '*' for all others, and where they differ columns)
    file: str  # CSV file that measures it
    figure: str  # page#anchor
    columns: tuple[str, ...] = ()  # the paper's; (): all of the table
    relation: str = "lower"  # the better row is 'lower' or 'higher', or 'close' to the other
    margin: float = 0.0  # of 'close': the largest difference that the paper calls so
    name: str = ""  # in claims_by_epoch.csv
    every_epoch: bool = False  # after 15 to 60 % of the training, not only at 45 %
    missing: str = "notebook"  # why it is not measured, a key of MISSING
    unit: str = ""  # of a gain, where the paper's table does not give it
    own: str = ""  # folder of measurements on the paper's data, where it is not the table's

    @property
    def source(self) -> str:
        """Folder below tables/ that holds what was measured on the paper's own data."""
        tabular = self.file.startswith(("claims", "gains"))
        return self.own or (published.BENCHMARK if tabular else published.IMAGES)

    @property
    def text(self) -> str:
        """The claim with its numbers."""
        return re.sub(r"\{(#?)([^|}]+)\|([^|}]+)\|([^|}]+)\}", _number, self.claim)

    def pairs(self) -> Iterator[tuple[str, str, tuple[str, ...]]]:
        """Better row, other row, the paper's columns."""
        rows = dict.fromkeys(row for row, _ in _cells(self.table))
        named = {name for pair in self.compare for name in pair[:2]}
        for better, than, *own in self.compare:
            for other in [row for row in rows if row not in named] if than == "*" else [than]:
                both = [column for row, column in _cells(self.table) if row == better]
                yield better, other, tuple(own[0]) if own else self.columns or tuple(both)


def read_claims() -> list[Claim]:
    """The claims of flatlib/claims.json."""
    lines = json.loads((Path(__file__).parents[1] / "claims.json").read_text(encoding="utf-8"))
    for line in lines:
        line["compare"] = tuple((*pair[:2], *map(tuple, pair[2:])) for pair in line["compare"])
    return [Claim(**line | {"columns": tuple(line.get("columns", ()))}) for line in lines]


# --- published ------------------------------------------------------------------------------------


@cache
def _cells(table: str) -> dict[tuple[str, str], published.Published]:
    return {(cell.row, cell.column): cell for cell in published.table(table)} if table else {}


def _columns(table: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(column for _, column in _cells(table)))


def _digits(table: str, column: str) -> int:
    """Decimals that the paper prints: the same for a table's errors, but fewer for ImageNet's."""
    cells = _cells(table).values()
    unit = next(cell.unit for cell in cells if cell.column == column)
    own = re.search("ImageNet$|Top-", column) is not None
    alike = (cell for cell in cells if cell.column == column or (cell.unit == unit and not own))
    return max(len(f"{cell.value:g}".partition(".")[2]) for cell in alike)


def _number(found: re.Match[str]) -> str:
    """{3|DARTS 1st|column}: a published number; {3|A less B|column}: a difference; {#3|A|column}: a rank, 1 lowest."""
    sign, table, rows, column = found.groups()
    values = [_cells(table)[row, column].value for row in rows.split(" less ")]
    if sign:
        return str(1 + sum(cell.value < values[0] for (_, of), cell in _cells(table).items() if of == column))
    return f"{values[0] - sum(values[1:]):.{_digits(table, column)}f}"


def in_the_paper(table: str, better: str, than: str, column: str) -> tuple[str, str]:
    """The unit of a gain, and the two published numbers."""
    cells = [_cells(table).get((row, column)) for row in (better, than)]
    unit = next(
        ({"tau": "tau"}.get(cell.unit, "points") for cell in _cells(table).values() if cell.column == column), ""
    )
    if not all(cells):
        return unit, ""
    return unit, " against ".join(f"{cell.value:.{_digits(table, column)}f}" for cell in cells if cell)


# --- measured -------------------------------------------------------------------------------------

Measured = dict[tuple[str, str, str], tuple[Gain, str]]  # better row, other row, column -> gain, what it is made of


def read(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """A CSV file; no lines where it is missing, broken or another one."""
    try:
        frame = pd.read_csv(path, dtype=dict.fromkeys(("setting", "note", "table"), str))
    except (OSError, ValueError):
        frame = pd.DataFrame()
    return frame if {*columns} <= {*frame.columns} else pd.DataFrame(columns=[*columns])


def plain(row: str) -> str:
    """Table A's rows without their letter, which names the epoch."""
    return re.sub(r"^\([a-d]\) ", "", row)


def paper_name(claim: Claim, column: str) -> str:
    """The paper's column that a measured one is, or stands for; digits stands for a table's first."""
    of_images = column.startswith("Test Error / ") and claim.table and column not in _columns(claim.table)
    return _columns(claim.table)[0] if of_images else PAPER_NAMES.get(column, column)


def measured_gains(claim: Claim, path: Path) -> tuple[Measured, str]:
    """All gains in the file that are of the claim's rows, and their setting."""
    if claim.file.startswith(("table_", "figure_")):
        return _from_rows(claim, read(path, TABLE).fillna({"setting": "", "note": ""}))
    if claim.name:
        frame = read(path, ("claim", *GAIN))
        frame = _nearest_f(frame[frame.claim == claim.name])
        frame = frame.assign(row=plain(claim.compare[0][0]), rival=plain(claim.compare[0][1]))
    else:
        frame = read(path, ("table", "row", "rival", *GAIN))
        frame = frame[frame.table == claim.table]
    means = _means(path.parent / f"table_{claim.table}.csv")
    measured: Measured = {}
    for one in frame.itertuples():
        for (better, than), sign in (((one.row, one.rival), 1), ((one.rival, one.row), -1)):
            low, high = sorted((sign * one.low, sign * one.high))
            both = [means[row, one.column] for row in (better, than) if (row, one.column) in means]
            text = f"{_against(*both)}, first seed of f" if len(both) == 2 else ""
            measured[better, than, one.column] = (Gain(sign * one.value, low, high), text)
    return measured, _setting_of_f(frame.iloc[0]) if len(frame) else ""


def _nearest_f(frame: pd.DataFrame) -> pd.DataFrame:
    """The lines whose f is nearest to the paper's: the longest schedule, then 45 % of it."""
    if frame.empty:
        return frame
    schedule = frame.f.str.split("/").str[1].astype(int)
    longest = frame[schedule == schedule.max()]
    nearest = longest.loc[(longest.epoch / schedule.max() - PAPER_SHARE).abs().idxmin()]
    return longest[(longest.epoch == nearest.epoch) & (longest.f == nearest.f)]


def _setting_of_f(line: Any) -> str:
    schedule = int(line.f.split("/")[1])
    far = bool(abs(line.epoch / schedule - PAPER_SHARE) > EPOCH_TOLERANCE)
    seeds = f"{line.seeds} seeds of f, which must agree" if line.seeds > 1 else "one seed of f"
    return f"f is {line.f} after epoch {line.epoch} of {schedule}{LATE * far}; {seeds}"


def _means(path: Path) -> dict[tuple[str, str], Mean]:
    """Row, column -> mean, spread and n of a table's CSV file."""
    frame = read(path, TABLE).dropna(subset="ours")
    return {
        (plain(one.row), one.column): Mean(one.ours, one.ours_std, int(one.n), int(one.n)) for one in frame.itertuples()
    }


def _from_rows(claim: Claim, frame: pd.DataFrame) -> tuple[Measured, str]:
    """Gains between rows of one setting; where a file has several, of the one with most runs."""
    frame = frame[frame.ours.notna()].assign(alike=frame.setting.map(_comparable)).sort_values("n", kind="stable")
    measured: Measured = {}
    setting = ""
    for better, than, _ in claim.pairs():
        both = frame[frame.row == better].merge(frame[frame.row == than], on="column", suffixes=("", "_rival"))
        for one in both[both.alike_rival.isin([CHANCE]) | (both.alike == both.alike_rival)].itertuples():
            ours = Mean(one.ours, one.ours_std, int(one.n), _draws(one))
            rival = Mean(one.ours_rival, one.ours_std_rival, int(one.n_rival), _draws(one, "_rival"))
            gain = difference(rival, ours) if claim.relation == "higher" else difference(ours, rival)
            setting = one.setting  # of the most runs, which come last
            measured[better, than, one.column] = (gain, _against(ours, rival))
    return measured, setting


def _comparable(setting: str) -> str:
    """A setting without what only a neighborhood has."""
    return re.sub(rf"\b({'|'.join(NEIGHBORHOOD)}) [^,;]+, ", "", setting)


def _draws(line: Any, suffix: str = "") -> int:
    """Independent draws in a mean: several trainings of one cell are one draw of a search."""
    cells = re.search(r"(\d+) different cell", getattr(line, f"note{suffix}"))
    return int(cells[1]) if cells else int(getattr(line, f"n{suffix}"))


def _against(ours: Mean, rival: Mean) -> str:
    """'5.98 ± 0.21 against 6.18 ± 0.15 (n = 50 each)'."""
    means, counts = [], []
    for one in (ours, rival):
        means.append(f"{one.mean:.2f}" + (f" ± {one.std:.2f}" if one.n > 1 and not math.isnan(one.std) else ""))
        counts.append(f"{one.n}" + (f" of {one.draws} cell{'s' * (one.draws > 1)}" if one.draws != one.n else ""))
    n = f"{counts[0]} each" if counts[0] == counts[1] else " and ".join(counts)
    return f"{' against '.join(means)} (n = {n})"
