"""Trainings of found and published cells, as notebook 04 runs and compares them."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from itertools import cycle
from pathlib import Path

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from pandas.io.formats.style import Styler
from tqdm.auto import tqdm

from flatlib.display.plots import PALETTE, lay_out
from flatlib.display.searches import one_line_interrupt
from flatlib.display.tables import estimates_of, plain
from flatlib.evaluation.batches import Batches
from flatlib.evaluation.catalogue import cell_key
from flatlib.evaluation.config import EvaluationConfig
from flatlib.evaluation.cost import cost
from flatlib.evaluation.evaluate import batches_of, estimate, evaluate
from flatlib.evaluation.runs import EvaluationRun, finished_run
from flatlib.evaluation.tables import Trained, seed_noise
from flatlib.memory import keep_freed_memory
from flatlib.run.config import ParameterError, seeds
from flatlib.search.config import SearchConfig
from flatlib.search.runs import Run
from flatlib.spaces import Genotype


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


# --- training -------------------------------------------------------------------------------------

Configs = Mapping[str, EvaluationConfig]  # label -> the training from the first seed


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


def plot_curves(groups: Sequence[Trained]) -> go.Figure:
    """Test error after each epoch, a line a training."""
    figure = go.Figure()
    for group, color in zip(groups, cycle(PALETTE[1:])):
        for run in group.runs:
            figure.add_scatter(
                x=run.trace.column("epoch"),
                y=100 - run.trace.column("test_accuracy"),
                mode="lines",
                name=group.name,
                legendgroup=f"{group.name} {group.setting}",
                line={"color": color},
                hovertext=f"{group.name}, seed {run.config.seed}; {group.setting}",
            )
    ticks = {"tickvals": [0.5, 1, 2, 5, 10, 20, 50, 100], "type": "log"}
    figure.update_xaxes(title_text="epoch").update_yaxes(title_text="test error (%)", **ticks)
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
        noise = seed_noise({run.folder: run for group in alike for run in group.runs}.values())  # each once
        first = next((group for group in alike if group.name == reference), alike[0])
        for group in alike:
            errors = group.errors
            params = [cost(run.config.plan()).params / 1e6 for run in group.runs]
            line = {"setting": setting, "cell": group.name, "n": len(errors), "params (M)": float(np.mean(params))}
            line |= {"test error %": float(errors.mean()), "std": float(errors.std()) if len(errors) > 1 else np.nan}
            if group is not first:
                line[f"less {first.name}"] = float(errors.mean() - first.errors.mean())
                line["its noise"] = noise.of_difference(len(errors), len(first.errors))
            lines.append(line)
    return pd.DataFrame(lines)


def summary(groups: Sequence[Trained]) -> Styler:
    """The same for the eye; what all have in common is in the caption."""
    frame = summary_frame(groups)
    if frame.empty:
        return frame.style
    settings = frame.setting.unique()
    index = ["cell"] if len(settings) == 1 else ["setting", "cell"]
    shown = frame.set_index(index).drop(columns={"setting"} - {*index})
    numbers = dict.fromkeys(shown.select_dtypes("float").columns, "{:.2f}") | {"params (M)": "{:.4f}"}
    caption = settings[0] if len(settings) == 1 else "Two and more settings: compare within one only"
    return plain(shown, caption).format(numbers, na_rep="")
