"""Our numbers as tables: beside the published ones, as verdicts on the claims, rivals; and their CSV files."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pandas as pd
from pandas.io.formats.style import Styler

from flatlib import published
from flatlib.display.tables import plain
from flatlib.run.checkpoint import write_beside
from flatlib.tabular.analysis import Searches, found_errors
from flatlib.tabular.experiment import Experiment
from flatlib.tabular.gains import Gain
from flatlib.tabular.table import STANDS_FOR
from flatlib.tabular.when import CLAIMS, Gains, noise_floor

COLUMNS = ["row", "column", "ours", "ours_std", "n", "paper", "paper_std", "unit", "setting", "note"]
REAL = published.BENCHMARK
CHECKOUT = Path(__file__).parents[2] / "reports"  # holds the project's own run on the real columns
ABSENT = "not measured here"
SYMBOLS = {"holds": "✓", "does not hold": "✗", "undecided": "?"}


def reproduction(
    table_id: str,
    measured: Iterable[published.Measured],
    *,
    source: str,  # the table's name, or the data set
    stands_for: dict[str, str] | None = None,  # a stand-in's column -> the paper's column
) -> pd.DataFrame:  # COLUMNS, one line a cell
    """Join measured cells with the published ones.

    A published number stands beside `ours` only where ours was measured on that data; a stand-in's
    line names what it stands for, and its `paper` stays empty. Published cells that were not
    measured are kept, with `ours` empty.
    """
    own = source in (published.BENCHMARK, published.IMAGES)
    paper = {(cell.row, cell.column): cell for cell in published.table(table_id)} if own else {}
    cells = [*measured]
    seen = {cell[:2] for cell in cells}
    cells += [published.Measured(*at, None, None, None, "") for at in paper if at not in seen]
    units = {cell.column: cell.unit for cell in published.table(table_id)}
    usual = next(unit for unit in units.values() if unit != "%^2")  # that of a stand-in's columns
    lines = []
    for cell in cells:
        known, stand_in = paper.get(cell[:2]), (stands_for or {}).get(cell.column)
        notes = [cell.note, known.note if known else "", f"stands for {stand_in}" if stand_in else ""]
        notes += [ABSENT] * (cell[:2] not in seen)
        numbers = cell.ours, cell.std, cell.n, known and known.value, known and known.std
        told = units.get(cell.column, usual), cell.setting, "; ".join(filter(None, notes))
        lines.append((*cell[:2], *numbers, *told))
    frame = pd.DataFrame(lines, columns=COLUMNS)
    return frame.astype({"n": "Int64", **dict.fromkeys(["ours", "ours_std", "paper", "paper_std"], "float64")})


def csv_path(reports_dir: Path, source: str, table_id: str) -> Path:
    """`<reports_dir>/tables/<source>/table_<id>.csv`."""
    return reports_dir / "tables" / source / f"table_{table_id}.csv"


def write_csv(frame: pd.DataFrame, path: Path) -> Path:
    """Write beside and rename: complete, or what was there before, with a RunStoppedError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = frame.to_csv(index=False, float_format="%.6g", lineterminator="\n")
    write_beside(path, lambda file: file.write(text.encode()))
    return path


def kept(reports_dir: Path, file: str) -> pd.DataFrame:
    """A file of the project's own run on the real columns, else of the reports folder's; empty where there is none."""
    paths = [folder / "tables" / REAL / file for folder in (CHECKOUT, reports_dir)]
    return next((pd.read_csv(path) for path in paths if path.exists()), pd.DataFrame())


def side_by_side(table_id: str, ours: Iterable[tuple[str, str, str, str]]) -> pd.DataFrame:
    """The published block and ours (block, row, column, text): a line a row, columns (block, column)."""
    paper = [("published", x.row, x.column, x.text + "*" * bool(x.note)) for x in published.table(table_id)]
    texts = pd.DataFrame([*paper, *ours], columns=["block", "row", "column", "text"])
    view = texts.pivot_table(index="row", columns=["block", "column"], values="text", aggfunc="last", sort=False)
    return view.fillna("").rename_axis(index=None, columns=[None, None])


