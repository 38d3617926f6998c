"""All samplers at equal budgets, on f and on g(f(N(alpha))), and who wins at which noise of f."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from typing import NamedTuple

import numpy as np

from flatlib.aggregators import aggregator
from flatlib.neighborhoods import neighborhood_size
from flatlib.tabular.analysis import Budget, Searches
from flatlib.tabular.experiment import Experiment
from flatlib.tabular.gains import Gain, mean_gain
from flatlib.tabular.rivals import Objective, bayesian_optimization, evolution, local_search, reinforce, search
from flatlib.tabular.when import settings_of_f

NAMES = {  # on f -> on g(f(N(alpha)))
    "Local search": "NA-local search",
    "Evolution": "NA-evolution",
    "REINFORCE": "NA-REINFORCE",
    "Bayesian optimization": "NA-Bayesian optimization",
}
BO = "Bayesian optimization"
EPOCH_RUNS = 100  # of each sampler at each f in `rivals_by_epoch`


def run_rival(name: str, experiment: Experiment, budget: Budget, chosen: str | None = None) -> Searches:
    """A sampler of NAMES with T * n_nbr evaluations; a move or mutation changes one edge, whatever d is."""
    objective, evaluations = Objective(experiment.f), budget.steps * budget.n_nbr
    if chosen is not None:
        aggregate = aggregator(chosen, experiment.lam)
        objective = Objective(experiment.f, experiment.neighbors, budget.n_nbr, aggregate)
    archs = experiment.table.archs
    moves = experiment.neighbors[:, 1 : neighborhood_size(archs.shape[1], 5, 1)]  # the nearest come first
    sampler = {
        "Local search": partial(local_search, moves),
        "Evolution": partial(evolution, moves),
        "REINFORCE": partial(reinforce, archs, requests=evaluations // objective.cost),
        BO: partial(bayesian_optimization, archs),
    }[name]
    rng = np.random.default_rng([budget.seed, 2 + list(NAMES).index(name), objective.cost])
    trace = search(sampler(budget.runs, rng), objective, evaluations=evaluations, rng=rng)
    return Searches(name if chosen is None else NAMES[name], trace)


def rivals(experiment: Experiment, budget: Budget, chosen: str | None = None, *, bo_runs: int = 0) -> list[Searches]:
    """Random search and its rivals on f, or with an aggregator's name NA-RS and its rivals on g(f(N(alpha))).

    `bo_runs` is the number of runs of Bayesian optimization, which is not vectorized; 0 leaves it out.
    """
    random = (
        budget.random_search(experiment)
        if chosen is None
        else budget.na_random_search(experiment, chosen, f"NA-RS, {chosen}")
    )
    fast = [run_rival(name, experiment, budget, chosen) for name in NAMES if name != BO]
    slow = [run_rival(BO, experiment, replace(budget, runs=bo_runs), chosen)] if bo_runs else []
    return [random, *fast, *slow]


def available_bo_runs(bo_runs: int) -> int:
    """`bo_runs`, or 0 with a line on stdout where Optuna is not installed."""
    if bo_runs and find_spec("optuna") is None:
        print("Bayesian optimization is left out: it needs optuna (pip install 'flatlib[bo]').")
        return 0
    return bo_runs


class RivalPoint(NamedTuple):
    """What a sampler finds, f being known after some epoch."""

    key: str
    epoch: int
    column: str
    row: str
    errors: np.ndarray  # (R,) test errors of the found cells, percent


def rivals_by_epoch(experiment: Experiment, budget: Budget, chosen: str = "mean") -> list[RivalPoint]:
    """All samplers but Bayesian optimization, for every f that the table has; EPOCH_RUNS runs at most."""
    budget = replace(budget, runs=min(budget.runs, EPOCH_RUNS))
    return [
        RivalPoint(then.key, then.epoch, column, row, errors[trace.found])
        for then in settings_of_f(experiment)
        for row, trace in rivals(then, budget) + rivals(then, budget, chosen)
        for column, errors in then.targets.items()
    ]


class Winner(NamedTuple):
    """The sampler of lowest mean test error at one f, and its lead over the next one."""

    key: str
    epoch: int
    column: str
    row: str
    error: float  # percent, mean over runs
    runner_up: str
    lead: Gain  # percentage points, 95 % interval


def winners(points: Sequence[RivalPoint]) -> list[Winner]:
    """Who wins at each f, by the mean; ties go to the first."""
    groups: dict[tuple[str, int, str], list[RivalPoint]] = {}
    for point in points:
        groups.setdefault((point.key, point.epoch, point.column), []).append(point)
    found = []
    for place, group in groups.items():
        best, second = sorted(group, key=lambda point: float(point.errors.mean()))[:2]
        lead = mean_gain(best.errors, second.errors)
        found.append(Winner(*place, best.row, float(best.errors.mean()), second.row, lead))
    return found
