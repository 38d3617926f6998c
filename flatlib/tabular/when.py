"""When does the neighborhood help? Ranking, noise and the paper's claims for every f, above 0 in the paper's favor.

f is read from every quantity that could serve a search: the more epochs it was trained for, the less
noisy it is. Intervals cover the choice of cells, samples and draws; the noise of f is covered by its
seeds, which have to agree.
"""

from collections.abc import Callable
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from flatlib.tabular import analysis
from flatlib.tabular.analysis import Budget
from flatlib.tabular.experiment import CRITERIA, Experiment
from flatlib.tabular.gains import Gain, grouped_gain, mean_gain, over_seeds, paired_gain
from flatlib.tabular.table import Table

Gains = dict[tuple[str, ...], Gain]  # what is compared, the column last -> percentage points lower, or tau higher
CLAIMS = {  # name in claims_by_epoch.csv -> the paper's claim
    "flat": "Flat minima have a lower test error than sharp ones (Table 1a)",
    "ranking": "The neighborhood mean ranks better than f (Table 1b)",
    "search": "NA-RS beats RS at equal evaluations (Table 2)",
}


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
    lines = [
        (then.key, then.epoch, then.trial, row, analysis.rank_correlation(then.score(row), experiment.targets[column]))
        for trial in ("first", "mean")
        for then in settings_of_f(experiment, trial)
        if trial == "first" or len(experiment.table.quantity(then.key).seeds) > 1
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
    return Noise(std, analysis.rank_correlation(*pairs.T) if len(pairs) > 1 else float("nan"), len(several))


# --- the claims, and the comparisons of Tables A to E ----------------------------------------------


def claims(then: Experiment, budget: Budget = Budget(), chosen: str = "mean") -> Gains:
    """CLAIMS at the experiment's own f, for each test column; `chosen` is NA-RS's aggregator."""
    groups, taus = analysis.flat_and_sharp(then, budget.n_top), analysis.sampled_taus(then, budget)
    rs, na_rs = (one.trace.found for one in (budget.random_search(then), budget.na_random_search(then, chosen)))
    gains: Gains = {}
    for column, errors in then.targets.items():
        gains["flat", column] = groups.gain(errors)
        gains["ranking", column] = paired_gain(taus["Ours - mean", column], taus["Baseline", column])
        gains["search", column] = mean_gain(errors[na_rs], errors[rs])
    return gains


def claims_by_epoch(experiment: Experiment, budget: Budget = Budget(), chosen: str = "mean") -> pd.DataFrame:
    """The claims for every f that the table has: a line a f, test column and claim."""
    frames = [over_all_seeds(then, claims, budget, chosen) for then in settings_of_f(experiment)]
    order = ["claim", "f", "epoch", "seeds", "column", "value", "low", "high", "verdict"]
    return pd.concat(frames, ignore_index=True)[order]


def over_all_seeds(then: Experiment, measure: Callable[..., Gains], *sizes: Any) -> pd.DataFrame:
    """A line a comparison of `claims`, `criteria` or `searches`, combined over all seeds of f."""
    seeds: list[int | str] = [*then.table.complete_seeds(then.key)] or ["first"]
    runs = [measure(then.reading(then.key, then.epoch, seed), *sizes) for seed in seeds]
    gains = {place: over_seeds([run[place] for run in runs]) for place in runs[0]}
    here = len(seeds), then.key, then.epoch
    lines = [(*place, *here, *gain, gain.verdict) for place, gain in gains.items()]
    names = ["claim", "column"] if measure is claims else ["table", "row", "rival", "column"]
    return pd.DataFrame(lines, columns=[*names, "seeds", "f", "epoch", "value", "low", "high", "verdict"])


def criteria(then: Experiment, budget: Budget = Budget()) -> Gains:
    """Tables A (the validation error itself), B and C: each criterion against the baseline."""
    gains: Gains = {
        ("A", "Flat minima", "Sharp minima", analysis.validation_label(then)): analysis.flat_and_sharp(
            then, budget.n_top
        ).gain(then.f)
    }
    taus = analysis.sampled_taus(then, budget)
    tops = {row: then.best(then.score(row), budget.n_top) for row in CRITERIA}
    first, *others = CRITERIA
    for row in others:
        for column in then.targets:
            gains["B", row, first, column] = paired_gain(taus[row, column], taus[first, column])
        for column, errors in {"Neighbor-Std": then.spread, **then.targets}.items():
            gains["C", row, first, column] = grouped_gain(errors, tops[row], tops[first], then.table.classes)
    return gains


def searches(then: Experiment, budget: Budget = Budget()) -> Gains:
    """Tables 2, D and E: each two of a table's samplers."""
    return {
        (table, ours.row, rival.row, column): mean_gain(errors[ours.trace.found], errors[rival.trace.found])
        for table in ("2", "D", "E")
        for rival, ours in combinations(analysis.searches(then, budget, table), 2)
        for column, errors in then.targets.items()
    }
