"""The paper's claims as data, and the gains that CSV files hold of them."""

import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd

from flatlib import published
from flatlib.display.cell_table import CHANCE
from flatlib.display.reproduction import digits
from flatlib.evaluation.tables import NEIGHBORHOOD
from flatlib.tabular.analysis import EPOCH_TOLERANCE
from flatlib.tabular.experiment import PAPER_SHARE
from flatlib.tabular.gains import Gain, Mean, difference
from flatlib.tabular.table import STANDS_FOR

TABLE = ("row", "column", "ours", "ours_std", "n", "setting", "note")
GAIN = ("f", "epoch", "seeds", "column", "value", "low", "high")
LATE = " (90 of 200 in the paper)"
PAPER_NAMES = STANDS_FOR | {"digits-valid": "CIFAR-10-Validation", "Neighbor-Std": "Neighbor-Var"}
Measured = dict[tuple[str, str, str], tuple[Gain, str]]  # better row, other row, column -> gain, what it is made of


@dataclass(frozen=True, eq=False)
class Claim:
    """One claim of the paper, of flatlib/claims.json."""

    id: str
    section: str
    claim: str
    table: str  # of the paper; '' where it has none
    compare: list[list[Any]]  # better row, other row or '*' for all others, and where they differ columns
    source: str  # folder below tables/ that holds what was measured on the paper's own data
    file: str  # CSV file that measures it
    figure: str  # page#anchor
    columns: tuple[str, ...] = ()  # the paper's
    relation: str = "lower"  # the better row is 'lower' or 'higher', or 'close' to the other
    margin: float = 0.0  # of 'close': the largest difference that the paper calls so
    name: str = ""  # in claims_by_epoch.csv
    every_epoch: bool = False  # after 15 to 60 % of the training, not only at 45 %
    missing: str = "notebook"  # why it is not measured
    unit: str = ""  # of a gain, where the paper's table does not give it
    beside: tuple[str, str] | None = None  # the column that says how far the measured one can be trusted, in words

    @property
    def cells(self) -> dict[tuple[str, str], published.Published]:
        """Row, column -> number of the paper's table."""
        return {(cell.row, cell.column): cell for cell in published.table(self.table)} if self.table else {}

    def comparisons(self) -> Iterator[tuple[str, str, str]]:
        """Better row, other row, the paper's column."""
        named = {name for pair in self.compare for name in pair[:2]}
        for better, than, *own in self.compare:
            others = dict.fromkeys(row for row, _ in self.cells if row not in named) if than == "*" else [than]
            yield from product([better], others, *own or [self.columns])


def read_claims() -> list[Claim]:
    """The claims of flatlib/claims.json."""
    text = (Path(__file__).parents[1] / "claims.json").read_text(encoding="utf-8")
    return [Claim(**line) for line in json.loads(text)]


def in_the_paper(claim: Claim, better: str, than: str, column: str) -> tuple[str, str]:
    """The unit of a gain, and the two published numbers."""
    units = [cell.unit for (_, of), cell in claim.cells.items() if of == column]
    numbers = [claim.cells.get((row, column)) for row in (better, than)]
    unit = claim.unit or ("tau" if units[:1] == ["tau"] else "points" if units else "")
    if not all(numbers):
        return unit, ""
    decimals = digits(claim.table, column, 2 * (claim.source == published.BENCHMARK))
    return unit, " against ".join(f"{cell.value:.{decimals}f}" for cell in numbers if cell)


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
    columns = dict.fromkeys(of for _, of in claim.cells)
    of_images = column.startswith("Test Error / ") and columns and column not in columns
    return next(iter(columns)) if of_images else PAPER_NAMES.get(column, column)


def measured_gains(claim: Claim, path: Path) -> tuple[Measured, str]:
    """All gains in the file that are of the claim's rows, and their setting."""
    return (_from_rows if claim.file.startswith(("table_", "figure_")) else _from_gains)(claim, path)


# --- tabular: gains over seeds of f -----------------------------------------------------------------


