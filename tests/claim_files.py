"""CSV files that say something of the paper's claims, and what is found in them."""

from pathlib import Path
from types import SimpleNamespace

import pandas as pd

from flatlib.display import claim_page
from flatlib.display.claim_page import read_claims
from flatlib.display.reproduction import COLUMNS

ROOT = Path(__file__).parents[1]
CLAIMS = {claim.id: claim for claim in read_claims()}
THREE = ("CIFAR-10", "CIFAR-100", "ImageNet-16-120")
GAINS = {"holds": (0.3, 0.1, 0.5), "does not hold": (-0.3, -0.5, -0.1), "undecided": (0.1, -0.2, 0.4)}
ON = "cells found on digits; digits, 5 epochs"
ERROR, STANDS = "Test Error / digits", "stands for Test Error / CIFAR-10"


def findings(claim, folders):
    """The page's findings, their fields as attributes."""
    found = claim_page.findings(claim, folders)
    return [SimpleNamespace(**one | {"lines": [SimpleNamespace(**line) for line in one["lines"]]}) for one in found]


def by_epoch(folder: Path, *gains: tuple[float, float, float], name: str = "flat", **own) -> Path:
    lines = [
        {"claim": name, "f": "cifar10-valid/200/x-valid", "epoch": 90, "seeds": 2, "column": column}
        | dict(zip(("value", "low", "high"), gain, strict=True))
        | own
        for column, gain in zip(THREE, gains, strict=True)
    ]
    return written(folder, "claims_by_epoch.csv", lines)


def compared(folder: Path, file: str, *lines: tuple) -> Path:
    """Lines of a gains file: table, row, rival, column, then a gain."""
    names = ("table", "row", "rival", "column", "value", "low", "high")
    place = {"f": "cifar10-valid/200/x-valid", "epoch": 200, "seeds": 3}
    return written(folder, file, [place | dict(zip(names, line, strict=True)) for line in lines])


def trained(folder: Path, file: str, *lines: tuple) -> Path:
    """Lines of a table: row, column, mean, std, n, setting, note."""
    names = ("row", "column", "ours", "ours_std", "n", "setting", "note")
    frame = pd.DataFrame([dict(zip(names, line, strict=True)) for line in lines]).reindex(columns=COLUMNS)
    return written(folder, file, frame)


def written(folder: Path, file: str, lines) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    before = pd.read_csv(folder / file) if (folder / file).exists() else None
    pd.concat([before, pd.DataFrame(lines)]).to_csv(folder / file, index=False)
    return folder
