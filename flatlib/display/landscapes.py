"""Landscapes as notebook 06 makes them: which searches, how long it will take, a bar while it runs."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from IPython.display import Markdown
from tqdm.auto import tqdm

from flatlib.display.searches import run_searches
from flatlib.landscape.config import LandscapeConfig
from flatlib.landscape.found import Source, workers
from flatlib.landscape.landscape import PARTS, Landscape, estimate, known_landscape, look_around
from flatlib.landscape.plane import losses
from flatlib.search.config import SearchConfig
from flatlib.search.runs import Run, read_run


def searched(configs: Mapping[str, SearchConfig], runs: int, runs_dir: Any, folders: Sequence[str] = ()) -> list[Run]:
    """The finished searches of some folders, else these searches, made where they are not finished yet."""
    if folders:
        return [read_run(folder) for folder in folders]
    found = run_searches(configs, runs, runs_dir, panel=False)
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


def evaluator(runs: Sequence[Run], config: LandscapeConfig) -> Callable[[int, np.ndarray], tuple[float, float]]:
    """For the explorer: (number of the run, alpha (T, E, O)) -> loss and accuracy with the model at hand."""

    def evaluate(run: int, alphas: np.ndarray) -> tuple[float, float]:
        loss, accuracy = losses(Source(str(runs[run].folder), config.n_valid), alphas[None])[:, 0]
        return float(loss), float(accuracy)

    return evaluate
