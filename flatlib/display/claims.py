"""The paper's tabular claims as tables: what was measured, at which epoch of f, and the verdict."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from flatlib.display.reproduction import kept_folder, write_csv
from flatlib.tabular.evidence import CLAIMS, Gains
from flatlib.tabular.experiment import Experiment
from flatlib.tabular.when import noise_floor

FILE = "claims_by_epoch.csv"


def noise_frame(experiment: Experiment) -> pd.DataFrame:
    """The noise of f and of each test column, a line each."""
    table = experiment.table
    places = {"f": (experiment.key, experiment.epoch)}
    places |= {column: (key, int(table.quantity(key).epochs[-1])) for column, key in table.targets().items()}
    lines = [(what, *place, *noise_floor(table, *place)) for what, place in places.items()]
    return pd.DataFrame(lines, columns=["what", "quantity", "epoch", "std", "tau", "cells"])


def describe(experiment: Experiment) -> pd.DataFrame:  # one line a fact
    """What is measured here: benchmark, f, judges, neighborhood, and the noise of f."""
    noise = noise_frame(experiment).set_index("what")
    f = noise.loc["f"]
    judges = []
    for column, errors in experiment.targets.items():
        n = len(experiment.table.quantity(noise.quantity[column]).seeds)
        seeds = f", {n} seeds, std {noise['std'][column]:.2f}" if n > 1 else ""
        judges.append(f"{column} ({errors.min():.2f} to {errors.max():.2f} %{seeds})")
    facts = {
        "benchmark": f"{experiment.table.name}, {len(experiment.f):,} cells",
        "f": f"{experiment.key}, epoch {experiment.epoch}, {experiment.seeds_text}, "
        f"{experiment.f.min():.2f} to {experiment.f.max():.2f} % error",
        "noise of f": f"std over seeds {f['std']:.2f} points, tau with another seed {f.tau:.2f} (n = {f.cells:,} cells)"
        if f.cells
        else "one seed only: not known",
        "judged by": ", ".join(judges),
        "neighborhood": f"{experiment.neighbors.shape[1]:,} cells, itself included; "
        f"{experiment.distinct_classes():.1f} different networks among them on average",
    }
    return pd.DataFrame({"": facts})


def save(gains: pd.DataFrame, experiment: Experiment, file: str, reports_dir: Path) -> Path:
    """Write `<reports_dir>/tables/<benchmark>/<file>`, a line a comparison, and noise.csv beside it."""
    folder = reports_dir / "tables" / experiment.table.name
    write_csv(noise_frame(experiment), folder / "noise.csv")
    return write_csv(gains, folder / file)


def kept_claims(reports_dir: Path) -> pd.DataFrame:
    """The claims of the project's own run on the real columns; empty where this checkout has none."""
    folder = kept_folder(reports_dir, FILE)
    return pd.read_csv(folder / FILE) if folder else pd.DataFrame()


def ranges(numbers: Iterable[int]) -> str:
    """Whole numbers in short.

    >>> ranges([1, 2, 3, 5])
    '1-3, 5'
    """
    found = pd.Series(sorted(numbers), dtype=int)
    runs = found.groupby(found - found.index).agg(["first", "last"])
    return ", ".join("-".join(dict.fromkeys(map(str, run))) for run in runs.to_numpy())


def verdicts(points: pd.DataFrame, names: Sequence[str] = tuple(CLAIMS)) -> pd.DataFrame:
    """For each claim, f and test column: the gain, and the epochs of f at which the claim holds or not."""
    lines = {}
    for name in names:
        for (key, column), group in points[points.claim == name].groupby(["f", "column"], sort=False):
            span = dict.fromkeys(f"{value:+.2f}" for value in (group.value.min(), group.value.max()))
            lines[CLAIMS[name], key, column] = {"gain": " to ".join(span)} | {
                f"{verdict}, epochs": ranges(group.epoch[group.verdict == verdict])
                for verdict in ("holds", "undecided", "does not hold")
            }
    table = pd.DataFrame.from_dict(lines, orient="index")
    table.index = pd.MultiIndex.from_tuples(lines, names=["claim", "f", "judged on"])
    return table


def compare(sides: Mapping[str, Gains], names: Sequence[str] = tuple(CLAIMS)) -> pd.DataFrame:
    """Gains with their intervals, one column for each way of measuring."""
    texts = {
        side: {
            (CLAIMS[name], column): f"{gain.value:+.2f} [{gain.low:+.2f}, {gain.high:+.2f}] {gain.verdict}"
            for name in names
            for (claim, column), gain in gains.items()
            if claim == name
        }
        for side, gains in sides.items()
    }
    return pd.DataFrame(texts)
