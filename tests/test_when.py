"""The claims and their intervals, epoch by epoch, beside the noise: sees a verdict that the numbers do not bear."""

import math

import numpy as np
import pytest
from scipy import stats

from flatlib.spaces import all_archs
from flatlib.tabular import analysis, when
from flatlib.tabular.analysis import Budget
from flatlib.tabular.experiment import CRITERIA, Experiment
from flatlib.tabular.table import Quantity, Table

SEARCH, SHORT = "toy-valid/20/x-valid", "toy-valid/40/x-valid"
SETTINGS = [*((SEARCH, epoch) for epoch in (3, 6, 9, 12, 20)), (SHORT, 6), (SHORT, 40)]
SMALL = Budget(steps=4, n_nbr=3, runs=6, seed=2, n_top=60, n_sample=30, repeats=5)


# --- Epoch by epoch -------------------------------------------------------------------------------


def test_settings_of_f(synthetic_experiment):
    """Sees f of one setting under the name of another, a test error as f, or a mean over one seed."""
    settings = [then for trial in ("first", "mean") for then in when.settings_of_f(synthetic_experiment, trial)]
    assert [(then.key, then.epoch) for then in settings] == [*SETTINGS, *SETTINGS]
    assert [then.trial for then in settings] == ["first"] * 7 + ["mean"] * 7
    for then in settings:
        assert then.f.tolist() == synthetic_experiment.table.errors(then.key, then.epoch, then.trial).tolist()
        assert then.targets is synthetic_experiment.targets


def experiment_on(keys, key, name="toys"):
    """One cell whose table has these quantities."""
    quantity = Quantity(np.full((1, 1, 2), 50, dtype=np.float32), np.array([1, 9]), np.array([1]))
    last = Quantity(quantity.accuracy[:, :, 1:], quantity.epochs[1:], quantity.seeds)
    quantities = {name: last if name.endswith("-test") else quantity for name in keys}
    table = Table(name, all_archs()[:1], quantities)
    return Experiment(table, key, 9, "first", np.full(1, 50.0), np.zeros((1, 1), dtype=int), {})


@pytest.mark.parametrize(
    "keys, expected",
    [
        (["a-valid/9/x-valid", "a/9/x-test", "b-valid/9/x-valid"], ["a-valid/9/x-valid"]),
        (["a-b-valid/9/x-valid", "a-valid/9/x-valid", "a-b/9/x-test"], ["a-b-valid/9/x-valid"]),
        (["a120/9/x-valid", "a120/9/x-test", "a/9/x-valid"], ["a120/9/x-valid"]),
        (["a-120/9/x-valid", "a-120/9/x-test"], ["a-120/9/x-valid"]),
    ],
)
def test_search_keys_are_of_the_same_data(keys, expected):
    """Sees f read from another data set whose name begins alike, or none at all."""
    assert when.search_keys(experiment_on(keys, keys[0])) == expected


def test_the_search_quantity_is_always_among_them():
    """Sees a chosen f without any point, so that every table and figure of it is empty."""
    keys = ["cifar100/12/x-test", "cifar10-valid/200/x-valid", "cifar100/200/x-test"]
    assert when.search_keys(experiment_on(keys, keys[0], "nas-bench-201")) == [keys[0]]


def test_rank_by_epoch(synthetic_experiment):
    """Sees tau against another column, of another epoch, or of another criterion."""
    points = [*when.rank_by_epoch(synthetic_experiment, "toy-two").itertuples()]
    first, mean = points[: 7 * len(CRITERIA)], points[7 * len(CRITERIA) :]
    assert [(p.key, p.epoch, p.criterion) for p in first] == [(*at, row) for at in SETTINGS for row in CRITERIA]
    assert [(p.key, p.epoch, p.criterion) for p in mean] == [(*at, row) for at in SETTINGS[:5] for row in CRITERIA]
    test = synthetic_experiment.targets["toy-two"]
    for point in points:
        hoods = synthetic_experiment.table.errors(point.key, point.epoch, point.trial)[synthetic_experiment.neighbors]
        score = {
            "Baseline": hoods[:, 0],
            "Ours - mean": np.mean(hoods, axis=1),
            "Ours - median": np.median(hoods, axis=1),
            "Ours - max": np.max(hoods, axis=1),
            "Ours - Variance": hoods[:, 0] + np.std(hoods, axis=1),
        }[point.criterion]
        assert point.tau == pytest.approx(stats.kendalltau(score, test).statistic, abs=1e-4)