def _label(source: str, frame: pd.DataFrame) -> str:
    """A block's name, with the epoch and seeds of f where they are the same for all of it."""
    settings = frame[frame.ours.notna()].setting.unique()
    f = re.search(r"epoch .*", settings[0]) if len(settings) == 1 else None
    return f"{source}, ours" + (f" ({f.group()})" if f else "")


def turned_view(table_id: str, frame: pd.DataFrame, source: str, reports_dir: Path) -> pd.DataFrame:
    """Published, NAS-Bench-201's real columns and this run, one below the other: a line a data set."""
    frames = {source: frame}
    if source != REAL and len(real := kept(reports_dir, f"table_{table_id}.csv")):
        frames = {REAL: real} | frames
    ours = [
        (_label(name, one), line.row, line.column, mean_and_spread(line.ours, line.ours_std))
        for name, one in frames.items()
        for line in one[one.ours.notna()].itertuples()
    ]
    return side_by_side(table_id, ours).T


def mean_and_spread(mean: float, std: float) -> str:
    """'5.98 ± 0.21'; without the spread of a single one."""
    return f"{mean:.2f}" + ("" if pd.isna(std) else f" ± {std:.2f}")


def save_and_show(table_id: str, measured: Iterable[published.Measured], source: str, reports_dir: Path) -> Styler:
    """Write the table's CSV and return the side-by-side view for the notebook, with its caption."""
    frame = reproduction(table_id, measured, source=source, stands_for=STANDS_FOR)
    write_csv(frame, csv_path(reports_dir, source, table_id))
    view = turned_view(table_id, frame, source, reports_dir)
    return plain(view, f"Table {table_id}. {published.CAPTIONS[table_id]}")


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
    seeds = ", ".join(f"{x.what} after epoch {x.epoch}: {x.std:.2f} ({x.tau:.2f})" for x in lines)
    return f"the same cell from another seed, std in points and tau: {seeds}" if seeds else ""


def describe(experiment: Experiment) -> pd.DataFrame:  # one line a fact
    """What is measured here: benchmark, f, judges, noise and neighborhood."""
    columns = {"f": experiment.f, **experiment.targets}
    spans = {column: f"{errors.min():.2f} to {errors.max():.2f} %" for column, errors in columns.items()}
    facts = {
        "f": f"{experiment.setting}, {len(experiment.f):,} cells, {spans['f']} error",
        "judged by": ", ".join(f"{column} ({spans[column]})" for column in experiment.targets),
        "noise": noise_in_words(noise_frame(experiment)) or "not known: no cell was trained twice",
        "neighborhood": f"{experiment.neighbors.shape[1]:,} cells, itself included; "
        f"{experiment.distinct_classes():.1f} different networks among them on average",
    }
    return pd.DataFrame({"": facts})


# --- claims ---------------------------------------------------------------------------------------


def verdicts(points: pd.DataFrame, names: Sequence[str] = tuple(CLAIMS)) -> pd.DataFrame:
    """A line a claim, f and test column: the claim holds (✓), does not (✗) or is undecided (?) at each epoch of f."""
    chosen = points[points.claim.isin(names)]
    chosen = chosen.assign(claim=chosen.claim.map(CLAIMS), verdict=chosen.verdict.map(SYMBOLS))
    place = {"index": ["claim", "f", "column"], "columns": "epoch", "values": "verdict"}
    return chosen.pivot_table(**place, aggfunc="first").fillna("")


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
    return view.reset_index(cost)[[*view.columns, *cost]].rename_axis(index=None)


def winners_view(frame: pd.DataFrame) -> pd.DataFrame:
    """A line a f: for each test column the winner and its lead."""
    texts = [f"{x.winner} {x.error:.2f} (by {Gain(x.lead, x.low, x.high)})" for x in frame.itertuples()]
    return _by_column(frame.assign(text=texts), ["f", "epoch"])


def _by_column(frame: pd.DataFrame, lines: list[str]) -> pd.DataFrame:
    """The texts, one column for each test error, in the frame's order."""
    view = frame.pivot_table(index=lines, columns="column", values="text", aggfunc="first", sort=False)
    return view.rename_axis(columns=None)
