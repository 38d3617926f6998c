"""Landscapes as notebook 06 makes and compares them: how long it will take, a bar, and how flat it is in numbers."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from IPython.display import Markdown
from pandas.io.formats.style import Styler
from tqdm.auto import tqdm

from flatlib.display.landscape_figures import setting
from flatlib.display.reproduction import COLUMNS, write_csv
from flatlib.display.searches import run_searches
from flatlib.landscape.config import LandscapeConfig
from flatlib.landscape.found import Source, workers
from flatlib.landscape.landscape import PARTS, Landscape, estimate, known_landscape, look_around
from flatlib.landscape.plane import losses, mean_rise
from flatlib.search.config import SearchConfig
from flatlib.search.runs import Run


def searched(configs: Mapping[str, SearchConfig], runs: int, runs_dir: Any, folders: Sequence[str] = ()) -> list[Run]:
    """The finished searches of some folders, else these searches, made where they are not finished yet."""
    if folders:
        return [Run.read(folder) for folder in folders]
    found = run_searches(configs, runs, runs_dir)
    return [run for of_method in found.values() for run in of_method]


def estimate_all(runs: Sequence[Run], config: LandscapeConfig) -> Markdown:
    """What is to do, and for how long on this machine."""
    waiting = [run for run in runs if known_landscape(run, config) is None]
    if not waiting:
        return Markdown(f"All {len(runs)} landscapes are known: read from their run folders.")
    return Markdown(f"{len(waiting)} of {len(runs)} landscapes to compute, each: {estimate(waiting[0], config)}")


def look_around_all(runs: Sequence[Run], config: LandscapeConfig) -> list[Landscape]:
    """The landscape of each search, with a bar; those known already are read."""
    waiting = [run for run in runs if known_landscape(run, config) is None]
    batches = [len(Source(str(run.folder), config.n_valid).open().batches) for run in waiting]
    if not waiting:
        return [look_around(run, config) for run in runs]
    total = PARTS * sum(batches)
    with workers(max(batches)) as pool, tqdm(total=total, desc="landscapes", unit="part") as bar:
        return [look_around(run, config, pool=pool, on_part=bar.update) for run in runs]


def evaluator(runs: Sequence[Run], config: LandscapeConfig) -> Callable[[int, np.ndarray], np.ndarray]:
    """For the explorer: (number of the run, alpha (T, E, O)) -> loss and accuracy with the model at hand."""
    sources = [Source(str(run.folder), config.n_valid) for run in runs]
    return lambda run, alphas: losses(sources[run], alphas[None])[:, 0]


# --- how flat it is -------------------------------------------------------------------------------


def flatness(one: Landscape) -> dict[str, float]:
    """Label (unit) -> number. Half the difference is no error bar: both halves may lie above all of the images."""
    plane, alpha, logits = one.plane, one.of_alpha, one.of_logits
    numbers = {
        "loss at alpha (nats)": plane.loss,
        "accuracy at alpha (%)": plane.accuracy[plane.middle, plane.middle],
        **{f"mean rise within r = {r:g} (nats)": mean_rise(plane, r) for r in (0.25, 0.5, 1.0)},
        "mean rise within r = 1, random plane (nats)": mean_rise(one.random, 1.0),
        "largest eigenvalue, alpha (nats)": alpha.pairs.values[0],
        "second eigenvalue, alpha (nats)": alpha.pairs.values[1],
        "half the difference of the halves' largest, alpha (nats)": abs(alpha.halves[0, 0] - alpha.halves[1, 0]) / 2,
        "trace, alpha (nats)": alpha.pairs.trace,
        "largest eigenvalue, logits (nats)": logits.pairs.values[0],
        "second eigenvalue, logits (nats)": logits.pairs.values[1],
        "half the difference of the halves' largest, logits (nats)": abs(logits.halves[0, 0] - logits.halves[1, 0]) / 2,
        "largest residual |Hv - kv|, alpha (nats)": alpha.pairs.residuals.max(),
        "entries clipped at 0, mean over the plane (%)": 100 * plane.clipped.mean(),
        "loss of the derived cell (nats)": one.discrete[0].mean(),
        "mean loss at distance 1 from it (nats)": one.discrete[1].mean(),
    }
    return {name: float(number) for name, number in numbers.items()}


def flatness_table(landscapes: Sequence[Landscape]) -> Styler:
    """A line a number and a column a run."""
    turned = pd.DataFrame([flatness(one) for one in landscapes]).map("{:.3g}".format).T
    return turned.set_axis([one.name for one in landscapes], axis=1).style  # two runs may share a name


def figure_a(landscapes: Sequence[Landscape], dataset: str) -> pd.DataFrame:
    """The numbers beside Figure A in the columns of all tables: mean and population deviation over seeds."""
    frame = pd.DataFrame([flatness(one) for one in landscapes], index=[one.method for one in landscapes])
    lines, note = [], "Figure A of the paper is a picture without numbers"
    shared = {"setting": f"{dataset}, {setting(landscapes)}", "note": note}
    for method, rows in frame.groupby(level=0, sort=False):
        for name, values in rows.items():
            label, _, unit = str(name).removesuffix(")").rpartition(" (")
            numbers = values.to_numpy()  # a nan stays one
            std = numbers.std() if len(numbers) > 1 else np.nan
            line = {"row": method, "column": label, "ours": numbers.mean(), "ours_std": std, "n": len(numbers)}
            lines.append(line | {"unit": unit} | shared)
    return pd.DataFrame(lines, columns=COLUMNS)


def summary(landscapes: Sequence[Landscape], dataset: str) -> Styler:
    """The same for the eye: mean ± population standard deviation, a column a method and a line a number."""
    frame = figure_a(landscapes, dataset)
    numbers = zip(frame.ours, frame.ours_std, frame.n, strict=True)
    text = [f"{mean:.3g}" + f" ± {std:.2g}" * (n > 1) for mean, std, n in numbers]
    lines, columns = frame.column + " (" + frame.unit + ")", frame.row + " (n = " + frame.n.astype(str) + ")"
    return pd.Series(text, [lines, columns]).unstack(sort=False).style


def save(landscapes: Sequence[Landscape], dataset: str, reports_dir: Path) -> Path:
    """`tables/<dataset>/figure_A.csv`, for whoever compares runs."""
    return write_csv(figure_a(landscapes, dataset), reports_dir / "tables" / dataset / "figure_A.csv")
