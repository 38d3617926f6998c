"""The paper's claims one by one: what the CSV files of the runs say of each, by one stated rule."""

import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd

from flatlib import published
from flatlib.display.cell_table import CHANCE
from flatlib.display.reproduction import CHECKOUT, REAL, SYMBOLS, mean_and_spread, noise_in_words
from flatlib.evaluation.tables import NEIGHBORHOOD
from flatlib.tabular.analysis import PAPER_EPOCHS
from flatlib.tabular.experiment import PAPER_SHARE
from flatlib.tabular.gains import Gain, Mean, difference
from flatlib.tabular.table import STANDS_FOR

MISSING = "not measured here"
VERDICTS = SYMBOLS | {MISSING: "–"}
TABLE = ("row", "column", "ours", "ours_std", "n", "setting", "note")
GAIN = ("f", "epoch", "seeds", "column", "value", "low", "high")
PAPER_NAMES = STANDS_FOR | {"digits-valid": "CIFAR-10-Validation", "Neighbor-Std": "Neighbor-Var"}
MEASURED = ["row", "rival", "column", "paper", "value", "low", "high", "text", "setting", "noise"]
FIRST, *_, LAST = PAPER_EPOCHS.values()  # shares of the training


@dataclass(frozen=True, eq=False)
class Claim:
    """One claim of the paper, of flatlib/claims.json."""

    id: str
    section: str
    claim: str
    table: str  # of the paper; '' where it has none
    compare: list[list[Any]]  # row that the claim has lower, other row or '*' for all others; columns where they differ
    source: str  # folder below tables/ that holds what was measured on the paper's own data
    file: str  # CSV file that measures it
    figure: str  # page#anchor
    columns: tuple[str, ...] = ()  # the paper's
    unit: str = "points"  # of a gain: how much lower the first row is
    margin: float | None = None  # the claim is 'close': the largest difference that the paper calls so
    name: str = ""  # in claims_by_epoch.csv
    every_epoch: bool = False  # after 15 to 60 % of the training, not only at 45 %
    missing: str = "notebook"  # why it is not measured
    beside: list[list[str]] = field(default_factory=list)  # row, column of what says how far a number can be trusted

    @property
    def cells(self) -> dict[tuple[str, str], str]:
        """Row, column -> number of the paper's table, as printed; of Table A's rows (c), after the paper's epoch."""
        cells = published.table(self.table) if self.table else ()
        return {(cell.row.removeprefix("(c) "), cell.column): cell.text for cell in cells}

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


def claims_context(reports_dir: Path) -> dict[str, Any]:
    """What the page's template needs: the claims with their findings, counts, and the links that have a target."""
    folders = {REAL: CHECKOUT / "tables" / REAL}
    folders |= {path.name: path for path in sorted((reports_dir / "tables").glob("*")) if path.is_dir()}
    found = {claim: findings(claim, folders) for claim in read_claims()}
    return {
        "found": found,
        "sections": list(dict.fromkeys(claim.section for claim in found)),
        "symbols": VERDICTS,
        "tallies": {"own": tally(found, own=True), "stand-in": tally(found, own=False)},
        "files": {path.relative_to(reports_dir).as_posix() for path in reports_dir.rglob("*.[hc]*") if path.is_file()},
    }


def findings(claim: Claim, folders: Mapping[str, Path]) -> list[dict[str, Any]]:
    """What each folder (source -> path) says of a claim: the paper's own data first, measured or not."""
    found = []
    for source in (claim.source, *sorted({*folders} - {REAL, claim.source})):
        own, path = source == claim.source, folders.get(source, Path()) / claim.file
        try:
            measured = (_from_rows if claim.file.startswith(("table_", "figure_")) else _from_gains)(claim, path)
        except (ValueError, TypeError, AttributeError):  # a foreign file of that name
            measured = pd.DataFrame(columns=MEASURED)
        lines = [*_lines(claim, measured, own)]
        verdict = together([line["verdict"] for line in lines])
        if own or verdict != MISSING:
            here = {"source": source, "own": own, "verdict": verdict, "lines": lines}
            place = measured[["setting", "noise"]].tail(1).to_dict("records")  # of the most runs, which come last
            found.append({**here, **(place or [{}])[0], "csv": f"tables/{source}/{claim.file}"})
    return found


def together(verdicts: Sequence[str]) -> str:
    """Of a claim: it holds if all its comparisons do, and does not if one goes the other way."""
    seen = {*verdicts} - {MISSING}
    if not seen:
        return MISSING
    return "does not hold" if "does not hold" in seen else "holds" if {*verdicts} == {"holds"} else "undecided"


def decide(gain: Gain, margin: float | None) -> str:
    """The rule: a 95 % interval on one side of 0; for 'close', inside or outside of the margin."""
    if margin is None:
        return gain.verdict
    if gain.low >= -margin and gain.high <= margin:
        return "holds"
    return "does not hold" if gain.low > margin or gain.high < -margin else "undecided"


def tally(found: Mapping[Claim, list[dict[str, Any]]], *, own: bool) -> Counter[str]:
    """How many claims have each verdict, on the paper's data or on stand-ins (the first one of a claim)."""
    return Counter(next((one["verdict"] for one in rows if one["own"] == own), MISSING) for rows in found.values())