def floor_of(accuracy, epochs=(9,)):
    """The noise after epoch 9 of these accuracies (A, S, epochs)."""
    accuracy = np.array(accuracy, dtype=np.float32)
    quantity = Quantity(accuracy, np.array(epochs), np.arange(accuracy.shape[1]))
    return when.noise_floor(Table("toys", all_archs()[: len(accuracy)], {"f": quantity}), "f", 9)


def test_noise_floor():
    """Sees a cell without both seeds counted, ddof 0, or the noise of another epoch: 2 points between two seeds."""
    nan = math.nan
    accuracy = [[[10, 50], [0, 52]], [[90, 60], [5, 62]], [[10, 70], [9, nan]], [[20, 80], [60, 82]]]
    floor = floor_of(accuracy, epochs=(1, 9))
    assert floor == (pytest.approx(math.sqrt(2)), pytest.approx(1.0), 3)
    opposite = floor_of([[[1], [3]], [[2], [2]], [[3], [1]]])
    assert opposite.tau == pytest.approx(-1.0)


def test_noise_floor_is_unbiased():
    """Sees the mean of two-seed deviations, 20 % below the standard deviation: here it is 3 points."""
    rng = np.random.default_rng(0)
    floor = floor_of(50 + rng.normal(0, 3, (8000, 2, 1)))
    assert floor.std == pytest.approx(3, rel=0.03)


def test_noise_floor_needs_two_seeds():
    """Sees a noise of 0 claimed for a table with one seed, or a warning where no cell has two."""
    for accuracy in ([[[50]], [[60]]], [[[50], [math.nan]], [[math.nan], [60]]]):
        floor = floor_of(accuracy)
        assert floor.cells == 0 and math.isnan(floor.tau) and math.isnan(floor.std)


def test_claims(synthetic_experiment):
    """Sees a gain of the wrong sign or column, unpaired samples, or RS against another budget."""
    gains = when.claims(synthetic_experiment, SMALL, "median")
    assert [*gains] == [(name, column) for column in ("toy", "toy-two") for name in when.CLAIMS]
    groups = analysis.flat_and_sharp(synthetic_experiment, 60)
    taus = analysis.sampled_taus(synthetic_experiment, SMALL)
    rival = SMALL.random_search(synthetic_experiment).trace
    ours = SMALL.na_random_search(synthetic_experiment, "median", "").trace
    assert ours.evaluations[-1] == rival.evaluations[-1] == 12
    for column, errors in synthetic_experiment.targets.items():
        assert gains["flat", column].value == pytest.approx(errors[groups.sharp].mean() - errors[groups.flat].mean())
        difference = taus["Ours - mean", column] - taus["Baseline", column]
        interval = stats.ttest_1samp(difference, 0).confidence_interval(0.95)
        assert gains["ranking", column] == pytest.approx((difference.mean(), interval.low, interval.high))
        welch = stats.ttest_ind(errors[rival.found], errors[ours.found], equal_var=False).confidence_interval(0.95)
        assert gains["search", column][1:] == pytest.approx((welch.low, welch.high))


def test_claims_by_epoch(synthetic_experiment):
    """Sees an epoch, a quantity or a column left out, or one f's claims under the name of another."""
    points = when.claims_by_epoch(synthetic_experiment, SMALL)
    expected = [(*at, c, name) for at in SETTINGS for c in ("toy", "toy-two") for name in when.CLAIMS]
    assert [*zip(points.f, points.epoch, points.column, points.claim, strict=True)] == expected
    seeds = synthetic_experiment.table.complete_seeds(SHORT)
    then = [when.claims(synthetic_experiment.reading(SHORT, 40, seed), SMALL) for seed in seeds or ["first"]]
    for point in points[-6:].itertuples():
        assert point.seeds == len(then)
        gains = [run[point.claim, point.column] for run in then]
        assert point.value == pytest.approx(np.mean([gain.value for gain in gains]))
        assert point.low == pytest.approx(min(gain.low for gain in gains))
        assert point.high == pytest.approx(max(gain.high for gain in gains))


def test_complete_seeds():
    """Sees a seed that was not run for some cell taken for a whole f."""
    accuracy = np.full((3, 3, 2), 50, dtype=np.float32)
    accuracy[1, 2, 0] = math.nan
    table = Table("toys", all_archs()[:3], {"a/9/x-valid": Quantity(accuracy, np.array([1, 9]), np.array([7, 8, 9]))})
    assert table.complete_seeds("a/9/x-valid") == [7, 8]
    assert table.errors("a/9/x-valid", 9, 9).tolist() == [50] * 3
