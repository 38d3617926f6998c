"""The paper's claims one by one: what the CSV files of the runs say of each, by one stated rule."""

import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from flatlib import published
from flatlib.display.cell_table import CHANCE
from flatlib.display.claims import ranges
from flatlib.evaluation.tables import NEIGHBORHOOD
from flatlib.tabular.analysis import EPOCH_TOLERANCE
from flatlib.tabular.experiment import PAPER_SHARE
from flatlib.tabular.gains import Gain, Mean, difference
from flatlib.tabular.table import STANDS_FOR

VERDICTS = {"holds": "✓", "does not hold": "✗", "undecided": "?", "not measured here": "–"}
MISSING = {
    "notebook": "the CSV file has not been written: run the notebook",
    "gpu": "it needs searches or trainings at the paper's size, and so a GPU; none has been at hand",
    "cost": "no CSV file holds the time of a search; notebook 03 tells what was seen",
}
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
    names: tuple[str, ...] = ()  # of claims_by_epoch.csv
    every_epoch: bool = False
    missing: str = "notebook"  # why it is not measured, a key of MISSING
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


class Line(NamedTuple):
    """One comparison."""

    what: str
    published: str
    gain: str  # with its interval; above 0 is in the claim's favor
    measured: str  # what the gain is the difference of
    verdict: str


class Finding(NamedTuple):
    """What one folder of CSV files says of a claim."""

    source: str
    own: bool  # the paper's data, not a stand-in
    verdict: str
    lines: list[Line]
    setting: str
    noise: str
    csv: str  # path from the reports folder, '' without


def read_claims() -> list[Claim]:
    """The claims of flatlib/claims.json."""
    lines = json.loads((Path(__file__).parents[1] / "claims.json").read_text(encoding="utf-8"))
    listed = ("compare", "columns", "names")
    return [Claim(**line | {name: tuple(line[name]) for name in listed if name in line}) for line in lines]


def findings(claim: Claim, folders: Mapping[str, Path]) -> list[Finding]:
    """What each folder (source -> path) says of a claim: the paper's own data first, measured or not."""
    files = {name: folder / claim.file for name, folder in folders.items()}
    sources = [claim.source, *sorted(name for name in files if name not in (published.BENCHMARK, claim.source))]
    found = [_finding(claim, name, files.get(name)) for name in sources]
    return [one for one in found if one.own or one.verdict != "not measured here"]


def decide(gain: Gain, claim: Claim) -> str:
    """The rule: a 95 % interval on one side of 0; for 'close', inside or outside of the margin."""
    if claim.relation != "close":
        return gain.verdict
    if gain.low >= -claim.margin and gain.high <= claim.margin:
        return "holds"
    return "does not hold" if gain.low > claim.margin or gain.high < -claim.margin else "undecided"


def together(verdicts: list[str]) -> str:
    """Of a claim: it holds if all its comparisons do, and does not if one goes the other way."""
    seen = set(verdicts) - {"not measured here"}
    if not seen:
        return "not measured here"
    return "does not hold" if "does not hold" in seen else "holds" if {*verdicts} == {"holds"} else "undecided"


def tally(found: Mapping[Claim, list[Finding]], *, own: bool) -> dict[str, int]:
    """How many claims have each verdict, on the paper's data or on stand-ins (the first one of a claim)."""
    firsts = (next((one.verdict for one in rows if one.own == own), "not measured here") for rows in found.values())
    counts = Counter(firsts)
    return {verdict: counts[verdict] for verdict in VERDICTS}


# --- one folder -----------------------------------------------------------------------------------

Measured = dict[tuple[str, str, str], tuple[Gain, str]]  # better row, other row, column -> gain, what it is made of


def _finding(claim: Claim, source: str, path: Path | None) -> Finding:
    own, lines, setting, noise = source == claim.source, [], "", ""
    if path and path.is_file():
        frame = pd.read_csv(path, dtype={"setting": str, "note": str, "table": str})
        if claim.every_epoch:
            lines, setting = _by_epoch(claim, frame), "every f that the benchmark has"
        else:
            measured, setting = _measured(claim, frame, path.parent)
            lines = list(_lines(claim, measured, own))
        noise = _noise(claim, frame, path.parent)
    elif own:
        lines = list(_lines(claim, {}, own))
    verdict = together([line.verdict for line in lines])
    if verdict == "not measured here":
        path, setting, noise = None, MISSING[claim.missing], ""
    return Finding(source, own, verdict, lines, setting, noise, f"tables/{source}/{claim.file}" if path else "")


