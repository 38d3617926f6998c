"""Cells as notebook 04 counts, trains and compares them, and Tables 3, 4, 5, 6, Fa and Fb beside the published ones."""

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import plotly.express as px
import plotly.graph_objects as go
from pandas.io.formats.style import Styler
from tqdm.auto import tqdm

from flatlib import published
from flatlib.display.plots import PALETTE, lay_out
from flatlib.display.reproduction import csv_path, reproduction, side_by_side, write_csv
from flatlib.display.searches import one_line_interrupt
from flatlib.display.tables import estimates_of, plain
from flatlib.evaluation.batches import Batches
from flatlib.evaluation.config import EvaluationConfig
from flatlib.evaluation.cost import cost, costs
from flatlib.evaluation.evaluate import batches_of, estimate, evaluate
from flatlib.evaluation.runs import EvaluationRun, finished_run
from flatlib.evaluation.tables import COUNTED, Trained, counted, measured
from flatlib.run.config import ParameterError, seeds
from flatlib.run.hardware import keep_freed_memory
from flatlib.search.runs import Run
from flatlib.spaces import Genotype

Configs = Mapping[str, EvaluationConfig]  # label -> the training from the first seed


# --- counting -------------------------------------------------------------------------------------


def show_counts(dataset: str) -> Styler:
    """Parameters and multiply-adds of the published cells' networks, and the channels that Sec. D.1's budget gives."""
    frame = pd.DataFrame(costs(["all"], dataset)).set_index("name")
    size = f"{dataset}, C = {frame.channels.iloc[0]}, {frame.cells.iloc[0]} cells; in millions"
    counts = frame[["params", "multi_adds"]] / 1e6
    counts["C by Sec. D.1"] = [line["channels"] for line in costs(["all"], dataset, channels=0)]
    return plain(counts, size).format(precision=2)


# --- training -------------------------------------------------------------------------------------


def found_cells(runs: Iterable[Run]) -> dict[str, Genotype]:
    """Folder -> genotype of finished searches; NAS-Bench-201's cells need networks of other sizes."""
    cells = {run.folder.name: run.result.cell for run in runs if run.result}
    return {name: cell for name, cell in cells.items() if isinstance(cell, Genotype)}


def estimates(configs: Configs, runs: int, runs_dir: Path) -> Styler:
    """What the trainings will take on this machine; finished ones are read, not repeated."""
    return estimates_of(configs, runs, partial(finished_run, runs_dir), lambda one: estimate(one, _batches(one)))


def _batches(config: EvaluationConfig) -> Batches:
    """ParameterError, one line in a notebook, for images that are missing or too few."""
    try:
        return batches_of(config)
    except (OSError, ValueError) as error:
        raise ParameterError(f"dataset = {config.dataset!r}: {error}") from None


def train(configs: Configs, runs: int, runs_dir: Path) -> list[EvaluationRun]:
    """Train each cell from each seed, with a bar; SearchInterrupted, one line, on an interrupt."""
    keep_freed_memory()
    waiting = [one for config in configs.values() for one in seeds(config, runs)]
    done = []
    for config in (bar := tqdm(waiting, desc="trainings", disable=not waiting)):
        bar.set_postfix_str(f"{config.name}, seed {config.seed}")
        with one_line_interrupt():
            done.append(evaluate(config, runs_dir))
    return done


# --- comparing ------------------------------------------------------------------------------------


def plot_curves(groups: Sequence[Trained]) -> go.Figure:
    """Test error after each epoch, a line a training."""
    lines = [
        (one.name, f"{run.folder.name}; {one.setting}", line.epoch, 100 - line.test_accuracy)
        for one in groups
        for run in one.runs
        for line in run.trace.epochs
    ]
    frame = pd.DataFrame(lines, columns=["cell", "training", "epoch", "test error (%)"])
    look = {"line_group": "training", "hover_name": "training", "color_discrete_sequence": PALETTE[1:]}
    figure = px.line(frame, x="epoch", y="test error (%)", color="cell", log_y=True, **look)
    figure.update_yaxes(tickvals=[0.5, 1, 2, 5, 10, 20, 50, 100])
    return lay_out(figure, "Test error while the networks train", 420)


def plot_errors(groups: Sequence[Trained]) -> go.Figure:
    """Each training's test error, and the mean of each cell, or of each kind of search."""
    each = [(f"{one.name} (n = {len(one.runs)})", one.setting, error) for one in groups for error in one.errors]
    points = pd.DataFrame(each, columns=["cell", "setting", "test error (%)"])
    means = points.groupby(["cell", "setting"], sort=False, as_index=False).mean()
    frame = pd.concat([points.assign(shown="a training"), means.assign(shown="mean")])
    look = {"color": "shown", "symbol": "shown", "hover_name": "setting", "color_discrete_sequence": PALETTE[1:]}
    figure = px.scatter(frame, x="test error (%)", y="cell", symbol_sequence=["circle", "line-ns-open"], **look)
    figure.update_traces(marker_size=12).update_yaxes(autorange="reversed", automargin=True, dtick=1, title_text="")
    return lay_out(figure, "Test error of each training, and means", 120 + 34 * len(groups))


def summary(groups: Sequence[Trained], reference: str = "DARTS_V2") -> Styler:
    """A line a group: mean, spread and n, and how far it lies from the reference cell, with that distance's noise."""
    lines: list[dict[str, Any]] = []
    for group in sorted(groups, key=lambda group: group.setting):
        alike = [other for other in groups if other.setting == group.setting]
        first = next((other for other in alike if other.name == reference), alike[0])
        errors, n = group.errors, len(group.runs)
        params = np.mean([cost(run.config.plan()).params for run in group.runs]) / 1e6
        line = {"cell": group.name, "n": n, "params (M)": params, "test error %": errors.mean()}
        line |= {"std": errors.std() if n > 1 else math.nan, f"less {first.name}": math.nan, "its noise": math.nan}
        if group is not first:
            line[f"less {first.name}"] = errors.mean() - first.errors.mean()
            line["its noise"] = group.noise.std * math.sqrt(1 / n + 1 / len(first.runs))
        lines.append(line | {"setting": group.setting})
    return plain(pd.DataFrame(lines)).hide(axis="index").format(precision=3, na_rep="")


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
    if not settings.keys() - {"ours, counted"}:
        told.append("<br>No cell of this table was trained here.")
    return plain(view, f"Table {table}. {published.CAPTIONS[table]}.{''.join(told)}")


def blocks(table: str, frame: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, str]]:
    """The published block, that of our counts and one for each setting of ours, with the settings by block."""
    ours = frame[frame.ours.notna()].sort_values("setting", key=lambda text: text != COUNTED, kind="stable")
    trained = [setting for setting in ours.setting.unique() if setting != COUNTED]
    names = {setting: f"ours, trained ({at})" for at, setting in enumerate(trained, 1)} | {COUNTED: "ours, counted"}
    lines = [(names[line.setting], line.row, line.column, _text(line)) for line in ours.itertuples()]
    return side_by_side(table, lines), {names[setting]: setting for setting in ours.setting.unique()}


def _text(line: Any) -> str:
    """A measured error with its spread and n; a count; each with its difference from what was published."""
    spread = f" ± {line.ours_std:.2f}" if line.n > 1 else ""
    n = "" if line.setting == COUNTED else f" (n = {line.n})"
    paper = "" if math.isnan(line.paper) else f"; {line.ours - line.paper:+.2f}"
    return f"{line.ours:.2f}{spread}{n}{paper}"
