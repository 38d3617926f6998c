"""The comparisons behind the paper's tabular claims: gains with their intervals, above 0 in the paper's favor.

They cover the choice of cells, samples and draws; the noise of f is covered by its seeds, which have to agree.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations

import pandas as pd

from flatlib.tabular.analysis import (
    Budget,
    flat_and_sharp,
    sampled_taus,
    searches_2,
    searches_d,
    searches_e,
    validation_label,
)
from flatlib.tabular.experiment import CRITERIA, Experiment
from flatlib.tabular.gains import Gain, grouped_gain, mean_gain, over_seeds, paired_gain
from flatlib.tabular.when import search_keys

Gains = dict[tuple[str, ...], Gain]  # what is compared, the column last -> percentage points lower, or tau higher
CLAIMS = {  # name in claims_by_epoch.csv -> the paper's claim
    "flat": "Flat minima have a lower test error than sharp ones (Table 1a)",
    "ranking": "The neighborhood mean ranks better than f (Table 1b)",
    "search": "NA-RS beats RS at equal evaluations (Table 2)",
}


@dataclass(frozen=True)
class Sizes:
    """How large the comparisons are; the defaults are the paper's (Sec. 3.3.1, B.3)."""

    n_top: int = 100
    n_sample: int = 100
    repeats: int = 10


def claims(experiment: Experiment, sizes: Sizes = Sizes(), budget: Budget = Budget(), *, chosen: str = "mean") -> Gains:
    """CLAIMS at the experiment's own f, for each test column; `chosen` is NA-RS's aggregator."""
    groups = flat_and_sharp(experiment, sizes.n_top)
    taus = sampled_taus(experiment, n_sample=sizes.n_sample, repeats=sizes.repeats, seed=budget.seed)
    rs = budget.random_search(experiment).trace.found
    na_rs = budget.na_random_search(experiment, chosen, f"NA-RS, {chosen}").trace.found
    gains: Gains = {}
    for column, errors in experiment.targets.items():
        gains["flat", column] = groups.gain(errors)
        gains["ranking", column] = paired_gain(taus["Ours - mean", column], taus["Baseline", column])
        gains["search", column] = mean_gain(errors[na_rs], errors[rs])
    return gains


def claims_by_epoch(
    experiment: Experiment, sizes: Sizes = Sizes(), budget: Budget = Budget(), *, chosen: str = "mean"
) -> pd.DataFrame:
    """The claims for every f that the table has: a line a f, test column and claim."""
    frames = [
        _over_seeds(
            experiment.reading(key, int(epoch), "first"),
            ["claim", "column"],
            lambda then: claims(then, sizes, budget, chosen=chosen),
        )
        for key in search_keys(experiment)
        for epoch in experiment.table.quantity(key).epochs
    ]
    return pd.concat(frames, ignore_index=True)[
        ["claim", "f", "epoch", "seeds", "column", "value", "low", "high", "verdict"]
    ]


def assumption_gains(experiment: Experiment, sizes: Sizes = Sizes(), seed: int = 0) -> pd.DataFrame:
    """Tables A (the validation error itself), B and C: each criterion against the baseline."""
    return _over_seeds(experiment, ["table", "row", "rival", "column"], lambda then: _assumption(then, sizes, seed))


def search_gains(experiment: Experiment, budget: Budget = Budget()) -> pd.DataFrame:
    """Tables 2, D and E: each two of a table's samplers."""
    return _over_seeds(experiment, ["table", "row", "rival", "column"], lambda then: _searches(then, budget))


def _over_seeds(experiment: Experiment, names: list[str], measure: Callable[[Experiment], Gains]) -> pd.DataFrame:
    """A line a comparison, combined over all seeds of f."""
    seeds: list[int | str] = [*experiment.table.complete_seeds(experiment.key)] or ["first"]
    runs = [measure(experiment.reading(experiment.key, experiment.epoch, seed)) for seed in seeds]
    lines = [
        (*place, len(seeds), experiment.key, experiment.epoch, *gain, gain.verdict)
        for place in runs[0]
        for gain in [over_seeds([run[place] for run in runs])]
    ]
    return pd.DataFrame(lines, columns=[*names, "seeds", "f", "epoch", "value", "low", "high", "verdict"])


def _assumption(then: Experiment, sizes: Sizes, seed: int) -> Gains:
    flat = flat_and_sharp(then, sizes.n_top).gain(then.f)
    gains: Gains = {("A", "Flat minima", "Sharp minima", validation_label(then)): flat}
    taus = sampled_taus(then, n_sample=sizes.n_sample, repeats=sizes.repeats, seed=seed)
    tops = {row: then.best(then.score(row), sizes.n_top) for row in CRITERIA}
    first, *others = CRITERIA
    for row in others:
        for column in then.targets:
            gains["B", row, first, column] = paired_gain(taus[row, column], taus[first, column])
        ours, rival = tops[row], tops[first]
        for column, errors in {"Neighbor-Std": then.spread, **then.targets}.items():
            gain = grouped_gain(errors[ours], errors[rival], then.classes[ours], then.classes[rival])
            gains["C", row, first, column] = gain
    return gains


def _searches(then: Experiment, budget: Budget) -> Gains:
    tables = {"2": searches_2, "D": searches_d, "E": searches_e}
    return {
        (table, ours.row, rival.row, column): mean_gain(errors[ours.trace.found], errors[rival.trace.found])
        for table, searches in tables.items()
        for rival, ours in combinations(searches(then, budget), 2)
        for column, errors in then.targets.items()
    }
