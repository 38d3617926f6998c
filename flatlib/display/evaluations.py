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
from flatlib.evaluation.catalogue import catalogue, cell_key
from flatlib.evaluation.config import EvaluationConfig
from flatlib.evaluation.cost import cost
from flatlib.evaluation.costs import costs
from flatlib.evaluation.evaluate import batches_of, estimate, evaluate
from flatlib.evaluation.runs import EvaluationRun, finished_run
from flatlib.evaluation.tables import COUNTED, ERRORS, Trained, counted, measured, seed_noise
from flatlib.memory import keep_freed_memory
from flatlib.parameter_check import ParameterError
from flatlib.run.config import seeds
from flatlib.search.config import SearchConfig
from flatlib.search.runs import Run
from flatlib.spaces import Genotype

TABLES = tuple(ERRORS)
Configs = Mapping[str, EvaluationConfig]  # label -> the training from the first seed


# --- counting -------------------------------------------------------------------------------------


def counts_frame() -> pd.DataFrame:
    """A line a size and published cell: counted and printed numbers, both in millions, and C by the paper's budget."""
    lines = []
    for table, dataset in (("4", "cifar10"), ("5", "imagenet")):
        printed = {(one.row, one.column): one.value for one in published.table(table)}
        for ours, fitted in zip(costs(["all"], dataset), costs(["all"], dataset, channels=0), strict=True):
            line = {"size": f"{dataset}, C = {ours['channels']}, {ours['cells']} cells", "cell": ours["name"]}
            row = catalogue()[ours["name"]].rows.get(table)
            for name, column in (("params", "Params"), ("multi_adds", "+x")):
                count, paper = ours[name] / 1e6, printed.get((row, column), math.nan)
                line |= {name: count, f"{name}, published": paper, f"{name}, difference %": 100 * (count / paper - 1)}
            lines.append(line | {"C by Sec. D.1": fitted["channels"]})
    return pd.DataFrame(lines).set_index(["size", "cell"])


def show_counts(frame: pd.DataFrame) -> Styler:
    """The counts, with an empty cell where nothing was published."""
    numbers = {name: "{:+.1f}" if name.endswith("%") else "{:.2f}" for name in frame.columns[:-1]}
    return plain(frame).format(numbers, na_rep="")


# --- training -------------------------------------------------------------------------------------


def found_cells(runs: Iterable[Run]) -> dict[str, Genotype]:
    """Folder -> genotype of finished searches; NAS-Bench-201's cells need networks of other sizes."""
    cells = {run.folder.name: run.result.cell for run in runs if run.result}
    return {name: cell for name, cell in cells.items() if isinstance(cell, Genotype)}


def searches_by_cell(runs: Iterable[Run]) -> dict[str, list[SearchConfig]]:
    """Cell key -> the finished searches that found it."""
    found: dict[str, list[SearchConfig]] = {}
    for run in runs:
        if run.result:
            found.setdefault(cell_key(run.result.cell), []).append(run.config)
    return found


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
    bar = tqdm(waiting, desc="trainings", disable=not waiting)
    for config in bar:
        bar.set_postfix_str(f"{config.name}, seed {config.seed}")
        with one_line_interrupt():
            done.append(evaluate(config, runs_dir))
    return done


# --- comparing ------------------------------------------------------------------------------------


