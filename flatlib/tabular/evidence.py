"""The comparisons behind the paper's tabular claims: the gain of one row over another, decided only where all
seeds of f agree, and the noise that it is to be seen against."""

from collections.abc import Iterator
from itertools import combinations
from typing import NamedTuple

import numpy as np

from flatlib.tabular.analysis import (
    Budget,
    flat_and_sharp,
    rank_correlation,
    sampled_taus,
    searches_2,
    searches_d,
    searches_e,
    validation_label,
)
from flatlib.tabular.experiment import CRITERIA, Experiment
from flatlib.tabular.gains import Gain, grouped_gain, mean_gain, over_seeds, paired_gain
from flatlib.tabular.when import Sizes, noise_floor, seed_std


class Comparison(NamedTuple):
    """How much better one row of a table is than another; above 0, `row` is better."""

    table: str
    row: str
    rival: str
    column: str
    gain: Gain  # percentage points lower, or tau higher
    seeds: int  # of f, over which the gain is combined


Gains = dict[tuple[str, str, str, str], Gain]  # table, row, rival, column


def assumption_gains(experiment: Experiment, sizes: Sizes = Sizes(), seed: int = 0) -> list[Comparison]:
    """Tables A (the validation error itself), B and C: each criterion against the baseline."""
    return _over_seeds([_assumption(then, sizes, seed) for then in _each_seed(experiment)])


def search_gains(experiment: Experiment, budget: Budget = Budget()) -> list[Comparison]:
    """Tables 2, D and E: each two of a table's samplers."""
    return _over_seeds([_searches(then, budget) for then in _each_seed(experiment)])


def _each_seed(experiment: Experiment) -> Iterator[Experiment]:
    seeds: list[int | str] = [*experiment.table.complete_seeds(experiment.key)] or ["first"]
    for seed in seeds:
        yield experiment.reading(experiment.key, experiment.epoch, seed)


def _over_seeds(runs: list[Gains]) -> list[Comparison]:
    return [Comparison(*place, over_seeds([run[place] for run in runs]), len(runs)) for place in runs[0]]


def _assumption(then: Experiment, sizes: Sizes, seed: int) -> Gains:
    flat = flat_and_sharp(then, sizes.n_top).gain(then.f)
    gains = {("A", "Flat minima", "Sharp minima", validation_label(then)): flat}
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


class Noise(NamedTuple):
    """How far one number of a table moves when only the training's seed changes."""

    what: str  # 'f' or a test column
    quantity: str
    epoch: int
    std: float  # over seeds, root mean square over cells, percentage points; NaN where there is one seed
    tau: float  # rank correlation between the first two seeds
    cells: int  # with at least two seeds


def noise(experiment: Experiment) -> list[Noise]:
    """Of f and of each test column."""
    floor = noise_floor(experiment)
    lines = [Noise("f", experiment.key, experiment.epoch, floor.std, floor.tau, floor.n)]
    for column, key in experiment.table.targets().items():
        quantity = experiment.table.quantity(key)
        seeds = quantity.accuracy[:, :, -1]  # (A, S)
        pairs = seeds[~np.isnan(seeds[:, :2]).any(1), :2]
        tau = rank_correlation(*pairs.T) if pairs.shape[1] > 1 and len(pairs) > 1 else float("nan")
        several = int(((~np.isnan(seeds)).sum(1) > 1).sum())
        lines.append(Noise(column, key, int(quantity.epochs[-1]), seed_std(seeds), tau, several))
    return lines
