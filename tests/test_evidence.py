"""The comparisons behind the claims: sees a gain of other rows than its label says, or of one seed alone."""

from dataclasses import replace
from itertools import combinations
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from flatlib.display import claims as pages
from flatlib.tabular import analysis, evidence, when
from flatlib.tabular.analysis import Budget
from flatlib.tabular.experiment import CRITERIA
from flatlib.tabular.gains import Gain, mean_gain


@pytest.fixture(scope="module")
def complete(synthetic_experiment):
    """The synthetic experiment, each cell run with each seed."""
    table, key = synthetic_experiment.table, synthetic_experiment.key
    quantity = table.quantities[key]
    filled = replace(quantity, accuracy=np.nan_to_num(quantity.accuracy, nan=50.0))
    return replace(synthetic_experiment, table=replace(table, quantities={**table.quantities, key: filled}))


SMALL, SIZES = Budget(steps=4, n_nbr=3, runs=6, seed=2), when.Sizes(60, 30, 5)


def by_place(comparisons):
    return {(one.table, one.row, one.rival, one.column): one for one in comparisons}


def test_the_claims_that_have_two_ways_agree(complete):
    """Sees Table 1b's or Table 2's gain differ between the two files that hold it."""
    seeds = len(complete.table.complete_seeds(complete.key))
    assert seeds > 1
    at = (complete.key, complete.epoch)
    points = when.claims_by_epoch(complete, SIZES, SMALL)
    known = {point.column: point for point in points if (point.key, point.epoch) == at}
    assumption = by_place(evidence.assumption_gains(complete, SIZES, SMALL.seed))
    searches = by_place(evidence.search_gains(complete, SMALL))
    for column, point in known.items():
        ranking = assumption["B", "Ours - mean", "Baseline", column]
        assert ranking.gain == pytest.approx(point.ranking) and ranking.seeds == point.seeds == seeds
        assert searches["2", "NA-RS, mean", "Random Search (RS)", column].gain == pytest.approx(point.search)


def test_every_criterion_is_compared_with_the_baseline(complete):
    """Sees a row or a column left out, the spread of other cells, or f of other groups."""
    found = by_place(evidence.assumption_gains(complete, SIZES, 2))
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
        assert found["C", row, "Baseline", column].gain.value == pytest.approx(np.mean(values))


def test_searches_are_compared_in_pairs(complete):
    """Sees two samplers of one table that are not compared, or the gain of the wrong one."""
    found = evidence.search_gains(complete, SMALL)
    (first, *_) = complete.table.complete_seeds(complete.key)
    then = complete.reading(complete.key, complete.epoch, first)
    rows = [row for row, _ in analysis.searches_d(then, SMALL)]
    pairs = [(one.rival, one.row) for one in found if one.table == "D" and one.column == "toy"]
    assert pairs == list(combinations(rows, 2))
    searches = dict(analysis.searches_d(then, SMALL))
    single = mean_gain(*(then.targets["toy"][searches[row].found] for row in ("NA-RS - max", "NA-RS - mean")))
    (both,) = (one.gain for one in found if (one.row, one.rival, one.column) == ("NA-RS - max", "NA-RS - mean", "toy"))
    assert both.low <= single.low and single.high <= both.high


def test_noise_and_files(synthetic_experiment, tmp_path):
    """Sees the noise of another quantity, or a file without what the claims' page reads."""
    lines = evidence.noise(synthetic_experiment)
    floor = when.noise_floor(synthetic_experiment)
    assert lines[0] == ("f", synthetic_experiment.key, synthetic_experiment.epoch, floor.std, floor.tau, floor.n)
    assert [line.what for line in lines[1:]] == list(synthetic_experiment.targets)
    for line in lines[1:]:
        assert line.quantity == synthetic_experiment.table.targets()[line.what]
    gain = evidence.Comparison("B", "Ours - mean", "Baseline", "toy", Gain(0.1, -0.2, 0.4), 3)
    path = pages.save_gains([gain], synthetic_experiment, "gains_assumption.csv", tmp_path)
    (line,) = pd.read_csv(path).itertuples(index=False)
    expected = {"table": "B", "row": "Ours - mean", "rival": "Baseline", "column": "toy", "seeds": 3, "value": 0.1}
    expected |= {"f": synthetic_experiment.key, "epoch": synthetic_experiment.epoch, "low": -0.2, "high": 0.4}
    assert line._asdict() == expected | {"verdict": "undecided"}
    assert pd.read_csv(path.with_name("noise.csv")).what.tolist() == ["f", *synthetic_experiment.targets]


def test_the_noise_of_a_test_error():
    """Sees a test error with one value a cell given a noise of 0, or two seeds' noise lost."""
    targets = {"one": "a/9/x-test", "two": "b/9/x-test"}
    accuracy = {"one": np.array([[[50.0]], [[60.0]]]), "two": np.array([[[50.0], [52.0]], [[60.0], [62.0]]])}
    quantities = {
        targets[name]: SimpleNamespace(accuracy=accuracy[name], epochs=np.array([9]), seeds=np.arange(2))
        for name in targets
    }
    f = SimpleNamespace(accuracy=accuracy["two"], epochs=np.array([9]), seeds=np.arange(2))
    table = SimpleNamespace(targets=lambda: targets, quantity=lambda key: quantities.get(key, f))
    f, one, two = evidence.noise(SimpleNamespace(table=table, key="f/9/x-valid", epoch=9))
    assert np.isnan(one.std) and np.isnan(one.tau) and one.cells == 0
    assert f.std == two.std == pytest.approx(np.sqrt(2)) and two.tau == pytest.approx(1) and two.cells == 2
