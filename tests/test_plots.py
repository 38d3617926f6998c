"""The numbers in the figures: sees a curve that shows other values than were measured."""

import numpy as np
import pandas as pd
import pytest

from flatlib.display import plots
from flatlib.tabular import analysis, when
from flatlib.tabular.analysis import Budget
from flatlib.tabular.experiment import CRITERIA


def titles(figure):
    """The text above each panel."""
    return [annotation.text for annotation in figure.layout.annotations]


def test_flat_and_sharp(synthetic_experiment):
    """Sees the groups exchanged, another column's errors, or a title that states another gain."""
    figure = plots.plot_flat_and_sharp(synthetic_experiment, 60)
    groups = analysis.flat_and_sharp(synthetic_experiment, 60)
    expected = [
        errors[rows] for errors in synthetic_experiment.targets.values() for rows in (groups.flat, groups.sharp)
    ]
    assert [trace.type for trace in figure.data] == ["box"] * 4
    boxes = sorted(figure.data, key=lambda trace: trace.xaxis)
    for trace, errors in zip(boxes, expected, strict=True):
        np.testing.assert_array_equal(trace.y, errors)
    assert [trace.name.startswith("Flat") for trace in boxes] == [True, False] * 2
    for title, (column, errors) in zip(titles(figure), synthetic_experiment.targets.items(), strict=True):
        gain = errors[groups.sharp].mean() - errors[groups.flat].mean()
        assert title.startswith(f"{column}<br>sharp - flat: {gain:+.2f} [")


def test_ranking(synthetic_experiment):
    """Sees a score drawn against another cell's error, or tau of the drawn cells in the place of all."""
    figure = plots.plot_ranking(synthetic_experiment, "toy-two")
    errors = synthetic_experiment.targets["toy-two"]
    scores = [synthetic_experiment.score(row) for row in ("Baseline", "Ours - mean")]
    for trace, score, title in zip(figure.data, scores, titles(figure), strict=True):
        assert len(trace.x) == len(trace.y) == plots.MAX_POINTS
        pairs = set(zip(score.round(3).tolist(), errors.round(3).tolist(), strict=True))
        assert set(zip(np.array(trace.x).tolist(), np.array(trace.y).tolist(), strict=True)) <= pairs
        assert f"tau = {analysis.rank_correlation(score, errors):.3f} over all cells" in title
    np.testing.assert_array_equal(figure.data[0].y, figure.data[1].y)  # the same cells in both panels


def test_rank_by_epoch(synthetic_experiment):
    """Sees curves of two quantities or trials joined, a criterion's values under another's name, or no floor."""
    settings = [("first", "toy-valid/20/x-valid", 3), ("first", "toy-valid/20/x-valid", 9)]
    settings += [("first", "toy-valid/40/x-valid", 40), ("mean", "toy-valid/20/x-valid", 9)]
    lines = [
        (key, epoch, trial, row, at + n / 8)
        for at, (trial, key, epoch) in enumerate(settings)
        for n, row in enumerate(CRITERIA)
    ]
    points = pd.DataFrame(lines, columns=["key", "epoch", "trial", "criterion", "tau"])
    figure = plots.plot_rank_by_epoch(synthetic_experiment, points, "toy")
    curves = {(trace.name, tuple(trace.x)): list(trace.y) for trace in figure.data[:-1]}
    expected = {}
    for n, row in enumerate(CRITERIA):
        first = {(3, 9): [n / 8, 1 + n / 8], (40,): [2 + n / 8]}
        expected |= {(f"{row}, first seed", at): values for at, values in first.items()}
        expected[f"{row}, seed mean", (9,)] = [3 + n / 8]
    assert curves == expected and len(figure.data) == 16
    shown = [trace.name for trace in figure.data if trace.showlegend is not False]
    assert len(shown) == len(set(shown)) == 11  # each name once


