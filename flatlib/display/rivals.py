"""The rival samplers as tables: what they found at equal budgets, and who wins at which epoch of f."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from flatlib.display.reproduction import REAL, kept_folder, write_csv
from flatlib.tabular.analysis import Searches, found_errors
from flatlib.tabular.equal_budgets import RivalPoint, winners
from flatlib.tabular.experiment import Experiment

FILE = "rivals.csv"
EPOCHS_FILE = "rivals_by_epoch.csv"


def rivals_frame(experiment: Experiment, searches: list[Searches]) -> pd.DataFrame:
    """One line a sampler and test column: test error (%) of the found cells, mean and std over runs."""
    frame = pd.DataFrame(found_errors(experiment, searches)).rename(columns={"std": "ours_std"}).assign(unit="%")
    traces = dict(searches)
    frame["evaluations"] = [int(traces[row].evaluations[-1]) for row in frame.row]
    frame["distinct"] = [traces[row].distinct.mean() for row in frame.row]
    return frame[["row", "column", "ours", "ours_std", "n", "evaluations", "distinct", "unit", "setting"]]


def winners_frame(points: Sequence[RivalPoint]) -> pd.DataFrame:
    """One line a f and test column: the sampler of lowest mean test error, and its lead with a 95 % interval."""
    frame = pd.DataFrame([won._asdict() | won.lead._asdict() for won in winners(points)]).drop(columns="lead")
    return frame.rename(columns={"key": "f", "row": "winner", "value": "lead"})


def _found(frame: pd.DataFrame) -> pd.DataFrame:
    """A line a sampler: errors, then what they cost."""
    texts = frame.assign(text=[f"{mean:.2f} ± {std:.2f}" for mean, std in zip(frame.ours, frame.ours_std, strict=True)])
    rows, columns = list(dict.fromkeys(frame.row)), list(dict.fromkeys(frame.column))
    table = texts.pivot(index="row", columns="column", values="text").reindex(index=rows, columns=columns)
    first = frame.drop_duplicates("row").set_index("row")
    return table.assign(n=first.n, evaluations=first.evaluations, distinct=first.distinct.round().astype(int))


def _won(frame: pd.DataFrame) -> pd.DataFrame:
    """A line a f: for each test column the winner and its lead."""
    texts = [
        f"{line.winner} {line.error:.2f} (by {line.lead:.2f} [{line.low:.2f}, {line.high:.2f}])"
        for line in frame.itertuples()
    ]
    columns = list(dict.fromkeys(frame.column))
    return frame.assign(text=texts).pivot(index=["f", "epoch"], columns="column", values="text")[columns]


def _save(frame: pd.DataFrame, file: str, source: str, reports_dir: Path) -> dict[str, pd.DataFrame]:
    """Write `<reports_dir>/tables/<source>/<file>`; this run, and the kept one on the real columns."""
    write_csv(frame, reports_dir / "tables" / source / file)
    kept = None if source == REAL else kept_folder(reports_dir, file)
    return {source: frame} | ({REAL: pd.read_csv(kept / file)} if kept else {})


def save_rivals(
    experiment: Experiment, searches: list[Searches], source: str, reports_dir: Path
) -> dict[str, pd.DataFrame]:
    """Write rivals.csv; for each source a line a sampler."""
    frames = _save(rivals_frame(experiment, searches), FILE, source, reports_dir)
    return {name: _tidy(_found(frame)) for name, frame in frames.items()}


def save_winners(points: Sequence[RivalPoint], source: str, reports_dir: Path) -> dict[str, pd.DataFrame]:
    """Write rivals_by_epoch.csv; for each source a line a f."""
    frames = _save(winners_frame(points), EPOCHS_FILE, source, reports_dir)
    return {name: _tidy(_won(frame)) for name, frame in frames.items()}


def _tidy(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.rename_axis(columns=None, index=[None] * frame.index.nlevels)
