"""Aggregators g of a neighborhood's errors (Sec. 3.2, A.1).

An aggregator maps errors (..., N), the cell itself first, to (...); percent in, percent out.
"""

from collections.abc import Callable
from functools import partial

import numpy as np

Aggregator = Callable[[np.ndarray], np.ndarray]


def mean(errors: np.ndarray) -> np.ndarray:  # (..., N) -> (...)
    """mean f(N(alpha)), the paper's choice."""
    return errors.mean(-1)


def median(errors: np.ndarray) -> np.ndarray:  # (..., N) -> (...)
    """median f(N(alpha))."""
    return np.median(errors, axis=-1)


def maximum(errors: np.ndarray) -> np.ndarray:  # (..., N) -> (...)
    """max f(N(alpha))."""
    return errors.max(-1)


def variance(errors: np.ndarray, lam: float = 1.0) -> np.ndarray:  # (..., N) -> (...)
    """f(alpha) + lam * sigma(f(N(alpha))) (Sec. A.1; lam = 1 in Sec. B.3).

    >>> float(variance(np.array([1.0, 3.0])))
    2.0
    """
    return errors[..., 0] + lam * errors.std(-1)


AGGREGATORS: dict[str, Aggregator] = {"mean": mean, "median": median, "max": maximum, "variance": variance}
NAMES = tuple(AGGREGATORS)  # those of the paper; docs/extend.md adds one
SLOPES: dict[str, Callable] = {}  # losses (N,) of torch, lam -> dg / df_n, of aggregators added to ours


def differentiable() -> tuple[str, ...]:
    """Names of the aggregators that a search can descend: ours but the median, and those with slopes."""
    return tuple(name for name in AGGREGATORS if name in ("mean", "max", "variance", *SLOPES))


def aggregator(name: str, lam: float = 1.0) -> Aggregator:
    """The aggregator of that name; ValueError, one line, for another name."""
    if name not in AGGREGATORS:
        raise ValueError(f"aggregator {name!r}: no such aggregator; choose {', '.join(AGGREGATORS)}")
    return partial(variance, lam=lam) if name == "variance" else AGGREGATORS[name]


def neighborhood_score(
    errors: np.ndarray,  # (A,) validation error, percent
    neighbors: np.ndarray,  # (A, N) rows of N(alpha), the cell itself first
    aggregate: Aggregator = mean,
) -> np.ndarray:  # (A,) percent
    """Judge each architecture by its neighborhood, g(f(N(alpha))) (Eq. 1).

    >>> neighborhood_score(np.array([1.0, 3.0]), np.array([[0, 1], [1, 0]]))
    array([2., 2.])
    """
    return aggregate(errors[neighbors])
