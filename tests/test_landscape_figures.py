"""Sees a number drawn at another place than it was computed for, a scale that differs between panels."""

import numpy as np
import pandas as pd
import pytest
from synthetic_landscape import synthetic_landscape

from flatlib.display import landscapes as figures
from flatlib.display.reproduction import COLUMNS
from flatlib.landscape.plane import Plane, mean_rise
from flatlib.spaces import SPACES

DARTS = SPACES["darts"]


@pytest.fixture(scope="module")
def two_by_two():
    return [synthetic_landscape(DARTS, seed, 9, method=method) for method in ("darts", "na-darts") for seed in (0, 1)]


def test_mean_rise_of_a_bowl():
    """Sees points outside the radius counted, the middle counted, the loss itself in place of its rise."""
    x = np.linspace(-1, 1, 201)
    zero = np.zeros((201, 201))
    bowl = Plane(x, 5 + 3 * (x[:, None] ** 2 + x**2), zero, zero, zero, zero, zero)
    for radius in (0.25, 1.0):
        assert mean_rise(bowl, radius) == pytest.approx(3 * radius**2 / 2, rel=0.02)  # the mean of r^2 over a disk
    assert np.isnan(mean_rise(bowl, 0.001))


def test_contours_are_the_planes(two_by_two):
    """Sees a transposed map, panels on scales of their own, methods that do not stand side by side."""
    figure = figures.plot_planes(two_by_two)
    maps = [trace for trace in figure.data if trace.type == "contour"]
    for drawn, one in zip(maps, [two_by_two[at] for at in (0, 2, 1, 3)], strict=True):
        np.testing.assert_allclose(drawn.z, one.plane.losses, atol=5e-5)
        np.testing.assert_array_equal(drawn.x, one.plane.lambdas)
        assert drawn.coloraxis == "coloraxis"
    assert len({(m.contours.start, m.contours.end, m.contours.size) for m in maps}) == 1
    assert [m.xaxis for m in maps] == ["x", "x2", "x3", "x4"]  # a column a method, a row a seed
    assert [note.text for note in figure.layout.annotations] == [
        "darts, seed 0", "na-darts, seed 0", "darts, seed 1", "na-darts, seed 1",
    ]  # fmt: skip
    assert "64 validation images, batch size 32" in figure.layout.title.text
    coarse = next(t for t in figures.plot_planes(two_by_two, random=True).data if t.type == "contour")
    np.testing.assert_allclose(coarse.z, two_by_two[0].random.losses, atol=5e-5)


def test_cuts_are_the_middle_lines(two_by_two):
    """Sees v0 and v1 exchanged, or a cut beside the middle."""
    one = two_by_two[0]
    x, losses = one.plane.lambdas, one.plane.losses - one.plane.loss
    figure = figures.plot_cuts(two_by_two)
    assert len(figure.data) == 4 * 4 and sum(trace.showlegend for trace in figure.data) == 4
    titles = [note.text for note in figure.layout.annotations]
    assert titles == [*(f"along v<sub>{k}</sub>" for k in (0, 1)), *(f"along random direction {k}" for k in (0, 1))]
    first = {trace.xaxis: trace for trace in figure.data if trace.name == "darts, 0"}
    np.testing.assert_allclose(first["x"].y, losses[4], atol=1e-5)
    np.testing.assert_allclose(first["x2"].y, losses[:, 4], atol=1e-5)
    np.testing.assert_array_equal(first["x2"].x, x)
    assert first["x2"].y[0] == pytest.approx(losses[4, 8] / 2 - 0.1, abs=1e-5)  # of the made-up bowl
    assert len(first["x3"].x) == 5 and len(x) == 9


def test_points_and_surfaces(two_by_two):
    """Sees a distance off by one, a seed's surface in place of the first."""
    one, discrete = two_by_two[0], figures.plot_discrete(two_by_two).data
    assert [trace.name for trace in discrete] == [one.name for one in two_by_two]
    at = np.array(discrete[0].x)
    np.testing.assert_allclose(np.array(discrete[0].y)[at == "3"], one.discrete[3], atol=5e-5)
    np.testing.assert_allclose(np.array(discrete[0].y)[at == "alpha itself"], [one.plane.loss], atol=5e-5)
    third = synthetic_landscape(DARTS, 0, 9, method="pc-darts")
    surfaces = figures.plot_surfaces([*two_by_two, third]).data
    assert len(surfaces) == 2
    np.testing.assert_allclose(surfaces[1].z, two_by_two[2].plane.losses, atol=5e-5)


LARGEST = "largest eigenvalue, alpha"


def test_numbers_and_file(two_by_two, tmp_path):
    """Sees a wrong mean over seeds, a sample deviation, a published number, a CSV without the stable columns."""
    shown = figures.save_and_show(two_by_two, "digits", tmp_path).data
    written = pd.read_csv(tmp_path / "tables" / "digits" / "figure_A.csv")
    assert list(written.columns) == COLUMNS and list(written.row.unique()) == ["darts", "na-darts"]
    line = written[(written.row == "na-darts") & (written.column == LARGEST)].iloc[0]
    values = np.array([one.of_alpha.pairs.values[0] for one in two_by_two[2:]])
    assert line.ours == pytest.approx(values.mean()) and line.ours_std == pytest.approx(values.std(ddof=0))
    assert line.n == 2 and np.isnan(line.paper) and line.setting == "digits, 64 validation images, batch size 32"
    assert set(written.unit) == {"nats", "%"} and not written.column.str.contains("nats|%|[)]$").any()
    numbers = figures.flatness(two_by_two[0])
    largest = two_by_two[0].of_alpha.pairs.values[0]
    half = numbers["half the difference of the halves' largest, alpha (nats)"]
    assert half == pytest.approx(0.2 * largest)  # (1.3 - 0.9) / 2
    assert list(shown) == ["darts (n = 2)", "na-darts (n = 2)"] and len(shown) == len(numbers)
    assert shown.loc[f"{LARGEST} (nats)", "na-darts (n = 2)"] == f"{values.mean():.3g} ± {values.std():.2g}"


def test_a_hole_in_one_run_is_said_everywhere(tmp_path):
    """Sees a mean over fewer runs than its n says, or a table that says another number than the file."""
    whole, holed = (synthetic_landscape(DARTS, seed, 9) for seed in (0, 1))
    holed.plane.losses[4, 8] = np.nan
    label = "mean rise within r = 1"
    shown = figures.save_and_show([whole, holed], "digits", tmp_path).data.loc[f"{label} (nats)", "darts (n = 2)"]
    written = figures.figure_a([whole, holed], "digits").set_index("column").ours
    assert shown.startswith("nan") and np.isnan(written[label]) and np.isfinite(written["loss at alpha"])


@pytest.mark.parametrize(("space", "method"), [("nas-bench-201", "darts"), ("s3", "na-pc-darts")])
def test_one_run_with_a_hole(space, method, tmp_path):
    """Sees a figure that takes two methods, two cell types or finite losses for granted."""
    one = synthetic_landscape(SPACES[space], grid=5, method=method)
    one.plane.losses[0, 0] = np.nan
    for draw in (figures.plot_planes, figures.plot_surfaces, figures.plot_cuts, figures.plot_discrete):
        assert draw([one]).data
    assert " ± " not in figures.save_and_show([one], "digits", tmp_path).data.iloc[0, 0]
    first, end, step = figures.levels([one.plane])
    assert end - first == pytest.approx(step * round((end - first) / step)) and 8 <= (end - first) / step <= 14