def _lines(claim: Claim, measured: pd.DataFrame, own: bool) -> Iterator[dict[str, str]]:
    """The comparisons that the claim names, measured or not; of a stand-in the columns that stand for the paper's."""
    here = dict(zip(measured.paper[::-1], measured.column[::-1], strict=True))  # the paper's column -> ours
    for better, than, column in claim.comparisons():
        if own or column in here:
            shown = here.get(column, column)
            paper = [claim.cells[row, column] for row in (better, than) if own and (row, column) in claim.cells]
            published_pair = " against ".join(paper) if len(paper) == 2 else ""
            line = {"what": f"{shown}: {better} against {than}", "published": published_pair, "verdict": MISSING}
            found = measured[(measured.row == better) & (measured.rival == than) & (measured.column == shown)]
            for x in found.itertuples():
                gain = Gain(x.value, x.low, x.high)
                told = {"gain": _gain_text(gain, claim.unit), "measured": x.text}
                yield line | told | {"verdict": decide(gain, claim.margin)}
            if found.empty:
                yield line


def _gain_text(gain: Gain, unit: str) -> str:
    form = f"+.{3 if unit == 'tau' else 2}f"
    spread = "no interval: a single draw" if math.isnan(gain.low) else f"{gain.low:{form}} to {gain.high:{form}}"
    return f"{gain.value:{form}} {unit} ({spread})".replace("  ", " ")


def read(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """A CSV file; no lines where it is missing, broken or another one."""
    try:
        frame = pd.read_csv(path, dtype=dict.fromkeys(("setting", "note", "table"), str))
    except (OSError, ValueError):
        frame = pd.DataFrame()
    return frame if {*columns} <= {*frame.columns} else pd.DataFrame(columns=[*columns])


# --- tabular: gains over seeds of f -----------------------------------------------------------------


def _from_gains(claim: Claim, path: Path) -> pd.DataFrame:  # MEASURED
    """The file's gains, and the same the other way around, at the f nearest to the paper's or at every one."""
    frame = read(path, (*(["claim"] if claim.name else ["table", "row", "rival"]), *GAIN))
    if claim.name:
        frame = frame[frame.claim == claim.name].assign(row=claim.compare[0][0], rival=claim.compare[0][1])
    else:
        frame = frame[frame.table == claim.table]
    schedule = frame.f.str.split("/").str[1].astype(int)
    share = frame.epoch / schedule
    if claim.every_epoch:
        frame = frame[share.between(FIRST, LAST)]
    else:
        places = frame.assign(longest=-schedule, away=(share - PAPER_SHARE).abs())
        frame = frame.merge(places.sort_values(["longest", "away"], kind="stable")[["f", "epoch"]].head(1))
    seeds = max(frame.seeds, default=1)
    told = {
        "paper": frame.column.replace(PAPER_NAMES),
        "text": [f"f after epoch {x.epoch} of {x.f.split('/')[1]}" for x in frame.itertuples()],
        "setting": f"f is {', '.join(frame.f.unique())}, {seeds} seed{'s, which must agree' * (seeds > 1)}",
        "noise": noise_in_words(read(path.with_name("noise.csv"), ("what", "epoch", "std", "tau"))),
    }
    turned = {"row": frame.rival, "rival": frame.row, "value": -frame.value, "low": -frame.high, "high": -frame.low}
    return pd.concat([frame.assign(**told), frame.assign(**told, **turned)])


# --- trainings: gains between the rows of a table ---------------------------------------------------


def _from_rows(claim: Claim, path: Path) -> pd.DataFrame:  # MEASURED
    """Gains between rows of one setting; where a file has several, of the one with most runs."""
    frame = read(path, TABLE).fillna({"setting": "", "note": ""}).dropna(subset="ours").sort_values("n", kind="stable")
    rows = [*frame.assign(alike=frame.setting.map(_comparable)).itertuples()]
    beside = ", ".join(f"{x.row}, {x.column}: {_told(_mean(x))}" for x in rows if [x.row, x.column] in claim.beside)
    found = {}
    for pair in dict.fromkeys((better, than) for better, than, _ in claim.comparisons()):
        for ours, rival in product(*([x for x in rows if x.row == row] for row in pair)):
            if ours.column == rival.column and (rival.setting == CHANCE or ours.alike == rival.alike):
                means = _mean(ours), _mean(rival)
                noise = beside or "".join(re.findall("seed noise of[^;]*", ours.note)[:1])
                paper = re.findall("stands for ([^;]*)", ours.note) or [ours.column]
                told = " against ".join(map(_told, means)), ours.setting, noise
                found[pair, ours.column] = (*pair, ours.column, paper[0], *difference(*means), *told)
    return pd.DataFrame(found.values(), columns=MEASURED)


def _comparable(setting: str) -> str:
    """A setting without what only a neighborhood has."""
    return re.sub(rf"\b({'|'.join(NEIGHBORHOOD)}) [^,;]+, ", "", setting)


def _mean(line: Any) -> Mean:
    """Of a table's line; several trainings of one cell are one draw of a search."""
    cells = re.search(r"(\d+) different cell", str(line.note))
    return Mean(line.ours, line.ours_std if line.n > 1 else math.nan, int(line.n), int(cells[1] if cells else line.n))


def _told(one: Mean) -> str:
    """'5.98 ± 0.21 (n = 20 of 10 cells)'."""
    cells = f" of {one.draws} cell{'s' * (one.draws > 1)}" * (one.draws != one.n)
    return f"{mean_and_spread(one.mean, one.std)} (n = {one.n}{cells})"
