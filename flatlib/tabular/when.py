"""When does the neighborhood help? Ranking epoch by epoch, and the noise of f.

f is read from every quantity that could serve a search: the more epochs it was trained for, the
less noisy it is.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd

from flatlib.tabular.analysis import rank_correlation
from flatlib.tabular.experiment import CRITERIA, Experiment
from flatlib.tabular.table import Table


def search_keys(experiment: Experiment) -> list[str]:
    """Quantities that can serve as f: the search data's x-valid, and whole learning curves of it."""
    root = experiment.key.split("/")[0].removesuffix("-valid")
    judges = experiment.table.targets().values()
    return [
        key
        for key, quantity in experiment.table.quantities.items()
        if key == experiment.key
        or (
            key.split("/")[0] in (root, f"{root}-valid")
            and key not in judges
            and (key.endswith("x-valid") or len(quantity.epochs) > 1)
        )
    ]


def settings_of_f(experiment: Experiment, trial: str = "first") -> list[Experiment]:
    """The experiment with f from every search quantity and epoch."""
    return [
        experiment.reading(key, int(epoch), trial)
        for key in search_keys(experiment)
        for epoch in experiment.table.quantity(key).epochs
    ]


def rank_by_epoch(experiment: Experiment, column: str) -> pd.DataFrame:
    """Kendall's tau over all cells for each f and criterion, f from one seed and from the seed mean."""
    several = [then for then in settings_of_f(experiment, "mean") if len(experiment.table.quantity(then.key).seeds) > 1]
    lines = [
        (then.key, then.epoch, then.trial, row, rank_correlation(then.score(row), experiment.targets[column]))
        for then in settings_of_f(experiment) + several
        for row in CRITERIA
    ]
    return pd.DataFrame(lines, columns=["key", "epoch", "trial", "criterion", "tau"])


class Noise(NamedTuple):
    """How far a quantity moves when only the training's seed changes; NaN where there is one seed."""

    std: float  # over seeds, root mean square over cells, percentage points
    tau: float  # rank correlation between the first two seeds
    cells: int  # with at least two seeds


def noise_floor(table: Table, key: str, epoch: int) -> Noise:
    """Of one epoch of a quantity."""
    quantity = table.quantity(key)
    seeds = quantity.accuracy[:, :, list(quantity.epochs).index(epoch)]  # (A, S) percent, NaN where not run
    several = seeds[(~np.isnan(seeds)).sum(1) > 1]
    std = float(np.sqrt(np.nanvar(several, axis=1, ddof=1).mean())) if len(several) else float("nan")
    pairs = several[~np.isnan(several[:, :2]).any(1), :2]
    return Noise(std, rank_correlation(*pairs.T) if len(pairs) > 1 else float("nan"), len(several))
