"""When does the neighborhood help? The paper's three tabular claims, epoch by epoch, beside the noise.

f is read from every quantity that could serve a search: the more epochs it was trained for, the
less noisy it is. Gains above 0 are in the paper's favor.
"""

from typing import NamedTuple

import numpy as np
from scipy import stats

from flatlib.tabular.analysis import Budget, Gain, flat_and_sharp, mean_gain, rank_correlation, sampled_taus
from flatlib.tabular.experiment import CRITERIA, Experiment


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


def settings_of_f(experiment: Experiment, trials: tuple[str, ...] = ("first",)) -> list[Experiment]:
    """The experiment with f from every search quantity, epoch and trial."""
    quantities = {key: experiment.table.quantity(key) for key in search_keys(experiment)}
    return [
        experiment.reading(key, int(epoch), trial)
        for trial in trials
        for key, quantity in quantities.items()
        for epoch in quantity.epochs
        if trial == "first" or len(quantity.seeds) > 1
    ]


class RankPoint(NamedTuple):
    """How well one criterion ranks all cells of a table, f being known after some epoch."""

    key: str
    epoch: int
    trial: str
    criterion: str
    tau: float


def rank_by_epoch(experiment: Experiment, column: str) -> list[RankPoint]:
    """Kendall's tau over all cells, from one seed and from the seed mean, for each criterion."""
    return [
        RankPoint(then.key, then.epoch, then.trial, row, rank_correlation(then.score(row), experiment.targets[column]))
        for then in settings_of_f(experiment, ("first", "mean"))
        for row in CRITERIA
    ]


class NoiseFloor(NamedTuple):
    """The same cells from another seed."""

    tau: float  # rank correlation of f between two seeds
    std: float  # of f over seeds, percentage points
    n: int  # cells with both seeds


def noise_floor(experiment: Experiment) -> NoiseFloor:
    """How far f moves when only the seed changes; NaN and n = 0 where the table has one seed."""
    quantity = experiment.table.quantity(experiment.key)
    seeds = 100.0 - quantity.accuracy[:, :, list(quantity.epochs).index(experiment.epoch)]  # (A, S)
    pairs = seeds[~np.isnan(seeds[:, :2]).any(1), :2]
    if pairs.shape[1] < 2 or len(pairs) < 2:
        return NoiseFloor(float("nan"), float("nan"), 0)
    return NoiseFloor(rank_correlation(*pairs.T), float(np.sqrt(pairs.var(1, ddof=1).mean())), len(pairs))


class ClaimPoint(NamedTuple):
    """The three claims for one f and one test column."""

    key: str
    epoch: int
    column: str
    flat: Gain  # Table 1a: flat minima beat sharp ones, percentage points
    ranking: Gain  # Table 1b: the mean ranks better than f, tau
    search: Gain  # Table 2: NA-RS (mean) beats RS at equal evaluations, percentage points


def _paired_gain(ours: np.ndarray, rival: np.ndarray) -> Gain:  # (repeats,), (repeats,)
    """Mean difference with its t interval, the samples being shared."""
    difference = ours - rival
    value, half = float(difference.mean()), float(stats.t.ppf(0.975, len(difference) - 1) * stats.sem(difference))
    return Gain(value, value - half, value + half)


def claims(
    experiment: Experiment,
    *,
    n_top: int = 100,
    n_sample: int = 100,
    repeats: int = 10,
    budget: Budget = Budget(),
    chosen: str = "mean",
) -> list[ClaimPoint]:
    """The claims of Tables 1a, 1b and 2 at the experiment's own f, for each test column.

    `chosen` is NA-RS's aggregator.
    """
    groups = flat_and_sharp(experiment, n_top)
    taus = sampled_taus(experiment, n_sample=n_sample, repeats=repeats, seed=budget.seed)
    rs = budget.random_search(experiment).trace.found
    na_rs = budget.na_random_search(experiment, chosen, f"NA-RS, {chosen}").trace.found
    return [
        ClaimPoint(
            experiment.key,
            experiment.epoch,
            column,
            groups.gain(errors),
            _paired_gain(taus["Ours - mean", column], taus["Baseline", column]),
            mean_gain(errors[na_rs], errors[rs]),
        )
        for column, errors in experiment.targets.items()
    ]


def claims_by_epoch(
    experiment: Experiment, budget: Budget = Budget(), *, chosen: str = "mean", n_top: int = 100
) -> list[ClaimPoint]:
    """The claims for every f that the table has."""
    return [
        point for then in settings_of_f(experiment) for point in claims(then, n_top=n_top, budget=budget, chosen=chosen)
    ]
