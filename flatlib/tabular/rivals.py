"""Samplers beyond the paper: local search, regularized evolution, REINFORCE, Bayesian optimization.

A sampler is a generator: it yields a cell for each of R runs and is sent their scores. `search` asks
f or g(f(N(alpha))), and counts: one request of a cell costs 1 or n_nbr evaluations, repeats too.
Sec. 4.1 says that the neighborhood serves any of them.
"""

import itertools
from collections.abc import Generator
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import softmax

from flatlib.aggregators import Aggregator, aggregator, mean
from flatlib.neighborhoods import neighborhood_size
from flatlib.tabular.analysis import Budget, Searches
from flatlib.tabular.experiment import Experiment
from flatlib.tabular.gains import mean_gain
from flatlib.tabular.samplers import SearchTrace, incumbents, sample_neighborhoods
from flatlib.tabular.table import arch_number
from flatlib.tabular.when import settings_of_f

Proposals = Generator[np.ndarray, np.ndarray, None]  # yields rows (R,), is sent scores (R,)


def search(
    proposals: Proposals,
    errors: np.ndarray,  # (A,) f, percent
    neighbors: np.ndarray | None = None,  # (A, N) rows, the cell itself first; None: f alone
    *,
    n_nbr: int = 10,
    aggregate: Aggregator = mean,
    evaluations: int = 1000,
    rng: np.random.Generator,
) -> SearchTrace:
    """Run a sampler on f, or on g over n_nbr cells of N(alpha), drawn anew at each request (Eq. 1).

    It ends when the next request would exceed `evaluations`; ValueError if that is the first.
    """
    if neighbors is None:
        neighbors, n_nbr, aggregate = np.arange(len(errors))[:, None], 1, mean
    if evaluations < n_nbr:
        raise ValueError(f"evaluations = {evaluations}: one request costs {n_nbr}; allowed: that or more")
    cells, sampled, scores = next(proposals), [], []
    for left in reversed(range(evaluations // n_nbr)):
        sampled.append(sample_neighborhoods(neighbors, cells, n_nbr, rng))
        scores.append(aggregate(errors[sampled[-1]]))
        if left:
            cells = proposals.send(scores[-1])
    evaluated = np.stack(sampled, 1)
    return SearchTrace(incumbents(evaluated[:, :, 0], np.stack(scores, 1)), evaluated)


# --- the samplers ---------------------------------------------------------------------------------


def local_search(moves: np.ndarray, runs: int, rng: np.random.Generator) -> Proposals:  # moves (A, M) neighbors' rows
    """Request all neighbors in random order, move to the best if it is better, else start anew.

    White et al. 2020 (arXiv 2005.02960), who stop at the first local minimum. A cell met again is requested again.
    """
    n = moves.shape[1]
    center, best = np.zeros((2, runs), dtype=np.int64)
    center_score, best_score = np.zeros((2, runs))
    order = np.zeros((runs, n), dtype=np.int64)
    at = np.full(runs, -1)  # place in the order of neighbors; -1: a new start
    while True:
        starts = at < 0
        cells = moves[center, order[np.arange(runs), at]]
        cells[starts] = rng.integers(0, len(moves), starts.sum())
        scores = yield cells
        better = starts | (scores < best_score)
        best[better], best_score[better] = cells[better], scores[better]
        seen_all = at == n - 1
        arrived = starts | (seen_all & (best_score < center_score))
        center[arrived], center_score[arrived] = best[arrived], best_score[arrived]
        order[arrived] = rng.random((arrived.sum(), n)).argsort(1)
        at = np.where(arrived, 0, np.where(seen_all, -1, at + 1))


def evolution(
    moves: np.ndarray, runs: int, rng: np.random.Generator, *, population: int = 10, sample: int = 10
) -> Proposals:  # moves (A, M), the mutations' rows
    """Regularized evolution (Real et al. 2019): mutate the best of a sample, drop the oldest.

    A mutation sets one edge to another operation. Population 10 is that of NAS-Bench-201's own script;
    a sample of 10 did better than 3 or 5 in most trials here.
    """
    every = np.arange(runs)
    cells, scores = np.zeros((population, runs), dtype=np.int64), np.zeros((population, runs))
    for age in itertools.count():
        if age < population:
            child = rng.integers(0, len(moves), runs)
        else:
            drawn = rng.integers(0, population, (sample, runs))  # with replacement, as their Algorithm 1
            parent = drawn[scores[drawn, every].argmin(0), every]
            child = moves[cells[parent, every], rng.integers(0, moves.shape[1], runs)]
        cells[age % population] = child
        scores[age % population] = yield child


def policy_gradient(
    logits: np.ndarray,  # (R, E, O)
    archs: np.ndarray,  # (R, E) drawn from softmax(logits)
    advantage: np.ndarray,  # (R,) reward - baseline
) -> np.ndarray:  # (R, E, O)
    """REINFORCE (Williams 1992): advantage * d log p(arch) / d logits = advantage * (one-hot - p)."""
    return advantage[:, None, None] * (np.eye(logits.shape[-1])[archs] - softmax(logits, axis=-1))


def reinforce(
    archs: np.ndarray, runs: int, rng: np.random.Generator, *, requests: int = 1000
) -> Proposals:  # archs (A, E), the whole space
    """REINFORCE with a softmax policy of E x O logits and a moving average of rewards as baseline.

    Reward: -score. Adam and momentum 0.9 are those of NAS-Bench-201's own script, whose learning rate of
    0.001 hardly moves a logit; 1 / sqrt(requests) was the best of five rates in most trials.
    """
    row_of, n_operations = np.argsort(arch_number(archs)), int(archs.max()) + 1
    logits, first, second = np.zeros((3, runs, archs.shape[1], n_operations))
    learning_rate, baseline = requests**-0.5, np.full(runs, np.nan)
    for step in itertools.count(1):
        below = softmax(logits, axis=-1).cumsum(-1)[..., :-1]
        drawn = (below < rng.random((*below.shape[:2], 1))).sum(-1)
        reward = -(yield row_of[arch_number(drawn)])
        gradient = policy_gradient(logits, drawn, np.nan_to_num(reward - baseline))
        baseline = reward if step == 1 else 0.9 * baseline + (1 - 0.9) * reward
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        logits += learning_rate * first / (1 - 0.9**step) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)


def bayesian_optimization(archs: np.ndarray, runs: int, rng: np.random.Generator) -> Proposals:  # archs (A, E)
    """Bayesian optimization by Optuna's TPE at its defaults, each edge a categorical parameter; seconds a run."""
    import optuna  # an extra

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    row_of, n_operations = np.argsort(arch_number(archs)), int(archs.max()) + 1
    space: dict[str, Any] = {
        f"edge {e}": optuna.distributions.CategoricalDistribution(range(n_operations)) for e in range(archs.shape[1])
    }
    seeds = rng.integers(0, 2**32, runs).tolist()
    studies = [optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed)) for seed in seeds]
    while True:
        trials = [study.ask(space) for study in studies]
        drawn = np.array([[trial.params[name] for name in space] for trial in trials])
        scores = yield row_of[arch_number(drawn)]
        for study, trial, score in zip(studies, trials, scores, strict=True):
            study.tell(trial, float(score))