def _lines(claim: Claim, measured: Measured, own: bool) -> Iterator[Line]:
    """The comparisons that the claim names; on the paper's data also those that were not measured."""
    several = len(list(claim.pairs())) > 1
    for better, than, columns in claim.pairs():
        rows = (_plain(better), _plain(than))
        names = {_paper_name(claim, c): c for (b, t, c) in reversed(measured) if (b, t) == rows}
        for column in columns if own else [column for column in columns if column in names]:
            gain, text = measured.get((*rows, names.get(column, "")), (None, ""))
            unit, paper = _in_the_paper(claim.table, better, than, column)
            yield Line(
                f"{names.get(column, column)}{f': {rows[0]} and {rows[1]}' if several else ''}",
                paper if own else "",
                _gain_text(gain, unit) if gain else "",
                text,
                decide(gain, claim) if gain else "not measured here",
            )


def _plain(row: str) -> str:
    """Table A's rows without their letter, which names the epoch."""
    return re.sub(r"^\([a-d]\) ", "", row)


def _paper_name(claim: Claim, column: str) -> str:
    """The paper's column that a measured one is, or stands for; digits stands for a table's first."""
    of_images = column.startswith("Test Error / ") and claim.table and column not in _columns(claim.table)
    return _columns(claim.table)[0] if of_images else PAPER_NAMES.get(column, column)


def _measured(claim: Claim, frame: pd.DataFrame, folder: Path) -> tuple[Measured, str]:
    """All gains in the file that are of the claim's rows, and their setting."""
    if claim.file.startswith(("table_", "figure_")):
        return _from_rows(claim, frame.fillna({"setting": "", "note": ""}))
    if claim.names:
        frame = _nearest_f(frame[frame.claim == claim.names[0]])
        frame = frame.assign(row=_plain(claim.compare[0][0]), rival=_plain(claim.compare[0][1]))
    else:
        frame = frame[frame.table == claim.table]
    means = _means(folder / f"table_{claim.table}.csv")
    measured: Measured = {}
    for one in frame.itertuples():
        for (better, than), sign in (((one.row, one.rival), 1), ((one.rival, one.row), -1)):
            low, high = sorted((sign * one.low, sign * one.high))
            texts = [means.get((row, one.column), "") for row in (better, than)]
            measured[better, than, one.column] = (
                Gain(sign * one.value, low, high),
                f"{texts[0]} against {texts[1]}, first seed of f" if all(texts) else "",
            )
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
    return f"f is {line.f} after epoch {line.epoch} of {schedule}{' (90 of 200 in the paper)' * far}; {seeds}"


