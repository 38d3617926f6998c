"""What notebooks 01 and 02 show beside the paper's tables: the setting, verdicts on the claims, rivals; their files."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from flatlib.display.reproduction import mean_and_spread, write_csv
from flatlib.tabular.analysis import Searches, found_errors
from flatlib.tabular.experiment import Experiment
from flatlib.tabular.gains import Gain
from flatlib.tabular.when import CLAIMS, Gains, noise_floor

# --- the setting ----------------------------------------------------------------------------------


def noise_frame(experiment: Experiment) -> pd.DataFrame:
    """The noise of f and of each test column, a line each."""
    table = experiment.table
    places = {"f": (experiment.key, experiment.epoch)}
    places |= {column: (key, int(table.quantity(key).epochs[-1])) for column, key in table.targets().items()}
    lines = [(what, *place, *noise_floor(table, *place)) for what, place in places.items()]
    return pd.DataFrame(lines, columns=["what", "quantity", "epoch", "std", "tau", "cells"])


def noise_in_words(noise: pd.DataFrame) -> str:
    """What another seed alone changes; '' where nothing was trained twice."""
    lines = noise.dropna(subset="std").itertuples()
    seeds = ", ".join(f"{x.what} after epoch {x.epoch} {x.std:.2f} ({x.tau:.2f})" for x in lines)
    return f"the same cell from another seed, std in points and tau: {seeds}" if seeds else ""


def describe(experiment: Experiment) -> pd.DataFrame:  # one line a fact
    """What is measured here: benchmark, f, judges, noise and neighborhood."""
    columns = {"f": experiment.f, **experiment.targets}
    spans = {column: f"{errors.min():.2f} to {errors.max():.2f} %" for column, errors in columns.items()}
    facts = {
        "benchmark": f"{experiment.table.name}, {len(experiment.f):,} cells",
        "f": f"{experiment.key}, epoch {experiment.epoch}, {experiment.seeds_text}, {spans['f']} error",
        "judged by": ", ".join(f"{column} ({spans[column]})" for column in experiment.targets),
        "noise": noise_in_words(noise_frame(experiment)) or "not known: no cell was trained twice",
        "neighborhood": f"{experiment.neighbors.shape[1]:,} cells, itself included; "
        f"{experiment.distinct_classes():.1f} different networks among them on average",
    }
    return pd.DataFrame({"": facts})


# --- files ----------------------------------------------------------------------------------------


def save(frame: pd.DataFrame, file: str, source: str, reports_dir: Path) -> Path:
    """Write `<reports_dir>/tables/<source>/<file>`."""
    return write_csv(frame, reports_dir / "tables" / source / file)


# --- claims ---------------------------------------------------------------------------------------


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
    return table.set_axis(pd.MultiIndex.from_tuples(lines, names=["claim", "f", "judged on"]))


def compare(sides: Mapping[str, Gains]) -> pd.DataFrame:
    """Gains with their intervals, one column for each way of measuring."""
    texts = {side: {at: f"{gain} {gain.verdict}" for at, gain in gains.items()} for side, gains in sides.items()}
    return pd.DataFrame(texts)


# --- rivals ---------------------------------------------------------------------------------------


def rivals_frame(experiment: Experiment, searches: list[Searches]) -> pd.DataFrame:
    """rivals.csv: a line a sampler and test column, test error (%) of the found cells, mean and std over runs."""
    frame = pd.DataFrame(found_errors(experiment, searches)).rename(columns={"std": "ours_std"}).assign(unit="%")
    traces = dict(searches)
    frame["evaluations"] = [int(traces[row].evaluations[-1]) for row in frame.row]
    frame["distinct"] = [traces[row].distinct.mean() for row in frame.row]
    return frame[["row", "column", "ours", "ours_std", "n", "evaluations", "distinct", "unit", "setting"]]


def rivals_view(frame: pd.DataFrame) -> pd.DataFrame:
    """A line a sampler: errors, then what they cost."""
    cost = ["n", "evaluations", "distinct"]
    texts = [mean_and_spread(x.ours, x.ours_std) for x in frame.itertuples()]
    view = _by_column(frame.assign(text=texts, distinct=frame.distinct.round().astype(int)), ["row", *cost])
    return view.reset_index(cost)[[*view.columns, *cost]]


def winners_view(frame: pd.DataFrame) -> pd.DataFrame:
    """A line a f: for each test column the winner and its lead."""
    texts = [f"{x.winner} {x.error:.2f} (by {Gain(x.lead, x.low, x.high)})" for x in frame.itertuples()]
    return _by_column(frame.assign(text=texts), ["f", "epoch"])


def _by_column(frame: pd.DataFrame, lines: list[str]) -> pd.DataFrame:
    """The texts, one column for each test error, in the frame's order."""
    view = frame.pivot_table(index=lines, columns="column", values="text", aggfunc="first", sort=False)
    return view.rename_axis(columns=None)
