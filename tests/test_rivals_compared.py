"""Samplers beside each other: sees unequal budgets, or a winner under another name."""

import numpy as np
import pandas as pd
import pytest

from flatlib.tabular import rivals
from flatlib.tabular.analysis import Budget
from flatlib.tabular.rivals import (
    rivals_by_epoch,
    winners,
)
from flatlib.tabular.samplers import incumbents

# --- the comparison --------------------------------------------------------------------------------------


def test_everyone_has_the_same_budget(synthetic_experiment):
    """Sees a rival with more evaluations than random search, or the neighborhood left out of its objective."""
    budget = Budget(steps=12, n_nbr=5, runs=7)
    for chosen, cost in ((None, 1), ("max", 5)):
        searches = rivals.rivals(synthetic_experiment, budget, chosen)
        assert [trace.evaluations[-1] for _, trace in searches] == [60] * 4
        assert [trace.evaluated.shape for _, trace in searches] == [(7, 60 // cost, cost)] * 4
        score = {None: lambda e: e[..., 0], "max": lambda e: e.max(-1)}[chosen]
        for row, trace in searches:
            assert ("NA-" in row) == (chosen is not None)
            scores = score(synthetic_experiment.f[trace.evaluated])
            np.testing.assert_array_equal(trace.incumbent, incumbents(trace.evaluated[:, :, 0], scores))


def test_rivals_by_epoch_reads_each_f(synthetic_experiment):
    """Sees an epoch judged with another epoch's f, or a column's errors under another name."""
    budget = Budget(steps=6, n_nbr=5, runs=4)
    points = rivals_by_epoch(synthetic_experiment, budget)
    assert len(points[["key", "epoch"]].drop_duplicates()) * 8 * len(synthetic_experiment.targets) == len(points)
    then = synthetic_experiment.reading(synthetic_experiment.key, 3, "first")
    for row, trace in rivals.rivals(then, budget) + rivals.rivals(then, budget, "mean"):
        found = points.set_index(["key", "epoch", "column", "row"]).errors[then.key, 3, "toy", row]
        np.testing.assert_array_equal(found, then.targets["toy"][trace.found])


def test_winners():
    """Sees the worst sampler named, or another runner-up than the second."""
    spread = np.array([-1.0, 0.0, 1.0])
    points = [("k", 3, "toy", row, at + spread) for row, at in (("a", 5.0), ("b", 2.0), ("c", 4.0))]
    (won,) = winners(pd.DataFrame(points, columns=["key", "epoch", "column", "row", "errors"])).itertuples()
    assert (won.f, won.epoch, won.column, won.winner, won.runner_up, won.error) == ("k", 3, "toy", "b", "c", 2.0)
    assert won.lead == pytest.approx(2.0) and won.low < 2 < won.high
