"""The paper's claims one by one: what the CSV files of the runs say of each, by one stated rule."""

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from flatlib import published
from flatlib.display.cell_table import CHANCE
from flatlib.display.claim_numbers import (
    GAIN,
    LATE,
    TABLE,
    Claim,
    Measured,
    in_the_paper,
    measured_gains,
    paper_name,
    plain,
    read,
    read_claims,
)
from flatlib.display.claims import FILE, ranges
from flatlib.display.reproduction import kept_folder
from flatlib.tabular.analysis import PAPER_EPOCHS
from flatlib.tabular.gains import Gain

VERDICTS = {"holds": "✓", "does not hold": "✗", "undecided": "?", "not measured here": "–"}
MISSING = {
    "notebook": "the CSV file has not been written: run the notebook",
    "gpu": "it needs searches or trainings at the paper's size, and so a GPU; none has been at hand",
    "cost": "no CSV file holds the time that a search takes",
}
BESIDE = {  # column of figure_A.csv -> the one beside it, and what it says
    "largest eigenvalue, alpha": (
        "half the difference of the halves' largest, alpha",
        "either half of the images has its own eigenvalue, off by about",
    ),
    "mean rise within r = 1": (
        "mean rise within r = 1, random plane",
        "along two random directions the loss rises by",
    ),
}


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


def claims_context(reports_dir: Path) -> dict[str, Any]:
    """What the page's template needs: the claims with their findings, counts, and the links that have a target."""
    folders = {path.name: path for path in sorted((reports_dir / "tables").glob("*")) if path.is_dir()}
    if kept := kept_folder(reports_dir, FILE):
        folders.setdefault(published.BENCHMARK, kept)
    found = {claim: findings(claim, folders) for claim in read_claims()}
    return {
        "found": found,
        "sections": list(dict.fromkeys(claim.section for claim in found)),
        "symbols": VERDICTS,
        "tallies": {"own": tally(found, own=True), "stand-in": tally(found, own=False)},
        "late": any(LATE in one.setting for rows in found.values() for one in rows if one.own),
        "files": {path.relative_to(reports_dir).as_posix() for path in reports_dir.rglob("*.[hc]*") if path.is_file()},
    }


# --- one folder -----------------------------------------------------------------------------------


def _finding(claim: Claim, source: str, path: Path | None) -> Finding:
    own, lines, setting, noise = source == claim.source, [], "", ""
    if path and path.is_file():
        if claim.every_epoch:
            lines, setting = (
                _by_epoch(claim, path),
                "every f after 15 to 60 % of its training, as epochs 30 to 120 of 200",
            )
        else:
            measured, setting = measured_gains(claim, path)
            lines = list(_lines(claim, measured, own))
        noise = _noise(claim, path)
    elif own:
        lines = list(_lines(claim, {}, own))
    verdict = together([line.verdict for line in lines])
    if verdict == "not measured here":
        path, setting, noise = None, MISSING[claim.missing], ""
    return Finding(source, own, verdict, lines, setting, noise, f"tables/{source}/{claim.file}" if path else "")


def _lines(claim: Claim, measured: Measured, own: bool) -> Iterator[Line]:
    """The comparisons that the claim names, measured or not; of a stand-in the columns that stand for the paper's."""
    several = len(list(claim.pairs())) > 1
    here = {paper_name(claim, column): column for _, _, column in reversed(measured)}
    for better, than, columns in claim.pairs():
        rows = (plain(better), plain(than))
        for column in columns if own else [column for column in columns if column in here]:
            gain, text = measured.get((*rows, here.get(column, "")), (None, ""))
            unit, paper = in_the_paper(claim.table, better, than, column)
            yield Line(
                f"{here.get(column, column)}{f': {rows[0]} and {rows[1]}' if several else ''}",
                paper if own else "",
                _gain_text(gain, unit or claim.unit) if gain else "",
                text,
                decide(gain, claim) if gain else "not measured here",
            )


# --- words ----------------------------------------------------------------------------------------


def _gain_text(gain: Gain, unit: str) -> str:
    digits = 3 if unit == "tau" else 2
    spread = (
        "no interval: a single draw" if math.isnan(gain.low) else f"{gain.low:+.{digits}f} to {gain.high:+.{digits}f}"
    )
    return f"{gain.value:+.{digits}f} {unit} ({spread})".replace("  ", " ")


def _by_epoch(claim: Claim, path: Path) -> list[Line]:
    """A line a f and test column: at which epochs the claim holds, among those that the paper's stand for."""
    frame = read(path, ("claim", *GAIN))
    frame = frame[frame.claim == claim.name]
    share = frame.epoch / frame.f.str.split("/").str[1].astype(int) if len(frame) else frame.epoch
    frame = frame[(share >= min(PAPER_EPOCHS.values())) & (share <= max(PAPER_EPOCHS.values()))]
    frame = frame.assign(verdict=[Gain(*gain).verdict for gain in frame[["value", "low", "high"]].to_numpy()])
    lines = []
    for (key, column), group in frame.groupby(["f", "column"], sort=False):
        epochs = {verdict: sorted(group.epoch[group.verdict == verdict]) for verdict in VERDICTS}
        told = ", ".join(f"{verdict} at {ranges(at)}" for verdict, at in epochs.items() if at)
        span = " to ".join(dict.fromkeys(f"{value:+.2f}" for value in (group.value.min(), group.value.max())))
        unit = "tau" if claim.name == "ranking" else "points"
        verdict = together(list(group.verdict))
        lines.append(Line(f"{column}, f = {key}", "", f"{span} {unit}", f"epochs: {told}", verdict))
    return lines


def _noise(claim: Claim, path: Path) -> str:
    """How far the numbers move by chance alone."""
    frame = read(path, TABLE)
    if claim.file == "figure_A.csv":
        column, words = BESIDE[claim.columns[0]]
        told = [f"{x.ours:.2f} with {x.row}" for x in frame[frame.column == column].itertuples()]
        return f"{words} {', '.join(told)}" if told else ""
    if claim.file == "figure_B.csv":
        rows = frame[(frame.setting == CHANCE) & frame.column.isin(claim.columns)]
        return ", ".join(f"cells drawn at random have {x.ours:.2f} ± {x.ours_std:.2f}" for x in rows.itertuples())
    if claim.file.startswith("table_"):
        notes = " ".join(frame[frame.row.isin([pair[0] for pair in claim.pairs()])].note.dropna())
        return found[0] if (found := re.search("seed noise of[^;]*", notes)) else ""
    lines = read(path.with_name("noise.csv"), ("what", "epoch", "std", "tau")).dropna(subset="std")
    seeds = [
        f"{x.what}{f' after epoch {x.epoch}' * (x.what == 'f')} {x.std:.2f} ({x.tau:.2f})" for x in lines.itertuples()
    ]
    return f"the same cell from another seed, std in points and tau: {', '.join(seeds)}" if seeds else ""
