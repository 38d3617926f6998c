"""Sees a number drawn at another place than it was computed for, a scale that differs between panels."""

import numpy as np
import pandas as pd
import pytest
from synthetic_landscape import synthetic_landscape

from flatlib.display import flatness
from flatlib.display import landscape as figures
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
    for drawn, one in zip(maps, two_by_two, strict=True):
        np.testing.assert_allclose(drawn.z, one.plane.losses, atol=5e-5)
        np.testing.assert_allclose(drawn.customdata[..., 0], one.plane.accuracy, atol=5e-3)
        np.testing.assert_array_equal(drawn.x, one.plane.lambdas)
        assert drawn.coloraxis == "coloraxis"
    assert len({(m.contours.start, m.contours.end, m.contours.size) for m in maps}) == 1
    assert [m.xaxis for m in maps] == ["x", "x3", "x2", "x4"]  # a column a method
    assert [note.text for note in figure.layout.annotations] == [
        "darts, seed 0", "na-darts, seed 0", "darts, seed 1", "na-darts, seed 1",
    ]  # fmt: skip
    own = [t for t in figures.plot_planes(two_by_two, linked=False).data if t.type == "contour"]
    assert len({(m.contours.start, m.contours.end, m.contours.size) for m in own}) > 1
    coarse = next(t for t in figures.plot_planes(two_by_two, random=True).data if t.type == "contour")
    np.testing.assert_allclose(coarse.z, two_by_two[0].random.losses, atol=5e-5)


def test_cuts_are_the_middle_lines(two_by_two):
    """Sees v0 and v1 exchanged, or a cut beside the middle."""
    one = two_by_two[0]
    lines = figures.cuts(one)
    x = one.plane.lambdas
    losses = one.plane.losses - one.plane.loss
    np.testing.assert_array_equal(lines["v<sub>0</sub>"][1], losses[4])
    np.testing.assert_array_equal(lines["v<sub>1</sub>"][1], losses[:, 4])
    assert lines["v<sub>1</sub>"][1][0] == pytest.approx(losses[4, 8] / 2 - 0.1)  # of the made-up bowl
    assert len(lines["random direction 0"][0]) == 5 and len(x) == 9
    figure = figures.plot_cuts(two_by_two)
    assert len(figure.data) == 4 * 4 and sum(trace.showlegend for trace in figure.data) == 4


def test_points_surfaces_and_spectrum(two_by_two):
    """Sees a distance off by one, a seed's surface in place of the first, error bars on the wrong side."""
    discrete = figures.plot_discrete(two_by_two).data
    np.testing.assert_allclose(discrete[1].y, two_by_two[0].discrete.losses.mean(1), atol=5e-5)
    assert abs(discrete[1].x[0]) < 0.5 and len(discrete[1].x) == 7
    surfaces = figures.plot_surfaces(two_by_two).data
    assert len(surfaces) == 2
    np.testing.assert_allclose(surfaces[1].z, two_by_two[2].plane.losses, atol=5e-5)
    drawn = figures.plot_spectrum(two_by_two).data[0]
    values = two_by_two[0].of_alpha.pairs.values
    np.testing.assert_allclose(drawn.y, values)
    np.testing.assert_allclose(drawn.error_y.array, 0.3 * values)
    np.testing.assert_allclose(drawn.error_y.arrayminus, 0.1 * values)


def test_numbers_and_file(two_by_two, tmp_path):
    """Sees a wrong mean over seeds, a sample deviation, a published number, a CSV without the stable columns."""
    frame = flatness.flatness_frame(two_by_two)
    assert list(frame.method) == ["darts", "darts", "na-darts", "na-darts"]
    assert frame.lambda_max[0] == two_by_two[0].of_alpha.pairs.values[0]
    written = pd.read_csv(flatness.save(two_by_two, "digits", tmp_path))
    assert list(written.columns) == COLUMNS
    line = written[(written.row == "na-darts") & (written.column == flatness.UNITS["lambda_max"])].iloc[0]
    values = frame.lambda_max[2:]
    assert line.ours == pytest.approx(values.mean()) and line.ours_std == pytest.approx(values.std(ddof=0))
    assert line.n == 2 and np.isnan(line.paper) and line.setting == "digits, 64 validation images, batch size 32"
    table = flatness.flatness_table(two_by_two).data
    assert list(table) == ["darts, seed 0", "darts, seed 1", "na-darts, seed 0", "na-darts, seed 1"]
    largest = two_by_two[0].of_alpha.pairs.values[0]
    assert (
        table.loc[flatness.UNITS["lambda_max"], "darts, seed 0"]
        == f"{largest:.3g} ({0.9 * largest:.3g}, {1.3 * largest:.3g})"
    )
    assert " ± " in flatness.summary(two_by_two).data["darts (n = 2)"].iloc[0]


@pytest.mark.parametrize(("space", "method"), [("nas-bench-201", "darts"), ("s3", "na-pc-darts")])
def test_one_run_with_a_hole(space, method):
    """Sees a figure that takes two methods, two cell types or finite losses for granted."""
    one = synthetic_landscape(SPACES[space], grid=5, method=method)
    one.plane.losses[0, 0] = np.nan
    for draw in (
        figures.plot_planes, figures.plot_surfaces, figures.plot_cuts, figures.plot_discrete, figures.plot_spectrum
    ):  # fmt: skip
        assert draw([one]).data
    assert " ± " not in flatness.summary([one]).data.iloc[0, 0]
    assert np.isfinite(flatness.levels([one.plane])).all()
