"""Comparisons behind the claims: sees a gain of other rows than its label says, or of one seed alone."""

import math
from dataclasses import replace
from itertools import combinations
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from flatlib.display import reproduction
from flatlib.display.reproduction import write_csv
from flatlib.tabular import analysis, when
from flatlib.tabular.analysis import Budget
from flatlib.tabular.experiment import CRITERIA
from flatlib.tabular.gains import Gain, mean_gain

SMALL = Budget(steps=4, n_nbr=3, runs=6, seed=2, n_top=60, n_sample=30, repeats=5)


# --- Comparisons behind the claims: a gain of other rows than its label says, or of one seed alone ----------


@pytest.fixture(scope="module")
def complete(synthetic_experiment):
    """The synthetic experiment, each cell run with each seed."""
    table, key = synthetic_experiment.table, synthetic_experiment.key
    quantity = table.quantities[key]
    filled = replace(quantity, accuracy=np.nan_to_num(quantity.accuracy, nan=50.0))
    return replace(synthetic_experiment, table=replace(table, quantities={**table.quantities, key: filled}))


def gain_of(line):
    return Gain(line.value, line.low, line.high)


def by_place(comparisons):
    return {(one.table, one.row, one.rival, one.column): one for one in comparisons.itertuples()}


def test_the_claims_that_have_two_ways_agree(complete):
    """Sees Table 1b's or Table 2's gain differ between the two files that hold it."""
    seeds = len(complete.table.complete_seeds(complete.key))
    assert seeds > 1
    at = (complete.key, complete.epoch)
    points = when.claims_by_epoch(complete, SMALL).itertuples()
    known = {(point.claim, point.column): point for point in points if (point.f, point.epoch) == at}
    assumption = by_place(when.over_all_seeds(complete, when.criteria, SMALL))
    searches = by_place(when.over_all_seeds(complete, when.searches, SMALL))
    for column in complete.targets:
        ranking = assumption["B", "Ours - mean", "Baseline", column]
        assert gain_of(ranking) == pytest.approx(gain_of(known["ranking", column])) and ranking.seeds == seeds
        search = searches["2", "NA-RS, mean", "Random Search (RS)", column]
        assert gain_of(search) == pytest.approx(gain_of(known["search", column]))


def test_every_criterion_is_compared_with_the_baseline(complete):
    """Sees a row or a column left out, the spread of other cells, or f of other groups."""
    found = by_place(when.over_all_seeds(complete, when.criteria, SMALL))
    columns = ["Neighbor-Std", *complete.targets]
    rows = [row for row in CRITERIA if row != "Baseline"]
    assert {place for place in found if place[0] == "C"} == {("C", r, "Baseline", c) for r in rows for c in columns}
    (label,) = [place[3] for place in found if place[0] == "A"]
    assert label == analysis.validation_label(complete)
    for row, column in (("Ours - mean", "Neighbor-Std"), ("Ours - max", "toy-two")):
        values = []
        for seed in complete.table.complete_seeds(complete.key):
            then = complete.reading(complete.key, complete.epoch, seed)
            measured = then.spread if column == "Neighbor-Std" else then.targets[column]
            ours, rival = (measured[then.best(then.score(name), 60)].mean() for name in (row, "Baseline"))
            values.append(rival - ours)
        assert found["C", row, "Baseline", column].value == pytest.approx(np.mean(values))


def test_searches_are_compared_in_pairs(complete):
    """Sees two samplers of one table that are not compared, or the gain of the wrong one."""
    found = when.over_all_seeds(complete, when.searches, SMALL)
    (first, *_) = complete.table.complete_seeds(complete.key)
    then = complete.reading(complete.key, complete.epoch, first)
    rows = [row for row, _ in analysis.searches(then, SMALL, "D")]
    pairs = [(one.rival, one.row) for one in found.itertuples() if one.table == "D" and one.column == "toy"]
    assert pairs == list(combinations(rows, 2))
    searches = dict(analysis.searches(then, SMALL, "D"))
    single = mean_gain(*(then.targets["toy"][searches[row].found] for row in ("NA-RS - max", "NA-RS - mean")))
    both = by_place(found)["D", "NA-RS - max", "NA-RS - mean", "toy"]
    assert both.low <= single.low and single.high <= both.high


def test_noise_and_files(synthetic_experiment, tmp_path):
    """Sees the noise of another quantity, or a file without what the claims' page reads."""
    experiment = synthetic_experiment
    noise = reproduction.noise_frame(experiment)
    f, *lines = noise.itertuples(index=False)
    floor = when.noise_floor(experiment.table, experiment.key, experiment.epoch)
    assert f == ("f", experiment.key, experiment.epoch, floor.std, floor.tau, floor.cells)
    assert {line.what: line.quantity for line in lines} == experiment.table.targets()
    gains = when.over_all_seeds(experiment, when.criteria, SMALL)
    path = write_csv(gains, tmp_path / "gains_assumption.csv")
    pd.testing.assert_frame_equal(pd.read_csv(path), gains, rtol=1e-4)
    columns = "table,row,rival,column,seeds,f,epoch,value,low,high,verdict"
    assert path.read_text().splitlines()[0] == columns
    words = reproduction.noise_in_words(noise)
    assert f"f after epoch {experiment.epoch}: {floor.std:.2f} ({floor.tau:.2f})" in words
    assert not reproduction.noise_in_words(noise.assign(std=math.nan))


def test_the_noise_of_a_test_error():
    """Sees a test error with one value a cell given a noise of 0, or two seeds' noise lost."""
    quantities = {
        "one": SimpleNamespace(accuracy=np.array([[[50.0]], [[60.0]]]), epochs=np.array([9])),
        "two": SimpleNamespace(accuracy=np.array([[[50.0], [52.0]], [[60.0], [62.0]]]), epochs=np.array([9])),
    }
    one, two = (when.noise_floor(SimpleNamespace(quantity=quantities.get), key, 9) for key in quantities)
    assert np.isnan(one.std) and np.isnan(one.tau) and one.cells == 0
    assert two == (pytest.approx(np.sqrt(2)), pytest.approx(1), 2)
