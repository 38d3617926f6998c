"""Cells as notebook 04 trains and compares them, and Tables 3, 4, 5, 6, Fa and Fb beside the published ones."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import plotly.express as px
import plotly.graph_objects as go
from pandas.io.formats.style import Styler
from tqdm.auto import tqdm

from flatlib import published
from flatlib.display.plots import PALETTE, lay_out
from flatlib.display.reproduction import csv_path, reproduction, side_by_side, write_csv
from flatlib.display.tables import estimates_of, plain
from flatlib.evaluation.config import EvaluationConfig
from flatlib.evaluation.runs import EvaluationRun
from flatlib.evaluation.tables import COUNTED, Trained, counted, measured
from flatlib.evaluation.training import estimate, evaluate
from flatlib.run.config import ParameterError, seeds
from flatlib.run.folder import Trace
from flatlib.run.workers import run_side_by_side
from flatlib.search.runs import Run
from flatlib.spaces import Genotype

Configs = Mapping[str, EvaluationConfig]  # label -> the training from the first seed


# --- training -------------------------------------------------------------------------------------


def found_cells(runs: Iterable[Run]) -> dict[str, Genotype]:
    """Folder -> genotype of finished searches; NAS-Bench-201's cells need networks of other sizes."""
    cells = {run.folder.name: run.result.cell for run in runs}
    return {name: cell for name, cell in cells.items() if isinstance(cell, Genotype)}


def estimates(configs: Configs, runs: int, runs_dir: Path) -> Styler:
    """What the trainings will take on this machine; finished ones are read, not repeated."""
    return estimates_of(configs, runs, partial(EvaluationRun.finished, runs_dir), _estimate)


def _estimate(config: EvaluationConfig) -> str:
    """ParameterError, one line in a notebook, for images that are missing or too few."""
    try:
        return estimate(config)
    except (OSError, ValueError) as error:
        raise ParameterError(f"dataset = {config.dataset!r}: {error}") from None


def train(configs: Configs, runs: int, runs_dir: Path) -> list[EvaluationRun]:
    """Train each cell from each seed, with a bar."""
    every, done = [one for config in configs.values() for one in seeds(config, runs)], Counter[EvaluationConfig]()
    left = sum(one.epochs for one in dict.fromkeys(every) if not EvaluationRun.finished(runs_dir, one))
    with tqdm(total=left, desc="trainings", unit="epoch", disable=not left) as bar:

        def tell(config: EvaluationConfig, trace: Trace) -> None:
            done[config] = len(trace.epochs)
            bar.update(done.total() - bar.n)

        return run_side_by_side(evaluate, EvaluationRun, every, runs_dir, tell)


# --- comparing ------------------------------------------------------------------------------------


def plot_errors(groups: Sequence[Trained]) -> go.Figure:
    """Each training's test error, and the mean of each cell, or of each kind of search."""
    each = [(f"{one.name} (n = {len(one.runs)})", one.setting, error) for one in groups for error in one.errors]
    frame = pd.DataFrame(each, columns=["cell", "setting", "test error (%)"])
    look = {"points": "all", "hover_name": "setting", "color_discrete_sequence": PALETTE[1:]}
    figure = px.box(frame, x="test error (%)", y="cell", **look).update_traces(boxmean=True, pointpos=0)
    figure.update_yaxes(autorange="reversed", automargin=True, title_text="")
    return lay_out(figure, "Test error of each training, and means (dashed)", 120 + 34 * len(groups))


def summary(groups: Sequence[Trained]) -> Styler:
    """A line a group: mean and spread of its test errors (%), and the noise of that mean, which seeds alone cause."""
    lines = [(g.name, len(g.runs), g.errors.mean(), g.errors.std(), g.noise.std, g.setting) for g in groups]
    frame = pd.DataFrame(lines, columns=["cell", "n", "test error %", "std", "noise of the mean", "setting"])
    frame = frame.assign(**{"noise of the mean": frame["noise of the mean"] / frame.n**0.5})
    return plain(frame.sort_values("setting", kind="stable")).hide(axis="index").format(precision=3, na_rep="")


# --- the paper's tables ---------------------------------------------------------------------------


def table_frames(table: str, groups: Sequence[Trained]) -> dict[str, pd.DataFrame]:
    """Source -> the table's lines: the paper's data always, and each stand-in that was trained on."""
    frames = {}
    for source in dict.fromkeys([published.IMAGES, *(group.source for group in groups)]):
        own = source == published.IMAGES
        lines = [*measured(table, groups, source), *(counted(table) if own else [])]
        if lines or own:
            column = {} if own else {f"Test Error / {source}": published.table(table)[0].column}
            frames[source] = reproduction(table, lines, source=source, stands_for=column)
    return frames


def save_and_show(table: str, groups: Sequence[Trained], reports_dir: Path) -> Styler:
    """Write a table's CSV files and return it beside the published one, a line a row of the paper."""
    frames = table_frames(table, groups)
    for source, frame in frames.items():
        write_csv(frame, csv_path(reports_dir, source, table))
    view, settings = blocks(table, pd.concat(frames.values()))
    noise = {group.told: f"; {group.noise}" for group in groups}
    told = [f"<br>{label}: {setting}{noise.get(setting, '')}." for label, setting in settings.items()]
    return plain(view, f"Table {table}. {published.CAPTIONS[table]}.{''.join(told)}")


def blocks(table: str, frame: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, str]]:
    """The published block, that of our counts and one for each setting of ours, with the settings by block."""
    ours = frame[frame.ours.notna()].sort_values("setting", key=lambda text: text != COUNTED, kind="stable")
    trained = [setting for setting in ours.setting.unique() if setting != COUNTED]
    names = {COUNTED: "ours, counted"} | {one: f"ours, trained ({at})" for at, one in enumerate(trained, 1)}
    lines = [(names[line.setting], line.row, line.column, _text(line)) for line in ours.itertuples()]
    return side_by_side(table, lines), {names[setting]: setting for setting in ours.setting.unique()}


def _text(line: Any) -> str:
    """A measured error with its spread and n; a count; each with its difference from what was published."""
    spread = f" ± {line.ours_std:.2f}" if line.n > 1 else ""
    n = "" if line.setting == COUNTED else f" (n = {line.n})"
    paper = "" if math.isnan(line.paper) else f"; {line.ours - line.paper:+.2f}"
    return f"{line.ours:.2f}{spread}{n}{paper}"