def _means(path: Path) -> dict[tuple[str, str], str]:
    """Row, column -> mean, spread and n of a table's CSV file."""
    frame = pd.read_csv(path).dropna(subset="ours") if path.is_file() else pd.DataFrame()
    return {
        (_plain(one.row), one.column): _text(Mean(one.ours, one.ours_std, int(one.n), int(one.n)))
        for one in frame.itertuples()
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
            measured[better, than, one.column] = (gain, f"{_text(ours)} against {_text(rival)}")
    return measured, setting


def _comparable(setting: str) -> str:
    """A setting without what only a neighborhood has."""
    return re.sub(rf"\b({'|'.join(NEIGHBORHOOD)}) [^,;]+, ", "", setting)


def _draws(line: Any, suffix: str = "") -> int:
    """Independent draws in a mean: several trainings of one cell are one draw of a search."""
    cells = re.search(r"(\d+) different cell", getattr(line, f"note{suffix}"))
    return int(cells[1]) if cells else int(getattr(line, f"n{suffix}"))


# --- words ----------------------------------------------------------------------------------------


def _text(mean: Mean) -> str:
    spread = f" ± {mean.std:.2f}" if mean.n > 1 and not math.isnan(mean.std) else ""
    cells = f", {mean.draws} cell{'s' * (mean.draws > 1)}" if mean.draws != mean.n else ""
    return f"{mean.mean:.2f}{spread} (n = {mean.n}{cells})"


def _gain_text(gain: Gain, unit: str) -> str:
    digits = 3 if unit == "tau" else 2
    spread = "no interval" if math.isnan(gain.low) else f"{gain.low:+.{digits}f} to {gain.high:+.{digits}f}"
    return f"{gain.value:+.{digits}f} {unit} ({spread})".replace("  ", " ")


def _by_epoch(claim: Claim, frame: pd.DataFrame) -> list[Line]:
    """A line a f and test column: at which epochs the claim holds."""
    lines = []
    for (name, key, column), group in frame[frame.claim.isin(claim.names)].groupby(
        ["claim", "f", "column"], sort=False
    ):
        epochs = {verdict: sorted(group.epoch[group.verdict == verdict]) for verdict in VERDICTS}
        told = "; ".join(f"{verdict} at {ranges(at)}" for verdict, at in epochs.items() if at)
        what = f"{column}, f = {key}" + f": {name}" * (len(claim.names) > 1)
        span = " to ".join(dict.fromkeys(f"{value:+.2f}" for value in (group.value.min(), group.value.max())))
        lines.append(Line(what, "", span, f"epochs: {told}", together(list(group.verdict))))
    return lines


def _noise(claim: Claim, frame: pd.DataFrame, folder: Path) -> str:
    """How far the numbers move by chance alone."""
    if claim.file == "figure_A.csv":
        rows = frame[frame.column == "half the difference of the halves' largest, alpha"]
        told = ", ".join(f"{row.ours:.2f} with {row.row}" for row in rows.itertuples())
        return f"the largest eigenvalues of two halves of the images differ from their mean by {told}"
    if claim.file == "figure_B.csv":
        rows = frame[(frame.row == "random cells") & frame.column.isin(claim.columns)]
        return ", ".join(f"random cells have {row.ours:.2f} ± {row.ours_std:.2f}" for row in rows.itertuples())
    if claim.file.startswith("table_"):
        return next((note.partition("; ")[2] for note in frame.note.dropna() if "seed noise" in note), "")
    path = folder / "noise.csv"
    lines = pd.read_csv(path).dropna(subset="std").itertuples() if path.is_file() else []
    seeds = [f"{one.what} {one.std:.2f} points (tau between two seeds {one.tau:.2f})" for one in lines]
    return f"the same cell with another seed: {', '.join(seeds)}" if seeds else ""


@cache
def _cells(table: str) -> dict[tuple[str, str], published.Published]:
    return {(cell.row, cell.column): cell for cell in published.table(table)} if table else {}


def _columns(table: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(column for _, column in _cells(table)))


def _digits(table: str, column: str) -> int:
    return max(len(f"{cell.value:g}".partition(".")[2]) for cell in _cells(table).values() if cell.column == column)


def _number(found: re.Match[str]) -> str:
    """{3|DARTS 1st|column}: a published number; {3|A less B|column}: a difference; {#3|A|column}: a rank, 1 lowest."""
    sign, table, rows, column = found.groups()
    values = [_cells(table)[row, column].value for row in rows.split(" less ")]
    if sign:
        return str(1 + sum(cell.value < values[0] for (_, of), cell in _cells(table).items() if of == column))
    return f"{values[0] - sum(values[1:]):.{_digits(table, column)}f}"


def _in_the_paper(table: str, better: str, than: str, column: str) -> tuple[str, str]:
    """The unit of a gain, and the two published numbers."""
    cells = [_cells(table).get((row, column)) for row in (better, than)]
    unit = next(
        ({"tau": "tau"}.get(cell.unit, "points") for cell in _cells(table).values() if cell.column == column), ""
    )
    if not all(cells):
        return unit, ""
    return unit, " against ".join(f"{cell.value:.{_digits(table, column)}f}" for cell in cells if cell)
