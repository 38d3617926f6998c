"""Samplers beyond the paper: local search, regularized evolution, REINFORCE, Bayesian optimization.

A sampler is a generator: it yields a cell for each of R runs and is sent their scores. `search` asks
the objective, f or g(f(N(alpha))), and counts: one request of a cell costs `objective.cost`
evaluations, repeats too. Sec. 4.1 says that the neighborhood serves any of them.
"""

import itertools
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import softmax

from flatlib.aggregators import Aggregator, mean
from flatlib.tabular.samplers import SearchTrace, incumbents, sample_neighborhoods
from flatlib.tabular.table import arch_number

Proposals = Generator[np.ndarray, np.ndarray, None]  # yields rows (R,), is sent scores (R,)


@dataclass(frozen=True)
class Objective:
    """What a sampler minimizes: f, or g over n_nbr cells of N(alpha), drawn anew at each request."""

    errors: np.ndarray  # (A,) f, percent
    neighbors: np.ndarray | None = None  # (A, N) rows, the cell itself first; None: f alone
    n_nbr: int = 10
    aggregate: Aggregator = mean

    @property
    def cost(self) -> int:
        """Evaluations of f that one request makes."""
        return 1 if self.neighbors is None else self.n_nbr

    def sample(self, cells: np.ndarray, rng: np.random.Generator) -> np.ndarray:  # (R,) -> (R, cost)
        """The cells whose f a request needs."""
        return (
            cells[:, None] if self.neighbors is None else sample_neighborhoods(self.neighbors, cells, self.n_nbr, rng)
        )

    def score(self, sampled: np.ndarray) -> np.ndarray:  # (R, cost) rows -> (R,) percent
        """f(alpha), or g(f(N(alpha))) (Eq. 1)."""
        return self.errors[sampled[:, 0]] if self.neighbors is None else self.aggregate(self.errors[sampled])


def search(
    proposals: Proposals, objective: Objective, *, evaluations: int = 1000, rng: np.random.Generator
) -> SearchTrace:
    """Run a sampler until the next request would exceed `evaluations`; ValueError if that is the first."""
    if evaluations < objective.cost:
        raise ValueError(f"evaluations = {evaluations}: one request costs {objective.cost}; allowed: that or more")
    cells, scores, sampled = [next(proposals)], [], []
    for left in reversed(range(evaluations // objective.cost)):
        sampled.append(objective.sample(cells[-1], rng))
        scores.append(objective.score(sampled[-1]))
        if left:
            cells.append(proposals.send(scores[-1]))
    return SearchTrace(incumbents(np.stack(cells, 1), np.stack(scores, 1)), np.stack(sampled, 1))


# --- the samplers ---------------------------------------------------------------------------------


def local_search(
    moves: np.ndarray,  # (A, M) rows of each cell's neighbors, itself left out
    runs: int,
    rng: np.random.Generator,
) -> Proposals:
    """Request all neighbors in random order, move to the best if it is better, else start anew.

    White et al. 2020 (arXiv 2005.02960) from one random cell; they stop at the first local minimum,
    here the rest of the budget is spent on new starts. A cell met again is requested again.
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
    moves: np.ndarray,  # (A, M) rows of each cell's neighbors: the mutations
    runs: int,
    rng: np.random.Generator,
    *,
    population: int = 10,
    sample: int = 10,
) -> Proposals:
    """Regularized evolution (Real et al. 2019): mutate the best of a sample, drop the oldest.

    A mutation sets one edge to another operation. Population 10 is that of NAS-Bench-201's own script;
    a sample of 10 did better than 3 or 5 in most trials here. Real et al. use 100 and 25 for 20,000
    models, and a search here may have 100 requests.
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
    archs: np.ndarray,  # (A, E) the whole space
    runs: int,
    rng: np.random.Generator,
    *,
    requests: int = 1000,
    momentum: float = 0.9,
) -> Proposals:
    """REINFORCE with a softmax policy of E x O logits and a moving average of rewards as baseline.

    Reward: -score. Adam and momentum 0.9 are those of NAS-Bench-201's own script; its learning rate,
    0.001, moves a logit by about 1 in 1,000 steps. Here it is 1 / sqrt(requests), as usual for a
    known number of stochastic steps: 0.03 for 1,000, 0.1 for 100, the best of five rates in most trials.
    """
    row_of, n_operations = np.argsort(arch_number(archs)), int(archs.max()) + 1
    logits, first, second = np.zeros((3, runs, archs.shape[1], n_operations))
    learning_rate, baseline = requests**-0.5, np.full(runs, np.nan)
    for step in itertools.count(1):
        below = softmax(logits, axis=-1).cumsum(-1)[..., :-1]
        drawn = (below < rng.random((*below.shape[:2], 1))).sum(-1)
        reward = -(yield row_of[arch_number(drawn)])
        gradient = policy_gradient(logits, drawn, np.nan_to_num(reward - baseline))
        baseline = reward if step == 1 else momentum * baseline + (1 - momentum) * reward
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        logits += learning_rate * first / (1 - 0.9**step) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)


def bayesian_optimization(archs: np.ndarray, runs: int, rng: np.random.Generator) -> Proposals:  # archs (A, E)
    """Bayesian optimization by Optuna's TPE at its defaults, each edge a categorical parameter.

    Not vectorized: 1,000 trials take seconds a run.
    """
    import optuna  # an extra

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    row_of, n_operations = np.argsort(arch_number(archs)), int(archs.max()) + 1
    space: dict[str, Any] = {
        f"edge {e}": optuna.distributions.CategoricalDistribution(range(n_operations)) for e in range(archs.shape[1])
    }
    samplers = [optuna.samplers.TPESampler(seed=int(seed)) for seed in rng.integers(0, 2**32, runs)]
    studies = [optuna.create_study(sampler=sampler) for sampler in samplers]
    while True:
        trials = [study.ask(space) for study in studies]
        drawn = np.array([[trial.params[name] for name in space] for trial in trials])
        scores = yield row_of[arch_number(drawn)]
        for study, trial, score in zip(studies, trials, scores, strict=True):
            study.tell(trial, float(score))
