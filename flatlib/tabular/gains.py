"""Gains with their intervals: how much lower a mean error is, and what that says of a claim."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import stdtrit


class Gain(NamedTuple):
    """An improvement with its 95 % interval; above 0 is in the paper's favor."""

    value: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """What the interval says of the paper's claim."""
        return "holds" if self.low > 0 else "does not hold" if self.high < 0 else "undecided"

    def __str__(self) -> str:
        return f"{self.value:+.2f} [{self.low:+.2f}, {self.high:+.2f}]"


def interval(value: float, error: float, freedom: float) -> Gain:
    """value +- t * standard error; without an interval (NaN) where the spread of one draw is all there is."""
    half = float(stdtrit(max(freedom, 1), 0.975) * error) if freedom > 0 else float("nan")
    return Gain(value, value - half, value + half)


class Mean(NamedTuple):
    """The mean of n errors, of which `draws` are independent."""

    mean: float
    std: float  # population
    n: int
    draws: int


def difference(ours: Mean, rival: Mean) -> Gain:
    """How much lower the mean of `ours` is; Welch's interval, none where a side is a single draw."""
    value = rival.mean - ours.mean
    if min(ours.draws, rival.draws) < 2 or np.isnan([ours.std, rival.std]).any():
        return interval(value, float("nan"), 0)
    v, w = (side.std**2 * side.n / (side.n - 1) / side.draws for side in (ours, rival))
    freedom = (v + w) ** 2 / max(v**2 / (ours.draws - 1) + w**2 / (rival.draws - 1), 1e-300)
    return interval(value, float(np.sqrt(v + w)), max(freedom, 1))


def mean_gain(ours: np.ndarray, rival: np.ndarray) -> Gain:  # (n,), (k,) errors
    """The `difference` of independent errors."""
    return difference(*(Mean(float(side.mean()), float(side.std()), len(side), len(side)) for side in (ours, rival)))


def grouped_gain(
    errors: np.ndarray,  # (A,)
    ours: np.ndarray,  # (n,) rows
    rival: np.ndarray,  # (k,) rows
    groups: np.ndarray,  # (A,) rows of equal numbers, also across the two sides, are one draw
) -> Gain:
    """`mean_gain` where errors are dependent within groups; cluster-robust.

    The variance is G / (G - 1) * sum over groups of (sum of weighted residuals)^2, G groups.
    """
    a, b = errors[ours], errors[rival]
    weighted = np.concatenate([(b - b.mean()) / len(b), (a.mean() - a) / len(a)])
    _, member = np.unique(groups[np.concatenate([rival, ours])], return_inverse=True)
    sums = np.bincount(member, weighted)
    n, value = len(sums), float(b.mean() - a.mean())
    if min(len(np.unique(groups[rows])) for rows in (ours, rival)) < 2:
        return interval(value, float("nan"), 0)
    return interval(value, float(np.sqrt(n / (n - 1) * (sums**2).sum())), n - 1)


def paired_gain(ours: np.ndarray, rival: np.ndarray) -> Gain:  # (repeats,), (repeats,)
    """How much higher `ours` is on shared samples; the t interval of the differences."""
    difference = ours - rival
    error = difference.std(ddof=1) / np.sqrt(len(difference))
    return interval(float(difference.mean()), float(error), len(difference) - 1)


def over_seeds(gains: Sequence[Gain]) -> Gain:
    """The mean gain over seeds of f, with the envelope of their intervals: decided only where all agree."""
    value, low, high = np.array(gains).T
    return Gain(float(value.mean()), float(low.min()), float(high.max()))
