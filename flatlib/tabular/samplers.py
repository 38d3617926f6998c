"""Random search and NA-RS (Sec. 4.1, Algorithm 2) on a table, all runs at once."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from flatlib.aggregators import Aggregator, mean
from flatlib.neighborhoods import distinct_draws


@dataclass(frozen=True)
class SearchTrace:
    """What a sampler found, run by run and step by step (R runs, T steps)."""

    incumbent: np.ndarray  # (R, T) row of the best cell so far
    evaluated: np.ndarray  # (R, T, n) rows whose f was requested at each step, the judged cell first; repeats count

    @property
    def found(self) -> np.ndarray:  # (R,)
        """Row of the cell that each run returns."""
        return self.incumbent[:, -1]

    @property
    def evaluations(self) -> np.ndarray:  # (T,)
        """Evaluations made after each step."""
        return self.evaluated.shape[2] * np.arange(1, self.incumbent.shape[1] + 1)

    @cached_property
    def distinct(self) -> np.ndarray:  # (R,)
        """Different cells that each run evaluated."""
        return count_distinct(self.evaluated.reshape(len(self.evaluated), -1))


def count_distinct(values: np.ndarray) -> np.ndarray:  # (R, n) -> (R,)
    """Different values in each row."""
    ordered = np.sort(values, axis=1)
    return 1 + (ordered[:, 1:] != ordered[:, :-1]).sum(1)


def incumbents(
    cells: np.ndarray,  # (R, T) rows in the order they were drawn
    scores: np.ndarray,  # (R, T) their scores, lower is better
) -> np.ndarray:  # (R, T)
    """The best cell so far; of equals the first is kept (Algorithm 2's strict <)."""
    best = np.minimum.accumulate(scores, axis=1)
    is_new = np.ones(scores.shape, dtype=bool)
    is_new[:, 1:] = scores[:, 1:] < best[:, :-1]
    step = np.maximum.accumulate(np.where(is_new, np.arange(scores.shape[1]), 0), axis=1)
    return np.take_along_axis(cells, step, axis=1)


def sample_neighborhoods(
    neighbors: np.ndarray,  # (A, N) rows, the cell itself first
    cells: np.ndarray,  # (C,) rows
    n_nbr: int,
    rng: np.random.Generator,
) -> np.ndarray:  # (C, n_nbr) rows, the cell itself first
    """n_nbr different cells of each neighborhood, the cell itself always among them (Sec. 4.1)."""
    chosen = 1 + distinct_draws(rng, len(cells), neighbors.shape[1] - 1, n_nbr - 1)
    return np.concatenate([cells[:, None], neighbors[cells[:, None], chosen]], axis=1)


def na_random_search(
    errors: np.ndarray,  # (A,) f, percent
    neighbors: np.ndarray,  # (A, N) rows, the cell itself first
    *,
    aggregate: Aggregator = mean,
    steps: int = 100,
    n_nbr: int = 10,
    runs: int = 500,
    rng: np.random.Generator,
) -> SearchTrace:
    """NA-RS: the drawn cell with the lowest g(f(N(alpha))) (Algorithm 2; T and n_nbr of Sec. 5.1).

    >>> ring = np.array([[0, 1], [1, 2], [2, 0]])
    >>> trace = na_random_search(np.array([1.0, 5.0, 2.0]), ring, n_nbr=2, runs=1,
    ...                          rng=np.random.default_rng(0))
    >>> trace.found  # the cell of the lowest mean, not the best cell
    array([2])
    """
    cells = rng.integers(0, len(neighbors), runs * steps, dtype=np.int32)
    sampled = sample_neighborhoods(neighbors, cells, n_nbr, rng).reshape(runs, steps, n_nbr)
    return SearchTrace(incumbents(sampled[:, :, 0], aggregate(errors[sampled])), sampled)


def random_search(
    errors: np.ndarray,  # (A,) f, percent
    *,
    steps: int = 1000,
    runs: int = 500,
    rng: np.random.Generator,
) -> SearchTrace:
    """RS: the cell with the lowest f among `steps` uniform draws (T * n_nbr in Sec. 5.1); each judged alone."""
    return na_random_search(errors, np.arange(len(errors))[:, None], steps=steps, n_nbr=1, runs=runs, rng=rng)