def plot_curves(groups: Sequence[Trained]) -> go.Figure:
    """Test error after each epoch, a line a training."""
    lines = [
        (one.name, f"seed {run.config.seed}; {one.setting}", line.epoch, 100 - line.test_accuracy)
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
    points = pd.DataFrame(each, columns=["cell", "setting", "error"])
    means = points.groupby(["cell", "setting"], sort=False, as_index=False).mean()
    bar = {"symbol": "line-ns", "size": 20, "line": {"color": PALETTE[2], "width": 3}}
    figure = go.Figure()
    for name, frame, marker in (("a training", points, {"size": 10}), ("mean", means, bar)):
        place = {"x": frame.error, "y": frame.cell, "hovertext": frame.setting}
        figure.add_scatter(**place, mode="markers", name=name, marker=marker)
    figure.update_xaxes(title_text="test error (%)").update_yaxes(autorange="reversed", automargin=True, dtick=1)
    return lay_out(figure, "Test error of each training, and means", 120 + 34 * len(groups))


def summary_frame(groups: Sequence[Trained], reference: str = "DARTS_V2") -> pd.DataFrame:
    """A line a group: mean, spread and n, and how far it lies from the reference cell, with that distance's noise."""
    lines = []
    for setting in dict.fromkeys(group.setting for group in groups):
        alike = [group for group in groups if group.setting == setting]
        noise, first = seed_noise(alike), next((group for group in alike if group.name == reference), alike[0])
        for group in alike:
            errors, sizes = group.errors, [cost(run.config.plan()).params / 1e6 for run in group.runs]
            line = {"setting": setting, "cell": group.name, "n": len(errors), "params (M)": np.mean(sizes)}
            line |= {"test error %": errors.mean(), "std": errors.std() if len(errors) > 1 else math.nan}
            if group is not first:
                line[f"less {first.name}"] = errors.mean() - first.errors.mean()
                line["its noise"] = noise.of_difference(len(errors), len(first.errors))
            lines.append(line)
    return pd.DataFrame(lines)


def summary(groups: Sequence[Trained]) -> Styler:
    """The same for the eye; what all have in common is in the caption."""
    frame = summary_frame(groups)
    if frame.empty:
        return frame.style
    settings = frame.setting.unique()
    caption = settings[0] if len(settings) == 1 else "Two and more settings: compare within one only"
    frame = frame.set_index(["setting", "cell"])
    numbers = dict.fromkeys(frame.select_dtypes("float").columns, "{:.2f}") | {"params (M)": "{:.4f}"}
    return plain(frame.droplevel("setting") if len(settings) == 1 else frame, caption).format(numbers, na_rep="")


# --- the paper's tables ---------------------------------------------------------------------------


def table_frames(table: str, groups: Sequence[Trained]) -> dict[str, pd.DataFrame]:
    """Source -> the table's lines: the paper's data always, and each stand-in that was trained on."""
    frames = {}
    for source in dict.fromkeys([published.IMAGES, *(group.source for group in groups)]):
        own = source == published.IMAGES
        lines = [*measured(table, groups, source), *(counted(table) if own else [])]
        if lines or own:
            lines = [line._replace(note=line.note + noise_in_words(line.setting, groups)) for line in lines]
            column = {} if own else {f"Test Error / {source}": published.table(table)[0].column}
            frames[source] = reproduction(table, lines, source=source, stands_for=column)
    return frames


def save_and_show(table: str, groups: Sequence[Trained], reports_dir: Path) -> Styler:
    """Write a table's CSV files and return it beside the published one, a line a row of the paper."""
    frames = table_frames(table, groups)
    for source, frame in frames.items():
        write_csv(frame, csv_path(reports_dir, source, table))
    view, settings = blocks(table, pd.concat(frames.values()))
    told = [f"<br>{label}: {setting}{noise_in_words(setting, groups)}." for label, setting in settings.items()]
    if not any(label.startswith("ours, trained") for label in settings):
        told.append("<br>No cell of this table was trained here.")
    return plain(view, f"Table {table}. {published.CAPTIONS[table]}.{''.join(told)}")


def blocks(table: str, frame: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, str]]:
    """The published block and one for each setting of ours, with the settings by the blocks' names."""
    ours = frame[frame.ours.notna()].sort_values("setting", key=lambda text: text != COUNTED, kind="stable")
    trained = [setting for setting in dict.fromkeys(ours.setting) if setting != COUNTED]
    names = {COUNTED: "ours, counted"} if COUNTED in set(ours.setting) else {}
    names |= {text: f"ours, trained{f' ({at})' * (len(trained) > 1)}" for at, text in enumerate(trained, 1)}
    lines = [(names[line.setting], line.row, line.column, _text(line)) for line in ours.itertuples()]
    return side_by_side(table, lines), {name: setting for setting, name in names.items()}


def _text(line: Any) -> str:
    """A measured error with its spread and n; a count; each with its difference from what was published."""
    paper = "" if math.isnan(line.paper) else f"; {line.ours - line.paper:+.2f}"
    if math.isnan(line.ours_std):
        return f"{line.ours:.2f}{paper}"
    spread = f" ± {line.ours_std:.2f}" * bool(line.n > 1)
    return f"{line.ours:.2f}{spread} (n = {line.n}){paper}"


def noise_in_words(told: str, groups: Sequence[Trained]) -> str:
    """The seed noise of all trainings made as those of a block were; '' for the block of counts."""
    settings = [group.setting for group in groups if group.told == told]
    if not settings:
        return ""
    noise = seed_noise(group for group in groups if group.setting == settings[0])
    if math.isnan(noise.std):
        return "; seed noise unknown, since no cell was trained twice"
    return f"; seed noise of one training {noise.std:.2f} points ({noise.runs} trainings of {noise.cells} cells)"