# --- at equal budgets -----------------------------------------------------------------------------

BO = "Bayesian optimization"
NAMES = {  # on f -> on g(f(N(alpha)))
    "Local search": "NA-local search",
    "Evolution": "NA-evolution",
    "REINFORCE": "NA-REINFORCE",
    BO: "NA-Bayesian optimization",
}


def run_rival(name: str, experiment: Experiment, budget: Budget, chosen: str | None = None) -> Searches:
    """A sampler of NAMES with T * n_nbr evaluations; a move or mutation changes one edge, whatever d is."""
    archs, evaluations, cost = experiment.table.archs, budget.steps * budget.n_nbr, budget.n_nbr if chosen else 1
    moves = experiment.neighbors[:, 1 : neighborhood_size(archs.shape[1], 5, 1)]  # the nearest come first
    sampler = {
        "Local search": partial(local_search, moves),
        "Evolution": partial(evolution, moves),
        "REINFORCE": partial(reinforce, archs, requests=evaluations // cost),
        BO: partial(bayesian_optimization, archs),
    }[name]
    rng = np.random.default_rng([budget.seed, 2 + list(NAMES).index(name), cost])
    around, aggregate = experiment.neighbors if chosen else None, aggregator(chosen or "mean", experiment.lam)
    sizes = {"n_nbr": budget.n_nbr, "evaluations": evaluations}
    trace = search(sampler(budget.runs, rng), experiment.f, around, aggregate=aggregate, rng=rng, **sizes)
    return Searches(NAMES[name] if chosen else name, trace)


def rivals(experiment: Experiment, budget: Budget, chosen: str | None = None, *, bo_runs: int = 0) -> list[Searches]:
    """Random search and its rivals on f, or with an aggregator's name NA-RS and its rivals on g(f(N(alpha))).

    `bo_runs` is the number of runs of Bayesian optimization, which is not vectorized; 0 leaves it out.
    """
    if bo_runs and find_spec("optuna") is None:
        print("Bayesian optimization is left out: it needs optuna (pip install 'flatlib[bo]').")
        bo_runs = 0
    random = budget.na_random_search(experiment, chosen) if chosen else budget.random_search(experiment)
    runs = dict.fromkeys(NAMES, budget.runs) | {BO: bo_runs}
    return [random, *(run_rival(name, experiment, replace(budget, runs=n), chosen) for name, n in runs.items() if n)]


def rivals_by_epoch(experiment: Experiment, budget: Budget, chosen: str = "mean") -> pd.DataFrame:
    """All samplers but Bayesian optimization, for every f that the table has; 100 runs at most.

    `errors` holds an array (R,) a line: the test errors of the found cells, percent.
    """
    budget = replace(budget, runs=min(budget.runs, 100))
    lines = [
        (then.key, then.epoch, column, row, errors[trace.found])
        for then in settings_of_f(experiment)
        for row, trace in rivals(then, budget) + rivals(then, budget, chosen)
        for column, errors in then.targets.items()
    ]
    return pd.DataFrame(lines, columns=["key", "epoch", "column", "row", "errors"])


def winners(points: pd.DataFrame) -> pd.DataFrame:
    """A line a f and test column: the (first) sampler of lowest mean test error (%), and its lead, 95 % interval."""
    lines = []
    for place, group in points.groupby(["key", "epoch", "column"], sort=False):
        best, second = sorted(group.itertuples(), key=lambda point: float(point.errors.mean()))[:2]
        lead = mean_gain(best.errors, second.errors)
        lines.append((*place, best.row, best.errors.mean(), second.row, *lead))
    names = ["f", "epoch", "column", "winner", "error", "runner_up", "lead", "low", "high"]
    return pd.DataFrame(lines, columns=names)