def _from_gains(claim: Claim, path: Path) -> tuple[Measured, str]:
    """The file's gains, and those of its rows the other way around."""
    if claim.name:
        frame = read(path, ("claim", *GAIN))
        (better, than), *_ = claim.compare
        frame = _nearest_f(frame[frame.claim == claim.name]).assign(row=better, rival=than)
    else:
        frame = read(path, ("table", "row", "rival", *GAIN))
        frame = frame[frame.table == claim.table]
    if frame.empty:
        return {}, ""
    turned = {"row": frame.rival, "rival": frame.row, "value": -frame.value, "low": -frame.high, "high": -frame.low}
    both = pd.concat([frame, frame.assign(**turned)]).set_index(["row", "rival"])
    rows = read(path.parent / f"table_{claim.table}.csv", TABLE).dropna(subset="ours")
    means = {(one.row, one.column): _mean(one) for one in rows.itertuples()}
    measured: Measured = {}
    for better, than in dict.fromkeys((better, than) for better, than, _ in claim.comparisons()):
        for one in both[both.index == (plain(better), plain(than))].itertuples():
            sides = [means[row, one.column] for row in (better, than) if (row, one.column) in means]
            text = f"{_against(*sides)}, first seed of f" if len(sides) == 2 else ""
            measured[better, than, one.column] = Gain(one.value, one.low, one.high), text
    return measured, _setting_of_f(frame.iloc[0])


def _nearest_f(frame: pd.DataFrame) -> pd.DataFrame:
    """The lines whose f is nearest to the paper's: the longest schedule, then 45 % of it."""
    schedule = frame.f.str.split("/").str[1].astype(int)
    longest = frame[schedule == schedule.max()]
    away = (longest.epoch / schedule.max() - PAPER_SHARE).abs()
    nearest = longest[away == away.min()]
    return nearest[nearest.f == nearest.f.iloc[0]] if len(nearest) else nearest


def _setting_of_f(line: Any) -> str:
    schedule = int(line.f.split("/")[1])
    far = bool(abs(line.epoch / schedule - PAPER_SHARE) > EPOCH_TOLERANCE)
    seeds = f"{line.seeds} seeds of f, which must agree" if line.seeds > 1 else "one seed of f"
    return f"f is {line.f} after epoch {line.epoch} of {schedule}{LATE * far}; {seeds}"


# --- trainings: gains between the rows of a table ---------------------------------------------------


def _from_rows(claim: Claim, path: Path) -> tuple[Measured, str]:
    """Gains between rows of one setting; where a file has several, of the one with most runs."""
    frame = read(path, TABLE).fillna({"setting": "", "note": ""})
    frame = frame[frame.ours.notna()].assign(alike=frame.setting.map(_comparable)).sort_values("n", kind="stable")
    measured: Measured = {}
    setting = ""
    for better, than in dict.fromkeys((better, than) for better, than, _ in claim.comparisons()):
        rivals = frame[frame.row == than]
        for one in frame[frame.row == better].itertuples():
            alike = rivals[(rivals.column == one.column) & rivals.alike.isin([one.alike, CHANCE])]
            for other in alike.itertuples():
                ours, rival = _mean(one), _mean(other)
                gain = difference(rival, ours) if claim.relation == "higher" else difference(ours, rival)
                setting = one.setting  # of the most runs, which come last
                measured[better, than, one.column] = (gain, _against(ours, rival))
    return measured, setting


def _comparable(setting: str) -> str:
    """A setting without what only a neighborhood has."""
    return re.sub(rf"\b({'|'.join(NEIGHBORHOOD)}) [^,;]+, ", "", setting)


def _mean(line: Any) -> Mean:
    """Of a table's line; several trainings of one cell are one draw of a search."""
    cells = re.search(r"(\d+) different cell", str(line.note))
    return Mean(line.ours, line.ours_std, int(line.n), int(cells[1] if cells else line.n))


def _against(ours: Mean, rival: Mean) -> str:
    """'5.98 ± 0.21 against 6.18 ± 0.15 (n = 50 each)'."""
    means, counts = [], []
    for one in (ours, rival):
        means.append(f"{one.mean:.2f}" + (f" ± {one.std:.2f}" if one.n > 1 and not math.isnan(one.std) else ""))
        counts.append(f"{one.n}" + (f" of {one.draws} cell{'s' * (one.draws > 1)}" if one.draws != one.n else ""))
    n = f"{counts[0]} each" if counts[0] == counts[1] else " and ".join(counts)
    return f"{' against '.join(means)} (n = {n})"
