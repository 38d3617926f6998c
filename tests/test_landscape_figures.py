"""Sees a number drawn at another place than it was computed for, a scale that differs between panels."""

import numpy as np
import pandas as pd
import pytest
from synthetic_landscape import synthetic_landscape

from flatlib.display import flatness
from flatlib.display import landscape_figures as figures
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
    assert "64 validation images, batch size 32" in figure.layout.title.text
    assert [axis.scaleanchor for axis in figure.select_yaxes()] == [None, None, "x3", None]  # on the unmatched pair
    assert figure.layout.yaxis3.matches is None and figure.layout.xaxis3.matches is None
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
    np.testing.assert_allclose(discrete[1].y, two_by_two[0].discrete.mean(1), atol=5e-5)
    assert abs(discrete[1].x[0]) < 0.5 and len(discrete[1].x) == 7
    np.testing.assert_allclose(discrete[2].y, [two_by_two[0].plane.loss] * 2, atol=5e-5)  # alpha itself
    assert [trace.showlegend for trace in discrete[2::3]] == [True, False, False, False]
    third = synthetic_landscape(DARTS, 0, 9, method="pc-darts")
    surfaces = figures.plot_surfaces([*two_by_two, third]).data
    assert len(surfaces) == 2
    np.testing.assert_allclose(surfaces[1].z, two_by_two[2].plane.losses, atol=5e-5)
    spectrum = figures.plot_spectrum(two_by_two).data
    assert len({trace.x[0] for trace in spectrum[::2]}) == 4  # bars beside each other
    drawn = spectrum[0]
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
    line = written[(written.row == "na-darts") & (written.column == flatness.NUMBERS["lambda_max"][0])].iloc[0]
    values = frame.lambda_max[2:]
    assert line.ours == pytest.approx(values.mean()) and line.ours_std == pytest.approx(values.std(ddof=0))
    assert line.n == 2 and np.isnan(line.paper) and line.setting == "digits, 64 validation images, batch size 32"
    assert set(written.unit) == {"nats", "%"} and not written.column.str.contains("nats").any()
    assert frame.halves[0] == pytest.approx(0.2 * frame.lambda_max[0])  # (1.3 - 0.9) / 2
    table = flatness.flatness_table(two_by_two).data
    assert list(table) == ["darts, seed 0", "darts, seed 1", "na-darts, seed 0", "na-darts, seed 1"]
    largest = two_by_two[0].of_alpha.pairs.values[0]
    assert (
        table.loc[flatness.LABELS["lambda_max"], "darts, seed 0"]
        == f"{largest:.3g} ({0.9 * largest:.3g}, {1.3 * largest:.3g})"
    )
    assert " ± " in flatness.summary(two_by_two).data["darts (n = 2)"].iloc[0]


def test_a_hole_in_one_run_is_said_everywhere():
    """Sees a mean over fewer runs than its n says, or a table that says another number than the file."""
    whole, holed = (synthetic_landscape(DARTS, seed, 9) for seed in (0, 1))
    holed.plane.losses[4, 8] = np.nan
    label, unit, _ = flatness.NUMBERS["rise 1"]
    shown = flatness.summary([whole, holed]).data.loc[f"{label} ({unit})", "darts (n = 2)"]
    written = flatness.figure_a([whole, holed], "digits").set_index("column").ours
    assert shown.startswith("nan") and np.isnan(written[label]) and np.isfinite(written["loss at alpha"])


def test_two_runs_of_one_name():
    """Sees a run dropped from the table: two settings of one method from the same seed."""
    table = flatness.flatness_table([synthetic_landscape(DARTS, 0, 9), synthetic_landscape(DARTS, 0, 9)])
    assert list(table.data) == ["darts, seed 0"] * 2
    assert table.to_html().count("darts, seed 0") == 2


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