def test_rank_by_epoch_shows_the_floor(synthetic_experiment):
    """Sees the noise floor of another epoch, or a point where the table has one seed."""
    floor = plots.plot_rank_by_epoch(synthetic_experiment, when.rank_by_epoch(synthetic_experiment, "toy"), "toy").data[
        -1
    ]
    assert floor.name == "f against f of another seed" and list(floor.x) == [3, 6, 9, 12, 20]
    expected = [when.noise_floor(synthetic_experiment.table, synthetic_experiment.key, epoch).tau for epoch in floor.x]
    assert list(floor.y) == pytest.approx(expected)
    assert sorted(expected) == expected  # noise falls with the epochs: the right axis


def test_regret(synthetic_experiment):
    """Sees regret against steps instead of evaluations, a median for a mean, or a band of another width."""
    budget = Budget(steps=30, n_nbr=5, runs=20)
    searches = analysis.searches(synthetic_experiment, budget, "2")
    figure = plots.plot_regret(synthetic_experiment, searches, "toy")
    assert len(figure.data) == 6
    errors = synthetic_experiment.targets["toy"]
    for (row, trace), band, line in zip(searches, figure.data[::2], figure.data[1::2], strict=True):
        cost = 150 // trace.incumbent.shape[1]
        assert line.name == row and (line.x[0], line.x[-1]) == (cost, 150)
        steps = np.array(line.x) // cost - 1
        values = errors[trace.incumbent[:, steps]] - errors.min()
        np.testing.assert_allclose(line.y, values.mean(0), atol=1e-4)
        low, high = (np.sort(np.percentile(values, q, axis=0)) for q in (25, 75))
        np.testing.assert_allclose(np.sort(band.y), np.sort([*low, *high]), atol=1e-4)
        assert list(band.x) == [*line.x, *line.x[::-1]]


def test_regret_names_fewer_runs(synthetic_experiment):
    """Sees a curve of few runs under the number of runs of the others."""
    searches = [
        analysis.Budget(5, 3, runs).random_search(synthetic_experiment)._replace(row=row)
        for row, runs in (("many", 9), ("few", 2))
    ]
    figure = plots.plot_regret(synthetic_experiment, searches, "toy")
    assert [line.name for line in figure.data[1::2]] == ["many", "few, 2 runs"]
    assert "mean of 9 runs" in figure.layout.title.text


def test_claims():
    """Sees another claim's gains in a panel, an interval upside down, or two f's joined into one curve."""
    names = ["f", "epoch", "column", "claim", "value", "low", "high"]
    lines = [
        (key, epoch, column, *gain)
        for key, epoch in (("a/9/x-valid", 3), ("a/9/x-valid", 9), ("b/9/x-valid", 9))
        for column in ("toy", "toy-two")
        for gain in (
            ("flat", epoch, epoch - 1, epoch + 2),
            ("ranking", 0.5, 0.25, 1),
            ("search", -epoch, -20, 20),
        )
    ]
    points = pd.DataFrame(lines, columns=names)
    figure = plots.plot_claims(points, ["flat", "ranking", "search"])
    assert len(figure.data) == 2 * 2 * 3
    for trace in figure.data:
        epochs = np.array(trace.x)
        assert epochs.tolist() in ([3, 9], [9])
        y, low, high = {
            "x": (epochs, [1] * len(epochs), [2] * len(epochs)),
            "x2": ([0.5] * len(epochs), [0.25] * len(epochs), [0.5] * len(epochs)),
            "x3": (-epochs, 20 - epochs, 20 + epochs),
        }[trace.xaxis]
        assert list(trace.y) == list(y)
        assert (list(trace.error_y.arrayminus), list(trace.error_y.array)) == (list(low), list(high))
    assert [trace.name for trace in figure.data if trace.showlegend] == ["toy", "toy-two"]
    assert [t.split(":")[0] for t in titles(plots.plot_claims(points, ["search"]))] == ["Table 2"]
