"""Gains and their intervals: sees a verdict that the numbers do not bear."""

import math

import numpy as np
import pytest
from scipy import stats

from flatlib.tabular.gains import Gain, grouped_gain, interval, mean_gain, over_seeds, paired_gain


def clustered(ours, rival, of_ours, of_rival):
    """A 95 % interval of mean(rival) - mean(ours) by hand; equal numbers on either side are one draw."""
    sums = {}
    for values, groups, sign in ((rival, of_rival, 1), (ours, of_ours, -1)):
        for value, group in zip(values, groups, strict=True):
            sums[group] = sums.get(group, 0) + sign * (value - sum(values) / len(values)) / len(values)
    n = len(sums)
    half = stats.t.ppf(0.975, n - 1) * math.sqrt(n / (n - 1) * sum(s**2 for s in sums.values()))
    return np.mean(rival) - np.mean(ours) + np.array([0, -half, half])


def grouped(ours, rival, of_ours, of_rival):
    """`grouped_gain` of two groups of errors, their classes given."""
    rows = np.arange(len(ours) + len(rival))
    classes = np.concatenate([of_ours, of_rival])
    return grouped_gain(np.concatenate([ours, rival]), rows[: len(ours)], rows[len(ours) :], classes)


def test_mean_gain_is_welch():
    """Sees a gain of the wrong sign, equal variances assumed, or an interval of another level."""
    rng = np.random.default_rng(0)
    ours, rival = rng.normal(6, 1, 50), rng.normal(6.5, 3, 35)
    welch = stats.ttest_ind(rival, ours, equal_var=False).confidence_interval(0.95)
    assert mean_gain(ours, rival) == pytest.approx((rival.mean() - ours.mean(), welch.low, welch.high))


def test_a_network_in_both_halves_is_one_draw():
    """Sees the two sides taken for independent where they share networks."""
    rng = np.random.default_rng(1)
    shared = rng.normal(0, 3, 12)
    ours = np.concatenate([shared, rng.normal(0, 1, 5)])
    rival = np.concatenate([shared + 0.5, rng.normal(0, 1, 7)])
    of_ours, of_rival = np.arange(17), np.concatenate([np.arange(12), 100 + np.arange(7)])
    gain = grouped(ours, rival, of_ours, of_rival)
    assert gain == pytest.approx(clustered(ours, rival, of_ours, of_rival))
    apart = grouped(ours, rival, of_ours, 200 + of_rival)
    assert gain.high - gain.low < 0.7 * (apart.high - apart.low)  # what they share cancels


def test_repeated_networks_are_one_draw():
    """Sees an interval that shrinks where the same network is counted three times."""
    rng = np.random.default_rng(2)
    ours, rival, numbers = rng.normal(0, 1, 9), rng.normal(1, 1, 8), np.arange(20)
    once = grouped(ours, rival, numbers[:9], numbers[9:17])
    thrice = grouped(*(np.repeat(part, 3) for part in (ours, rival, numbers[:9], numbers[9:17])))
    assert thrice == pytest.approx(once)


def test_coverage_of_the_grouped_interval():
    """Sees an interval that misses the truth much more often than one time in twenty."""
    rng, hits = np.random.default_rng(3), 0
    groups = np.repeat(np.arange(30), 2)
    for _ in range(400):
        effect = rng.normal(0, 1, 60)[np.concatenate([groups, groups + 15])]
        ours, rival = effect[:60], effect[60:] + 1.0
        gain = grouped(ours, rival, groups, groups + 15)
        hits += gain.low < 1.0 < gain.high
    assert 0.91 < hits / 400 < 0.99


def test_one_network_has_no_interval():
    """Sees a claim decided by a half that holds one network only: its spread is not known."""
    gain = grouped(np.full(4, 6.0), np.array([7.0, 7.2, 7.4]), np.zeros(4, dtype=int), np.arange(1, 4))
    assert gain.value == pytest.approx(1.2) and gain.verdict == "undecided"
    assert mean_gain(np.array([6.0]), np.array([7.0, 8.0])).verdict == "undecided"


def test_gain_of_constants():
    """Sees a warning in a notebook where all runs found one cell."""
    assert mean_gain(np.full(9, 6.0), np.full(9, 6.5)) == (0.5, 0.5, 0.5)
    assert mean_gain(np.full(9, 6.0), np.full(9, 6.0)).verdict == "undecided"


def test_paired_gain_is_the_t_interval_of_differences():
    """Sees unpaired samples, or a warning where two rankings are identical."""
    rng = np.random.default_rng(4)
    rival = rng.uniform(0, 1, 10)
    ours = rival + rng.normal(0.1, 0.05, 10)
    expected = stats.ttest_1samp(ours - rival, 0).confidence_interval(0.95)
    assert paired_gain(ours, rival) == pytest.approx(((ours - rival).mean(), expected.low, expected.high))
    assert paired_gain(rival, rival) == (0, 0, 0) and paired_gain(rival, rival).verdict == "undecided"


def test_over_seeds_decides_only_where_all_agree():
    """Sees a claim decided by one lucky seed of f."""
    good, bad, open_ = Gain(2, 1, 3), Gain(-2, -3, -1), Gain(0.5, -1, 2)
    assert over_seeds([good, Gain(4, 2, 6)]) == (3, 1, 6)
    assert over_seeds([good, good]).verdict == "holds" and over_seeds([bad, bad]).verdict == "does not hold"
    assert {over_seeds([good, other]).verdict for other in (bad, open_)} == {"undecided"}
    assert over_seeds([good, Gain(1, math.nan, math.nan)]).verdict == "undecided"


@pytest.mark.parametrize(
    "low, high, verdict",
    [(0.1, 2, "holds"), (-2, -0.1, "does not hold"), (-1, 1, "undecided"), (0, 1, "undecided"), (-1, 0, "undecided")],
)
def test_verdict(low, high, verdict):
    """Sees a claim decided by an interval that holds 0, or where no interval is known."""
    assert Gain((low + high) / 2, low, high).verdict == verdict
    assert interval(1.0, 0.0, 0).verdict == "undecided"
