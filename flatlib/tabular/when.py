"""When does the neighborhood help? The paper's three tabular claims, epoch by epoch, beside the noise.

f is read from every quantity that could serve a search: the more epochs it was trained for, the
less noisy it is. Gains above 0 are in the paper's favor.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from flatlib.tabular.analysis import Budget, flat_and_sharp, rank_correlation, sampled_taus
from flatlib.tabular.experiment import CRITERIA, Experiment
from flatlib.tabular.gains import Gain, mean_gain, over_seeds, paired_gain


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


class RankPoint(NamedTuple):
    """How well one criterion ranks all cells of a table, f being known after some epoch."""

    key: str
    epoch: int
    trial: str
    criterion: str
    tau: float


def rank_by_epoch(experiment: Experiment, column: str) -> list[RankPoint]:
    """Kendall's tau over all cells, from one seed and from the seed mean, for each criterion."""
    several = [then for then in settings_of_f(experiment, "mean") if len(experiment.table.quantity(then.key).seeds) > 1]
    return [
        RankPoint(
            then.key, then.epoch, str(then.trial), row, rank_correlation(then.score(row), experiment.targets[column])
        )
        for then in settings_of_f(experiment) + several
        for row in CRITERIA
    ]


class NoiseFloor(NamedTuple):
    """The same cells from other seeds."""

    tau: float  # rank correlation of f between the first two seeds
    std: float  # of f over seeds, root mean square over cells, percentage points
    n: int  # cells with at least two seeds


def seed_std(seeds: np.ndarray) -> float:  # (A, S) percent, NaN where not run
    """Standard deviation over seeds, root mean square over the cells that have at least two."""
    several = seeds[(~np.isnan(seeds)).sum(1) > 1]
    return float(np.sqrt(np.nanvar(several, axis=1, ddof=1).mean())) if len(several) else float("nan")


def noise_floor(experiment: Experiment) -> NoiseFloor:
    """How far f moves when only the seed changes; NaN and n = 0 where the table has one seed."""
    quantity = experiment.table.quantity(experiment.key)
    seeds = 100.0 - quantity.accuracy[:, :, list(quantity.epochs).index(experiment.epoch)]  # (A, S)
    pairs = seeds[~np.isnan(seeds[:, :2]).any(1), :2]
    if pairs.shape[1] < 2 or len(pairs) < 2:
        return NoiseFloor(float("nan"), float("nan"), 0)
    return NoiseFloor(rank_correlation(*pairs.T), seed_std(seeds), int(((~np.isnan(seeds)).sum(1) > 1).sum()))


class ClaimPoint(NamedTuple):
    """The three claims for one f and one test column."""

    key: str
    epoch: int
    column: str
    flat: Gain  # Table 1a: flat minima beat sharp ones, percentage points
    ranking: Gain  # Table 1b: the mean ranks better than f, tau
    search: Gain  # Table 2: NA-RS (mean) beats RS at equal evaluations, percentage points
    seeds: int = 1  # of f, over which the gains are combined


@dataclass(frozen=True)
class Sizes:
    """How large the comparisons are; the defaults are the paper's (Sec. 3.3.1, B.3)."""

    n_top: int = 100
    n_sample: int = 100
    repeats: int = 10


def claims(
    experiment: Experiment, sizes: Sizes = Sizes(), budget: Budget = Budget(), *, chosen: str = "mean"
) -> list[ClaimPoint]:
    """The claims of Tables 1a, 1b and 2 at the experiment's own f, for each test column.

    `chosen` is NA-RS's aggregator. The intervals cover the choice of cells, samples and draws, not
    the noise of f.
    """
    groups = flat_and_sharp(experiment, sizes.n_top)
    taus = sampled_taus(experiment, n_sample=sizes.n_sample, repeats=sizes.repeats, seed=budget.seed)
    rs = budget.random_search(experiment).trace.found
    na_rs = budget.na_random_search(experiment, chosen, f"NA-RS, {chosen}").trace.found
    return [
        ClaimPoint(
            experiment.key,
            experiment.epoch,
            column,
            groups.gain(errors),
            paired_gain(taus["Ours - mean", column], taus["Baseline", column]),
            mean_gain(errors[na_rs], errors[rs]),
        )
        for column, errors in experiment.targets.items()
    ]


def claims_by_epoch(
    experiment: Experiment, sizes: Sizes = Sizes(), budget: Budget = Budget(), *, chosen: str = "mean"
) -> list[ClaimPoint]:
    """The claims for every f that the table has, each seed of f by itself and then over its seeds."""
    points = []
    for key in search_keys(experiment):
        seeds: list[str | int] = [*experiment.table.complete_seeds(key)] or ["first"]
        for epoch in experiment.table.quantity(key).epochs:
            runs = [claims(experiment.reading(key, int(epoch), seed), sizes, budget, chosen=chosen) for seed in seeds]
            for same in zip(*runs, strict=True):
                gains = {name: over_seeds([getattr(p, name) for p in same]) for name in ("flat", "ranking", "search")}
                points.append(same[0]._replace(**gains, seeds=len(seeds)))
    return points
