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
from flatlib.display.claims import FILE, verdicts
from flatlib.display.reproduction import kept_folder
from flatlib.tabular.analysis import PAPER_EPOCHS
from flatlib.tabular.gains import Gain

MISSING = "not measured here"
VERDICTS = {"holds": "✓", "does not hold": "✗", "undecided": "?", MISSING: "–"}


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
    others = sorted(name for name in folders if name not in (published.BENCHMARK, claim.source))
    found = [_finding(claim, name, folders.get(name, Path()) / claim.file) for name in (claim.source, *others)]
    return [one for one in found if one.own or one.verdict != MISSING]


def _finding(claim: Claim, source: str, path: Path) -> Finding:
    own = source == claim.source
    measured, setting = ({}, "") if claim.every_epoch else measured_gains(claim, path)
    lines = (claim.every_epoch and _by_epoch(claim, path)) or list(_lines(claim, measured, own))
    verdict = together([line.verdict for line in lines])
    if verdict == MISSING:
        return Finding(source, own, verdict, lines, "", "", "")
    return Finding(source, own, verdict, lines, setting, _noise(claim, path), f"tables/{source}/{claim.file}")


def decide(gain: Gain, claim: Claim) -> str:
    """The rule: a 95 % interval on one side of 0; for 'close', inside or outside of the margin."""
    if claim.relation != "close":
        return gain.verdict
    if gain.low >= -claim.margin and gain.high <= claim.margin:
        return "holds"
    return "does not hold" if gain.low > claim.margin or gain.high < -claim.margin else "undecided"


def together(verdicts: list[str]) -> str:
    """Of a claim: it holds if all its comparisons do, and does not if one goes the other way."""
    seen = set(verdicts) - {MISSING}
    if not seen:
        return MISSING
    return "does not hold" if "does not hold" in seen else "holds" if {*verdicts} == {"holds"} else "undecided"


def tally(found: Mapping[Claim, list[Finding]], *, own: bool) -> Counter[str]:
    """How many claims have each verdict, on the paper's data or on stand-ins (the first one of a claim)."""
    return Counter(next((one.verdict for one in rows if one.own == own), MISSING) for rows in found.values())


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


# --- comparisons ----------------------------------------------------------------------------------


def _lines(claim: Claim, measured: Measured, own: bool) -> Iterator[Line]:
    """The comparisons that the claim names, measured or not; of a stand-in the columns that stand for the paper's."""
    wanted = list(claim.comparisons())
    several = len({pair[:2] for pair in wanted}) > 1
    here = {paper_name(claim, column): column for _, _, column in reversed(measured)}
    for better, than, column in wanted:
        if own or column in here:
            shown = here.get(column, column)
            gain, text = measured.get((better, than, shown), (None, ""))
            unit, paper = in_the_paper(claim, better, than, column)
            yield Line(
                f"{shown}: {plain(better)} and {plain(than)}" if several else shown,
                paper if own else "",
                _gain_text(gain, unit) if gain else "",
                text,
                decide(gain, claim) if gain else MISSING,
            )


def _gain_text(gain: Gain, unit: str) -> str:
    form = f"+.{3 if unit == 'tau' else 2}f"
    spread = "no interval: a single draw" if math.isnan(gain.low) else f"{gain.low:{form}} to {gain.high:{form}}"
    return f"{gain.value:{form}} {unit} ({spread})".replace("  ", " ")


def _by_epoch(claim: Claim, path: Path) -> list[Line]:
    """A line a f and test column: at which epochs the claim holds, among those that the paper's stand for."""
    frame = read(path, ("claim", *GAIN))
    share = frame.epoch / frame.f.str.split("/").str[1].astype(int) if len(frame) else frame.epoch
    frame = frame[share.between(min(PAPER_EPOCHS.values()), max(PAPER_EPOCHS.values()))]
    frame = frame.assign(verdict=[Gain(*gain).verdict for gain in frame[["value", "low", "high"]].to_numpy()])
    unit = "tau" if claim.name == "ranking" else "points"
    lines = []
    for (_, key, column), row in verdicts(frame, [claim.name]).iterrows():
        told = {verdict: row[f"{verdict}, epochs"] for verdict in VERDICTS if row.get(f"{verdict}, epochs")}
        words = ", ".join(f"{verdict} at {at}" for verdict, at in told.items())
        lines.append(Line(f"{column}, f = {key}", "", f"{row.gain} {unit}", f"epochs: {words}", together([*told])))
    return lines


def _noise(claim: Claim, path: Path) -> str:
    """How far the numbers move by chance alone."""
    frame = read(path, TABLE)
    if claim.beside:
        column, words = claim.beside
        told = [f"{x.ours:.2f} with {x.row}" for x in frame[frame.column == column].itertuples()]
        return f"{words} {', '.join(told)}" if told else ""
    if claim.file == "figure_B.csv":
        rows = frame[(frame.setting == CHANCE) & frame.column.isin(claim.columns)]
        return ", ".join(f"cells drawn at random have {x.ours:.2f} ± {x.ours_std:.2f}" for x in rows.itertuples())
    if claim.file.startswith("table_"):
        notes = " ".join(frame[frame.row.isin([better for better, _, _ in claim.comparisons()])].note.dropna())
        return found[0] if (found := re.search("seed noise of[^;]*", notes)) else ""
    lines = read(path.with_name("noise.csv"), ("what", "epoch", "std", "tau")).dropna(subset="std")
    seeds = [
        f"{x.what}{f' after epoch {x.epoch}' * (x.what == 'f')} {x.std:.2f} ({x.tau:.2f})" for x in lines.itertuples()
    ]
    return f"the same cell from another seed, std in points and tau: {', '.join(seeds)}" if seeds else ""
